"""The application that the verbs join, their shared options, and how output is written."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.governance import text as figures
from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible

app = typer.Typer(
    name="signoff",
    help="A review desk for an MLflow Model Registry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Model = Annotated[str, typer.Argument(help="Name of the registered model.", show_default=False)]
Version = Annotated[int, typer.Argument(help="Version number.", min=1, show_default=False)]
Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="MODEL (its champion), MODEL@ALIAS or MODEL/VERSION.", show_default=False)
]
RowText = Annotated[str, typer.Option("--row", help="A JSON object such as '{\"Age\": 24}'.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, in 10 to 2,000 characters; kept in the ledger.", show_default=False)]
Evidence = Annotated[str | None, typer.Option(help="Refuse unless the evidence still has this digest (see review).")]
Expect = Annotated[str | None, typer.Option(help="Refuse unless the state is still this one (see review).")]
AcceptWarnings = Annotated[bool, typer.Option("--accept-warnings", help="Go on in spite of warnings.")]
Recompute = Annotated[bool, typer.Option("--recompute", help="Score the evaluation rows again: seconds.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key again is the same decision.")]


def print_out(as_json: bool, content: Any, draw: Callable[[], None]) -> None:  # noqa: ANN401 (whatever is JSON)
    if as_json:
        say(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
    else:
        draw()


def write(path: Path, pieces: Iterable[str]) -> None:
    """Put a text into a file. Raises InvalidInput where it cannot be written."""
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror})") from error


def copy(source: IO[bytes], path: Path) -> tuple[int, str]:
    """Put bytes into a file; gives their number and their sha256. Raises InvalidInput where it cannot be written."""
    size, digest = 0, hashlib.sha256()
    try:
        with path.open("wb") as file:
            while piece := source.read(1 << 20):
                size += file.write(piece)
                digest.update(piece)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror})") from error
    return size, digest.hexdigest()


def say(text: str) -> None:
    sys.stdout.write(text)


# How the verbs print for people: plain tables and lines, every text from the registry made visible first.

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


def to_the_second(moment: datetime) -> str:
    """As `when`, for events, of which several may be in one minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def digits(value: float | None) -> str | None:
    return None if value is None else figures.figure(value)


def signed(value: float | None) -> str | None:
    return None if value is None else figures.signed(value)


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
