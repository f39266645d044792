"""Sends dead letters to the onboarding function again.

A letter leaves the queue only after the function has taken its event: none is lost, and one that is sent twice does no harm, as
onboarding is idempotent and takes events in any order. Letters are hidden from other readers while they are worked on, and shown
again when a run ends, however it ends.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import applied, aws
from fleetgate.build import Fleet

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
UNREADABLE = "no event that can be read"


@dataclass(frozen=True)
class Letter:
    """One message. event: what the function is to get, None if it holds none. subject: a thing or a client id."""

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
    """How a run went; filled as it goes, so that an interrupted one has it too. left: letters with the reason that they stay."""

    redriven: int = 0
    left: list[tuple[Letter, str]] = field(default_factory=list)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "interrupted": self.interrupted,
            "left": [
                {"kind": letter.kind, "messageId": letter.message_id, "reason": reason, "subject": letter.subject}
                for letter, reason in self.left
            ],
            "redriven": self.redriven,
        }


def read_letter(message: Mapping[str, Any]) -> Letter:
    """What a message of the queue holds: Lambda's dead letter, a record of Lambda's, or an error message of AWS IoT's rule.

    Lambda's dead letter is the event itself, with the error in the message's attributes [Lambda: dead-letter queues]; a rule's
    has the event in base64 beside `failures` [AWS IoT: error handling].
    """
    kind, event, reason = _parse(str(message.get("Body", "")), message.get("MessageAttributes") or {})
    subject = ""
    if isinstance(event, dict):
        subject = str(event.get("thingName") or event.get("clientId") or "")
    attributes = message.get("Attributes") or {}
    return Letter(
        str(message["MessageId"]),
        str(message["ReceiptHandle"]),
        int(attributes.get("SentTimestamp", 0)),
        kind,
        event,
        _plain(subject)[:128],
        _plain(reason)[:_MAXIMUM_REASON],
    )


def _parse(body: str, attributes: Mapping[str, Any]) -> tuple[str, Any, str]:
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
        return RULE_FAILED, event, str(first.get("errorMessage", ""))
    if "requestPayload" in found:
        answer = found.get("responsePayload")
        return FUNCTION_FAILED, found["requestPayload"], str(answer.get("errorMessage", "")) if isinstance(answer, dict) else ""
    if "eventType" not in found:
        return UNREADABLE, None, "it is no event that the function takes"
    return FUNCTION_FAILED, found, str((attributes.get("ErrorMessage") or {}).get("StringValue", ""))


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


class Queue:
    """The dead-letter queue of the onboarding function."""

    def __init__(self, fleet: Fleet) -> None:
        self.name = f"{fleet.names.onboarding}-dead-letter"
        self._sqs = aws.client("sqs")
        try:
            self._url = self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
        except self._sqs.exceptions.QueueDoesNotExist:
            raise applied.absent(f"queue {self.name}") from None

    def look(self) -> Contents:
        """What is in there; nothing is taken out."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        count, hidden = (int(attributes[name]) for name in names)
        letters: dict[str, Letter] = {}
        try:
            for batch in self.batches():
                letters |= {letter.message_id: letter for letter in batch}
                if len(letters) >= min(max(count, 1), MAXIMUM_LOOKED_AT):
                    break  # the queue's count is approximate, but good enough to be shown
        finally:
            self.show(list(letters.values()))
        oldest_ms = min((letter.sent_ms for letter in letters.values()), default=None)
        oldest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(oldest_ms / 1000)) if oldest_ms is not None else None
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
            letters = [read_letter(message) for message in answer.get("Messages", [])]
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


def run(queue: Queue, function: str, report: Report, advance: Callable[[], None], limit: int = 0) -> None:
    """Gives every letter's event to the function; `report` is filled as it goes. Ctrl-C lets those under way end.

    limit: at most so many, 0: all. Raises FleetgateError if the function cannot be called at all.
    """
    client = aws.client("lambda")
    held: dict[str, Letter] = {}

    def one(letter: Letter) -> str | None:
        """Why the letter stays, None if its event was taken."""
        if letter.kind == UNREADABLE:
            return letter.reason
        return _invoke(client, function, letter.event)

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
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            pool.shutdown(cancel_futures=True)
            queue.show(list(held.values()))


def _invoke(client: Any, function: str, event: Any) -> str | None:
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
    except (ValueError, AttributeError):
        reason = "the function failed and did not say why"
    return _plain(reason).strip(": ")[:_MAXIMUM_REASON]
