"""Every named assumption (S15 and S19 among them), on both of its sides: a case that nothing else decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from fleetgate.iot_policy import assumptions, evaluator, model
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions
from fleetgate.iot_policy.evaluator import Decision, Identity, Request

ARN = "arn:aws:iot:eu-west-1:111111111111"
ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
DEVICE = Identity("t1", "t1", True)
ALLOWED, EXPLICIT, IMPLICIT = Decision.ALLOWED, Decision.EXPLICIT_DENY, Decision.IMPLICIT_DENY


@dataclass(frozen=True)
class Case:
    """A request, and its decision by value of one switch, everything else at its default."""

    switch: str
    statements: list[dict[str, Any]]
    decisions: Mapping[str, Decision]
    action: str = "iot:Publish"
    resource: str = "topic/a"
    identity: Identity = DEVICE
    version: str | None = "2012-10-17"
    groups: bool = field(default=False)


def allow(resource: Any = "*", action: Any = "iot:*", effect: str = "Allow", **more: Any) -> dict[str, Any]:
    listed = [resource] if isinstance(resource, str) else resource
    whole = [text if text == "*" else f"{ARN}:{text}" for text in listed]
    return {"Effect": effect, "Action": action, "Resource": whole} | more


def deny(resource: Any = "*", action: Any = "iot:*", **more: Any) -> dict[str, Any]:
    return allow(resource, action, "Deny", **more)


GRANTS = {"false": IMPLICIT, "true": ALLOWED}
DENIES = {"false": ALLOWED, "true": EXPLICIT}
CASES = [
    Case("client_id_wildcards", [allow("topic/d/${iot:ClientId}/x")], GRANTS, resource="topic/d/z/x", identity=Identity("*")),
    Case(
        "client_id_wildcards",
        [allow(Condition={"StringLike": {"iot:DomainName": "${iot:ClientId}"}})],
        GRANTS,
        identity=Identity("?.example", domain_name="a.example"),
    ),
    Case(
        "exclusive_resolves_all",
        [allow("topic/${iot:Connection.Thing.ThingTypeName}")],
        GRANTS,
        resource="topic/pump",
        identity=Identity("x", "t1", True, "pump", exclusive=True),
    ),
    Case("exclusive_resolves_all", [allow(Condition=ATTACHED)], GRANTS, identity=Identity("x", "t1", True, exclusive=True)),
    Case("exclusive_resolves_all", [allow()], GRANTS, identity=Identity("x", "t1", True, exclusive=True), groups=True),
    Case(
        "https_client_id",
        [allow("topic/${iot:ClientId}")],
        GRANTS,
        resource="topic/t1",
        identity=Identity("t1", protocol="https"),
    ),
    Case("https_is_attached", [allow(Condition=ATTACHED)], GRANTS, "iot:GetThingShadow", "thing/t1"),
    Case(
        "https_is_attached",
        [allow("thing/${iot:Connection.Thing.ThingName}")],
        {"false": IMPLICIT, "true": IMPLICIT},
        "iot:GetThingShadow",
        "thing/true",
    ),
    Case("group_policies_over_https", [allow()], GRANTS, "iot:GetThingShadow", "thing/t1", groups=True),
    Case("group_policies_over_https", [allow()], GRANTS, identity=Identity("", "t1", True, protocol="https"), groups=True),
    Case(
        "unresolved_ends_statement",
        [allow(["topic/a", "topic/${iot:Connection.Thing.ThingName}"])],
        {"true": IMPLICIT, "false": ALLOWED},
        identity=Identity("x"),
    ),
    Case(
        "unresolved_ends_statement",
        [allow(), deny(["topic/a", "topic/${iot:Connection.Thing.ThingName}"])],
        {"true": ALLOWED, "false": EXPLICIT},
        identity=Identity("x"),
    ),
    Case(
        "deny_unresolved",
        [allow(), deny("topic/${iot:Connection.Thing.ThingName}/secret")],
        DENIES,
        resource="topic/t1/secret",
        identity=Identity("x"),
    ),
    Case(
        "deny_unresolved",
        [allow(), deny(Condition={"StringNotEquals": {"iot:ClientId": "${iot:Connection.Thing.ThingName}"}})],
        DENIES,
        identity=Identity("x"),
    ),
    Case("deny_unknown_condition", [allow(), deny(Condition={"StringIs": {"iot:ClientId": "t1"}})], DENIES),
    Case("deny_unknown_condition", [allow(), deny(Condition={"IpAddress": {"aws:SourceIp": "anywhere"}})], DENIES),
    Case(
        "deny_unknown_condition", [allow(Condition={"StringIs": {"iot:ClientId": "t1"}})], {"false": IMPLICIT, "true": IMPLICIT}
    ),
    Case(
        "unsubstituted_matches_itself",
        [allow("topic/${iot:Certificate.Subject.CommonName}")],
        {"true": ALLOWED, "false": IMPLICIT},
        resource="topic/${iot:Certificate.Subject.CommonName}",
        identity=Identity("x", certificate={"Subject.CommonName": "a*"}),
    ),
    Case(
        "missing_certificate_field_is_text",
        [allow("topic/${iot:Certificate.Subject.CommonName}")],
        GRANTS,
        resource="topic/${iot:Certificate.Subject.CommonName}",
    ),
    Case(
        "certificate_values_escaped",
        [allow("topic/${iot:Certificate.Subject.CommonName}")],
        {"true": ALLOWED, "false": IMPLICIT},
        resource=r"topic/a\=b\\c",
        identity=Identity("x", certificate={"Subject.CommonName": "a=b\\c"}),
    ),
    Case(
        "list_without_set_operator",
        [allow(Condition={"StringEquals": {"iot:Certificate.Subject.Country.List": "FR"}})],
        GRANTS,
        identity=Identity("x", certificate={"Subject.Country": ("DE", "FR")}),
    ),
    Case("missing_version_knows_variables", [allow("topic/${iot:ClientId}")], GRANTS, resource="topic/t1", version=None),
    Case(
        "missing_version_knows_variables",
        [allow("topic/${iot:ClientId}")],
        {"false": ALLOWED, "true": IMPLICIT},
        resource="topic/${iot:ClientId}",
        version=None,
    ),
    Case("variable_names_ignore_case", [allow("topic/${IOT:clientid}")], GRANTS, resource="topic/t1"),
    Case(
        "job_prefix",
        [allow("thing/t1", "iot:UpdateJobExecution")],
        {"either": ALLOWED, "iot": ALLOWED, "iotjobsdata": IMPLICIT},
        "iotjobsdata:UpdateJobExecution",
        "thing/t1",
    ),
    Case(
        "job_prefix",
        [allow("thing/t1", "iotjobsdata:UpdateJobExecution")],
        {"either": ALLOWED, "iot": IMPLICIT, "iotjobsdata": ALLOWED},
        "iot:UpdateJobExecution",
        "thing/t1",
    ),
    Case(
        "shared_subscription",
        [allow("topicfilter/a/*")],
        {"whole": IMPLICIT, "filter": ALLOWED, "both": IMPLICIT},
        "iot:Subscribe",
        "topicfilter/$share/g/a/b",
    ),
    Case(
        "shared_subscription",
        [allow("topicfilter/$share/g/a/b")],
        {"whole": ALLOWED, "filter": IMPLICIT, "both": IMPLICIT},
        "iot:Subscribe",
        "topicfilter/$share/g/a/b",
    ),
    Case(
        "shared_subscription",
        [allow("topicfilter/*"), deny("topicfilter/a/*")],
        {"whole": ALLOWED, "filter": EXPLICIT, "both": EXPLICIT},
        "iot:Subscribe",
        "topicfilter/$share/g/a/b",
    ),
]


def decide(case: Case, assumed: Assumptions) -> Decision:
    document = {"Statement": case.statements} | ({"Version": case.version} if case.version else {})
    read = [model.read(document, "p")]
    assert not read[0].flaws
    own, groups = ([], read) if case.groups else (read, [])
    request = Request(case.action, f"{ARN}:{case.resource}")
    return evaluator.authorize(own, request, case.identity, assumed, group_policies=groups).decision


@pytest.mark.parametrize(
    "case, value",
    [
        pytest.param(case, value, id=f"{case.switch}-{index}-{value}")
        for index, case in enumerate(CASES)
        for value in case.decisions
    ],
)
def test_a_switch_decides_what_the_documentation_leaves_open(case, value):
    assert decide(case, assumptions.with_value(DEFAULT, case.switch, value)) is case.decisions[value]


@pytest.mark.parametrize("item", fields(Assumptions), ids=lambda item: item.name)
def test_every_switch_has_a_case_in_which_it_matters_and_is_explained(item):
    cases = [case for case in CASES if case.switch == item.name]
    assert all(set(case.decisions) == set(assumptions.choices(item.name)) for case in cases)
    assert any(len(set(case.decisions.values())) > 1 for case in cases)
    assert set(item.metadata) == {"semantics", "question", "default", "otherwise"} and all(item.metadata.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.switch)
def test_a_decision_says_on_which_switches_it_depends(case):
    document = {"Statement": case.statements} | ({"Version": case.version} if case.version else {})
    read = [model.read(document, "p")]
    own, groups = ([], read) if case.groups else (read, [])
    request = Request(case.action, f"{ARN}:{case.resource}")
    found = {
        (name, value): decision
        for name, value, decision in evaluator.depends_on(own, request, case.identity, group_policies=groups)
    }
    now = decide(case, DEFAULT)
    expected = {(case.switch, value): decision for value, decision in case.decisions.items() if decision is not now}
    assert expected.items() <= found.items()


@pytest.mark.parametrize("name, value, error", [("nothing", "true", KeyError), ("job_prefix", "both", ValueError)])
def test_a_switch_or_value_that_does_not_exist_is_refused(name, value, error):
    with pytest.raises(error):
        assumptions.with_value(DEFAULT, name, value)


def test_setting_the_default_changes_nothing():
    for item in fields(Assumptions):
        assert assumptions.with_value(DEFAULT, item.name, assumptions.choices(item.name)[0]) == DEFAULT


def test_the_other_values_are_each_one_step_away():
    listed = list(assumptions.others(DEFAULT))
    assert len({(name, value) for name, value, _ in listed}) == len(listed) == len(fields(Assumptions)) + 2
    for name, value, assumed in listed:
        assert assumed == assumptions.with_value(DEFAULT, name, value) != DEFAULT
