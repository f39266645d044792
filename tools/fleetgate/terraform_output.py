"""Terraform's own output: all of it into a log file, and on the terminal the lines that people read, as they come."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO

#: Given a line, what to show of it, or None.
Filter = Callable[[str], str | None]

_BOX = ("╷", "│", "╵", "Error", "Warning")  # Terraform frames its diagnostics
_PLANNED = re.compile(r"  # (?P<what>.* (?:will|must) be .*)")
_DONE = re.compile(r"(?P<what>.*: (?:(?:Creation|Modifications|Destruction) complete after|Still \w+\.\.\.).*?)(?: \[id=.*\])?")
_RESULTS = ("Acquiring state lock.", "Plan:", "No changes.", "Apply complete!", "Destroy complete!")


def everything(line: str) -> str | None:
    return line


def nothing(_: str) -> str | None:
    return None


def done(line: str) -> str | None:
    """What has been done, without what was going to be: for a run that plans and applies in one."""
    return None if _PLANNED.fullmatch(line) else short(line)


def short(line: str) -> str | None:
    """A line for each resource, the result, and whatever Terraform warns of."""
    planned = _PLANNED.fullmatch(line)
    if planned:
        return f"  {planned['what']}"
    finished = _DONE.fullmatch(line)
    if finished:
        return f"  {finished['what']}"
    return line if line.startswith((*_BOX, *_RESULTS)) else None


@contextmanager
def shown(log: Path, show: Filter, errors: list[str] | None = None) -> Iterator[list[str]]:
    """What a child process writes to `sys.stdout` meanwhile, filtered; gives the lines that were shown. All of it is in the log.

    errors: gets the lines that it writes to `sys.stderr`, which are in the log as well, and for the caller to show.

    Leaves only when every process that holds the pipe has ended: a provider that outlives its Terraform would keep the state
    locked. So a reader of ours that goes away (`… | head`), or Ctrl-C, which Terraform hears as well, waits for them.
    """
    lines: list[str] = []
    broken: list[OSError] = []
    terminal = sys.stdout

    def print_filtered(line: str) -> None:
        text = show(line)
        if text is None:
            return
        lines.append(text)
        try:
            if not broken:
                print(text, file=terminal, flush=True)
        except OSError as error:
            broken.append(error)

    pumps: list[threading.Thread] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(_pipe(log, print_filtered, pumps, stack)))
            if errors is not None:
                stack.enter_context(redirect_stderr(_pipe(log, errors.append, pumps, stack)))
            yield lines
    except KeyboardInterrupt:
        print("  interrupted: waiting for Terraform to end in good order (Ctrl-C again ends it at once)", file=sys.stderr)
        raise
    finally:
        for pump in pumps:
            pump.join()
    if broken:
        raise broken[0]


def _pipe(log: Path, hear: Callable[[str], None], pumps: list[threading.Thread], stack: ExitStack) -> IO[str]:
    """A stream whose lines go into the log and to `hear`, in a thread of its own; closed with the stack."""
    reading, writing = os.pipe()

    def pump() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as source, log.open("a", encoding="utf-8") as kept:
            for line in source:
                kept.write(line)
                kept.flush()
                hear(line.rstrip("\n"))

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    pumps.append(thread)
    return stack.enter_context(os.fdopen(writing, "w", encoding="utf-8"))
