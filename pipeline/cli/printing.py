"""How the verbs print for people: plain tables and lines, every text from the registry made visible first."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.governance.text import visible

PIPED_WIDTH = 180  # columns, where nobody says how wide the paper is


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "") -> None:
    if not rows:
        line(empty)
        return
    found = Table(box=None, pad_edge=False, header_style="bold", show_header=any(heads))
    for index, head in enumerate(heads):
        numeric = all(isinstance(row[index], int | float | None) for row in rows)
        found.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        found.add_row(*(Text(_cell(value)) for value in row))
    console().print(found)


def line(text: str) -> None:
    console().print(Text(visible(text)))


def note(text: str) -> None:
    """On standard error, so that standard output stays what was asked for."""
    sys.stderr.write(f"{visible(text)}\n")


def when(moment: datetime) -> str:
    """To the minute, in UTC; the heading of the column says so."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def signed(value: float | None) -> str | None:
    """What rounds to nothing has no sign."""
    return None if value is None else f"{value:+.4f}" if round(value, 4) else f"{0:.4f}"


def json_cell(value: object) -> object:
    return value if isinstance(value, str | list | None) else json.dumps(value)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return visible(", ".join(str(each) for each in value))
    return "" if value is None else visible(str(value))


def console() -> Console:
    """Made at each call, so that it writes to where standard output goes now."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


# How far a verb is, for people and for the dashboard.

Report = Callable[[int, int, str], None]  # (steps done, steps in all, what comes next)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Report]:
    """A bar on a terminal; otherwise one line `[3/12] text` per step, which the dashboard reads."""
    if quiet:
        yield lambda _done, _total, _text: None
        return
    if not sys.stdout.isatty():
        yield _report_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console()) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=visible(text))


def _report_line(done: int, total: int, text: str) -> None:
    sys.stdout.write(f"[{done}/{total}] {visible(text)}\n")
    sys.stdout.flush()
