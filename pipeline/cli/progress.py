"""How far a verb is, for people and for the dashboard."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli.printing import console
from pipeline.governance.text import visible

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
