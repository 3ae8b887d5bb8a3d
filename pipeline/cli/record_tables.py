"""What was decided, and whether ledger and registry agree, as the verbs print it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.cli.printing import line, table, when
from pipeline.governance.history import UNREADABLE, given_out_again, one_line_each
from pipeline.governance.out_of_band import state_text
from pipeline.governance.verify import pending_sentence

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.governance.history import Entry, Moment
    from pipeline.governance.ledger import StoredEvent
    from pipeline.governance.out_of_band import Difference
    from pipeline.governance.ports import PendingDecision, Upgrade
    from pipeline.governance.request import Outcome
    from pipeline.governance.verify import Problem


def outcome(found: "Outcome") -> None:
    again = " (decided before, nothing changed now)" if found.replayed else ""
    line(f"Decision {found.sequence}{again}")
    rows = [[each.slot.label, each.expected, each.to] for each in found.changes if each.expected != each.to]
    table(["Slot", "From", "To"], rows)
    if found.notice:
        line(f"Decision {found.sequence}: {found.notice}")


def history(entries: "Sequence[Entry]") -> None:
    rows = [
        [
            each.sequence,
            each.at and when(each.at),
            each.type.value,
            each.signature,
            each.version,
            each.slot,
            each.before,
            each.after,
            _words(each),
        ]
        for each in one_line_each(entries)
    ]
    heads = ["No.", "At (UTC)", "Event", "Actor", "Version", "Slot", "From", "To", "Reason"]
    table(heads, rows, empty="The ledger holds nothing about this model.")
    for sentence in given_out_again(entries):
        line(sentence)


def upgraded(done: "Upgrade") -> None:
    if done.before == done.after:
        line(f"The ledger's tables are those of this version: revision {done.after}.")
    else:
        line(f"The ledger's tables were upgraded from revision {done.before} to {done.after}.")


def _words(entry: "Entry") -> str | None:
    if entry.why and entry.type is not UNREADABLE:
        return f"{entry.reason} Refused: {entry.why}"
    return entry.why or entry.reason


def moment(found: "Moment") -> None:
    if not found.known:
        line(f"{when(found.at)} UTC: {found.unknown}")
        return
    registered = f", registered {found.created_at}" if found.created_at else ""
    champion = "no champion" if found.champion is None else f"champion {found.champion}{registered}"
    line(f"{when(found.at)} UTC: {champion}")
    rows = [[version, stage] for version, stage in sorted(found.stages.items())]
    table(["Version", "Stage"], rows, empty="No version had a stage.")


def exported(model: str, file: "Path") -> None:
    line(f"{file}: every event of the ledger, and the evidence that those of {model} quote.")


def verified(found: "Sequence[Problem]", notes: "Sequence[str]") -> None:
    """notes: what is worth knowing and no problem."""
    problems(found)
    for each in notes:
        line(f"Note: {each}.")


def problems(found: "Sequence[Problem]") -> None:
    if not found:
        line("Clean: the ledger is whole, the registry agrees with it, the files in use are those recorded.")
        return
    table(["Kind", "Model", "Problem"], [[each.kind, each.model, each.text] for each in found])


def reconciled(
    events: "Sequence[StoredEvent]",
    found: "Mapping[str, Sequence[Difference]]",
    gone: "Sequence[str]",
    *,
    pending: "Sequence[PendingDecision]",
    changed: "Sequence[Problem]",
) -> None:
    """`found`: what differs, by model. gone: models that only the ledger still knows. pending: what has not ended."""
    rows = [[each.sequence, each.event.type.value, each.event.model] for each in events]
    table(["No.", "Event", "Model"], rows, empty="Nothing to record.")
    differences = [each for held in found.values() for each in held]
    open_rows = [[each.slot.model, each.sentence, when(each.since), when(each.seen)] for each in differences]
    heads = ["Model", "Difference", "After (UTC)", "Seen (UTC)"]
    unknown = any(each.kind == "registry" for each in changed)
    empty = "Nothing is recorded of this registry." if unknown else "Stages and aliases are as recorded."
    table(heads, open_rows, empty=empty)
    for model, held in found.items():
        line(f"State of {model}: {state_text(held)}")
    for each in pending:
        line(f"{each.model}: {pending_sentence(each)}.")
    for model in gone:
        line(f"{model}: the registry does not have this model any more; it was renamed or deleted there.")
    if changed:
        problems(changed)
