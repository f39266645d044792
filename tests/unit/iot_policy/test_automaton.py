"""The automata against brute force, and against two libraries that other people wrote."""

from __future__ import annotations

import random
import re
from itertools import product

import pytest
from automata.fa.nfa import NFA
from interegular.comparator import Comparator
from random_policies import PRIVATE, cases

from fleetgate.iot_policy import pattern, topics
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, find, find_delivery, residues
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.pattern import Wildcard

#: The second letter, one that has been a mark of the automata themselves: no letter is.
B = PRIVATE[0]
TEXTS = ["".join(text) for size in range(1, 6) for text in product(f"a{B}z", repeat=size)]


def tokens(text):
    return pattern.parse(text, variables=False).tokens


def grant(allow, deny=(), excepted=()):
    return Grant(
        Side(tuple(map(tokens, allow)), tuple(tuple(map(tokens, one)) for one in excepted)), Side(tuple(map(tokens, deny)))
    )


def matches(globs, text):
    return any(pattern.parse(glob, variables=False).matches(text) for glob in globs)


def random_glob(chance, letters=f"a{B}*?"):
    return "".join(chance.choice(letters) for _ in range(chance.randint(0, 4)))


def random_grant(chance):
    allow = [random_glob(chance) for _ in range(chance.randint(0, 2))]
    deny = [random_glob(chance) for _ in range(chance.randint(0, 2))]
    excepted = [[random_glob(chance)]] if chance.random() < 0.2 else []
    return allow, deny, excepted


def in_grant(described, text):
    allow, deny, excepted = described
    allowed = matches(allow, text) or any(not matches(one, text) for one in excepted)
    return allowed and not matches(deny, text)


def test_find_agrees_with_brute_force_and_gives_a_shortest_text():
    chance = random.Random(1)
    found_some = found_none = 0
    for _ in range(cases(1_500, 20_000)):
        first, second = random_grant(chance), random_grant(chance)
        allowed = chance.random() < 0.6
        found = find([Requirement(grant(*first)), Requirement(grant(*second), allowed)])
        # `z` stands for every letter that no pattern names, and no shortest text needs more letters than these.
        expected = next((text for text in TEXTS if in_grant(first, text) and in_grant(second, text) is allowed), None)
        if found is None:
            assert expected is None, (first, second, allowed)
            found_none += 1
        else:
            assert in_grant(first, found) and in_grant(second, found) is allowed, (first, second, found)
            assert expected is None or len(found) == len(expected), (first, second, found, expected)
            found_some += 1
    assert min(found_some, found_none) > 200


def test_what_must_not_stand_in_a_text_does_not():
    assert find([Requirement(grant(["*+*"]))], never="+#") is None
    assert find([Requirement(grant(["$*"]))], never_first="$") is None
    assert find([Requirement(grant(["*$*"]))], never_first="$") == "x$"
    assert find([Requirement(grant(["+"]))]) == "+"


def test_a_witness_uses_a_letter_that_no_pattern_names():
    assert find([Requirement(grant(["?"], ["x", "y"]))]) == "z"
    every = [chr(code) for code in range(33, 127) if chr(code) not in "*?"]
    assert find([Requirement(grant(["?"], every))]) not in {*every, None}


def test_a_search_that_grows_too_large_gives_up_and_does_not_say_no():
    # No text has both letters 19 places before its end; to know that, one has to remember the last 19 letters.
    one, two = Requirement(grant(["*a" + "?" * 18])), Requirement(grant(["*b" + "?" * 18]))
    with pytest.raises(Undecided, match="more than 2000 states"):
        find([one, two], cap=2_000)
    with pytest.raises(Undecided):
        find_delivery(grant(["#"]), [one, two], cap=2_000)


def as_expression(glob):
    return "".join(".*" if c == "*" else "." if c == "?" else c for c in glob)


def test_inclusion_agrees_with_automata_lib():
    """On 600 pairs of unions, of which the library is told the three letters that matter."""
    chance = random.Random(2)
    seen = set()
    for _ in range(cases(600, 6_000)):
        one = [random_glob(chance) for _ in range(chance.randint(1, 2))]
        two = [random_glob(chance) for _ in range(chance.randint(1, 2))]
        ours = find([Requirement(grant(one)), Requirement(grant(two), False)]) is None
        nfas = [
            NFA.from_regex("|".join(f"({as_expression(glob)})" for glob in globs), input_symbols=set(f"a{B}z"))
            for globs in (one, two)
        ]
        both = nfas[0].intersection(nfas[1])
        theirs = both == nfas[0]
        if not ours and theirs:
            pytest.fail(f"{one} in {two}: ours has a witness")
        # The empty text is no resource's name: the libraries count it.
        if ours and not theirs:
            assert matches(one, "") and not matches(two, ""), (one, two)
        seen.add(ours)
    assert seen == {True, False}


def test_intersection_agrees_with_interegular():
    chance = random.Random(3)
    seen = set()
    for _ in range(cases(600, 6_000)):
        one, two = random_glob(chance), random_glob(chance)
        ours = find([Requirement(grant([one])), Requirement(grant([two]))]) is None
        theirs = Comparator.from_regexes({1: as_expression(one), 2: as_expression(two)}).isdisjoint(1, 2)
        if ours is not theirs:
            assert ours and matches([one], "") and matches([two], ""), (one, two)
        seen.add(ours)
    assert seen == {True, False}


def random_filter(chance):
    return "".join(chance.choice(f"a{B}*?/+#") for _ in range(chance.randint(0, 4)))


FILTERS = [text for size in range(1, 5) for text in map("".join, product("az/+#", repeat=size)) if topics.is_filter(text)]
TOPICS = [text for size in range(1, 5) for text in map("".join, product("az/", repeat=size))]


def test_what_is_delivered_agrees_with_brute_force():
    """Subscribe on the filter, Receive on the topic, and MQTT between the two."""
    chance = random.Random(4)
    pairs = [(one, two) for one in FILTERS for two in TOPICS if topics.matches(one, two)]
    assert len(pairs) > 800
    seen = [0, 0]
    for _ in range(cases(250, 4_000)):
        subscribe = ([random_filter(chance).replace("b", "a") for _ in range(2)], [random_filter(chance).replace("b", "a")])
        receive = ([random_glob(chance, "a/*?") for _ in range(2)], [random_glob(chance, "a/*?")])
        found = find_delivery(grant(*subscribe), [Requirement(grant(*receive))])
        expected = next(
            (pair for pair in pairs if in_grant((*subscribe, []), pair[0]) and in_grant((*receive, []), pair[1])), None
        )
        if found is None:
            assert expected is None, (subscribe, receive)
            seen[0] += 1
        else:
            text, topic = found
            assert topics.is_filter(text) and topics.is_topic(topic) and topics.matches(text, topic), found
            assert in_grant((*subscribe, []), text) and in_grant((*receive, []), topic), (subscribe, receive, found)
            seen[1] += 1
    assert min(seen) > 20, seen


@pytest.mark.parametrize(
    "subscribe, receive, found",
    [
        (["a/#"], ["a"], ("a/#", "a")),
        (["#"], ["$aws/x"], None),
        (["+/x"], ["$aws/x"], None),
        (["$aws/+"], ["$aws/x"], ("$aws/+", "$aws/x")),
        (["$share/g/a/+"], ["a/x"], ("$share/g/a/+", "a/x")),
        (["a+"], ["a*"], None),
        (["a/#/b"], ["a*"], None),
        (["+"], ["a/b"], None),
        (["*"], ["a/b"], ("+/+", "a/b")),
    ],
)
def test_the_rules_of_mqtt_hold_in_the_search(subscribe, receive, found):
    answer = find_delivery(grant(subscribe), [Requirement(grant(receive))])
    if found is None or subscribe != ["*"]:
        assert answer == found
    else:
        assert answer is not None and topics.matches(*answer)


def test_a_shared_subscription_is_another_way_to_a_topic_unless_policies_see_its_inner_filter():
    only_shared = grant(["*"], ["a", "+", "#", "?/#", "a/#", "+/#"])
    found = find_delivery(only_shared, [Requirement(grant(["a"]))])
    assert found is not None and found[0].startswith("$share/") and topics.matches(*found)
    assert find_delivery(only_shared, [Requirement(grant(["a"]))], shared=False) is None


def test_a_residue_is_what_is_left_of_an_arn_with_wildcards_in_any_part():
    prefix = "arn:aws:iot:us-east-1:1:topic/"
    whole = [
        "arn:*:topic/a",
        "arn:aws:iot:*:*:topic/*",
        "*",
        "arn:aws:iot:us-east-?:1:topic/b",
        "arn:aws:iot:us-east-1:2:topic/b",
    ]
    for text in whole:
        rests = residues(tokens(text), prefix)
        for rest in ("a", "b", "ab", "x:topic/a", "us:2:topic/b"):
            expected = pattern.parse(text, variables=False).matches(prefix + rest)
            assert any(re.fullmatch(expression(one), rest) for one in rests) is expected, (text, rest)


def expression(glob):
    return "".join(".*" if one is Wildcard.ANY else "." if one is Wildcard.ONE else re.escape(one) for one in glob)
