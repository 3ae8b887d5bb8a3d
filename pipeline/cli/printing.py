"""How the verbs print for people: plain tables and lines, every text from the registry made visible first."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
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
