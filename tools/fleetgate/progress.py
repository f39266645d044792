"""Progress bars and tables: on a terminal they move, in a log they are plain lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

WIDTH_IN_LOGS = 160


class Bar(Protocol):
    def advance(self, steps: int = 1) -> None: ...


@contextmanager
def bar(label: str, total: int) -> Iterator[Bar]:
    """A progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)

        class _Bar:
            def advance(self, steps: int = 1) -> None:
                progress.advance(task, steps)

        yield _Bar()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. Cells are plain text; a long cell folds, nothing is cut off."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    # A log has no width of its own; rich would take 80 columns for it and fold every cell.
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_LOGS).print(shown)
