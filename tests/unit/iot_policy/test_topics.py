"""S6: topics and filters [MQTT 3.1.1, 4.7]."""

from __future__ import annotations

from itertools import product

import pytest

from fleetgate.iot_policy import topics


@pytest.mark.parametrize("text", ["a", "a/b", "/", "a//b", "$aws/things/x", "ä b", "a" * 300])
def test_a_topic_is_any_text_without_wildcards(text):
    assert topics.is_topic(text) and topics.is_filter(text)


@pytest.mark.parametrize("text", ["", "a/+", "#", "a\0"])
def test_a_topic_holds_no_wildcard_and_is_not_empty(text):
    assert not topics.is_topic(text)


@pytest.mark.parametrize("text", ["#", "+", "a/#", "+/a/+/#", "/+", "$share/group/a/#", "$share/g/+"])
def test_a_wildcard_may_fill_a_level(text):
    assert topics.is_filter(text)


@pytest.mark.parametrize(
    "text", ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "$share/g", "$share//a", "$share/+/a", "$share/g/"]
)
def test_a_wildcard_that_fills_no_level_is_refused(text):
    assert not topics.is_filter(text)


@pytest.mark.parametrize(
    "text, topic",
    [
        ("a/b", "a/b"),
        ("a/+", "a/"),
        ("+/+", "/"),
        ("/+", "/a"),
        ("#", "a/b/c"),
        ("a/#", "a"),
        ("a/#", "a/b/c"),
        ("a/#", "a/"),
        ("+/#", "a"),
        ("$aws/#", "$aws/things/x"),
        ("$aws/+/x", "$aws/things/x"),
        ("$share/g/a/#", "a/b"),
    ],
)
def test_a_filter_matches(text, topic):
    assert topics.matches(text, topic)


@pytest.mark.parametrize(
    "text, topic",
    [
        ("a/b", "a/B"),
        ("a", "a/"),
        ("+", "a/b"),
        ("+", "/a"),
        ("a/+", "a"),
        ("a/#", "ab"),
        ("#", "$aws/things/x"),
        ("+/things/x", "$aws/things/x"),
        ("$share/g/#", "$aws/x"),
    ],
)
def test_a_filter_does_not_match(text, topic):
    assert not topics.matches(text, topic)


def test_without_wildcards_a_filter_matches_itself_alone():
    texts = ["".join(text) for size in (1, 2, 3) for text in product("ab/", repeat=size)]
    assert all(topics.matches(one, two) is (one == two) for one in texts for two in texts)
