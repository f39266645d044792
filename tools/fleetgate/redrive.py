"""Sends dead letters on their way again: events to the onboarding function, and what the audit trail is missing into that.

A letter leaves its queue only after it has been taken: none is lost, and one that is sent twice does no harm, as onboarding is
idempotent and takes events in any order, and an entry of the audit trail that is there already stays as it is. Letters are
hidden from other readers while they are worked on, and shown again when a run ends, however it ends.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import applied, audit, aws, registry_events, times
from fleetgate.build import Fleet
from fleetgate.environment import Environment
from fleetgate.errors import printable

#: SQS gives no more at once.
_BATCH = 10
#: A letter stays hidden for as long as ten calls of the function may take, and longer; a run shows what is left by itself.
_HIDDEN_SECONDS = 600
#: SQS may say "empty" once although there is something: it asks only some of its servers.
_EMPTY_ANSWERS = 2
#: Kinds and age are told by so many letters; their number by the queue itself.
MAXIMUM_LOOKED_AT = 1_000
_MAXIMUM_REASON = 300

FUNCTION_FAILED = "the function failed"
RULE_FAILED = "the rule could not call it"
NOT_WRITTEN = "the rule could not write it"
UNREADABLE = "no event that can be read"
_TOO_DEEP = "it is nested too deeply"

#: Whose dead letters there are.
ONBOARDING, AUDIT = "onboarding", "audit"
QUEUES = (ONBOARDING, AUDIT)
#: What DynamoDB and Lambda say when the next letter will fare no better.
_HOPELESS = (*aws.DENIED, "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException")


@dataclass(frozen=True)
class Letter:
    """One message. event: what the function is to get, or the entry that the audit trail is to get; None if it holds neither.

    subject: a thing or a client id, or what the entry is about.
    """

    message_id: str
    receipt: str
    sent_ms: int
    kind: str
    event: Any
    subject: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """What is in the queue. count: all that can be taken now; hidden: those that somebody works on; the rest is by a sample."""

    queue: str
    count: int
    hidden: int
    looked_at: int
    kinds: Mapping[str, int]
    oldest: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "hidden": self.hidden,
            "kinds": dict(sorted(self.kinds.items())),
            "lookedAt": self.looked_at,
            "oldest": self.oldest,
            "queue": self.queue,
        }


@dataclass
class Report:
    """How a run went; filled as it goes, so that an interrupted one has it too. left: letters with the reason that they stay.

    waiting: letters that nobody has tried in this run, since it was to stop before, or somebody else has them. complete: it ended
    by itself.
    """

    redriven: int = 0
    left: list[tuple[Letter, str]] = field(default_factory=list)
    waiting: int = 0
    interrupted: bool = False
    complete: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "interrupted": self.interrupted,
            "left": [
                {"kind": letter.kind, "messageId": letter.message_id, "reason": reason, "subject": letter.subject}
                for letter, reason in self.left
            ],
            "redriven": self.redriven,
            "waiting": self.waiting,
        }


def read_letter(message: Mapping[str, Any], of: str) -> Letter:
    """What a message of the queue holds: Lambda's dead letter, a record of Lambda's, or an error message of AWS IoT's rule.

    Lambda's dead letter is the event itself, with the error in the message's attributes [Lambda: dead-letter queues]; a rule's
    has the event in base64 beside `failures` [AWS IoT: error handling].
    """
    try:
        kind, event, reason = _parse(str(message.get("Body", "")), message.get("MessageAttributes") or {}, of)
        subject = ""
        if isinstance(event, dict):
            subject = str(event.get("subject" if kind == NOT_WRITTEN else "thingName") or event.get("clientId") or "")
        json.dumps(event)  # as it is to be sent
    except RecursionError:  # some thousand brackets
        kind, event, reason, subject = UNREADABLE, None, _TOO_DEEP, ""
    attributes = message.get("Attributes") or {}
    return Letter(
        str(message["MessageId"]),
        str(message["ReceiptHandle"]),
        int(attributes.get("SentTimestamp", 0)),
        kind,
        event,
        printable(subject)[:128],
        printable(reason)[:_MAXIMUM_REASON],
    )


def _parse(body: str, attributes: Mapping[str, Any], of: str) -> tuple[str, Any, str]:
    try:
        found = json.loads(body)
    except ValueError:
        return UNREADABLE, None, "it is not JSON"
    if not isinstance(found, dict):
        return UNREADABLE, None, "it is not a JSON object"
    if "base64OriginalPayload" in found:
        failures = found.get("failures")
        first = failures[0] if isinstance(failures, list) and failures and isinstance(failures[0], dict) else {}
        try:
            event = json.loads(base64.b64decode(str(found["base64OriginalPayload"]), validate=True))
        except (binascii.Error, ValueError):
            return UNREADABLE, None, "its payload is no JSON in base64"
        said = str(first.get("errorMessage", ""))
        if of == ONBOARDING:
            return RULE_FAILED, event, said
        try:
            return NOT_WRITTEN, registry_events.entry(str(found.get("topic", "")), event), said
        except registry_events.NotAnEvent as error:
            return UNREADABLE, None, str(error)
    answer = found.get("responsePayload")
    event = found.get("requestPayload", found)
    if not isinstance(event, dict) or ("eventType" if of == ONBOARDING else "awslogs") not in event:
        return UNREADABLE, None, "it is no event that the function takes"
    if isinstance(answer, dict):
        return FUNCTION_FAILED, event, str(answer.get("errorMessage", ""))
    return FUNCTION_FAILED, event, str((attributes.get("ErrorMessage") or {}).get("StringValue", ""))


class Queue:
    """The dead-letter queue of the onboarding function, or of the audit trail."""

    def __init__(self, fleet: Fleet, of: str) -> None:
        self.name = fleet.names.onboarding_dead_letter if of == ONBOARDING else fleet.names.audit_dead_letter
        self.of = of
        self._sqs = aws.client("sqs")
        try:
            self._url = self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
        except self._sqs.exceptions.QueueDoesNotExist:
            raise applied.absent(f"queue {self.name}") from None

    def counts(self) -> tuple[int, int]:
        """How many letters there are about, and how many more somebody works on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return int(attributes[names[0]]), int(attributes[names[1]])

    def look(self) -> Contents:
        """What is in there; nothing is taken out."""
        count, hidden = self.counts()
        letters: dict[str, Letter] = {}
        try:
            for batch in self.batches():
                letters |= {letter.message_id: letter for letter in batch}
                if len(letters) >= min(max(count, 1), MAXIMUM_LOOKED_AT):
                    break  # the queue's count is approximate, but good enough to be shown
        finally:
            self.show(list(letters.values()))
        oldest_ms = min((letter.sent_ms for letter in letters.values()), default=None)
        oldest = times.utc(oldest_ms) if oldest_ms is not None else None
        kinds = Counter(letter.kind for letter in letters.values())
        return Contents(self.name, max(count, len(letters)), hidden, len(letters), kinds, oldest)

    def batches(self) -> Iterator[list[Letter]]:
        """Letters, hidden from others from then on, until there are no more."""
        empty, seen = 0, set[str]()
        while empty < _EMPTY_ANSWERS:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HIDDEN_SECONDS,
                WaitTimeSeconds=1,
                AttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
            letters = [read_letter(message, self.of) for message in answer.get("Messages", [])]
            # One that comes again was hidden for too short a time, and is known already.
            fresh = [letter for letter in letters if letter.message_id not in seen]
            seen |= {letter.message_id for letter in fresh}
            if not fresh:
                empty += 1
                continue
            empty = 0
            yield fresh

    def remove(self, letter: Letter) -> None:
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)

    def show(self, letters: Sequence[Letter]) -> None:
        """Lets others see letters again. One that cannot be shown appears by itself after a while."""
        for start in range(0, len(letters), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for number, letter in enumerate(letters[start : start + _BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def run(queue: Queue, fleet: Fleet, contents: Contents, report: Report, advance: Callable[[], None], *, limit: int = 0) -> None:
    """Sends every letter on its way again; `report` is filled as it goes. Ctrl-C lets those under way end.

    contents: what was seen before. limit: at most so many, 0: all. Raises FleetgateError if function or table cannot be called.
    """
    client = aws.client("lambda")
    function = fleet.names.onboarding if queue.of == ONBOARDING else fleet.names.audit
    held: dict[str, Letter] = {}

    def one(letter: Letter) -> str | None:
        """Why the letter stays, None if it was taken."""
        if letter.kind == UNREADABLE:
            return letter.reason
        if letter.kind == NOT_WRITTEN:
            return _write(fleet, letter.event)
        return _invoke(client, fleet.environment, function, letter.event)

    with ThreadPoolExecutor(_BATCH) as pool:
        try:
            for batch in queue.batches():
                room = limit - report.redriven - len(report.left) if limit else len(batch)
                held |= {letter.message_id: letter for letter in batch}
                for letter, why in zip(batch[:room], pool.map(one, batch[:room]), strict=True):
                    if why is None:
                        queue.remove(letter)
                        del held[letter.message_id]
                        report.redriven += 1
                    else:
                        report.left.append((letter, why))
                    advance()
                if limit and report.redriven + len(report.left) >= limit:
                    break
            report.complete = True
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            pool.shutdown(cancel_futures=True)
            queue.show(list(held.values()))
    report.waiting = max(len(held) - len(report.left), _untried(queue, contents, report))


def _untried(queue: Queue, contents: Contents, report: Report) -> int:
    """How many letters are there that were there before and that this run has not tried: beyond its limit, or hidden by another.

    The queue's own numbers are late at times; so none is counted that was not there before, nor one that is not there now.
    """
    known = report.redriven + len(report.left)
    if (before := contents.count + contents.hidden - known) <= 0:
        return 0
    return min(before, max(0, sum(queue.counts()) - len(report.left)))


def _write(fleet: Fleet, entry: Mapping[str, Any]) -> str | None:
    """Puts an entry into the audit trail, as the rule would have; returns why it could not."""
    table = fleet.names.audit_table
    try:
        audit.put(table, entry)
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        if code == "ResourceNotFoundException":
            raise applied.absent(f"table {table}") from None
        if code in _HOPELESS:
            raise
        return f"DynamoDB did not take it: {code}"
    except RecursionError:
        return _TOO_DEEP
    except (TypeError, ValueError, ArithmeticError):  # a number that no item holds, say
        return "it holds what no entry can hold"
    return None


def _invoke(client: Any, environment: Environment, function: str, event: Any) -> str | None:
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except client.exceptions.ResourceNotFoundException:
        raise applied.absent(f"function {function}") from None
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        if code in ("TooManyRequestsException", "ThrottlingException", "ServiceException"):
            return f"Lambda turned the call away: {code}"
        raise
    if not answer.get("FunctionError"):
        return None
    try:
        said = json.loads(answer["Payload"].read())
        reason = f"{said.get('errorType', '')}: {said.get('errorMessage', '')}"
    except (ValueError, AttributeError, RecursionError):
        reason = "the function failed and did not say why"
    return printable(reason).strip(": ")[:_MAXIMUM_REASON]
