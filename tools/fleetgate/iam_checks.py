"""Judges a Terraform plan by checkov, and its IAM policies by parliament as well: the tools made for that.

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
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fleetgate import skips

FOLDER = Path(__file__).parents[2] / "terraform"
_POLICIES = ("aws_iam_policy", "aws_iam_role_policy", "aws_iam_group_policy", "aws_iam_user_policy")
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
    for resource in skips.resources(module):
        values = resource.get("values", {})  # there are none where nothing is known yet
        if resource["type"] in _POLICIES:
            yield Document(resource["address"], values.get("policy"))
        elif resource["type"] == "aws_iam_role":
            for block in values.get("inline_policy") or ():
                if block:  # an empty one says that there is none
                    yield Document(f"{resource['address']} inline policy {block.get('name')}", block.get("policy"))


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


def by_checkov(plan: dict[str, Any], folder: Path) -> list[str]:
    """What checkov finds in a plan and no skip beside the resource explains, and skips that explain nothing; a line each.

    folder: of the root module's files. Raises RuntimeError if checkov did not judge at all.
    """
    failed = _checkov(skips.judgeable(plan, folder))
    folders = skips.folders(plan, folder)
    written = {module: skips.in_folder(path) for module, path in folders.items()}
    planned = {skips.split(address) for address in _addresses(plan)}
    lines = []
    used = set()
    for check in failed:
        module, block = skips.split(check["resource"])
        matching = [skip for skip in written.get(module, ()) if (skip.block, skip.check) == (block, check["check_id"])]
        used.update(matching)
        if not matching:
            lines.append(f"{check['resource']}: {check['check_id']}: {check['check_name']}")
    for module, found in written.items():
        for skip in found:
            if not skip.reason:
                lines.append(f"{skip} gives no reason: write checkov:skip={skip.check}:why")
            elif not skip.block:
                lines.append(f"{skip} stands in no resource: put it inside of the block that it is for")
            elif skip not in used and (module, skip.block) in planned:
                lines.append(f"{skip} is not needed: {skip.block} passes that check; take it away")
    return sorted(lines)


def _checkov(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """checkov's failed checks of a plan, all that it knows of AWS."""
    with tempfile.TemporaryDirectory(prefix="fleetgate-checkov-") as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "checkov"), "--file", str(file), "--framework", "terraform_plan"]
        command += ["--skip-download", "--quiet", "--compact", "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LOG_LEVEL": "ERROR"})
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr.strip()[-500:]}") from None
    summary = report.get("summary", report)
    if summary.get("passed", 0) + summary.get("failed", 0) == 0 or summary.get("parsing_errors", 0):
        raise RuntimeError("checkov judged nothing: is that a plan of this stack?")
    failed: list[dict[str, Any]] = report.get("results", {}).get("failed_checks", [])
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 clean, 1 findings, 2 not judged, or not all of it."""
    parser = argparse.ArgumentParser(
        prog="python -m fleetgate.iam_checks",
        description="Judge a Terraform plan by checkov, and its IAM policies by parliament too.",
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="output of fleetgate plan --json FILE (terraform show -json)")
    parser.add_argument(
        "--terraform",
        type=Path,
        metavar="FOLDER",
        default=FOLDER,
        help="the root module that was planned; its files hold the skips",
    )
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="let policies pass that nobody can judge yet, since they name what the plan makes first; they are told",
    )
    args = parser.parse_args(argv)
    try:
        plan = json.loads(args.plan.read_text(encoding="utf-8"))
        found = list(documents(plan))
        findings = [line for document in found if document.text for line in by_parliament(document)]
        findings += by_checkov(plan, args.terraform)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RuntimeError) as error:
        print(f"{args.plan}: cannot be judged: {error}\n    -> give it what fleetgate plan --json FILE writes", file=sys.stderr)
        return 2
    for line in findings:
        print(line)
    unknown = [document.address for document in found if not document.text]
    if unknown:
        names = ", ".join(unknown)
        print(f"NOT JUDGED: {len(unknown)} of {len(found)} IAM policies, whose texts are known after the apply: {names}")
        allowed = "run it again after the apply" if args.allow_unknown else "judge them after the apply, or add --allow-unknown"
        print(f"    -> they name what this plan makes first: {allowed}", file=sys.stderr)
    judged = len(found) - len(unknown)
    print(f"IAM policies: {judged} of {len(found)} judged by parliament, the whole plan by checkov: {len(findings)} findings")
    if findings:
        return 1
    return 2 if unknown and not args.allow_unknown else 0


def _addresses(plan: dict[str, Any]) -> list[str]:
    return [resource["address"] for resource in skips.resources(plan.get("planned_values", {}).get("root_module", {}))]


if __name__ == "__main__":
    raise SystemExit(main())
