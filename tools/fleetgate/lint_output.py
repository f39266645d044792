"""How findings are shown: for people, for programs (JSON), for code scanning (SARIF 2.1.0) and for pull requests (GitHub)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fleetgate.errors import beginning, count, printable
from fleetgate.iot_policy import rules
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Rule, Severity

_COLOURS = {
    Severity.CRITICAL: "\x1b[1;31m",
    Severity.HIGH: "\x1b[31m",
    Severity.MEDIUM: "\x1b[33m",
    Severity.LOW: "\x1b[36m",
    Severity.INFO: "\x1b[2m",
}
_PLAIN = "\x1b[0m"


def summary(findings: Sequence[Finding], files: int, suppressed: int) -> str:
    """`3 findings (1 critical, 2 high) in 12 files, 1 suppressed`. Of no file are findings about suppressions."""
    numbers = {severity: sum(f.severity is severity for f in findings) for severity in sorted(Severity, reverse=True)}
    shown = ", ".join(f"{number} {severity}" for severity, number in numbers.items() if number)
    text = f"{count(len(findings), 'finding')} ({shown})" if findings else "no findings" if files else "nothing was looked at"
    return text + (f" in {count(files, 'file')}" if files else "") + (f", {suppressed} suppressed" if suppressed else "")


def to_text(findings: Sequence[Finding], *, colours: bool) -> str:
    """One line a finding, then its witness and its fix; editors and terminals know `file:line:column`."""
    lines = []
    for finding in findings:
        severity = str(finding.severity).upper()
        shown = f"{_COLOURS[finding.severity]}{severity} {finding.rule}{_PLAIN}" if colours else f"{severity} {finding.rule}"
        lines.append(f"{beginning(finding.file)}:{finding.line}:{finding.column}  {shown}  {printable(finding.message)}")
        if finding.witness is not None:
            lines.append(f"    witness: {printable(finding.witness)}")
        lines.append(f"    fix: {printable(finding.fix)}")
    return "".join(f"{line}\n" for line in lines)


def to_json(findings: Sequence[Finding], files: int, suppressed: int, notes: Sequence[str]) -> str:
    return _dump(
        {
            "findings": [
                {
                    "rule": finding.rule,
                    "severity": str(finding.severity),
                    "file": finding.file,
                    "line": finding.line,
                    "column": finding.column,
                    "pointer": finding.pointer,
                    "statement": finding.statement,
                    "message": finding.message,
                    "witness": finding.witness,
                    "fix": finding.fix,
                }
                for finding in findings
            ],
            "files": files,
            "suppressed": suppressed,
            "notes": list(notes),
        }
    )


#: [SARIF 2.1.0, 3.27.10 level; GitHub: SARIF support, security-severity]
_LEVELS = {
    Severity.CRITICAL: ("error", "9.5"),
    Severity.HIGH: ("error", "8.0"),
    Severity.MEDIUM: ("warning", "5.5"),
    Severity.LOW: ("note", "3.0"),
    Severity.INFO: ("note", "1.0"),
}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(findings: Sequence[Finding], notes: Sequence[str], version: str) -> str:
    """A SARIF log with every rule, so that a clean run says what it has looked for."""
    known = rules.all_rules()
    indexes = {rule.id: index for index, rule in enumerate(known)}
    driver = {"name": "fleetgate", "semanticVersion": version, "rules": [_sarif_rule(rule) for rule in known]}
    notifications = [{"level": "note", "message": {"text": note}} for note in notes]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notifications}],
        "results": [_sarif_result(finding, indexes[finding.rule]) for finding in findings],
    }
    return _dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _sarif_rule(rule: Rule[Any]) -> dict[str, Any]:
    level, score = _LEVELS[rule.severity]
    described = {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\nSource: {rule.source}"},
        "defaultConfiguration": {"level": level},
        "properties": {"security-severity": score, "tags": ["security", "aws-iot"]},
    }
    return {**described, "helpUri": address} if (address := rule.address) else described


def _sarif_result(finding: Finding, index: int) -> dict[str, Any]:
    text = finding.message
    text += f"\nWitness: {finding.witness}" if finding.witness is not None else ""
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(finding.file)},
            "region": {"startLine": finding.line, "startColumn": finding.column},
        }
    }
    if finding.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.pointer, "kind": "element"}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity][0],
        "message": {"text": f"{text}\nFix: {finding.fix}"},
        "locations": [location],
    }


def _uri(file: str) -> str:
    from pathlib import Path
    from urllib.parse import quote

    return Path(file).as_uri() if Path(file).is_absolute() else quote(file.encode("utf-8", "surrogateescape"))


_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def to_github(findings: Sequence[Finding]) -> str:
    """Workflow commands: GitHub shows them beside the lines of a pull request."""
    lines = []
    for finding in findings:
        title = f"{finding.rule} {rules.by_id()[finding.rule].title}"
        where = {"file": finding.file, "line": finding.line, "col": finding.column, "title": title}
        shown = ",".join(f"{name}={_property(str(value))}" for name, value in where.items())
        text = (
            finding.message + (f"\nwitness: {finding.witness}" if finding.witness is not None else "") + f"\nfix: {finding.fix}"
        )
        lines.append(f"::{_COMMANDS[_LEVELS[finding.severity][0]]} {shown}::{_data(text)}\n")
    return "".join(lines)


def _data(text: str) -> str:
    text = "\n".join(map(printable, text.split("\n")))
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _dump(value: Any) -> str:
    # Escaped, so that no document can hold a character that the output's encoding cannot.
    return json.dumps(value, indent=2) + "\n"
