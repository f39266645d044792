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
from typing import Any

from fleetgate.catalogue import ATTRIBUTE_VALUE, SERIAL, Catalogue
from fleetgate.errors import FleetgateError, Problem, fail

#: `deviceType` -> rows; all attributes are projected.
INDEX = "DeviceTypeIndex"
STATUSES = ("registered", "provisioning", "provisioned", "active", "revoked")
COLUMNS = ("serialNumber", "deviceType", "manufacturer", "location")
_REQUIRED_COLUMNS = COLUMNS[:2]
MAXIMUM_ROWS = 100_000
_RANGE = re.compile(r"(?P<first>.*?)\.\.(?P<last>.*)", re.DOTALL)
_COUNTED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]{1,18})", re.DOTALL)

Row = dict[str, Any]
Expected = Mapping[str, str | None]


@dataclass(frozen=True)
class Wanted:
    """A row that somebody wants in the registry, unchecked. where: `file:line`, or the argument."""

    where: str
    serial: str
    device_type: str
    manufacturer: str | None = None
    location: str | None = None


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
            rows += (Wanted(argument, serial, device_type, manufacturer, location) for serial in expanded)
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
            found.append(Problem(row.where, f"{row.serial!r} stands already at {seen[row.serial]}", "keep one of the two"))
        seen.setdefault(row.serial, row.where)
        problems += found
        if not found:
            good.append(row)
    return good, problems


def _check_header(header: list[str], file: str) -> None:
    problems = [
        Problem(f"{file}:1", f"the column {name} is missing", f"write the header {','.join(COLUMNS)}")
        for name in _REQUIRED_COLUMNS
        if name not in header
    ]
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            remedy = f"did you mean {near[0]}?" if near else f"use {', '.join(COLUMNS)}"
            problems.append(Problem(f"{file}:1", f"unknown column {name!r}", remedy))
        elif header.count(name) > 1:
            problems.append(Problem(f"{file}:1", f"the column {name} stands twice", "keep one of the two"))
    if problems:
        raise FleetgateError(problems)


def _mistakes(row: Wanted, catalogue: Catalogue, canaries: set[str]) -> Iterator[Problem]:
    kind = catalogue.device_types.get(row.device_type)
    if kind is None:
        yield unknown_type(row.where, row.device_type, catalogue)
    elif not (re.fullmatch(SERIAL, row.serial) and re.fullmatch(kind.serial_pattern, row.serial, re.ASCII)):
        what = f"{row.serial!r:.80} is no serial of a {row.device_type}"
        yield Problem(row.where, what, f"it has to match {kind.serial_pattern}")
    elif row.serial in canaries:
        yield Problem(row.where, f"{row.serial} is reserved for the smoke check", "give the device another serial")
    if kind is not None and row.manufacturer is not None and row.manufacturer not in kind.manufacturers:
        what = f"{row.manufacturer!r:.80} makes no {row.device_type}"
        yield Problem(row.where, what, f"use {' or '.join(kind.manufacturers)}, or add it to the catalogue")
    if row.location is not None and not re.fullmatch(ATTRIBUTE_VALUE, row.location):
        what = f"the location {row.location!r:.80} cannot be a thing attribute"
        yield Problem(row.where, what, "letters, digits and _.,@/:#=[]- only, no space, like building-a/floor-2")


def unknown_type(where: str, device_type: str, catalogue: Catalogue) -> Problem:
    """The problem of a device type that the catalogue does not have."""
    known = list(catalogue.device_types)
    near = difflib.get_close_matches(device_type, known, 1)
    remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
    return Problem(where, f"unknown device type {device_type!r:.80}", remedy)


class Added(Enum):
    """What became of a wanted row."""

    ADDED = "added"
    THERE = "already there"
    DIFFERS = "already there, but different"


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
        existing = self.put_if_absent({name: value for name, value in item.items() if value is not None})
        if existing is None:
            return Added.ADDED, None
        return (Added.DIFFERS if differences(row, existing) else Added.THERE), existing

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

    def revoke(self, serial: str) -> Row | None:
        """Sets the status to `revoked`; returns the row as it was, whose status may be `revoked` already, or None."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={"serialNumber": {"S": serial}},
                UpdateExpression="SET #status = :revoked",
                ConditionExpression="attribute_exists(serialNumber) AND #status <> :revoked",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":revoked": {"S": "revoked"}},
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ResourceNotFoundException:
            raise self._no_table() from None
        except self._client.exceptions.ConditionalCheckFailedException as error:
            item = error.response.get("Item")
            return _from_item(item) if item else None
        return _from_item(answer["Attributes"])

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
        request["ConditionExpression"] = " AND ".join(conditions)
        try:
            write(**request)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _no_table(self) -> FleetgateError:
        return fail(f"table {self._table}", "does not exist", "run: make apply (or fleetgate plan and fleetgate apply)")


def differences(row: Wanted, existing: Row) -> list[str]:
    """What a wanted row says otherwise than the row that is there. What it leaves open differs from nothing."""
    wanted = {"deviceType": row.device_type, "manufacturer": row.manufacturer, "location": row.location}
    return [
        f"{name} is {existing.get(name, 'open')}, not {value}"
        for name, value in wanted.items()
        if value is not None and existing.get(name) != value
    ]


def _to_item(row: Row) -> dict[str, Any]:
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in row.items()}


def _from_item(item: dict[str, dict[str, Any]]) -> Row:
    row: Row = {}
    for name, typed in item.items():
        [(kind, value)] = typed.items()
        row[name] = int(value) if kind == "N" and re.fullmatch(r"-?[0-9]+", value) else value
    return row
