"""Policies of AWS IoT from files, for the commands that decide about them: each complete and without flaws, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.iot_policy import documents, model, source
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.source import Pointer, Source, SourceError

#: Where `aws iot get-policy` and its like put the document: as a text.
ANSWER = "policyDocument"


@dataclass(frozen=True)
class LocatedPolicy:
    """A policy and where its parts are written: `locate(pointer)` gives `file:line`."""

    policy: Policy
    locate: Callable[[Pointer], str]


def read(file: str, name: str) -> LocatedPolicy:
    """A policy as it is sent to AWS, or the answer of `aws iot get-policy` with one. Raises FleetgateError with all flaws."""
    parsed, locate = _document(file)
    if isinstance(parsed.value, dict) and documents.iam(parsed.value):
        # It lets devices do nothing, so that everything about it would be refused, or proven.
        raise fail(file, "is an IAM policy, not one of AWS IoT", "give the policy of AWS IoT that devices use")
    policy = model.read(parsed.value, name, parsed.text)
    problems = [Problem(f"{locate(flaw.pointer)} {flaw.pointer}".rstrip(), flaw.message, flaw.fix) for flaw in policy.flaws]
    problems += [Problem(f"{locate(at)} {at}", "the key stands twice in its object", "keep one") for at in parsed.duplicates]
    if problems:
        raise FleetgateError(problems)
    return LocatedPolicy(policy, locate)


def read_json(file: str, what: str, *, size: bool = False) -> Source:
    """The text of a file that is to hold a `what`. size: refuse one that is too large for a policy. Raises FleetgateError."""
    path = Path(file)
    hint = f"give the path of a {what} in JSON"
    if file and path.is_dir():
        raise fail(file, "is a folder", f"name the files in it, like {path / '*.json'}")
    if file and path.exists() and not path.is_file():  # a pipe or a device may never end
        raise fail(file, "is no file", hint)
    try:
        data = path.read_bytes() if file else None
    except (OSError, ValueError) as error:
        raise fail(file, f"cannot be read: {getattr(error, 'strerror', None) or error}", hint) from None
    if data is None:
        raise fail("''", "is no path", hint)
    if size and (problem := documents.oversized(data)):
        raise fail(file, problem, "give one that AWS IoT would take")
    try:
        return source.parse(data)
    except SourceError as error:
        place = f"{file}:{error.position.line}:{error.position.column}"
        more = "; a checkout's templates are asked for without FILE (isolation), or by --type (authorize)" * (what == "policy")
        raise fail(place, str(error), f"give a {what} in JSON{more}") from None


def _document(file: str) -> tuple[Source, Callable[[Pointer], str]]:
    outer = read_json(file, "policy", size=True)
    if not isinstance(outer.value, dict) or ANSWER not in outer.value:
        return outer, lambda pointer: f"{file}:{outer.position(pointer).line}"
    inner = outer.value[ANSWER]
    # The CLI writes the document on one line, so the line of the answer is the line of everything in it.
    place = f"{file}:{outer.position(f'/{ANSWER}').line}"
    if outer.duplicates:
        raise fail(f"{place} {outer.duplicates[0]}", "the key stands twice in its object", "keep one")
    if not isinstance(inner, str):
        raise fail(f"{place} {ANSWER}", "is no text that holds the document", "give AWS's answer unchanged")
    try:
        return source.parse(inner), lambda _: place
    except SourceError as error:
        raise fail(f"{place} {ANSWER}", f"{error}, at character {error.position.column}", "give AWS's answer unchanged") from None
