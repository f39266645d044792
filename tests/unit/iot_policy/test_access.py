"""What a change lets in and takes away, as languages."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from random_policies import MQTT_ACTIONS, PRIVATE, cases, kind_of, name, policy, topic_filter

from fleetgate.iot_policy import budget, model
from fleetgate.iot_policy.access import compare, with_turns
from fleetgate.iot_policy.assumptions import Assumptions
from fleetgate.iot_policy.evaluator import Identity, Request, authorize
from fleetgate.iot_policy.grants import TOO_LARGE, Scope
from fleetgate.iot_policy.isolation import Member

SCOPE = Scope()
ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"
CONNECT = ("Allow", "iot:Connect", f"client/{THING}")


def member(*statements, name="pump"):
    """statements: effect, action, resource after the account, and a condition."""
    written = [
        {"Effect": effect, "Action": action, "Resource": ARN + resource, **({"Condition": rest[0]} if rest else {})}
        for effect, action, resource, *rest in statements
    ]
    return Member(name, (model.read({"Version": "2012-10-17", "Statement": written}, name),), thing_type="pump")


def found(before, after):
    changes = compare([member(*before)], SCOPE, [member(*after)], SCOPE)
    return [(c.gained, c.action, c.text, c.decided) for c in changes.changes], changes.grows


def test_the_same_access_in_other_words_is_no_change():
    before = [CONNECT, ("Allow", "iot:Publish", f"topic/dt/{THING}/*"), ("Allow", "iot:Publish", f"topic/dt/{THING}/a")]
    after = [("Allow", ["iot:publish"], f"topic/dt/{THING}/*"), CONNECT]
    assert found(before, after) == ([], False)


def test_a_policy_whose_languages_are_too_large_may_gain_anything():
    stars = {"Effect": "Allow", "Action": "iot:*", "Resource": ["*" + "?" * n + "*:*/" + "*?" * n for n in range(60)]}
    starred = Member("pump", (model.read({"Version": "2012-10-17", "Statement": [stars]}, "pump"),), thing_type="pump")
    for sides in (([starred], [member(CONNECT)]), ([member(CONNECT)], [starred])):
        changes = compare(sides[0], SCOPE, sides[1], SCOPE)
        assert [(one.decided, one.why) for one in changes.changes] == [(False, TOO_LARGE)] and changes.grows


def test_each_new_resource_gets_a_witness():
    after = [CONNECT, ("Allow", "iot:Publish", f"topic/a/{THING}"), ("Allow", "iot:Publish", "topic/b/*")]
    changes, grows = found([CONNECT], after)
    assert changes == [(True, "iot:Publish", "a/thing-a", True), (True, "iot:Publish", "b/thing-b", True)] and grows


def test_a_taken_away_resource_is_no_growth():
    changes, grows = found([CONNECT, ("Allow", "iot:Receive", "topic/b/?")], [CONNECT])
    assert changes == [(False, "iot:Receive", "b/x", True)] and not grows


def test_a_removed_deny_lets_something_in():
    allow = ("Allow", "iot:Publish", "topic/a/*")
    changes, grows = found([allow, ("Deny", "iot:Publish", "topic/a/secret*")], [allow])
    assert (True, "iot:Publish", "a/secret/thing-b", True) in changes and grows


def test_a_wider_connect_shows_under_another_client_id():
    changes, grows = found([CONNECT], [("Allow", "iot:Connect", "client/*")])
    assert changes == [(True, "iot:Connect", "thing-b", True)] and grows


def test_a_condition_taken_away_is_growth_and_one_put_in_is_not():
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    plain, limited = ("Allow", "iot:Publish", "topic/a"), ("Allow", "iot:Publish", "topic/a", condition)
    assert found([limited], [plain]) == ([(True, "iot:Publish", "a", True)], True)
    changes, grows = found([plain], [limited])
    assert not grows and all(not gained for gained, *_ in changes) and changes


def test_a_condition_that_stays_hides_no_growth_beside_it():
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    before = [("Allow", "iot:Publish", "topic/a", condition)]
    assert found(before, before) == ([], False)
    changes, grows = found(before, [*before, ("Allow", "iot:Publish", "topic/b", condition)])
    assert grows and changes[0][:3] == (True, "iot:Publish", "b")


@pytest.mark.parametrize("action, resource", [("iot:Subscribe", "topicfilter/a"), ("iot:Receive", "topic/a")])
def test_an_address_asked_for_no_longer_is_growth_whatever_the_action(action, resource):
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    others = {"IpAddress": {"aws:SourceIp": "10.0.0.0/4"}}
    plain, limited = [CONNECT, ("Allow", action, resource)], [CONNECT, ("Allow", action, resource, condition)]
    assert found(limited, plain) == ([(True, action, "a", True)], True)
    assert found(limited, [CONNECT, ("Allow", action, resource, others)])[1]
    denied = [*plain, ("Deny", action, resource, condition)]
    assert found(denied, plain)[1]
    assert not found(plain, denied)[1]


def test_another_client_id_that_a_condition_asks_for_is_growth():
    before, after = (
        [
            ("Allow", "iot:Connect", "client/*"),
            ("Allow", "iot:Publish", "topic/secret", {"StringEquals": {"iot:ClientId": client}}),
        ]
        for client in ("admin", "root")
    )
    assert found(before, before) == ([], False)
    assert (True, "iot:Publish", "secret") in [change[:3] for change in found(before, after)[0]]


def test_what_a_narrower_connect_leaves_is_compared_under_the_clients_of_both_sides():
    before = [("Allow", "iot:Connect", "client/a-*"), ("Allow", "iot:Publish", "topic/${iot:ClientId}/b")]
    after = [CONNECT, ("Allow", "iot:Publish", f"topic/{THING}/b")]
    lost = [(action, text) for gained, action, text, _ in found(before, after)[0] if not gained]
    assert lost == [("iot:Connect", "a-"), ("iot:Publish", "a-/b")]


def test_another_thing_type_alone_is_compared():
    from dataclasses import replace

    statements = [CONNECT, ("Allow", "iot:Publish", "topic/${iot:Connection.Thing.ThingTypeName}/x")]
    changes = compare([member(*statements)], SCOPE, [replace(member(*statements), thing_type="valve")], SCOPE)
    assert [(c.gained, c.text) for c in changes.changes] == [(True, "valve/x"), (False, "pump/x")] and changes.grows


def test_a_search_that_is_too_large_is_undecided_wherever_it_is_made(monkeypatch):
    """Of the client id, of what a resource covers, and of what depends on unknown values."""
    monkeypatch.setattr(budget, "MAXIMUM_TOTAL", 150_000)  # a tenth, which is spent in a tenth of the time
    large = "client/*a" + "?" * 18
    connects = [
        ("Allow", "iot:Connect", large),
        ("Deny", "iot:Connect", "client/*a*"),
        ("Deny", "iot:Connect", f"client/{THING}"),
    ]
    attribute = "${iot:Connection.Thing.Attributes[site]}"
    before = [*connects, ("Allow", "iot:Publish", f"topic/{attribute}*a" + "?" * 18)]
    after = [*connects, ("Allow", "iot:Publish", f"topic/{attribute}*b" + "?" * 18)]
    changes, grows = found(before, after)
    assert grows, changes
    narrow = [*connects, ("Allow", "iot:Publish", "topic/a"), ("Deny", "iot:Publish", f"topic/{attribute}*a" + "?" * 18)]
    assert found(narrow, [*connects, ("Allow", "iot:Publish", "topic/a")])[1]


def test_an_attribute_in_a_topic_is_compared_as_any_value():
    attribute = "${iot:Connection.Thing.Attributes[site]}"
    before = [("Allow", "iot:Publish", f"topic/{attribute}/x")]
    assert found(before, [*before, ("Allow", "iot:Publish", f"topic/{attribute}/x")]) == ([], False)
    changes, grows = found(before, [("Allow", "iot:Publish", f"topic/{attribute}/*")])
    assert grows and changes[0][2] == "value-of-site/thing-b"
    # Which site the new Deny spared, nobody knows: what cannot be told counts as growth.
    denied = ("Deny", "iot:Publish", "topic/lab/x")
    assert found([*before, denied], before)[1]


def test_shadow_job_and_role_alias_actions_are_compared_too():
    after = [("Allow", "iot:*", "thing/*"), ("Allow", "iot:AssumeRoleWithCertificate", "rolealias/a")]
    changes, _ = found([], after)
    gained = {action for _, action, *_ in changes}
    assert {"iot:UpdateThingShadow", "iotjobsdata:DescribeJobExecution", "iot:AssumeRoleWithCertificate"} <= gained


def test_new_and_removed_types_are_named_and_all_of_a_new_one_is_growth():
    changes = compare([member(CONNECT, name="old")], SCOPE, [member(CONNECT, name="new")], SCOPE)
    assert (changes.new, changes.removed) == (("new",), ("old",)) and changes.grows
    assert [(c.member, c.gained) for c in changes.changes] == [("new", True), ("old", False)]


def test_a_claim_has_no_thing_and_is_compared_under_any_client_id():
    from dataclasses import replace

    before, after = (
        replace(member(("Allow", "iot:Connect", "client/claim-*"), ("Allow", "iot:Publish", topic)), claim=True)
        for topic in ("topic/a", "topic/b")
    )
    changes = compare([before], SCOPE, [after], SCOPE).changes
    assert [(c.gained, c.text) for c in changes] == [(True, "b"), (False, "a")]


@pytest.mark.parametrize("whole", [True, False])
def test_whatever_the_evaluator_lets_in_anew_is_told(whole):
    """Random changes of random policies: asks the evaluator about many names, and compares."""
    chance = random.Random(11)
    grown = 0
    for _ in range(cases(15, 400)):
        old, new = policy(chance, whole=whole), policy(chance, whole=whole)
        if chance.random() < 0.5:  # one statement more or less
            statements = (*old.statements, *new.statements[:1])[chance.randint(0, 1) :]
            new = model.Policy("p", old.version, statements, (), 0)
        told = compare([Member("p", (old,), thing_type="t")], SCOPE, [Member("p", (new,), thing_type="t")], SCOPE)
        grown += told.grows
        identity = Identity("thing-a", "thing-a", attached=True, thing_type="t", exclusive=False)
        for action in MQTT_ACTIONS:
            gained = any(c.action == action and (c.gained or not c.decided) for c in told.changes)
            for _ in range(15):
                kind = kind_of(action)
                text = name(chance, variables=("thing-a",), whole=whole).replace("${*}", "z").replace("?", "x")
                if kind == "topicfilter":
                    text = topic_filter(chance, variables=("thing-a",)).replace("*", "z")
                text = text if kind != "topic" else text.replace("*", "z")
                if kind == "client":
                    text = "thing-a"
                if not text:  # which no topic and no filter is [MQTT 5, 4.7.3]
                    continue
                asked = Request(action, SCOPE.arn(kind, text))
                if authorize([new], asked, identity).allowed and not authorize([old], asked, identity).allowed:
                    assert gained, (old, new, action, text)
    assert grown > 4


@pytest.mark.parametrize("condition", [{"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, {"Null": {THING[2:-1]: "true"}}])
def test_what_a_detached_certificate_may_is_told_however_types_attach(condition):
    """EXCLUSIVE_THING ties a connection to the thing as long as the certificate is attached; its policies it keeps longer."""
    after = [CONNECT, ("Allow", "iot:Connect", "client/q", condition)]
    for exclusive in [(True,), (False,), (False, True)]:
        before, now = (replace(member(*one), exclusive=exclusive) for one in ([CONNECT], after))
        changes = compare([before], SCOPE, [now], SCOPE)
        assert changes.grows and [(c.action, c.text) for c in changes.changes] == [("iot:Connect", "q")]


@pytest.mark.parametrize("character", ["Q", *PRIVATE])
def test_no_character_of_a_policy_hides_growth(character):
    """The automata have marks of their own, and policies may hold any character."""
    alias = [("Allow", "iot:AssumeRoleWithCertificate", "rolealias/?*")]
    deny = ("Deny", "iot:AssumeRoleWithCertificate", f"rolealias/{character}*")
    assert found([CONNECT], [CONNECT, *alias, deny])[1]
    allow = [CONNECT, ("Allow", "iot:Publish", "topic/x/*")]
    own, other = ("Deny", "iot:Publish", f"topic/x/{THING}/a"), ("Deny", "iot:Publish", f"topic/x/{character}/a")
    assert found([*allow, own], [*allow, other])[1]


def test_a_policy_that_cannot_be_read_in_full_counts_as_growth():
    changes, grows = found([CONNECT], [CONNECT, ("Deny", "iot:Publish", "topic/\ud800")])
    assert grows and changes == [(True, "iot:*", "", False)]


def test_a_wider_connect_lets_in_what_unchanged_statements_give_to_other_clients():
    publish = ("Allow", "iot:Publish", "topic/dt/${iot:ClientId}/x")
    static = ("Allow", "iot:Publish", "topic/all/x")
    before, after = [CONNECT, publish, static], [("Allow", "iot:Connect", "client/*"), publish, static]
    changes, grows = found(before, after)
    gained = [text for is_gained, action, text, decided in changes if is_gained and decided and action == "iot:Publish"]
    assert grows and len(gained) == 1 and gained[0] not in ("dt/thing-a/x", "dt/thing-b/x/x", "all/x")
    back, grows = found(after, before)
    assert not grows and [action for is_gained, action, *_ in back if not is_gained] == ["iot:Connect", "iot:Publish"]


def test_a_wider_connect_beside_topics_of_the_thing_adds_connections_only():
    publish = ("Allow", "iot:Publish", f"topic/dt/{THING}/x")
    changes, _ = found([CONNECT, publish], [("Allow", "iot:Connect", "client/*"), publish])
    assert {action for _, action, *_ in changes} == {"iot:Connect"}


def test_an_answer_says_on_which_assumption_it_hangs():
    """In doubt a statement does nothing; whether AWS sees it so is not known, and then access may grow all the same."""
    misprint = ("Allow", "iot:Publish", ["topic/dt/*", "topic/own/${iot:Thing.ThingName}"])
    written = [{"Effect": "Allow", "Action": misprint[1], "Resource": [ARN + one for one in misprint[2]]}]
    after = Member("pump", (model.read({"Version": "2012-10-17", "Statement": written}, "pump"),), thing_type="pump")
    sides = ([member(CONNECT)], SCOPE, [after], SCOPE)
    changes = compare(*sides)
    assert not changes.grows and changes.hangs_on == ()
    [turn] = with_turns(changes, *sides).hangs_on
    assert str(turn).startswith("unresolved_ends_statement=true: with false, pump gains iot:Publish dt/")
    grown = compare(*sides, Assumptions(unresolved_ends_statement=False))
    assert grown.grows and with_turns(grown, *sides) is grown
