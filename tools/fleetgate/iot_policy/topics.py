"""MQTT topics and topic filters: what is one, and which topics a filter matches.

[MQTT 3.1.1, 4.7 Topic Names and Topic Filters; MQTT 5, 4.8.2 Shared Subscriptions; AWS IoT Core: MQTT topics]
"""

from __future__ import annotations

LEVEL = "/"
ONE_LEVEL = "+"
ALL_LEVELS = "#"
SHARE = "$share/"


def is_topic(text: str) -> bool:
    """Whether a message can be published to it: at least one character, none of them a wildcard or NUL."""
    return bool(text) and not any(character in text for character in "+#\0")


def is_filter(text: str) -> bool:
    """Whether a client can subscribe to it: a wildcard fills its level, `#` only the last."""
    if not text or "\0" in text:
        return False
    inner = unshared(text)
    if text.startswith(SHARE) and inner is None:
        return False
    *before, last = (inner or text).split(LEVEL)
    plain = all(level == ONE_LEVEL or not (ONE_LEVEL in level or ALL_LEVELS in level) for level in before)
    return plain and (last in (ONE_LEVEL, ALL_LEVELS) or not (ONE_LEVEL in last or ALL_LEVELS in last))


def unshared(text: str) -> str | None:
    """The filter inside of `$share/<group>/<filter>`, None of any other text."""
    if not text.startswith(SHARE):
        return None
    group, slash, inner = text[len(SHARE) :].partition(LEVEL)
    valid = group and slash and inner and not any(character in group for character in "+#")
    return inner if valid else None


def matches(text: str, topic: str) -> bool:
    """Whether a subscription to the filter `text` is for a message on `topic`. Both must be valid."""
    text = unshared(text) or text
    if topic.startswith("$") and text[0] in (ONE_LEVEL, ALL_LEVELS):
        return False  # `#` and `+/…` are not for the broker's own topics [MQTT-4.7.2-1]
    wanted, given = text.split(LEVEL), topic.split(LEVEL)
    if wanted[-1] == ALL_LEVELS:
        wanted.pop()
        if len(given) < len(wanted):  # `a/#` is for `a` too
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(one in (ONE_LEVEL, level) for one, level in zip(wanted, given, strict=True))
