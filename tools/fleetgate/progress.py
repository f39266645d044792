"""Progress bars and tables: on a terminal they move, in a log they are plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WIDTH_IN_LOGS = 160


class Bar(Protocol):
    def advance(self, steps: int = 1) -> None: ...


@contextmanager
def bar(label: str, total: int | None, *, kept: bool = True) -> Iterator[Bar]:
    """A progress bar on stderr; without a total it moves by itself. kept: its end stays, and stands in a log."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=not kept)
    task = progress.add_task(label, total=total)

    class _Bar:
        def advance(self, steps: int = 1) -> None:
            progress.advance(task, steps)

    # In a log a bar only ever shows its end.
    with progress if kept or console.is_interactive else nullcontext():
        yield _Bar()


def each(label: str, items: Sequence[T], work: Callable[[T], R], parallel: int) -> list[R]:
    """The results of `parallel` threads, in the order of the items, under a bar.

    Ctrl-C, or what fails, lets what is under way end, and begins nothing more.
    """
    import threading
    from concurrent.futures import ThreadPoolExecutor

    if not items:
        return []
    failed = threading.Event()

    def one(item: T) -> Any:
        if failed.is_set():  # which is heard of below, in the order of the items, only when those before are done
            return None
        try:
            return work(item)
        except BaseException:
            failed.set()
            raise

    results: list[R] = []
    with bar(label, len(items)) as shown, ThreadPoolExecutor(parallel) as pool:
        try:
            for result in pool.map(one, items):
                results.append(result)
                shown.advance()
        finally:
            pool.shutdown(cancel_futures=True)
    return results


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. Cells are plain text; a long cell folds, nothing is cut off.

    The first column names the row and is what people copy: of it only cells of over 40 characters fold.
    """
    import os
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title, title_justify="left", show_lines=False)
    kept = list(rows)
    for index, column in enumerate(columns):
        least = min(40, max((len(row[0]) for row in kept), default=0)) if index == 0 else None
        shown.add_column(column, overflow="fold", min_width=least)
    for row in kept:
        shown.add_row(*(escape(cell) for cell in row))
    # A log has no width of its own unless COLUMNS gives it one; rich would take 80 columns for it and fold every cell.
    has_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    Console(width=None if has_width else WIDTH_IN_LOGS).print(shown)
