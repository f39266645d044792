"""What somebody may have meant by a serial that there is not: found by slips of the finger, never by reading the fleet."""

from __future__ import annotations

import pytest

from fleetgate import near

PATTERNS = ("TEMP-[0-9]{6}", "FLOW-[A-F0-9]{8}")
PREFIXES = ("temperature-sensor-", "")


@pytest.mark.parametrize(
    "word, meant",
    [
        ("TEMP-000010", "TEMP-000001"),
        ("TEMP-00001", "TEMP-000001"),
        ("TEMP-0000011", "TEMP-000001"),
        ("TEMP-000002", "TEMP-000001"),
        ("TEMP-00000l", "TEMP-000001"),
        ("temp-000001", "TEMP-000001"),
        ("TEMP_000001", "TEMP-000001"),
        (" TEMP-000001 ", "TEMP-000001"),
        ("TEMP-1", "TEMP-000001"),
        ("temp-1", "TEMP-000001"),
        ("TMEP-000001", "TEMP-000001"),
        ("TEM-000001", "TEMP-000001"),
        ("temperature-sensor-TEMP-000001", "TEMP-000001"),
        ("flow-0000beef", "FLOW-0000BEEF"),
    ],
    ids=str.strip,
)
def test_a_slip_leads_to_the_serial_that_was_meant(word, meant):
    assert meant in near.candidates(word, PATTERNS, PREFIXES)


@pytest.mark.parametrize(
    "word", ["", "x", "TEMP", "a" * 100_000, "TEMP-\u0661\u0661\u0661\u0661\u0661\u0661", "🙂" * 50, "\n"], ids=range(7)
)
def test_anything_may_be_typed_and_what_comes_back_are_serials(word):
    assert all(near._is_serial(candidate, PATTERNS) for candidate in near.candidates(word, PATTERNS, PREFIXES))


def test_the_word_itself_is_no_suggestion_and_the_cost_is_bounded():
    found = near.candidates("TEMP-000001", (".*",), PREFIXES)
    assert "TEMP-000001" not in found and len(found) == near.MAXIMUM_CANDIDATES == len(set(found))
