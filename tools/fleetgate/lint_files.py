"""Reads what `fleetgate lint` is pointed at: files, folders, standard input, or the checkout itself.

What a file is, its content decides. In a folder, what is none of ours is passed over in silence; of a named file, one is told.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleetgate.errors import FleetgateError, Problem
from fleetgate.iot_policy import documents, lint
from fleetgate.iot_policy.documents import Kind
from fleetgate.iot_policy.lint import Document, Finding, Place

#: Kinds that one can ask for. Jinja templates are policies.
KINDS = (Kind.POLICY, Kind.TEMPLATE, Kind.PLAN)
_PASSED_OVER = {"node_modules", "venv", "build", "__pycache__"}
_CATALOGUE = "catalogue/device_types.yaml"
_TEMPLATES = "policy_templates"
STANDARD_INPUT = "-"
SUPPRESSIONS = "fleetgate-lint.toml"


class UnusablePath(FleetgateError):
    """A path that cannot be read: a wrong command line, not a finding."""


@dataclass
class Report:
    """notes: what was not looked at and why. looked_at: the files that were judged. passed_over: those with nothing to judge.

    judged: of a whole checkout, its policies by device type and `claim`. only: the kinds that were asked for.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    judged: dict[str, Any] = field(default_factory=dict)
    only: Collection[Kind] = KINDS


@dataclass(frozen=True)
class _Answer:
    """document: None if it cannot be read. known: what else the answer tells. findings: what is wrong with the text."""

    kind: Kind
    document: Document | None
    known: dict[str, Any]
    findings: list[Finding]


def lint_paths(paths: Sequence[str], environment: str, only: Collection[Kind] = KINDS, *, quiet: bool = False) -> Report:
    """Everything under `paths`. quiet: pass over a named file that is none of ours in silence, as in a folder.

    Raises UnusablePath with every path that cannot be read, and FleetgateError if a checkout's catalogue has mistakes.
    """
    report = Report(only=only)
    templates: dict[Path, set[str]] = {}
    for file, is_named in _files(paths):
        is_told = is_named and not quiet
        if file.endswith(".j2"):
            root = _root_of(Path(file))
            if root is not None and Kind.POLICY in only:
                templates.setdefault(root, set()).add(Path(file).name)
            elif is_told and root is None:
                report.notes.append(f"{file}: no policy template of a checkout (a catalogue beside its folder), not rendered")
            continue
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else _read(file)
        if is_told or documents.may_be_ours(data):
            _lint_json(data, "<stdin>" if file == STANDARD_INPUT else file, only, report, is_told=is_told)
        else:
            report.passed_over.append(file)
    for root, names in templates.items():
        _lint_templates(root, environment, names, report)
    report.findings = lint.tidy(report.findings)
    return report


def lint_checkout(root: Path, environment: str) -> Report:
    """The policies of every device type and of the claim, and the provisioning template."""
    from fleetgate import lint_templates

    checkout = lint_templates.Checkout(root, environment)
    outcomes = [checkout.lint_policies(), checkout.lint_provisioning_template()]
    return Report(
        lint.tidy(finding for outcome in outcomes for finding in outcome.findings),
        [],
        [file for outcome in outcomes for file in outcome.looked_at],
        judged=checkout.judged,
    )


def _lint_templates(root: Path, environment: str, names: set[str], report: Report) -> None:
    from fleetgate import lint_templates

    outcome = lint_templates.Checkout(root, environment).lint_policies(names)
    report.findings += outcome.findings
    report.looked_at += outcome.looked_at


def _lint_json(data: bytes, file: str, only: Collection[Kind], report: Report, *, is_told: bool) -> None:
    if data.startswith(b"PK\x03\x04"):
        if Kind.PLAN not in only:
            return
        fix = f"give its JSON: terraform show -json {file}"
        report.findings.append(lint.not_json(Place(file, 1, 1, ""), "not JSON: a plan as Terraform saves it", fix))
        return
    parsed, findings = lint.read(data, file)
    if parsed is None:
        if documents.probable_kind(data) not in only:  # the hook of that kind reports it
            return
        if data.lstrip()[:1] not in (b"{", b"[", b'"', b""):  # not even the beginning of JSON
            fix = "give a policy, a provisioning template or a plan in JSON, or a policy template of a checkout"
            findings = [replace(finding, fix=fix) for finding in findings]
        report.findings += findings
        report.looked_at.append(file)
        return
    outer = lint.whole(file, parsed)
    kind = documents.kind(parsed.value)
    answers = list(_answers(outer, is_told=is_told)) if kind is Kind.OTHER else []
    for answer in answers:
        _judge(file, answer.kind, answer.document, answer.known, [*findings, *answer.findings], only, report, is_told=is_told)
    if not answers:
        _judge(file, kind, outer, {}, findings, only, report, is_told=is_told)


def _judge(
    file: str,
    kind: Kind,
    document: Document | None,
    known: dict[str, Any],
    findings: list[Finding],
    only: Collection[Kind],
    report: Report,
    *,
    is_told: bool,
) -> None:
    """document: None of an answer that cannot be read. findings: what is wrong with it as a text."""
    if kind not in only:
        if kind not in KINDS:
            report.passed_over.append(file)
        if is_told:
            report.notes.append(f"{file}: {_SAID.get(kind, f'a {kind}')}, not looked at")
        return
    if kind is Kind.POLICY and not is_told and document is not None and _is_iam(document):
        report.notes.append(f"{file}: an IAM policy, not one of AWS IoT, not looked at")
        report.passed_over.append(file)
        return
    report.looked_at.append(file)
    # Of a policy that is too large to be judged, that is all there is to say.
    if document is None or kind is not Kind.POLICY or not documents.oversized(document.text or ""):
        report.findings += findings
    if document is None:
        return
    if kind is Kind.POLICY:
        report.findings += lint.lint_policies([document])
    elif kind is Kind.TEMPLATE:
        report.findings += lint.lint_template(document, **known)
    else:
        found, notes = lint.lint_plan(document)
        report.findings += found
        report.notes += [f"{file}: {note}" for note in notes]


def _is_iam(document: Document) -> bool:
    return isinstance(document.value, dict) and documents.iam(document.value) is not None


_SAID = {
    Kind.OTHER: "neither an IoT policy nor a provisioning template nor a Terraform plan",
    Kind.CLOUDFORMATION: "a CloudFormation template",
}


#: Of `aws iot get-policy` and `aws iot describe-provisioning-template`: the document's key, and others that tell an answer from
#: a file of somebody else's with the same key.
_ANSWERS = (
    ("policyDocument", ("policyName", "policyArn"), Kind.POLICY),
    ("templateBody", ("templateName", "templateArn"), Kind.TEMPLATE),
)


def _answers(outer: Document, *, is_told: bool) -> Iterator[_Answer]:
    """The document inside an answer of the AWS CLI; or the two, if somebody has put two answers together.

    One that cannot be read is a finding, and a document of None: it is what AWS has in force. Only a folder's file that names
    nothing of AWS IoT's is passed over: it may be anybody's.
    """
    value = outer.value if isinstance(outer.value, dict) else {}
    for key, others, kind in _ANSWERS:
        if key not in value:
            continue
        given, name = value[key], value.get(others[0], key)
        findings: list[Finding] = []
        document = None
        if isinstance(given, str):
            document = lint.inner(outer, f"/{key}", given, str(name), findings)
        else:
            what = f"{key} is {_TYPES.get(type(given), 'no text')}; AWS answers with a text that holds the document"
            fix = f"keep the answer as it is, or give the document by itself: {key} alone in a file"
            findings.append(lint.not_json(outer.locate(f"/{key}"), what, fix))
            document = lint.part(outer, f"/{key}", str(name)) if isinstance(given, dict) else None
        if document is None and not is_told and not any(other in value for other in others):
            continue
        yield _Answer(kind, document, _known(value, str(name)) if kind is Kind.TEMPLATE else {}, findings)


_TYPES = {dict: "an object", list: "a list", type(None): "null"}


def _known(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """What the answer tells about a template beside its body."""
    is_fleet = answer.get("type") in (None, "FLEET_PROVISIONING")
    return {"hook": bool(answer.get("preProvisioningHook")), "fleet": is_fleet, "enabled": answer.get("enabled"), "name": name}


def _files(paths: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Every file to look at, and whether it was named itself. Raises UnusablePath at the end, for all that cannot be read."""
    problems: list[Problem] = []
    for path in dict.fromkeys(paths):
        if path == STANDARD_INPUT:
            yield path, True
            continue
        if not path:  # which Path takes for the current folder
            problems.append(Problem("PATH", "is empty", "give a file or a folder; . is the current one"))
            continue
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - a hook gives hundreds of files
        except (OSError, ValueError) as error:
            problems.append(_unusable(path, error))
            continue
        if stat.S_ISDIR(mode):
            yield from ((file, False) for file in _walk(Path(path).as_posix(), problems))
        elif stat.S_ISREG(mode):
            yield Path(path).as_posix() if "./" in path or "//" in path else path, True
        else:
            problems.append(Problem(path, "is neither a file nor a folder", "give a file or a folder"))
    if problems:
        raise UnusablePath(problems)


def _walk(folder: str, problems: list[Problem]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(_unusable(folder, error))
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _PASSED_OVER:
            continue
        # A link to a folder may lead back here.
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, problems)
        elif entry.name.endswith((".json", ".j2")) and entry.is_file():
            yield entry.path.removeprefix("./")


def _read(file: str) -> bytes:
    try:
        # A hook reads hundreds of files: neither a path's own parsing nor a buffer's questions about each.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(descriptor, _PART):  # which may bring less than there is
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnusablePath(_unusable(file, error)) from None


_PART = 1 << 14


def _unusable(path: str, error: OSError | ValueError) -> Problem:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return Problem(path, f"cannot be read: {reason}", "give a path that is there and that you may read")


def _root_of(file: Path) -> Path | None:
    """The checkout whose policy template a file is: by its name first, so that a folder that is a link is not passed over."""
    for folder in (Path(os.path.abspath(file)).parent, file.resolve().parent):  # noqa: PTH100 - follows no link
        if folder.name == _TEMPLATES and (folder.parent / _CATALOGUE).is_file():
            return folder.parent
    return None


def suppressions_file(given: str | None) -> Path | None:
    """The file that was given, or the nearest one upwards. Raises UnusablePath for one that was given and is not there."""
    if given is not None:
        if not Path(given).is_file():
            raise UnusablePath(
                Problem(given or "--suppressions", "is not a file" if given else "is empty", "give a file of suppressions")
            )
        if not given.endswith(".toml"):  # a hook is given the names of strangers' files, and one may look like the option
            raise UnusablePath(Problem(given, "is no file of suppressions: its name does not end in .toml", "rename it"))
        return Path(given)
    here = Path.cwd()
    return next((path for folder in (here, *here.parents) if (path := folder / SUPPRESSIONS).is_file()), None)


def suppress(report: Report, file: Path) -> int:
    """Applies a file of suppressions to a report; returns how many findings it has taken out."""
    from datetime import UTC, datetime

    from fleetgate.iot_policy import suppression

    name = shown(file)
    folder = file.resolve().parent
    try:
        text = _read(str(file)).decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        raise UnusablePath(Problem(name, what, "save it as UTF-8")) from None
    today = datetime.now(UTC).date()
    suppressions, findings = suppression.parse(text, name, today)

    def relative(path: str) -> str:
        return Path(os.path.relpath(Path(path).resolve(), folder)).as_posix()

    def existing(pattern: str) -> list[str]:
        if not (sign := _WILDCARD.search(pattern)):
            return [pattern] if os.path.isfile(folder / pattern) else []  # noqa: PTH113 - False for a name that no file can have
        # Only what lies in the folder that the pattern names: a repository may be large.
        start = folder / pattern[: sign.start()].rpartition("/")[0]
        if not os.path.isdir(start):  # noqa: PTH112
            return []
        unread: list[Problem] = []
        found = [relative(file) for file in _walk(start.as_posix(), unread)]
        # What lies in a folder that cannot be read has not been looked at.
        return [file for file in found if suppression.fits(file, pattern)] + [problem.where for problem in unread]

    looked_at = {relative(file) for file in report.looked_at}

    def concerns(rule: str, there: Collection[str]) -> bool:
        # The hooks look at one kind each, over the same files: of what neither has judged, the kind of the rule decides.
        return not looked_at.isdisjoint(there) or suppression.kind_of(rule) in report.only

    seen = [*report.looked_at, *report.passed_over]
    left, suppressed = suppression.apply(report.findings, suppressions, name, today, seen, relative, existing, concerns)
    report.findings = lint.tidy([*left, *findings])
    return suppressed


_WILDCARD = re.compile(r"[*?\[]")


def shown(path: Path) -> str:
    """As a person in the current folder would write it."""
    return Path(os.path.relpath(path)).as_posix()
