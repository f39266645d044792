"""The device registry: which serial numbers may come in, and what became of them.

Reading and checking what a person gives is pure. Writing is conditional, so nothing that is there is ever overwritten.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any

from fleetgate import applied, times
from fleetgate.catalogue import ATTRIBUTE_VALUE, SERIAL, Catalogue
from fleetgate.errors import FleetgateError, Problem

#: `deviceType` -> rows; all attributes are projected.
INDEX = "DeviceTypeIndex"
STATUSES = ("registered", "provisioning", "provisioned", "active", "revoked")
COLUMNS = ("serialNumber", "deviceType", "manufacturer", "location")
_REQUIRED_COLUMNS = COLUMNS[:2]
MAXIMUM_ROWS = 100_000
_RANGE = re.compile(r"(?P<first>.*?)\.\.(?P<last>.*)", re.DOTALL)
_COUNTED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]{1,18})", re.DOTALL)

#: What the hook and the onboarding function write into a row beside its status, when a device comes in.
DEVICE_ATTRIBUTES = (
    "certificateId",
    "claimCertificateId",
    "firmwareVersion",
    "firstConnectedAt",
    "leaseExpiresAt",
    "leasedAt",
    "provisionedAt",
    "thingName",
)
#: What a revocation writes into a row beside its status.
REVOCATION_ATTRIBUTES = ("revokedAt", "revokedBy", "revokedReason")
_TIMES = ("leasedAt", "leaseExpiresAt")
#: The year 10000, which no date has.
_END_OF_TIME_MS = 253_402_300_800_000
#: What stands for an attribute that every row has, but for those that somebody made by hand.
UNKNOWN = "unknown"
#: BatchGetItem takes no more keys.
_BATCH = 100
#: Bytes of a key [DynamoDB limits].
_MAXIMUM_KEY = 2048

Row = dict[str, Any]
Expected = Mapping[str, str | None]


@dataclass(frozen=True)
class Wanted:
    """A row that somebody wants in the registry, unchecked. where: `file:line`, or the serial if it came as an argument.

    Then all serials share the options, and a mistake in an option is one mistake.
    """

    where: str
    serial: str
    device_type: str
    manufacturer: str | None = None
    location: str | None = None
    is_argument: bool = False

    def problem(self, what: str, remedy: str) -> Problem:
        """A problem of the serial, which is named once."""
        return Problem(self.where, what if self.is_argument else f"{self.serial!r:.80} {what}", remedy)

    def option_problem(self, option: str, what: str, remedy: str) -> Problem:
        return Problem(f"--{option}" if self.is_argument else self.where, what, remedy)


def read_csv(text: str, file: str) -> tuple[list[Wanted], list[Problem]]:
    """The rows of a CSV file with a header, and a problem for each line that is no row. Raises for an unusable header."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[Wanted] = []
    problems: list[Problem] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file)
        for cells in reader:
            where = f"{file}:{reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                what = f"has {len(cells)} cells, the header has {len(header)}"
                problems.append(Problem(where, what, f"write {','.join(header)}"))
                continue
            cell = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            empty = [name for name in _REQUIRED_COLUMNS if not cell[name]]
            if empty:
                problems.append(Problem(where, f"{' and '.join(empty)} is empty", "fill it in, or remove the line"))
                continue
            optional = (cell.get("manufacturer") or None, cell.get("location") or None)
            rows.append(Wanted(where, cell["serialNumber"], cell["deviceType"], *optional))
    except csv.Error as error:
        problems.append(Problem(f"{file}:{reader.line_num}", f"not CSV: {error}", "mend the quotes of that line"))
    if not rows and not problems:
        problems.append(Problem(file, "has no rows", f"write one device a line: {','.join(header)}"))
    return rows, problems


def read_arguments(
    device_type: str, serials: Sequence[str], manufacturer: str | None, location: str | None
) -> tuple[list[Wanted], list[Problem]]:
    """Rows from arguments, each a serial or a range `FIRST..LAST`."""
    rows: list[Wanted] = []
    problems: list[Problem] = []
    for argument in serials:
        expanded = expand(argument)
        if isinstance(expanded, Problem):
            problems.append(expanded)
        else:
            rows += (Wanted(serial, serial, device_type, manufacturer, location, is_argument=True) for serial in expanded)
    return rows, problems


def expand(argument: str) -> list[str] | Problem:
    """`TEMP-000100..TEMP-000299` as 200 serials, anything without `..` as itself."""
    found = _RANGE.fullmatch(argument)
    if not found:
        return [argument]
    first, last = _COUNTED.fullmatch(found["first"]), _COUNTED.fullmatch(found["last"])
    if not first or not last or first["stem"] != last["stem"] or len(first["number"]) != len(last["number"]):
        remedy = "both ends need the same text and as many digits at the end, like TEMP-000100..TEMP-000299"
        return Problem(argument, "is not a range", remedy)
    low, high = int(first["number"]), int(last["number"])
    if low > high:
        return Problem(argument, "runs backwards", f"write {found['last']}..{found['first']}")
    if high - low >= MAXIMUM_ROWS:
        return Problem(argument, f"has {high - low + 1} serials, {MAXIMUM_ROWS} at once are possible", "split it")
    return [f"{first['stem']}{number:0{len(first['number'])}d}" for number in range(low, high + 1)]


def check(rows: Iterable[Wanted], catalogue: Catalogue) -> tuple[list[Wanted], list[Problem]]:
    """The rows that the gate could let in, and every problem of the others."""
    good: list[Wanted] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    canaries = {kind.canary_serial for kind in catalogue.device_types.values()}
    for row in rows:
        found = list(_mistakes(row, catalogue, canaries))
        if row.serial in seen:
            what = "was given before" if row.is_argument else f"stands already at {seen[row.serial]}"
            found.append(row.problem(what, "keep one of the two"))
        seen.setdefault(row.serial, row.where)
        problems += found
        if not found:
            good.append(row)
    return good, list(dict.fromkeys(problems))


def grouped(problems: Iterable[Problem]) -> list[Problem]:
    """The same problems, those with the same text as one that names every place: `devices.csv:3-5, 9`, `S-1..S-200`."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        places.setdefault((problem.what, problem.remedy), []).append(problem.where)
    return [Problem(_joined(found), *text) for text, found in places.items()]


def _joined(places: list[str]) -> str:
    runs: list[tuple[str, str]] = []
    for place in places:
        if runs and place == _successor(runs[-1][1]):
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    said: list[str] = []
    named = None
    for first, last in runs:
        file, colon, line = first.rpartition(":")
        start = line if colon and file == named else first  # a file is named once, and then by the numbers of its lines
        end = f"-{last.rpartition(':')[2]}" if colon else f"..{last}"
        said.append(start if first == last else start + end)
        named = file
    return ", ".join(said)


def _successor(place: str) -> str | None:
    counted = _COUNTED.fullmatch(place)
    return f"{counted['stem']}{int(counted['number']) + 1:0{len(counted['number'])}d}" if counted else None


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """The remedy for a word that is none of the known ones."""
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"


def _check_header(header: list[str], file: str) -> None:
    problems = [
        Problem(f"{file}:1", f"the column {name} is missing", f"write the header {','.join(COLUMNS)}")
        for name in _REQUIRED_COLUMNS
        if name not in header
    ]
    for name in header:
        if name not in COLUMNS:
            problems.append(Problem(f"{file}:1", f"unknown column {name!r}", did_you_mean(name, COLUMNS)))
        elif header.count(name) > 1:
            problems.append(Problem(f"{file}:1", f"the column {name} stands twice", "keep one of the two"))
    if problems:
        raise FleetgateError(problems)


def _mistakes(row: Wanted, catalogue: Catalogue, canaries: set[str]) -> Iterator[Problem]:
    kind = catalogue.device_types.get(row.device_type)
    if kind is None:
        unknown = unknown_type(row.where, row.device_type, catalogue)
        yield row.option_problem("type", unknown.what, unknown.remedy)
    elif not (re.fullmatch(SERIAL, row.serial) and re.fullmatch(kind.serial_pattern, row.serial, re.ASCII)):
        yield row.problem(f"is no serial of a {row.device_type}", f"it has to match {kind.serial_pattern}")
    elif row.serial in canaries:
        yield row.problem("is reserved for the smoke check", "give the device another serial")
    if kind is not None and row.manufacturer is not None and row.manufacturer not in kind.manufacturers:
        what = f"{row.manufacturer!r:.80} makes no {row.device_type}"
        remedy = f"use {' or '.join(kind.manufacturers)}, or add it to the catalogue"
        yield row.option_problem("manufacturer", what, remedy)
    if row.location is not None and not re.fullmatch(ATTRIBUTE_VALUE, row.location):
        what = f"the location {row.location!r:.80} cannot be a thing attribute"
        remedy = "letters, digits and _.,@/:#=[]- only, no space, like building-a/floor-2"
        yield row.option_problem("location", what, remedy)


def unknown_type(where: str, device_type: str, catalogue: Catalogue) -> Problem:
    """The problem of a device type that the catalogue does not have."""
    remedy = did_you_mean(device_type, list(catalogue.device_types))
    return Problem(where, f"unknown device type {device_type!r:.80}", remedy)


class Added(Enum):
    """What became of a wanted row."""

    ADDED = "added"
    THERE = "already there"
    DIFFERS = "already there but different"
    REVOKED = "revoked"


def compared(row: Wanted, existing: Row | None) -> tuple[Added, Row | None]:
    """What becomes of a wanted row beside the one that is there, if there is one."""
    if existing is None:
        return Added.ADDED, None
    if existing.get("status") == "revoked":
        return Added.REVOKED, existing
    return (Added.DIFFERS if differences(row, existing) else Added.THERE), existing


def spelled_short(rows: Iterable[Wanted]) -> dict[str, str]:
    """By device type: the serials, with ranges as `registry add` reads them, so that a thousand fit into a line."""
    runs: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        known = runs.setdefault(row.device_type, [])
        if known and _next_serial(known[-1][1]) == row.serial:
            known[-1] = (known[-1][0], row.serial)
        else:
            known.append((row.serial, row.serial))
    return {
        kind: ", ".join(first if first == last else f"{first}..{last}" for first, last in found) for kind, found in runs.items()
    }


def _next_serial(serial: str) -> str | None:
    found = re.fullmatch(r"(.*?)([0-9]+)", serial)
    if found is None:
        return None
    number = str(int(found[2]) + 1).zfill(len(found[2]))
    return found[1] + number if len(number) == len(found[2]) else None


class Registry:
    """The table. Its methods may be called from several threads."""

    def __init__(self, table: str) -> None:
        from fleetgate import aws

        self._table = table
        self._client = aws.client("dynamodb")

    def add(self, row: Wanted, registered_at: str) -> tuple[Added, Row | None]:
        """Adds a row unless its serial is there; then the existing row is returned, as it was."""
        item = {
            "serialNumber": row.serial,
            "deviceType": row.device_type,
            "status": "registered",
            "registeredAt": registered_at,
            "manufacturer": row.manufacturer,
            "location": row.location,
        }
        return compared(row, self.put_if_absent({name: value for name, value in item.items() if value is not None}))

    def put_if_absent(self, row: Row) -> Row | None:
        """Writes `row` if its serial is free; otherwise returns what is there."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_to_item(row),
                ConditionExpression="attribute_not_exists(serialNumber)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ResourceNotFoundException:
            raise self._no_table() from None
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _from_item(error.response.get("Item", {}))
        return None

    def get(self, serial: str) -> Row | None:
        """The row of a serial, as of now."""
        if not 0 < len(serial.encode(errors="replace")) <= _MAXIMUM_KEY:
            return None  # DynamoDB takes no such key
        try:
            answer = self._client.get_item(TableName=self._table, Key={"serialNumber": {"S": serial}}, ConsistentRead=True)
        except self._client.exceptions.ResourceNotFoundException:
            raise self._no_table() from None
        return _from_item(answer["Item"]) if "Item" in answer else None

    def rows(self, device_type: str | None = None, status: str | None = None, after: str | None = None) -> Iterator[Row]:
        """Rows page by page, in the table's own order; of a type by the index, otherwise by a scan. after: a serial."""
        request: dict[str, Any] = {"TableName": self._table}
        names, values = {}, {}
        if status is not None:
            names["#status"], values[":status"] = "status", {"S": status}
            request["FilterExpression"] = "#status = :status"
        if device_type is not None:
            values[":type"] = {"S": device_type}
            request |= {"IndexName": INDEX, "KeyConditionExpression": "deviceType = :type"}
        if names:
            request["ExpressionAttributeNames"] = names
        if values:
            request["ExpressionAttributeValues"] = values
        if after is not None:
            start = {"serialNumber": {"S": after}}
            request["ExclusiveStartKey"] = start | ({"deviceType": {"S": device_type}} if device_type else {})
        read = self._client.query if device_type is not None else self._client.scan
        while True:
            try:
                page = read(**request)
            except self._client.exceptions.ResourceNotFoundException:
                raise self._no_table() from None
            yield from map(_from_item, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def which(self, serials: Sequence[str]) -> set[str]:
        """Those of the serials that have a row."""
        found: set[str] = set()
        for start in range(0, len(serials), _BATCH):
            keys = [{"serialNumber": {"S": serial}} for serial in serials[start : start + _BATCH]]
            wanted: dict[str, Any] = {self._table: {"Keys": keys, "ProjectionExpression": "serialNumber"}}
            while wanted:
                try:
                    answer = self._client.batch_get_item(RequestItems=wanted)
                except self._client.exceptions.ResourceNotFoundException:
                    raise self._no_table() from None
                found |= {item["serialNumber"]["S"] for item in answer["Responses"].get(self._table, [])}
                wanted = answer.get("UnprocessedKeys", {})
        return found

    def revoke(self, serial: str, notes: Mapping[str, str] | None = None) -> Row | None:
        """Sets the status to `revoked`; returns the row as it was, whose status may be `revoked` already, or None.

        notes: attributes that are written with it: who did it, when and why (see REVOCATION_ATTRIBUTES).
        """
        kept = notes or {}
        assignments = ["#status = :revoked", *(f"{name} = :{name}" for name in kept)]
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={"serialNumber": {"S": serial}},
                UpdateExpression=f"SET {', '.join(assignments)}",
                ConditionExpression="attribute_exists(serialNumber) AND #status <> :revoked",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":revoked": {"S": "revoked"}} | {f":{n}": {"S": v} for n, v in kept.items()},
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ResourceNotFoundException:
            raise self._no_table() from None
        except self._client.exceptions.ConditionalCheckFailedException as error:
            item = error.response.get("Item")
            return _from_item(item) if item else None
        return _from_item(answer["Attributes"])

    def reinstate(self, serial: str, certificate_id: str | None) -> bool:
        """Sets a revoked row back to `registered`, as it was before a device came in; returns whether it did.

        Only if it is revoked and still names that certificate (None: none): whoever changed it meanwhile has the last word.
        """
        held = "certificateId = :certificate" if certificate_id is not None else "attribute_not_exists(certificateId)"
        values = {":registered": {"S": "registered"}, ":revoked": {"S": "revoked"}}
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"serialNumber": {"S": serial}},
            "UpdateExpression": f"SET #status = :registered REMOVE {', '.join(DEVICE_ATTRIBUTES + REVOCATION_ATTRIBUTES)}",
            "ConditionExpression": f"#status = :revoked AND {held}",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": values | ({":certificate": {"S": certificate_id}} if certificate_id is not None else {}),
        }
        return self._write(self._client.update_item, request)

    def free(self, serial: str, certificate_id: str) -> bool:
        """Sets the row of a device that was taken away back to `registered`; returns whether the serial may come in again now.

        Only if the row still holds that device's certificate. A revoked row stays revoked and keeps what it says of the device,
        as history, but leads to no thing any more.
        """
        remove = ", ".join(DEVICE_ATTRIBUTES)
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"serialNumber": {"S": serial}},
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":certificate": {"S": certificate_id}, ":revoked": {"S": "revoked"}},
        }
        freed = {
            "UpdateExpression": f"SET #status = :registered REMOVE {remove}",
            "ConditionExpression": "certificateId = :certificate AND #status <> :revoked",
            "ExpressionAttributeValues": request["ExpressionAttributeValues"] | {":registered": {"S": "registered"}},
        }
        kept_out = {
            "UpdateExpression": "REMOVE thingName",
            "ConditionExpression": "certificateId = :certificate AND #status = :revoked",
        }
        if self._write(self._client.update_item, request | freed):
            return True
        self._write(self._client.update_item, request | kept_out)
        return False

    # `expected` is what the row has to hold for a write to happen; None: it has no such attribute. At least one.

    def replace(self, row: Row, expected: Expected) -> bool:
        """Writes `row` over the one of its serial, if that is as expected."""
        request: dict[str, Any] = {"TableName": self._table, "Item": _to_item(row)}
        return self._conditionally(self._client.put_item, request, expected)

    def remove(self, serial: str, expected: Expected) -> bool:
        """Deletes a row, if it is as expected."""
        request: dict[str, Any] = {"TableName": self._table, "Key": {"serialNumber": {"S": serial}}}
        return self._conditionally(self._client.delete_item, request, expected)

    def set(self, serial: str, changes: Row, expected: Expected) -> bool:
        """Sets attributes of a row, if it is as expected."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"serialNumber": {"S": serial}},
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in changes),
            "ExpressionAttributeNames": {f"#{name}": name for name in changes},
            "ExpressionAttributeValues": {f":{name}": value for name, value in _to_item(changes).items()},
        }
        return self._conditionally(self._client.update_item, request, expected)

    def _conditionally(self, write: Any, request: dict[str, Any], expected: Expected) -> bool:
        conditions = []
        for number, (attribute, value) in enumerate(expected.items()):
            name, placeholder = f"#expected{number}", f":expected{number}"
            request.setdefault("ExpressionAttributeNames", {})[name] = attribute
            if value is None:
                conditions.append(f"attribute_not_exists({name})")
            else:
                conditions.append(f"{name} = {placeholder}")
                request.setdefault("ExpressionAttributeValues", {})[placeholder] = {"S": value}
        return self._write(write, request | {"ConditionExpression": " AND ".join(conditions)})

    def _write(self, write: Any, request: dict[str, Any]) -> bool:
        """Whether the row met the request's condition and was written."""
        try:
            write(**request)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _no_table(self) -> FleetgateError:
        return applied.absent(f"table {self._table}")


def differences(row: Wanted, existing: Row) -> list[str]:
    """What a wanted row says otherwise than the row that is there. What it leaves open differs from nothing."""
    wanted = {"deviceType": row.device_type, "manufacturer": row.manufacturer, "location": row.location}
    return [
        f"{name} is {existing.get(name, 'open')}, not {value}"
        for name, value in wanted.items()
        if value is not None and existing.get(name) != value
    ]


# A row may have been made or changed by hand: what it should say is read by these three.


def status_of(row: Row) -> str:
    """UNKNOWN for a row without one."""
    return str(row.get("status", UNKNOWN))


def type_of(row: Row) -> str:
    """UNKNOWN for a row without a device type."""
    return str(row.get("deviceType", UNKNOWN))


def time_of(row: Row, name: str) -> int | None:
    """One of the hook's times in epoch milliseconds; None if there is none, or something else in its place."""
    value = row.get(name)
    return value if isinstance(value, int) and 0 <= value < _END_OF_TIME_MS else None


def shown(row: Row) -> Row:
    """A row as people and programs read it: the hook's milliseconds as UTC."""
    dated = {name: time_of(row, name) for name in _TIMES}
    return row | {name: times.utc(value) for name, value in dated.items() if value is not None}


def page(rows: Iterable[Row], limit: int) -> tuple[list[Row], str | None]:
    """The first `limit` rows (0: all) as people read them, sorted; and the serial to go on after, None if that was all.

    The serial is the last one in the table's own order, which is not the order of the page.
    """
    # One more than wanted tells whether there is more.
    found = list(rows if limit == 0 else islice(rows, limit + 1))
    more = limit != 0 and len(found) > limit
    found = found[:limit] if more else found
    after = str(found[-1]["serialNumber"]) if more else None
    return sorted(map(shown, found), key=lambda row: str(row["serialNumber"])), after


def _to_item(row: Row) -> dict[str, Any]:
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in row.items()}


def _from_item(item: dict[str, dict[str, Any]]) -> Row:
    row: Row = {}
    for name, typed in item.items():
        [(kind, value)] = typed.items()
        row[name] = int(value) if kind == "N" and re.fullmatch(r"-?[0-9]+", value) else value
    return row
