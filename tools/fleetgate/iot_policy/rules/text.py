"""Rules about the text itself, before there is a document in it."""

from __future__ import annotations

from collections.abc import Iterator

from fleetgate.iot_policy.rule import Hit, Severity, Subject, rule
from fleetgate.iot_policy.source import Source

_SOURCE = "https://www.rfc-editor.org/rfc/rfc8259#section-4"


@rule(
    id="S01",
    title="Not valid JSON, too large, or a key stands twice in one object",
    severity=Severity.HIGH,
    why="AWS refuses a document that is not JSON. Of two equal keys most readers keep the last in silence, so that a "
    "statement, an action or a condition that stands in the file is not in force. What is far larger than AWS takes is not "
    "judged.",
    source=_SOURCE,
    fails='{"Version": "2012-10-17", "Statement": [], "Statement": []}',
    passes='{"Version": "2012-10-17", "Statement": []}',
    subject=Subject.TEXT,
)
def not_json(source: Source) -> Iterator[Hit]:
    """The duplicates; of a text that cannot be parsed there is no Source, and `lint.read` reports that."""
    for pointer in source.duplicates[:_TOLD]:
        key = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        yield Hit(pointer, f"the key {key!r:.80} stands twice in one object; only the last is in force", "keep one of the two")


#: Of so many keys it is told; whoever mends these sees the next. Each is looked up in the text, which may be long.
_TOLD = 50

RULES = (not_json,)
