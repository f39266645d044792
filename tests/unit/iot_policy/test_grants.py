"""The automata's languages against the evaluator: what the one accepts, the other allows, text by text."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from random_policies import HTTPS_ACTIONS, MQTT_ACTIONS, PRIVATE, cases, kind_of, policy

from fleetgate.iot_policy.assumptions import Assumptions
from fleetgate.iot_policy.evaluator import Identity, Request, authorize
from fleetgate.iot_policy.grants import SOME_CLIENT_ID, Holder, Scope

SCOPE = Scope()
CASES = cases(20_000, 300_000)
NAMES = ("a", "b", "ab", "thing")
ASSUMPTIONS = (
    Assumptions(),
    Assumptions(deny_unresolved=True),
    Assumptions(unresolved_ends_statement=False),
    Assumptions(missing_version_knows_variables=True, https_is_attached=True, https_client_id=True),
    Assumptions(exclusive_resolves_all=True),
    Assumptions(variable_names_ignore_case=True, deny_unknown_condition=True),
)


def accepts(grant, text):
    return grant.holds([nfa.after(nfa.initial, text) for nfa in grant.nfas])


def random_identity(chance, name):
    client = name if chance.random() < 0.6 else chance.choice(("a", "b", "a/b", "other", "*"))
    return Identity(
        client,
        name,
        attached=chance.random() < 0.95,
        exclusive=chance.random() < 0.3,
        thing_type="type",
        protocol=chance.choice(("mqtt", "mqtt", "mqtt", "https")),
    )


def random_text(chance, name):
    return "/".join(
        chance.choice(("a", "b", "x", "aa", "ab", "a*", "", "+", "#", name, name + "b", "a" + name, *PRIVATE[:2]))
        for _ in range(chance.randint(1, 3))
    )


def with_more(identity, chance):
    """The same device with what the automata do not know of it."""
    client = chance.choice(("a", "b", "c/d", "ab")) if identity.client_id == SOME_CLIENT_ID else identity.client_id
    return replace(
        identity,
        client_id=client,
        attributes={} if chance.random() < 0.3 else {"x": chance.choice(("a", "b", "a/b"))},
        source_ip=chance.choice((None, "10.1.2.3", "192.0.2.1")),
    )


def test_a_language_is_what_the_evaluator_allows():
    """Where everything is known they agree; where something is not, the language has at least what the evaluator allows.

    Only cases in which some Allow is about the action are counted: of the others both say no at once.
    """
    chance = random.Random(5)
    asked = exact = allowed = 0
    kinds: Counter[str] = Counter()
    while asked < CASES:
        actions = tuple(chance.sample(MQTT_ACTIONS + HTTPS_ACTIONS, 2))
        policies = tuple(policy(chance, actions) for _ in range(chance.randint(1, 2)))
        name = chance.choice(NAMES)
        identity = random_identity(chance, name)
        assumed = chance.choice(ASSUMPTIONS)
        holder = Holder(policies, identity, SCOPE, assumed)
        for action in actions:
            kind = kind_of(action)
            grant = holder.grant(action, kind)
            for _ in range(2):
                text = random_text(chance, name)
                device = with_more(identity, chance)
                outcome = authorize(policies, Request(action, SCOPE.arn(kind, text)), device, assumed)
                accepted = accepts(grant, text)
                case = (policies, action, device, text, assumed)
                assert accepted or not outcome.allowed, case
                assert not grant.exact or accepted is outcome.allowed, case
                if grant.allow:
                    asked += 1
                    exact += grant.exact
                    allowed += outcome.allowed
                    kinds[kind] += 1
    assert exact > asked / 2 and allowed > asked / 10, (asked, exact, allowed)
    assert min(kinds.values()) > asked / 50 and len(kinds) == 5, kinds


def test_a_language_for_an_unknown_client_id_has_what_every_client_id_allows():
    chance = random.Random(6)
    for _ in range(cases(1_000, 10_000)):
        policies = (policy(chance),)
        name = chance.choice(NAMES)
        identity = Identity(SOME_CLIENT_ID, name, attached=True, exclusive=chance.random() < 0.5, thing_type="type")
        holder = Holder(policies, identity, SCOPE)
        for action in MQTT_ACTIONS:
            text = random_text(chance, name)
            device = with_more(identity, chance)
            if device.client_id == name:
                continue
            if action == "iot:Connect":
                text = device.client_id  # no client asks to connect under another id than its own
            outcome = authorize(policies, Request(action, SCOPE.arn(kind_of(action), text)), device)
            assert accepts(holder.grant(action, kind_of(action)), text) or not outcome.allowed, (policies, device, text)


def test_the_coarse_language_has_at_least_what_the_exact_one_has():
    chance = random.Random(7)
    for _ in range(cases(1_000, 10_000)):
        policies = (policy(chance),)
        name = chance.choice(NAMES)
        identity = Identity(name, name, attached=True, thing_type="type")
        for action in MQTT_ACTIONS:
            text = random_text(chance, name)
            exact, coarse = (
                Holder(policies, identity, SCOPE, coarse=coarse).grant(action, kind_of(action)) for coarse in (False, True)
            )
            assert accepts(coarse, text) or not accepts(exact, text), (policies, text)
