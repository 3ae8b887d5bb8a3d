"""The application that the verbs join, their shared options, and how output is written."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.governance.errors import InvalidInput

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


def say(text: str) -> None:
    sys.stdout.write(text)
