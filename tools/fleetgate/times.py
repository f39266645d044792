"""Times as people and programs read them: UTC, like 2026-01-31T23:59:59Z."""

from __future__ import annotations

import time


def utc(at_ms: float, *, exact: bool = False) -> str:
    """Epoch milliseconds as UTC to the second. exact: to the millisecond, where there are any."""
    whole = int(at_ms)
    rest = f".{whole % 1000:03}" if exact and whole % 1000 else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole // 1000)) + rest + "Z"


def now() -> str:
    return utc(time.time() * 1000)


def ago_ms(hours: float) -> int:
    """Epoch milliseconds of so many hours ago; never before the epoch."""
    return max(0, int((time.time() - hours * 3600) * 1000))
