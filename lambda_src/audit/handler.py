"""Keeps the hook's decisions for good: CloudWatch Logs delivers the lines of its log, and each becomes an audit entry."""

from __future__ import annotations

import os

import report
import settings
import table
import trail

SETTINGS = settings.load(os.environ)
TABLE = table.connect()


class NotWritten(RuntimeError):
    """Entries that the table did not take."""


def handler(event: object, context: object) -> dict[str, int]:
    """Writes all entries of a delivery, then raises if one could not be written: Lambda tries the whole twice more.

    Then it keeps the delivery as a dead letter. A line that is no decision is told in the log and counted, and stops nothing.
    """
    delivery = trail.read(event, SETTINGS.log_group)
    problems = table.add(TABLE, SETTINGS.table_name, delivery.entries)
    for line in report.lines(delivery, len(problems), SETTINGS, getattr(context, "aws_request_id", None)):
        print(f"{line}\n", end="", flush=True)
    if problems:
        raise NotWritten(f"{len(problems)} of {len(delivery.entries)} entries, the first: {problems[0]}") from problems[0]
    return {"written": len(delivery.entries), "notUnderstood": len(delivery.unknown)}
