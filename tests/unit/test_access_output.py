"""What `access-diff` says of a change, as a comment and for programs."""

from __future__ import annotations

from fleetgate.access_output import MAXIMUM_LENGTH, MAXIMUM_ROWS, as_json, markdown
from fleetgate.iot_policy.access import Change, Changes


def changes(*found):
    return Changes(found, (), (), ("pump",))


def change(text, *, member="pump", gained=True, decided=True, **rest):
    return Change(member, gained, "iot:Publish", "topic", text, statement=0, decided=decided, **rest)


def test_of_one_action_only_the_first_rows_are_shown_and_the_rest_is_counted():
    found = changes(*(change(f"a/{number}") for number in range(MAXIMUM_ROWS + 7)), change("b", member="gateway"))
    text = markdown(found, "main")
    assert text.count("| `pump` |") == MAXIMUM_ROWS and "`topic/b`" in text
    assert "And more of the same, which `--format json` shows: 7 of `pump` `iot:Publish`." in text
    assert len(as_json(found, "main")["changes"]) == MAXIMUM_ROWS + 8


def test_a_comment_never_gets_longer_than_github_takes_and_says_what_is_left_out():
    found = changes(*(change("t" * 2_000, member=f"type{number}") for number in range(100)))
    text = markdown(found, "main")
    assert len(text) <= MAXIMUM_LENGTH + 100
    shown = text.count("| `type")
    assert 20 < shown < 100 and f"{100 - shown} lines more did not fit in here" in text
    assert "**Access grows** against `main`: 100 gained, 0 taken away." in text  # the counts are of all


def test_what_cannot_be_told_has_a_table_of_its_own_on_either_side():
    found = changes(
        change("a", decided=False, why="too many states"), change("b", gained=False, decided=False, why="too many states")
    )
    text = markdown(found, "main")
    assert "2 undecided" in text
    assert (
        text.index("Undecided: counts as gained")
        < text.index("`topic/a`")
        < text.index("Undecided: perhaps taken away")
        < text.index("`topic/b`")
    )
    assert [(c["change"], c["decided"]) for c in as_json(found, "main")["changes"]] == [("gained", False), ("taken away", False)]


def test_only_a_possible_loss_is_no_growth():
    found = changes(change("b", gained=False, decided=False, why="too many states"))
    assert "Access does not grow against `main`: 0 gained, 0 taken away, 1 undecided." in markdown(found, "main")


def test_text_of_a_policy_stays_in_its_cell():
    text = markdown(changes(change("a|b`c\n<script>\x1b[2J", resource="arn:aws:iot:r:1:topic/a|b", sid="x|*y*")), "main")
    row = next(line for line in text.splitlines() if line.startswith("| `pump`"))
    assert row.replace("\\|", "").count("|") == 5 and "\x1b" not in text and "x\\|\\*y\\*" in row
