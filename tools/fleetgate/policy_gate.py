"""The gate before the gate: a fleet whose policies fail lint or isolation is neither planned nor applied."""

from __future__ import annotations

from collections.abc import Iterator

from fleetgate import lint_files, members
from fleetgate.build import Fleet
from fleetgate.errors import FleetgateError, Problem
from fleetgate.iot_policy import isolation
from fleetgate.iot_policy.isolation import Report, Verdict
from fleetgate.iot_policy.rule import Severity

#: As `fleetgate lint` without --fail-on.
THRESHOLD = Severity.MEDIUM


def require(fleet: Fleet) -> None:
    """Raises FleetgateError with every finding of lint from medium on, and with every way in which devices are not isolated."""
    environment = fleet.environment
    report = lint_files.lint_checkout(environment.root, environment.name)
    suppressions = environment.root / lint_files.SUPPRESSIONS
    if suppressions.is_file():
        lint_files.suppress(report, suppressions)
    problems = [
        Problem(
            f"{finding.file}:{finding.line}:{finding.column}",
            f"{finding.severity} {finding.rule} {finding.message}"
            + (f" (witness: {finding.witness})" if finding.witness else ""),
            finding.fix,
        )
        for finding in report.findings
        if finding.severity >= THRESHOLD
    ]
    # Each rendering is one of its own: a template that told them apart would be judged as one policy and deployed as another.
    problems += [
        Problem(f"policy of {name}", "is not the one that lint has judged", "let its template render the same text every time")
        for name, policy in fleet.policies.items()
        if report.judged.get(name) != policy
    ]
    types, scope = members.of_fleet(fleet)
    problems += _not_isolated(isolation.check_all(types, (scope,)))
    if problems:
        raise FleetgateError(problems)


def _not_isolated(report: Report) -> Iterator[Problem]:
    see = "see fleetgate isolation, then mend the policy template or declare the flow in the catalogue"
    for reach in report.reaches:
        if reach.verdict is not Verdict.REFUSED:
            witness = f" (witness: {reach.text})" if reach.text else ""
            yield Problem(f"policy of {reach.attacker}", f"{reach.rule} {reach.message}, to {reach.victim}{witness}", see)
    for gap in report.gaps:
        yield Problem(f"policy of {gap.member}", f"{gap.rule} {gap.message}", see)
