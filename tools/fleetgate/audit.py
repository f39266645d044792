"""Who did what to a device, when and why.

An entry is one JSON line, on stderr for whoever collects the output of commands and in `build/<env>/audit.jsonl`. Only `record`
knows where entries go: a table or a log group of the fleet's own would be written from there. What must not be lost with this
machine stands in the registry row as well (see Registry.revoke), and AWS's own calls in CloudTrail.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetgate import aws
from fleetgate.environment import Environment
from fleetgate.errors import fail

FILE = "audit.jsonl"
MAXIMUM_REASON = 500


@dataclass(frozen=True)
class Entry:
    """One deed. at: UTC. who: the ARN of the caller, as AWS knows it. done: the steps that were taken, in order.

    complete: whether that is all of them; a run that was interrupted leaves an entry too.
    """

    action: str
    subject: str
    at: str
    who: str
    why: str
    done: tuple[str, ...]
    complete: bool

    def line(self) -> str:
        fields = {
            "action": self.action,
            "at": self.at,
            "complete": self.complete,
            "done": list(self.done),
            "event": "audit",
            "subject": self.subject,
            "who": self.who,
            "why": self.why,
        }
        return json.dumps(fields, sort_keys=True)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def caller() -> str:
    """The ARN of whose credentials these are."""
    return str(aws.client("sts").get_caller_identity()["Arn"])


def reason(text: str | None) -> str:
    """A reason as it is kept. Raises FleetgateError for one that is no line of text."""
    plain = (text or "").strip()
    if len(plain) > MAXIMUM_REASON or not plain.isprintable():
        raise fail("--reason", "is not one line of text", f"say it in at most {MAXIMUM_REASON} characters, without line breaks")
    return plain


def file(environment: Environment) -> Path:
    return environment.build / FILE


def record(environment: Environment, action: str, subject: str, who: str, why: str, done: Sequence[str], complete: bool) -> None:
    """Keeps an entry; a line is written at once and whole, so that several commands may write side by side."""
    line = Entry(action, subject, now(), who, why, tuple(done), complete).line()
    print(line, file=sys.stderr, flush=True)
    path = file(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)
