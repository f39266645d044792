"""Judges the IAM policies of a Terraform plan by the tools made for that, parliament and checkov.

`python -m fleetgate.iam_checks PLAN` runs in an environment of its own (requirements/iam.txt), so it imports nothing of what
fleetgate depends on. What those two do not look for (trust of AWS IoT without a source, the permission of the hook, ...) is in
`fleetgate lint`, which reads the same plan.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

#: checkov's checks of IAM policies on a plan: full access, wildcards, privilege escalation, exposed data, users' policies.
CHECKOV = (
    *("CKV_AWS_40", "CKV_AWS_60", "CKV_AWS_61", "CKV_AWS_62", "CKV_AWS_63", "CKV_AWS_286", "CKV_AWS_287", "CKV_AWS_288"),
    *("CKV_AWS_289", "CKV_AWS_290", "CKV_AWS_355", "CKV_AWS_301", "CKV_AWS_364"),
)
_DOCUMENTS = {
    "aws_iam_policy": "policy",
    "aws_iam_role_policy": "policy",
    "aws_iam_group_policy": "policy",
    "aws_iam_user_policy": "policy",
}
_SHOWN_DETAIL = 300
#: Issues of parliament's that are not repeated here, each with its reason.
_NOT_FINDINGS = {
    "RESOURCE_EFFECTIVELY_STAR": "checkov's CKV_AWS_355 asks the same, and knows the actions that have no resource",
}


@dataclass(frozen=True)
class Document:
    """address: of the resource in the plan. text: its policy, or None where it is known after the apply only."""

    address: str
    text: str | None


def documents(plan: dict[str, Any]) -> Iterator[Document]:
    """The identity policies of a plan."""
    module = plan.get("planned_values", {}).get("root_module", {})
    for resource in _resources(module):
        key = _DOCUMENTS.get(resource["type"])
        if key is not None:
            yield Document(resource["address"], resource["values"].get(key))


def by_parliament(document: Document) -> list[str]:
    """What parliament finds in a document, a line each."""
    import parliament  # type: ignore[import-not-found]

    try:
        analyzed = parliament.analyze_policy_string(document.text)
    except Exception as error:  # noqa: BLE001 - it fails on documents that AWS takes, such as a list in Bool
        return [f"{document.address}: parliament cannot read it: {error!r:.200}"]
    lines = []
    for found in analyzed.findings:
        finding = parliament.enhance_finding(found)
        if finding.issue == "RESOURCE_MISMATCH" and _granted_elsewhere(json.loads(document.text or ""), finding.detail):
            continue
        if finding.issue not in _NOT_FINDINGS and finding.severity not in ("MUTED", "LOW"):
            detail = str(finding.detail or "")
            shown = detail if len(detail) <= _SHOWN_DETAIL else f"{detail[:_SHOWN_DETAIL]}..."
            lines.append(f"{document.address}: {finding.severity} {finding.issue}: {finding.title} {shown}".rstrip())
    return lines


def _granted_elsewhere(policy: dict[str, Any], detail: Any) -> bool:
    """An action with two kinds of resources may have them in two statements; parliament looks at one statement at a time."""
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]

    def granted(action: str, form: str) -> bool:
        return any(
            action in _listed(statement.get("Action"))
            and any(fnmatchcase(name, form) for name in _listed(statement.get("Resource")))
            for statement in statements
            if statement["Effect"] == "Allow"
        )

    return isinstance(detail, list) and all(granted(entry["action"], entry["required_format"]) for entry in detail)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def by_checkov(plan: Path) -> list[str]:
    """What checkov finds in a plan, a line each. Raises RuntimeError if it did not judge at all."""
    command = [str(Path(sys.executable).parent / "checkov"), "--file", str(plan), "--framework", "terraform_plan"]
    command += ["--check", ",".join(CHECKOV), "--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LOG_LEVEL": "ERROR"})
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr.strip()[-500:]}") from None
    if report.get("passed", 0) + report.get("summary", {}).get("passed", 0) + report.get("summary", {}).get("failed", 0) == 0:
        raise RuntimeError("checkov judged nothing: is that a plan of this stack?")
    failed = report.get("results", {}).get("failed_checks", [])
    return [f"{check['resource']}: {check['check_id']}: {check['check_name']}" for check in failed]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 clean, 1 findings, 2 not judged."""
    parser = argparse.ArgumentParser(
        prog="python -m fleetgate.iam_checks", description="Judge the IAM policies of a Terraform plan."
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="output of fleetgate plan --json FILE (terraform show -json)")
    args = parser.parse_args(argv)
    try:
        found = list(documents(json.loads(args.plan.read_text(encoding="utf-8"))))
        findings = [line for document in found if document.text for line in by_parliament(document)] + by_checkov(args.plan)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RuntimeError) as error:
        print(f"{args.plan}: cannot be judged: {error}\n    -> give it what fleetgate plan --json FILE writes", file=sys.stderr)
        return 2
    for line in findings:
        print(line)
    unknown = [document.address for document in found if not document.text]
    if unknown:
        print(f"not judged, since Terraform knows them after the first apply only: {', '.join(unknown)}", file=sys.stderr)
    judged = len(found) - len(unknown)
    print(f"IAM policies: {judged} of {len(found)} judged by parliament, the plan by checkov: {len(findings)} findings")
    return 1 if findings else 0


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _resources(child)


if __name__ == "__main__":
    raise SystemExit(main())
