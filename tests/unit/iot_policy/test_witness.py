"""What is put in the place of variables so that the evaluator says yes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgate.iot_policy import budget, model, pattern
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, find, find_delivery
from fleetgate.iot_policy.evaluator import Identity, Request
from fleetgate.iot_policy.grants import Holder, Scope, scopes
from fleetgate.iot_policy.isolation import Member, Verdict, check_all
from fleetgate.iot_policy.pattern import Variable, Wildcard
from fleetgate.iot_policy.witness import _captured, confirm

ARN = "arn:aws:iot:us-east-1:123456789012:"
ADDRESS = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
NAME = "${iot:Certificate.Subject.CommonName}"


def backtracking(tokens, text):
    """The same by a regular expression, which may take for ever."""
    groups, expression = {}, ""
    for token in tokens:
        if isinstance(token, Variable):
            known = token.name in groups
            group = groups.setdefault(token.name, f"v{len(groups)}")
            expression += f"(?P={group})" if known else f"(?P<{group}>.+?)"
        else:
            expression += {Wildcard.ANY: ".*", Wildcard.ONE: "."}.get(token) or re.escape(token)
    found = re.fullmatch(expression, text, re.DOTALL)
    return found and {name: found[group] for name, group in groups.items()}


PIECES = st.lists(st.sampled_from(["a", "b", "/", "ab", "*", "?", "${x}", "${y}"]), max_size=7).map("".join)


@given(PIECES, st.text("ab/", max_size=9))
def test_values_are_found_where_there_are_some(written, text):
    tokens = pattern.parse(written).tokens
    found, expected = _captured(tokens, text, Identity("c")), backtracking(tokens, text)
    assert (found is None) is (expected is None)
    if found is not None:
        bound = pattern.parse(written).bind(lambda name: (found[name],))
        assert bound.matches(text) and found.keys() == expected.keys() and all(found.values())


@pytest.mark.parametrize("last", ["c", f"*{NAME}*c", f"{NAME}c"], ids=["plain", "within", "variable"])
def test_many_wildcards_before_a_long_text_end(last):
    """A policy of 700 bytes; a regular expression with seven `.*` would go back on each of them."""
    text = "a" * 40
    written = [
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/" + "*a" * 7 + last},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/{text}", "Condition": ADDRESS},
        {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{ARN}topic/{text}"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/{text}"},
    ]
    policy = model.read({"Version": "2012-10-17", "Statement": written}, "p")
    start = time.process_time()
    report = check_all([Member("p", (policy,))], scopes([policy]))
    assert not report.isolated and time.process_time() - start < 20


def test_two_types_have_a_budget_of_their_own(monkeypatch):
    """A policy that AWS takes, made to have no end, costs seconds, and the other pairs their answers no more."""
    stars = [f"{ARN}topic/" + f"*{one}" * 12 + "?" * 12 for one in "abcdef"]
    written = [
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"{ARN}topic/*"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/*"},
        {"Effect": "Deny", "Action": ["iot:Publish", "iot:Receive"], "Resource": stars},
    ]
    hard = Member("hard", (model.read({"Version": "2012-10-17", "Statement": written}, "hard"),))
    own = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/dt/${{iot:Connection.Thing.ThingName}}/x"}
    open_to_all = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/dt/?*/x"}
    simple = Member("simple", (model.read({"Version": "2012-10-17", "Statement": [own, open_to_all]}, "simple"),))
    monkeypatch.setattr(budget, "MAXIMUM_TOTAL", 20_000)
    monkeypatch.setattr(budget, "MAXIMUM_PAIR", 4_000)
    reaches = check_all([hard, simple], [Scope()]).reaches
    assert any("more steps" in reach.message for reach in reaches if (reach.attacker, reach.victim) == ("hard", "hard"))
    verdicts = {reach.verdict for reach in reaches if (reach.attacker, reach.victim) == ("simple", "simple")}
    assert verdicts == {Verdict.REACHED}


def test_a_limit_within_another_takes_from_that_one():
    with budget.limited(10):
        with budget.limited(4):
            budget.spend(4)
            with pytest.raises(budget.Undecided):
                budget.spend(1)
        budget.spend(5)
        with pytest.raises(budget.Undecided), budget.limited(100):
            budget.spend(1)


def test_every_question_to_the_evaluator_and_every_search_is_paid_for():
    """Tens of thousands of them, each short, took twenty seconds: two policies of seven statements, many pairs of names."""
    written = [{"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/{number}"} for number in range(50)]
    policy = model.read({"Version": "2012-10-17", "Statement": written}, "p")
    holder = Holder((policy,), Identity("a", "a", attached=True), Scope())
    with budget.limited(1_000):
        before = budget.current().left
        assert confirm(holder, [Request("iot:Publish", f"{ARN}topic/49")]) is not None
        assert before - budget.current().left >= 50
    with budget.limited(10), pytest.raises(budget.Undecided):
        confirm(holder, [Request("iot:Publish", f"{ARN}topic/49")])
    one = Grant(Side((("a",),)))
    for search in (lambda: find([Requirement(one)]), lambda: find_delivery(Grant(Side((("+",),))), [Requirement(one)])):
        with budget.limited(1_000):
            before = budget.current().left
            assert search() is not None
            assert before - budget.current().left > 20
