"""The command line: one function per verb, each asks the service and prints; `--json` prints what other tools read."""

import sys
from collections.abc import Sequence

# The verbs of a module join the application when it is imported.
from pipeline.cli import checking, deciding, keys, monitoring, reading, record, requesting, scoring, tokens, training
from pipeline.cli.app import app
from pipeline.cli.watching import findings
from pipeline.governance.errors import SignoffError
from pipeline.validation.rows import InvalidRows

__all__ = [
    "app",
    "checking",
    "deciding",
    "findings",
    "keys",
    "monitoring",
    "reading",
    "record",
    "requesting",
    "run",
    "scoring",
    "tokens",
    "training",
]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and give its exit code; a SignoffError is one sentence on standard error, or one per problem."""
    try:
        app(arguments, prog_name="signoff")
    except SignoffError as error:
        for sentence in error.sentences if isinstance(error, InvalidRows) else [str(error)]:
            sys.stderr.write(f"{type(error).__name__}: {sentence}\n")
        for more in getattr(error, "__notes__", ()):
            sys.stderr.write(f"{more}\n")
        return error.exit_code
    except SystemExit as end:  # Typer leaves this way after each verb
        return end.code if isinstance(end.code, int) else 0
    return 0
