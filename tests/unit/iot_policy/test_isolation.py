"""Isolation: known mistakes and known good policies, declared flows and topics, and what cannot be told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from random_policies import PRIVATE

from fleetgate import isolation_output, members
from fleetgate.errors import FleetgateError
from fleetgate.iot_policy import automaton, budget, grants, isolation, model, thing_names
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions, SharedSubscription
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Fleet, Member, Verdict, Way, check, check_all, declared
from fleetgate.iot_policy.thing_names import NameSpace, shape

SCOPE = Scope()
ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"
CLIENT = "${iot:ClientId}"
SITE = "${iot:Connection.Thing.Attributes[site]}"
CONNECT = ("Allow", "iot:Connect", f"client/{THING}")
GOOD = (
    CONNECT,
    ("Allow", "iot:Publish", f"topic/dt/{THING}/*"),
    ("Allow", "iot:Subscribe", f"topicfilter/cmd/{THING}/*"),
    ("Allow", "iot:Receive", f"topic/cmd/{THING}/*"),
    ("Allow", ["iot:Publish", "iot:Receive"], f"topic/$aws/things/{THING}/shadow/*"),
    ("Allow", "iot:Subscribe", f"topicfilter/$aws/things/{THING}/shadow/*"),
)


def member(*statements, name="pump", **more):
    """statements: effect, action, resource after the account, and a condition."""
    written = [
        {
            "Effect": effect,
            "Action": action,
            "Resource": resource if resource == "*" else ARN + resource,
            **(rest[0] if rest else {}),
        }
        for effect, action, resource, *rest in statements
    ]
    policy = model.read({"Version": "2012-10-17", "Statement": written}, name)
    return Member(name, (policy,), **{"thing_type": name, **more})


def ways(attacker, victim=None, **fleet):
    """{way: verdict} from the one to the other, or among devices of one type."""
    types = [attacker] if victim is None else [attacker, victim]
    report = check(Fleet(types, SCOPE, **fleet))
    return {
        reach.way.value: reach.verdict.value
        for reach in report.reaches
        if (reach.attacker, reach.victim) == (attacker.name, types[-1].name)
    }


def test_a_policy_with_the_name_as_a_level_everywhere_is_isolated():
    assert ways(member(*GOOD)) == {}
    assert check(Fleet([member(*GOOD)], SCOPE)).isolated


@pytest.mark.parametrize(
    "statements, found",
    [
        ([("Allow", "iot:Connect", "client/*")], {"connect": "reached"}),
        ([("Allow", "iot:Connect", f"client/{CLIENT}")], {"connect": "reached"}),
        ([("Allow", "iot:DeleteConnection", "client/*")], {"connect": "reached"}),
        ([("Allow", "iot:Publish", "topic/dt/*")], {"publish": "reached"}),
        ([("Allow", "iot:Publish", "topic/cmd/*")], {"publish": "reached"}),
        ([("Allow", "iot:Publish", f"topic/dt/*/{THING}/*")], {"publish": "reached"}),
        ([("Allow", "iot:Publish", f"topic/dt/{THING}*")], {"publish": "reached"}),
        ([("Allow", ["iot:Publish", "iot:RetainPublish"], "topic/dt/+/x")], {}),
        ([("Allow", ["iot:Publish", "iot:RetainPublish"], "topic/dt/*")], {"publish": "reached", "retain": "reached"}),
        ([("Allow", "iot:RetainPublish", "topic/*")], {}),
        ([("Allow", "iot:Receive", "topic/*")], {}),
        ([("Allow", "iot:Subscribe", "topicfilter/*")], {"subscribe": "refused"}),
        ([("Allow", "iot:Subscribe", "topicfilter/dt/#"), ("Allow", "iot:Receive", "topic/dt/*")], {"receive": "reached"}),
        ([("Allow", "iot:Subscribe", "topicfilter/+/+/x"), ("Allow", "iot:Receive", "topic/*")], {"receive": "reached"}),
        ([("Allow", "iot:Publish", "topic/$aws/things/*")], {"shadow": "reached", "jobs": "reached", "reserved": "reached"}),
        ([("Allow", "iot:Publish", "topic/$aws/commands/things/*/executions/*")], {"reserved": "reached"}),
        ([("Allow", "iot:Publish", "topic/$aws/commands/clients/*")], {"reserved": "reached"}),
        ([("Allow", "iot:Publish", "topic/$aws/things/*/defender/metrics/json")], {"reserved": "reached"}),
        ([("Allow", "iot:Publish", f"topic/$aws/commands/things/{THING}/executions/*")], {}),
        (
            [
                ("Allow", "iot:Subscribe", "topicfilter/$aws/things/+/tunnels/notify"),
                ("Allow", "iot:Receive", "topic/$aws/things/*/tunnels/notify"),
            ],
            {"reserved": "reached"},
        ),
        (
            [
                ("Allow", "iot:Subscribe", "topicfilter/$aws/things/*/streams/*"),
                ("Allow", "iot:Receive", "topic/$aws/things/*/streams/*"),
            ],
            {"reserved": "reached"},
        ),
        ([("Allow", "iot:UpdateThingShadow", "thing/*")], {"shadow": "reached"}),
        ([("Allow", "iot:GetThingShadow", "thing/*/secret")], {"shadow": "reached"}),
        ([("Allow", "iotjobsdata:UpdateJobExecution", "thing/*")], {"jobs": "reached"}),
        ([("Allow", "iot:Publish", "topic/$aws/rules/*")], {}),
        ([("Allow", "iot:Publish", "topic/dt/*"), ("Deny", "iot:Publish", "topic/dt/*")], {}),
    ],
)
def test_what_a_mistake_opens(statements, found):
    answer = ways(member(*GOOD, *statements))
    # A published retained message of others, or jobs below `$aws/things/*`, may open more: what is named must be there.
    assert {way: verdict for way, verdict in answer.items() if way in found} == found
    assert bool(answer) is bool(found), answer


def test_subscribe_is_not_receive():
    """AWS's own example: to deny Subscribe alone is not enough, to deny Receive is."""
    room = member(CONNECT, ("Allow", "iot:Publish", f"topic/building/control_room/{THING}"), name="room")
    leaky = [
        CONNECT,
        ("Allow", "iot:Subscribe", "topicfilter/building/*"),
        ("Deny", "iot:Subscribe", "topicfilter/building/control_room/*"),
        ("Allow", "iot:Receive", "topic/building/*"),
    ]
    assert ways(member(*leaky), room) == {"receive": "reached"}
    assert ways(member(*leaky, ("Deny", "iot:Receive", "topic/building/control_room/*")), room) == {"subscribe": "refused"}


def test_a_name_that_a_policy_spells_out_is_a_name_too():
    """Among all names there is one that is `all`, and to it the broadcast topic is its own."""
    broadcast = member(CONNECT, ("Allow", "iot:Publish", "topic/dt/all/x"), name="broadcast")
    own = member(*GOOD)
    report = check(Fleet([broadcast, own], SCOPE))
    [reach] = [one for one in report.reaches if one.attacker == "broadcast" and one.victim == "pump"]
    assert (reach.way, reach.verdict, reach.names[1]) == (Way.PUBLISH, Verdict.REACHED, "all")
    # Where serials cannot be like that, it is not.
    numbered = replace(own, names=NameSpace("pump-", "[0-9]{4}", ("0001",), colons=False))
    assert ways(broadcast, numbered) == {}


def test_a_serial_that_a_pattern_catches_is_found_and_one_that_it_cannot_be_is_not_called_isolated():
    narrow = member(CONNECT, ("Allow", "iot:Publish", "topic/dt/pump-7*/x"), name="narrow")
    sevens = NameSpace("pump-", "[0-9]{4}", ("0001",), colons=False)
    found = ways(narrow, member(*GOOD, names=sevens))
    assert set(found) == {"publish"}  # a serial like 7000: found, or left undecided, never isolated


def test_a_prefix_in_the_level_is_isolated_if_everybody_uses_it_and_not_if_names_can_meet():
    prefixed = member(CONNECT, ("Allow", "iot:Publish", f"topic/dt/gw-{THING}/x"))
    assert ways(prefixed) == {}
    plain = member(*GOOD, name="plain")
    assert ways(prefixed, plain) == {"publish": "reached"}  # the plain device `gw-…`


def test_a_client_id_that_is_not_pinned_reaches_what_belongs_to_it():
    """S13: whoever may choose its client id has the topics of that client id."""
    policy = (("Allow", "iot:Connect", "client/*"), ("Allow", "iot:Publish", f"topic/dt/{CLIENT}/x"))
    assert ways(member(*policy), member(*GOOD, name="other")) == {"connect": "reached", "publish": "reached"}
    # `+` in the id is text, a slash reaches deeper [basic policy variables].
    deep = member(CONNECT, ("Allow", "iot:Publish", f"topic/dt/{THING}/deep/x"), name="deep")
    injected = (("Allow", "iot:Connect", "client/*/deep"), ("Allow", "iot:Publish", f"topic/dt/{CLIENT}/x"))
    report = check(Fleet([member(*injected), deep], SCOPE))
    [reach] = [one for one in report.reaches if (one.attacker, one.victim) == ("pump", "deep")]
    assert reach.verdict is Verdict.REACHED and reach.checks[0].identity.client_id.endswith("/deep")


def test_a_deny_with_a_thing_variable_does_not_hold_over_https():
    """S10: over HTTPS no thing variable has a value, and neither has the Deny."""
    statements = (
        ("Allow", "iot:Publish", "topic/dt/*"),
        ("Deny", "iot:Publish", "topic/none", {"Condition": {"Null": {"iot:Connection.Thing.ThingName": "false"}}}),
    )
    denied = member(
        CONNECT,
        *statements[:1],
        ("Deny", "iot:Publish", "topic/*", {"Condition": {"StringLike": {"iot:Connection.Thing.ThingName": "*"}}}),
    )
    report = check(Fleet([denied, member(*GOOD, name="other")], SCOPE))
    [reach] = [one for one in report.reaches if one.attacker == "pump" and one.victim == "other"]
    assert reach.checks[0].identity.protocol == "https"


def test_attributes_may_be_anything_and_the_witness_names_the_value():
    found = check(Fleet([member(CONNECT, ("Allow", "iot:Publish", f"topic/dt/{SITE}/x")), member(*GOOD, name="other")], SCOPE))
    [reach] = [one for one in found.reaches if one.attacker == "pump" and one.victim == "other"]
    assert reach.verdict is Verdict.REACHED and reach.checks[0].identity.attributes == {"site": reach.names[1]}


def test_a_condition_that_nobody_here_can_answer_is_held_against_the_device():
    limited = ("Allow", "iot:Publish", "topic/dt/*", {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}})
    assert ways(member(*GOOD, limited)) == {"publish": "reached"}
    odd = ("Allow", "iot:Publish", "topic/dt/*", {"Condition": {"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}})
    assert ways(member(*GOOD, odd))["publish"] in ("reached", "undecided")
    guarded = ("Deny", "iot:Publish", "topic/dt/*", {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}})
    assert ways(member(*GOOD, ("Allow", "iot:Publish", "topic/dt/*"), guarded)) == {"publish": "reached"}


def test_a_search_that_is_given_up_is_undecided_and_not_isolated():
    """No topic has both `a` and `b` 16 characters before its end, and to know that takes a state for every text of 16."""
    wide = member(CONNECT, ("Allow", "iot:Publish", "topic/*a" + "?" * 15))
    narrow = member(CONNECT, ("Allow", "iot:Publish", f"topic/{THING}/*b" + "?" * 15), name="narrow")
    assert ways(wide, narrow)["publish"] == "undecided"


def test_a_shared_subscription_is_one_more_way():
    thief = member(
        CONNECT,
        ("Allow", "iot:Subscribe", "topicfilter/$share/*"),
        ("Allow", "iot:Receive", "topic/dt/*"),
    )
    owner = member(*GOOD, name="owner")
    report = check(Fleet([thief, owner], SCOPE))
    [reach] = [one for one in report.reaches if one.attacker == "pump" and one.victim == "owner"]
    assert reach.filter.startswith("$share/") and reach.verdict is Verdict.REACHED
    by_filter = Assumptions(shared_subscription=SharedSubscription.FILTER)
    assert ways(thief, owner, assumptions=by_filter) == {}


def test_a_claim_reaches_a_device_if_it_may_connect_as_one():
    claim = member(("Allow", "iot:Connect", "client/pump-*"), name="claim", claim=True)
    pumps = member(*GOOD, names=NameSpace("pump-", "[0-9]{4}", ("0001",), colons=False))
    assert ways(claim, pumps) == {"connect": "reached"}
    assert ways(member(("Allow", "iot:Connect", "client/claim-*"), name="claim", claim=True), pumps) == {}


GATEWAY = (*GOOD, ("Allow", "iot:Publish", "topic/sensors/*"))
SENSOR = (CONNECT, ("Allow", "iot:Publish", f"topic/sensors/{THING}/*"))


def flow(*gateway, publishes="sensors/{thing}/*"):
    sensor = member(*SENSOR, name="sensor", publishes=(declared(publishes),))
    return check(Fleet([member(*gateway, name="gateway", on_behalf_of=("sensor",)), sensor], SCOPE))


def test_a_declared_flow_is_no_finding_and_an_undeclared_one_is():
    assert [(r.attacker, r.rule) for r in flow(*GATEWAY).reaches] == []
    assert flow(*GATEWAY).flows == (("gateway", "sensor"),)
    undeclared = check(Fleet([member(*GATEWAY, name="gateway"), member(*SENSOR, name="sensor")], SCOPE))
    assert [(r.rule, r.way) for r in undeclared.reaches] == [("I02", Way.PUBLISH)]


def test_a_declared_flow_that_is_not_granted_fails():
    report = flow(*GOOD, ("Allow", "iot:Publish", "topic/sensors/*/status"))
    gaps = [gap for gap in report.gaps if gap.rule == "I02"]
    assert [(gap.member, gap.other) for gap in gaps] == [("gateway", "sensor")] and report.flows == () and not report.isolated


def test_what_goes_beyond_a_declared_flow_fails():
    shadows = ("Allow", "iot:Publish", "topic/$aws/things/*/shadow/*")
    found = {(r.victim, r.way) for r in flow(*GATEWAY, shadows).reaches}
    assert ("sensor", Way.SHADOW) in found
    retained = ("Allow", "iot:RetainPublish", "topic/sensors/*")
    assert ("sensor", Way.RETAIN) in {(r.victim, r.way) for r in flow(*GATEWAY, retained).reaches}


def test_a_topic_that_the_catalogue_declares_is_the_device_s_own_even_if_no_policy_names_it():
    wide = (
        CONNECT,
        ("Allow", "iot:Publish", "topic/dt/*"),
        ("Allow", ["iot:Subscribe"], "topicfilter/cmd/*"),
        ("Allow", "iot:Receive", "topic/cmd/*"),
    )
    assert ways(member(*wide)) == {}  # nothing says whose these are: devices of the type share them
    topics = {"publishes": (declared("dt/{thing}/*"),), "subscribes": (declared("cmd/{thing}/*"),)}
    assert ways(member(*wide, **topics)) == {"publish": "reached", "receive": "reached"}
    assert ways(member(*wide), member(*wide, name="valve", **topics)) == {"publish": "reached", "receive": "reached"}
    shared = {"publishes": (declared("dt/all/*"),), "subscribes": (declared("cmd/all/*"),)}
    assert ways(member(*wide, **shared)) == {}


@pytest.mark.parametrize("missing", range(6))
def test_a_declared_topic_that_does_not_work_fails(missing):
    statements = [
        CONNECT,
        ("Allow", "iot:Publish", f"topic/dt/{THING}/*"),
        ("Allow", "iot:Subscribe", f"topicfilter/cmd/{THING}/*"),
        ("Allow", "iot:Receive", f"topic/cmd/{THING}/*"),
        ("Allow", ["iot:Publish", "iot:Receive"], f"topic/$aws/things/{THING}/*"),
        ("Allow", "iot:Subscribe", f"topicfilter/$aws/things/{THING}/*"),
    ]
    topics = {"publishes": (declared("dt/{thing}/*"),), "subscribes": (declared("cmd/{thing}/*"),)}
    assert check(Fleet([member(*statements, **topics)], SCOPE)).gaps == ()
    del statements[missing]
    gaps = check(Fleet([member(*statements, **topics)], SCOPE)).gaps
    assert gaps and {gap.rule for gap in gaps} == {"I04"}


def test_the_repositorys_own_fleet_is_isolated(fleet):
    types, scope = members.of_fleet(fleet)
    report = check_all(types, [scope])
    assert report.isolated and report.reaches == () and report.gaps == ()
    assert len(report.flows) == sum(len(kind.publishes_on_behalf_of) for kind in fleet.catalogue.device_types.values()) > 0
    assert report.members[-1] == "claim" and "claim" not in report.victims


def test_every_account_that_policies_name_is_looked_at():
    scopes = (SCOPE, Scope("aws", "eu-west-1", "123456789012"))
    elsewhere = member(*GOOD, ("Allow", "iot:Publish", "topic/none"))
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:eu-west-1:123456789012:topic/$aws/things/*"}
    wide = model.read({"Version": "2012-10-17", "Statement": [statement]}, "pump")
    both = replace(elsewhere, policies=(*elsewhere.policies, wide))
    assert check_all([both], scopes[:1]).isolated
    assert {reach.way for reach in check_all([both], scopes).reaches} == {Way.SHADOW, Way.JOBS, Way.RESERVED}


def test_a_flow_counts_as_granted_only_if_it_is_in_every_account():
    granted, elsewhere = Scope(), Scope("aws", "eu-west-1", "123456789012")
    types = [
        member(*GATEWAY, name="gateway", on_behalf_of=("sensor",)),
        member(*SENSOR, name="sensor", publishes=(declared("sensors/{thing}/*"),)),
    ]
    assert check_all(types, (granted,)).flows == (("gateway", "sensor"),)
    for scopes in ((granted, elsewhere), (elsewhere, granted)):
        report = check_all(types, scopes)
        assert report.flows == () and ("gateway", "sensor") in {(gap.member, gap.other) for gap in report.gaps}


def test_a_declared_topic_that_cannot_be_told_fails_and_says_so():
    denied = [("Deny", "iot:Publish", "topic/dt/*a" + "?" * 18), ("Allow", "iot:Publish", f"topic/dt/{THING}/*")]
    found = check(Fleet([member(CONNECT, *denied, publishes=(declared("dt/{thing}/*a"),))], SCOPE)).gaps
    (gap,) = [gap for gap in found if gap.action == "iot:Publish" and not gap.text]
    assert gap.undecided and "whether it may cannot be told: more than 20000 states" in gap.message


def test_all_searches_for_one_answer_share_a_budget(monkeypatch):
    """Else twenty policies, each of which a single search gives up, take 400 times as long as one."""
    hard = [("Allow", "iot:Publish", "topic/*a" + "?" * 18), ("Deny", "iot:Publish", "topic/*b" + "?" * 18)]
    types = [member(CONNECT, *hard, name=f"type{number}") for number in range(4)]
    monkeypatch.setattr("fleetgate.iot_policy.budget.MAXIMUM_TOTAL", 5_000)
    spent: list[int] = []
    original = budget.Budget.spend
    monkeypatch.setattr(budget.Budget, "spend", lambda self, *one: (spent.append(1), original(self, *one))[1])
    report = check_all(types, (SCOPE,))
    assert not report.isolated and len(report.reaches) >= 16
    assert any("all searches together" in reach.message for reach in report.reaches)
    assert len(spent) < 20_000  # what is left of an answer is given up at once, search by search


def test_many_wildcards_in_one_resource_are_undecided_and_not_compared_for_ever():
    """Cut at every wildcard, `*a*a*a...` has a component from each to each other; not all of them are looked at."""
    found = shape(member(CONNECT, ("Allow", "iot:Publish", "topic/" + "*a" * 400)).policies, SCOPE, DEFAULT)
    assert found.odd and sum(len(one.tokens) for one in (*found.names, *found.others)) < 2 * thing_names.MAXIMUM_TOKENS
    report = check_all([member(CONNECT, ("Allow", "iot:Publish", f"topic/*dt/{'*a' * 400}"))], (SCOPE,))
    assert not report.isolated
    assert any("a number of wildcards beyond what is compared" in reach.message for reach in report.reaches)


#: Six kilobytes: each of its resources asks hundreds of things of a name, since `*` and `?` stand before it.
STARS = {"Effect": "Allow", "Action": "iot:*", "Resource": ["*" + "?" * n + "*:*/" + "*?" * n for n in range(60)]}


def test_wildcards_before_the_name_do_not_make_a_policy_take_for_ever():
    """The languages themselves would be too large, before the first step of a search: minutes, and hundreds of megabytes."""
    starred = Member("starred", (model.read({"Version": "2012-10-17", "Statement": [STARS]}, "starred"),))
    report = check_all([member(*GOOD), starred, member(CONNECT, ("Allow", "iot:Publish", "topic/*"), name="wide")], (SCOPE,))
    said = {(one.attacker, one.victim): one for one in report.reaches}
    assert said["starred", "starred"].verdict is Verdict.UNDECIDED and said["starred", "starred"].message == grants.TOO_LARGE
    # The others are looked at all the same.
    assert said["wide", "pump"].verdict is Verdict.REACHED and ("pump", "pump") not in said


def test_a_step_of_a_wide_automaton_costs_more(monkeypatch):
    """Else a policy as long as AWS takes them is given up long after one of the usual size."""
    wide = [("Allow", "iot:Publish", f"topic/{number}/" + "x" * 900) for number in range(8)]
    charged: list[int] = []
    original = budget.Budget.spend
    monkeypatch.setattr(budget.Budget, "spend", lambda self, *one: (charged.append(one[0]), original(self, *one))[1])
    check_all([member(CONNECT, ("Allow", "iot:Publish", "topic/*"))], (SCOPE,))
    usual = max(one for one in charged if one != automaton._SEARCH)
    charged.clear()
    check_all([member(CONNECT, ("Allow", "iot:Publish", "topic/*"), *wide)], (SCOPE,))
    assert max(one for one in charged if one != automaton._SEARCH) > 2 * usual


def test_a_report_says_what_its_proofs_rest_on():
    pinned, other = member(*GOOD, exclusive=(True,)), member(*GOOD, name="valve")
    changed = Assumptions(client_id_wildcards=True)

    def premises(*types, **more):
        return isolation_output.premises(check(Fleet(types, SCOPE, **more)), types)

    assert "certificates attached to one thing only" in premises(pinned) and "with" not in premises(pinned)
    assert "certificates attached in any way" in premises(other)
    assert "certificates of pump attached to one thing only (EXCLUSIVE_THING), others in any way" in premises(pinned, other)
    assert premises(other, assumptions=changed).endswith(", with client_id_wildcards=true")
    report = check(Fleet((other,), SCOPE, changed))
    found = isolation_output.as_json(report, (other,), (SCOPE,))["premises"]
    assert found["exclusive_attachment"] == [] and found["assumptions"]["client_id_wildcards"] == "true"


def test_a_retained_message_can_be_read_without_a_subscription():
    leaves = member(CONNECT, ("Allow", ["iot:Publish", "iot:RetainPublish"], f"topic/state/{THING}"))
    reads = member(CONNECT, ("Allow", "iot:GetRetainedMessage", "topic/*"), name="reader")
    assert ways(reads, leaves) == {"receive": "reached"}
    assert (
        ways(member(*GOOD, ("Allow", "iot:GetRetainedMessage", f"topic/state/{THING}")), leaves) == {}
    )  # no such variable over HTTPS
    leaves_nothing = member(CONNECT, ("Allow", "iot:Publish", f"topic/state/{THING}"))
    assert ways(reads, leaves_nothing) == {}
    told = member(CONNECT, ("Allow", ["iot:Receive"], f"topic/cmd/{THING}"))
    assert ways(reads, told) == {"receive": "reached"}


def test_of_a_policy_file_no_thing_type_is_known(tmp_path):
    (tmp_path / "one.json").write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}client/{THING}"},
                    {
                        "Effect": "Allow",
                        "Action": "iot:Publish",
                        "Resource": [f"{ARN}topic/s/${{iot:Connection.Thing.ThingTypeName}}", f"{ARN}topic/s/{THING}"],
                    },
                ],
            }
        )
    )
    report = check_all(*members.of_files([tmp_path / "one.json"]))
    assert [(reach.way, reach.verdict) for reach in report.reaches] == [(Way.PUBLISH, Verdict.REACHED)]


def test_a_witness_says_which_thing_type_it_needs_where_nobody_has_given_one():
    typed = ("Allow", "iot:Publish", "topic/${iot:Connection.Thing.ThingTypeName}/*")
    own = ("Allow", "iot:Publish", f"topic/plant/{THING}/*")
    file = replace(member(CONNECT, typed, own), thing_type=None)
    assert "with thing type=plant: iot:Publish topic/plant/thing-b/" in isolation_output.text(
        check(Fleet([file], SCOPE)), [file], [SCOPE]
    )
    known = replace(file, thing_type="plant")
    assert "thing type=" not in isolation_output.text(check(Fleet([known], SCOPE)), [known], [SCOPE])


@pytest.mark.parametrize(
    "serial, sample", [("GW-[3-9]{6}", "GW-333333"), ("[c-z]{4}", "pump"), ("(foo|bar)", "foo"), ("(zeb){2}", "zebzeb")]
)
def test_a_type_of_which_few_names_are_found_is_searched_all_the_same(serial, sample):
    """An empty list of pairs of names would be a proof of nothing."""
    names = NameSpace("pump-", serial, (sample,), colons=False)
    everything = (CONNECT, ("Allow", ["iot:Publish", "iot:Receive"], "topic/*"), ("Allow", "iot:Subscribe", "topicfilter/*"))
    assert set(ways(member(*everything, names=names))) >= {"publish", "receive", "shadow"}
    assert ways(member(*GOOD, names=names)) == {}


def test_a_second_name_that_is_not_found_is_never_one_that_a_policy_spells_out():
    names = NameSpace("pump-", "(zeb){2}", ("zebzeb",), colons=False)
    [made] = names.two()[1:]
    assert not names.holds(made)
    deny = ("Deny", "iot:Publish", f"topic/dt/{made}/*")
    assert ways(member(*GOOD, ("Allow", "iot:Publish", "topic/dt/*"), deny, names=names)) == {"publish": "undecided"}


def test_of_a_type_with_one_device_there_is_no_other_device():
    names = NameSpace("pump-", "one", ("one",), colons=False)
    assert names.two() == ("pump-one",)
    assert ways(member(CONNECT, ("Allow", "iot:Publish", "topic/*"), names=names)) == {}


EVERYTHING = (
    (["iot:Publish", "iot:Receive"], "topic/dt/*"),
    ("iot:Subscribe", "topicfilter/dt/*"),
    ("iot:Connect", f"client/{THING}"),
)


def at(*places):
    """A policy that allows everybody `dt/*`, its statements in these Regions and accounts."""
    written = [
        {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:iot:{place}:{resource}"}
        for (action, resource), place in zip(EVERYTHING, places * 3, strict=False)
    ]
    return model.read({"Version": "2012-10-17", "Statement": written}, "p")


@pytest.mark.parametrize(
    "places",
    [
        ("us-west-2:*",),
        ("eu-*-1:222222222222",),
        ("us-east-?:222222222222",),
        ("us-west-2:*", "us-west-2:*", "us-east-1:111122223333"),
        ("eu-*:111122223333", "eu-w*:111122223333", "eu-west-?:1111*"),
        ("${AWS::Region}:111122223333",),
    ],
    ids=str,
)
def test_a_region_or_account_with_a_wildcard_is_searched(places):
    policy = at(*places)
    report = check_all([Member("p", (policy,))], grants.scopes([policy]))
    assert not report.isolated or "${" in places[0]


@pytest.mark.parametrize(
    "resource", ["arn:aws:iot:eu-*", "arn:aws:iot:eu-central-1:*", "arn:aws*", "arn:aws-cn:*", "arn:aws:i*:eu-north-1:*:*", "*"]
)
def test_an_arn_that_is_cut_short_is_searched_where_it_holds(resource):
    policy = model.read({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": resource}}, "p")
    assert not check_all([Member("p", (policy,))], grants.scopes([policy])).isolated


def test_places_that_are_written_out_are_not_mixed():
    policy = at("us-west-2:111111111111", "us-west-2:111111111111", "eu-west-1:222222222222")
    assert [(one.region, one.account) for one in grants.scopes([policy])] == [
        ("eu-west-1", "222222222222"),
        ("us-west-2", "111111111111"),
    ]


def test_too_many_wildcards_for_places_are_refused_and_not_passed_over(tmp_path):
    file = tmp_path / "p.json"
    resources = [f"arn:aws:iot:{letter}*:1234567890{number}?:topic/x" for number, letter in enumerate("abcdefg")]
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": resources}
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(FleetgateError, match="more than 5 patterns for one part of an ARN"):
        members.of_files([file])


@pytest.mark.parametrize("character", ["Q", *PRIVATE])
def test_no_character_of_a_policy_is_taken_for_a_mark(character):
    """The automata have marks for `any other character` and for names, and policies may hold any character."""
    allow = [("Allow", ["iot:Publish", "iot:Receive"], "topic/dt/?*"), ("Allow", "iot:Subscribe", "topicfilter/dt/?*")]
    deny = [("Deny", ["iot:Publish", "iot:Receive"], f"topic/dt/{one}*") for one in (character, "/")]
    assert ways(member(CONNECT, *allow, *deny)) == {"publish": "reached", "receive": "reached"}
    shared = [("Allow", ["iot:Publish", "iot:Receive"], f"topic/dt/{character}/*")]
    assert set(ways(member(CONNECT, *shared, ("Allow", "iot:Subscribe", f"topicfilter/dt/{character}/*")))) == {
        "publish",
        "receive",
    }


def test_half_a_character_makes_an_answer_undecided_and_is_refused_in_a_file(tmp_path):
    half = "\ud800"
    policy = member(*GOOD, ("Deny", "iot:Publish", f"topic/dt/{half}*")).policies[0]
    assert [(flaw.rule, flaw.pointer) for flaw in policy.flaws] == [("S04", "/Statement/6/Resource")]
    report = check_all([Member("pump", (policy,))], [SCOPE])
    assert {reach.verdict for reach in report.reaches} == {Verdict.UNDECIDED} and not report.isolated
    spelt = member(*GOOD, ("Allow", "iot:Publish", f"topic/dt/*{half}/x"), publishes=(declared("dt/{thing}/x"),))
    assert not check_all([spelt, replace(spelt, name="other", on_behalf_of=("pump",))], [SCOPE]).isolated
    file = tmp_path / "p.json"
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": ARN + "topic/" + half}
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(FleetgateError, match="half a character"):
        members.of_files([file])
    with pytest.raises(budget.Undecided):
        automaton.Nfa(((half,),))


def test_a_policy_that_cannot_be_read_in_full_is_not_called_isolated():
    policy = model.read({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": 7}]}, "p")
    report = check_all([Member("p", (policy,)), member(*GOOD)], [SCOPE])
    assert {(reach.attacker, reach.victim) for reach in report.reaches} == {("p", "p"), ("p", "pump"), ("pump", "p")}


def test_a_witness_of_reserved_topics_names_what_is_there():
    listens = [("Allow", "iot:Subscribe", "topicfilter/$aws/things/#"), ("Allow", "iot:Receive", "topic/$aws/things/*")]
    report = check(Fleet([member(*GOOD, *listens)], SCOPE))
    [reach] = [one for one in report.reaches if one.way is Way.RESERVED]
    assert reach.text.split("/")[3] in ("tunnels", "streams", "defender")


@pytest.mark.parametrize("variable", ["iot:Thing.ThingName", "iot:clientid"])
def test_a_proof_says_on_which_assumption_it_hangs(variable):
    """In doubt a statement does nothing; if AWS sees it otherwise, it lets devices through."""
    both = ["topic/dt/*", "topic/own/${" + variable + "}"]
    written = [{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": [ARN + one for one in both]}]
    written += [{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/dt/*"}]
    types = [Member("p", (model.read({"Version": "2012-10-17", "Statement": written}, "p"),), given=True)]
    report = check_all(types, [SCOPE])
    assert report.isolated and report.hangs_on == ()
    report = isolation.with_turns(report, types, [SCOPE])
    assert "unresolved_ends_statement" in {turn.name for turn in report.hangs_on}
    said = isolation_output.text(report, types, [SCOPE])
    assert "hangs on unresolved_ends_statement=true: with false, p reaches p (publish)" in said
    [first, *_] = isolation_output.as_json(report, types, [SCOPE])["premises"]["hangs_on"]
    assert set(first) == {"assumption", "value", "other", "answer"}


def test_a_proof_that_hangs_on_nothing_names_nothing():
    types = [member(*GOOD)]
    assert isolation.with_turns(check_all(types, [SCOPE]), types, [SCOPE]).hangs_on == ()


def test_files_of_one_certificate_are_judged_together_and_the_report_says_what_it_takes_for_granted(tmp_path):
    """Subscribe in the one and Receive in the other: each by itself lets nothing through."""
    for name, action, resource in (("sub", "iot:Subscribe", "topicfilter/*"), ("recv", "iot:Receive", "topic/*")):
        statements = [{"Effect": "Allow", "Action": action, "Resource": ARN + resource}]
        statements += [{"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/dt/{THING}"}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    files = [tmp_path / "sub.json", tmp_path / "recv.json"]
    types, scopes = members.of_files(files)
    report = check_all(types, scopes)
    assert report.isolated and [one.name for one in types] == ["sub", "recv"]
    premises = "on each certificate having these policies and no other (of several: NAME=FILE,FILE)"
    assert premises in isolation_output.text(report, types, scopes)
    types, scopes = members.of_files([f"pump={files[0]},{files[1]}"])
    report = check_all(types, scopes)
    assert [(one.name, [policy.name for policy in one.policies]) for one in types] == [("pump", ["pump/sub", "pump/recv"])]
    assert {(reach.way, reach.verdict) for reach in report.reaches} >= {(Way.RECEIVE, Verdict.REACHED)}
    told = isolation_output.as_json(report, types, scopes)["premises"]["taken_for_all_policies_of_a_certificate"]
    assert told == {"pump": ["pump/sub", "pump/recv"]}
    with pytest.raises(FleetgateError, match="has the same name"):
        members.of_files([f"pump={files[0]},{files[0]}"])


def test_a_certificate_s_id_is_a_variable_with_a_value():
    own = [("Allow", "iot:Publish", "topic/own/${iot:CertificateId}")]
    together = model.read(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": [f"{ARN}topic/dt/*", ARN + own[0][2]]},
                {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/dt/*"},
            ],
        },
        "p",
    )
    reaches = check_all([Member("p", (together,))], [SCOPE]).reaches
    assert {(reach.way, reach.verdict) for reach in reaches} == {(Way.PUBLISH, Verdict.REACHED), (Way.RECEIVE, Verdict.REACHED)}
    # Two things may have one certificate; under which ids alone, it cannot be told.
    assert ways(member(*GOOD, *own)) in ({}, {"publish": "undecided"})


@pytest.mark.parametrize("element, whole", [("Resource", True), ("NotResource", False)])
def test_a_statement_that_covers_nothing_hides_nothing(element, whole):
    statements = [{"Effect": "Allow", "Action": "iot:Publish", element: []}]
    policy = model.read({"Version": "2012-10-17", "Statement": statements}, "p")
    assert policy.is_whole is whole and check_all([Member("p", (policy,))], [SCOPE]).isolated is whole
