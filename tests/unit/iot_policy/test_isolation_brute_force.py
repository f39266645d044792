"""Isolation against brute force: every name, client id, topic and filter of a small world, asked of the evaluator one by one."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import lru_cache
from itertools import product

from random_policies import ATTRIBUTE, CLIENT, MQTT_ACTIONS, PRIVATE, THING, cases, policy

from fleetgate.iot_policy import model, topics
from fleetgate.iot_policy.evaluator import Identity, Request, authorize
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Fleet, Member, Verdict, Way, check, declared
from fleetgate.iot_policy.thing_names import NameSpace

SCOPE = Scope()
#: The small world. Names of `a` and `b`; topics of up to three levels of such texts.
NAMES = ("a", "b", "ab")
LEVELS = ("a", "b", "ab", "x", PRIVATE[0], "")
TOPICS = [one for size in (1, 2) for one in map("/".join, product(LEVELS, repeat=size)) if one]
TOPICS += ["/".join(one) for one in product(("a", "b"), repeat=3)] + ["a/x/b", "x/a/b", "b//a", "ab/a/b", "a/b/ab"]
FILTERS = [
    "#",
    "+",
    "a",
    "b",
    "+/+",
    "a/#",
    "b/#",
    "ab/#",
    "+/#",
    "a/+",
    "b/+",
    "+/a",
    "+/b",
    "a/b",
    "b/a",
    "+/+/+",
    "a/x",
    "+/ab",
    f"{PRIVATE[0]}/#",
    f"+/{PRIVATE[0]}",
]
CLIENTS = (*NAMES, "x", "a/b")
NAMING = {"iot:ClientId", "iot:Connection.Thing.ThingName"}
MATCHING = {text: frozenset(topic for topic in TOPICS if topics.matches(text, topic)) for text in FILTERS}


class World:
    """What one device is allowed, each question asked of the evaluator once."""

    def __init__(self, policies, name, client, exclusive=False, protocol="mqtt"):
        self.policies = policies
        self.identity = Identity(client, name, attached=True, exclusive=exclusive, protocol=protocol, thing_type="p")
        self._known = {}

    def allowed(self, action, texts, kind="topic"):
        if (action, kind) not in self._known:
            asked = (
                text for text in texts if authorize(self.policies, Request(action, SCOPE.arn(kind, text)), self.identity).allowed
            )
            self._known[action, kind] = set(asked)
        return self._known[action, kind]

    def mine(self, action):
        """Topics that a resource with a name's variable in it grants."""
        if ("mine", action) not in self._known:
            self._known["mine", action] = self._mine(action)
        return self._known["mine", action]

    def _mine(self, action):
        kept = []
        for bundle in self.policies:
            statements = []
            for statement in bundle.statements:
                if statement.allow and not statement.negated_resources:
                    resources = tuple(
                        r
                        for r in statement.resources
                        if {"iot:ClientId", "iot:Connection.Thing.ThingName"} & set(r.arn.whole.variables)
                    )
                    if bundle.version != model.VERSION:
                        resources = ()
                    statement = replace(statement, resources=resources)
                elif statement.allow:
                    continue
                statements.append(statement)
            kept.append(replace(bundle, statements=tuple(statements)))
        return {text for text in TOPICS if authorize(kept, Request(action, SCOPE.arn("topic", text)), self.identity).allowed}


@lru_cache(maxsize=2048)
def world_of(policies, name, client, exclusive=False, protocol="mqtt"):
    return World(policies, name, client, exclusive, protocol)


#: What a catalogue may declare, with regular expressions of its topics; only where a device's name stands is it the device's own.
DECLARED = {"{thing}/*": "{}/.*", "x/{thing}": "x/{}", "{thing}": "{}", "a/{thing}/*": "a/{}/.*", "x/*": "x/.*", "b": "b"}


def declarations(chance):
    return tuple(chance.sample(sorted(DECLARED), chance.choice((0, 0, 1, 2))))


def of(declared_topics, name, *, named=False):
    """The topics of the small world that these declarations are about. named: without those that name no device."""
    texts = [DECLARED[one] for one in declared_topics if "{" in one or not named]
    return {topic for topic in TOPICS if any(re.fullmatch(text.replace("{}", name), topic) for text in texts)}


def brute(attacker, victim, topics_of):
    """The ways in which some device of the one reaches some other device of the other.

    topics_of: of each type's name, the declarations of what it publishes and subscribes to.
    """
    publishes, subscribes = topics_of[victim.name]
    found = set()
    for mine, others in product(NAMES, NAMES):
        if mine == others or not attacker.names.holds(mine) or not victim.names.holds(others):
            continue
        other = world_of(victim.policies, others, others)
        published, received = other.allowed("iot:Publish", TOPICS), other.allowed("iot:Receive", TOPICS)
        delivered = {t for f in other.allowed("iot:Subscribe", FILTERS, "topicfilter") for t in MATCHING[f]} & received
        own_published = other.mine("iot:Publish") | (published & of(publishes, others, named=True))
        own_received = other.mine("iot:Receive") | (received & of(subscribes, others, named=True))
        meant = of(publishes, others) if victim.name in attacker.on_behalf_of else set()
        meant_for_me = of(topics_of[attacker.name][0], mine) if attacker.name in victim.on_behalf_of else set()
        worlds = [world_of(attacker.policies, mine, mine)]
        for exclusive, client in product((False, True), CLIENTS):
            world = world_of(attacker.policies, mine, client, exclusive)
            if client != mine and world.allowed("iot:Connect", [client], "client"):
                worlds.append(world)
                if client == others:
                    found.add(Way.CONNECT)
        for world in worlds:
            sent = world.allowed("iot:Publish", TOPICS)
            heard = {t for f in world.allowed("iot:Subscribe", FILTERS, "topicfilter") for t in MATCHING[f]}
            heard &= world.allowed("iot:Receive", TOPICS)
            if heard & ((published - meant_for_me) | own_received):
                found.add(Way.RECEIVE)
            if (sent - meant) & (own_published | delivered):
                found.add(Way.PUBLISH)
            if sent & world.allowed("iot:RetainPublish", TOPICS) & (own_published | delivered):
                found.add(Way.RETAIN)
        sent = world_of(attacker.policies, mine, mine, protocol="https").allowed("iot:Publish", TOPICS)
        if (sent - meant) & (own_published | delivered):
            found.add(Way.PUBLISH)
    return found


def agree(chance, count, variables, *, whole):
    """How often each answer was given; fails on the first that brute force contradicts."""
    names = NameSpace("", "[ab]{1,2}", ("a", "b"), colons=False)
    answers = {"reached": 0, "undecided": 0, "isolated": 0}
    for _ in range(count):
        topics_of = {name: (declarations(chance), declarations(chance)) for name in ("p", "q")}
        members = [
            Member(
                name,
                (policy(chance, MQTT_ACTIONS, statements=5, variables=variables, whole=whole),),
                names,
                thing_type="p",
                publishes=tuple(map(declared, topics_of[name][0])),
                subscribes=tuple(map(declared, topics_of[name][1])),
                on_behalf_of=("p",) if name == "q" and chance.random() < 0.5 else (),
            )
            for name in ("p", "q")
        ]
        report = check(Fleet(members, SCOPE))
        for attacker, victim in product(members, members):
            said = {r.way: r for r in report.reaches if (r.attacker, r.victim) == (attacker.name, victim.name)}
            for way in brute(attacker, victim, topics_of):
                assert way in said and said[way].verdict is not Verdict.REFUSED, (way, attacker.policies, victim.policies)
            for way in (Way.CONNECT, Way.PUBLISH, Way.RETAIN, Way.RECEIVE):
                answers[said[way].verdict.value if way in said else "isolated"] += 1
        for reach in report.reaches:
            if reach.verdict is Verdict.REACHED:
                assert all(check.outcome.allowed for check in reach.checks) and reach.names[0] != reach.names[1]
                if reach.filter:
                    assert topics.is_filter(reach.filter) and topics.matches(reach.filter, reach.text)
    return answers


def test_no_way_that_brute_force_finds_is_called_isolated():
    answers = agree(random.Random(8), cases(25, 1_500), (THING, CLIENT), whole=True)
    assert answers["reached"] > 20 and answers["isolated"] > 50, answers
    # A variable that fills its level is decided; what is left open are names that a serial cannot be.
    assert answers["undecided"] < sum(answers.values()) / 10, answers


def test_a_variable_that_fills_no_level_is_never_called_isolated_by_mistake():
    answers = agree(random.Random(9), cases(15, 1_000), (THING, THING, CLIENT, ATTRIBUTE), whole=False)
    assert answers["reached"] > 10 and answers["isolated"] > 20, answers
