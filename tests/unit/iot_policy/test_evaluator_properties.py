"""The evaluator against a second one that shares nothing with it, on random small policies, identities and assumptions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import pytest
import random_policies
import reference_evaluator
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgate.iot_policy import assumptions, evaluator, model
from fleetgate.iot_policy.assumptions import Assumptions
from fleetgate.iot_policy.evaluator import Identity, Request

ARN = "arn:aws:iot:r:1"
#: Random cases of one seed.
CASES = random_policies.cases(2_500, 75_000)
VARIABLES = (
    "iot:ClientId",
    "iot:Connection.Thing.ThingName",
    "iot:Connection.Thing.ThingTypeName",
    "iot:Connection.Thing.Attributes[x]",
    "iot:Certificate.Subject.Country",
    "iot:Certificate.Subject.Country.List",
    "iot:Connection.Thing.IsAttached",
)
IN_TEXT = tuple("${" + name + "}" for name in (*VARIABLES[:5], "iot:clientid", "iot:Thing.ThingName", "*", "?", "$"))
ACTIONS = ("iot:Publish", "iot:Subscribe", "iot:GetThingShadow", "iot:UpdateJobExecution", "iotjobsdata:UpdateJobExecution")
KINDS = {"iot:Publish": "topic", "iot:Subscribe": "topicfilter"}

OPERATORS = (
    *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists", "StringNotLikeIfExists"),
    *("ForAllValues:StringEquals", "ForAnyValue:StringLike", "ForAllValues:StringNotEquals", "ForAnyValue:StringNotEquals"),
    *("Bool", "BoolIfExists", "Null", "StringIs", "ForAnyValue:StringEqualsIfExists"),
)
CERTIFICATES = (
    {},
    {"Subject.Country": "a"},
    {"Subject.Country": ("b", "a")},
    {"Subject.Country": "a*"},
    {"Subject.Country": "a=b"},
)
ASKED = ("a", "b", "a/b", "a/a", "*", "+/a", "$share/a/b", "a*b", "a\\=b", "${iot:Certificate.Subject.Country}")


@dataclass(frozen=True)
class Case:
    """Small, and of few pieces that often meet: otherwise nearly every case would be denied."""

    own: list[Any]
    groups: list[Any]
    request: Request
    identity: Identity
    assumed: Assumptions

    @property
    def read(self) -> list[model.Policy]:
        return [model.read(document, f"p{index}") for index, document in enumerate(self.own)]

    @property
    def read_groups(self) -> list[model.Policy]:
        return [model.read(document, f"g{index}") for index, document in enumerate(self.groups)]

    def decide(self, *more: model.Policy) -> evaluator.Outcome:
        policies = [*self.read, *more]
        return evaluator.authorize(policies, self.request, self.identity, self.assumed, group_policies=self.read_groups)


def some_text(random: Random) -> str:
    return "".join(random.choice(("a", "b", "/", "*", "?", "+", *IN_TEXT)) for _ in range(random.randint(1, 3)))


def some_resource(random: Random) -> str:
    kind = random.choice(("topic", "topic", "topicfilter", "topic*", "thing", "*"))
    return random.choice(("*", *[f"{ARN}:{kind}/{some_text(random)}"] * 4))


def some_condition(random: Random) -> dict[str, Any]:
    if random.random() < 0.5:
        return {}
    operator = random.choice(OPERATORS)
    truth = "Bool" in operator or operator == "Null"
    keys: dict[str, Any] = {}
    for _ in range(random.randint(1, 2)):
        values = [random.choice(("true", "false")) if truth else some_text(random) for _ in range(random.randint(1, 2))]
        keys[random.choice(VARIABLES)] = values if len(values) > 1 else values[0]
    return {operator: keys}


def some_policy(random: Random) -> dict[str, Any]:
    listed = (*ACTIONS, "iot:*", "*", "IOT:PUB*", "iotjobsdata:?pdate*", "s3:*")
    statements = [
        {
            "Effect": random.choice(("Allow", "Allow", "Deny")),
            random.choice(("Action", "Action", "NotAction")): [random.choice(listed) for _ in range(random.randint(1, 2))],
            random.choice(("Resource", "Resource", "NotResource")): [some_resource(random) for _ in range(random.randint(1, 3))],
            "Condition": some_condition(random),
        }
        for _ in range(random.randint(1, 2))
    ]
    version = random.choice(("2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17", None))
    return {"Statement": statements} | ({"Version": version} if version else {})


def some_case(random: Random) -> Case:
    action = random.choice(ACTIONS)
    identity = Identity(
        client_id=random.choice(("a", "a", "b", "*", "a/b", "+", "")),
        thing_name=random.choice(("a", "a", "b", None)),
        attached=random.choice((True, True, False)),
        thing_type=random.choice(("a", None)),
        attributes=random.choice(({}, {"x": "a"}, {"x": "a/b"})),
        certificate=random.choice(CERTIFICATES),
        exclusive=random.choice((True, False)),
        protocol=random.choice(("mqtt", "mqtt", "https")),
    )
    assumed = assumptions.DEFAULT
    for item in random.sample(fields(Assumptions), random.randint(0, 4)):
        assumed = assumptions.with_value(assumed, item.name, random.choice(assumptions.choices(item.name)))
    return Case(
        [some_policy(random) for _ in range(random.randint(1, 2))],
        [some_policy(random) for _ in range(random.randint(0, 1))],
        Request(action, f"{ARN}:{KINDS.get(action, 'thing')}/{random.choice(ASKED)}"),
        identity,
        assumed,
    )


#: Drawn by hypothesis, so that a failure comes in its smallest form.
cases = st.randoms(use_true_random=False).map(some_case)


def agree(case: Case) -> evaluator.Decision:
    assert not any(policy.flaws for policy in (*case.read, *case.read_groups))
    found = case.decide().decision
    action, resource = case.request.action, case.request.resource
    assert found == reference_evaluator.decide(case.own, case.groups, action, resource, case.identity, case.assumed), case
    return found


@settings(max_examples=100, deadline=None)
@given(cases)
def test_two_evaluators_that_share_nothing_agree(case):
    agree(case)


@pytest.mark.parametrize("seed", range(4))
def test_they_agree_on_many_cases_of_every_decision(seed):
    random = Random(seed)
    counted = Counter(agree(some_case(random)) for _ in range(CASES))
    assert min(counted[decision] for decision in evaluator.Decision) > CASES / 20, counted


@settings(max_examples=100, deadline=None)
@given(cases)
def test_the_reasons_fit_the_decision(case):
    outcome = case.decide()
    effects = {
        (policy.name, statement.index): statement.allow
        for policy in (*case.read, *case.read_groups)
        for statement in policy.statements
    }
    assert all(effects[by] for by in outcome.allowed_by) and not any(effects[by] for by in outcome.denied_by)
    assert outcome.allowed is (bool(outcome.allowed_by) and not outcome.denied_by)
    assert (outcome.decision is evaluator.Decision.EXPLICIT_DENY) is bool(outcome.denied_by)


@settings(max_examples=100, deadline=None)
@given(cases, st.randoms(use_true_random=False).map(some_policy))
def test_a_further_deny_never_allows_and_a_further_allow_never_denies(case, more):
    def with_effect(effect: str) -> evaluator.Decision:
        changed = more | {"Statement": [one | {"Effect": effect} for one in more["Statement"]]}
        return case.decide(model.read(changed, "more")).decision

    before = case.decide().decision
    assert with_effect("Deny") in (before, evaluator.Decision.EXPLICIT_DENY)
    if with_effect("Allow") is not before:
        assert (before, with_effect("Allow")) == (evaluator.Decision.IMPLICIT_DENY, evaluator.Decision.ALLOWED)


@pytest.mark.parametrize("wanted, text, result", [("a*b", "axxb", True), ("a?", "a", False), ("*", "", True)])
def test_the_reference_is_no_echo(wanted, text, result):
    pairs = [(character, character in "*?") for character in wanted]
    assert reference_evaluator.match(pairs, text) is result
