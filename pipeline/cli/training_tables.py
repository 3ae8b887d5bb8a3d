"""What was trained and what was rebuilt, as the verbs print it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.printing import json_cell, line, table

if TYPE_CHECKING:
    from pipeline.reproduce.reproduce import Reproduction


def registered(found: Sequence[Any], champion: int | None, data: Sequence[str]) -> None:
    for sentence in data:
        line(sentence)
    rows = [[each.candidate, each.version, "new" if each.new else "was there", each.note] for each in found]
    table(["Candidate", "Version", "State", "Note"], rows)
    if champion is not None:
        line(f"Champion: version {champion}")


def reproduction(found: "Reproduction") -> None:
    answer = "DIFFERS" if found.differs else found.verdict.value
    where = f"rebuilt from commit {found.commit[:12]}, {found.rows:,} rows predicted again"
    line(f"{found.model} version {found.version}: {answer}; {where}, largest difference {found.largest_difference:.4g}")
    for title, differences in (("Differs", found.differences), ("Environment", found.conditions)):
        rows = [[each.part, each.name, json_cell(each.recorded), json_cell(each.rebuilt)] for each in differences]
        if rows:
            table([title, "Name", "Recorded", "Rebuilt"], rows)
    if found.differences and not found.conditions:
        line("Nothing that was recorded of the environment is another.")
    for note in found.notes:
        line(note)
