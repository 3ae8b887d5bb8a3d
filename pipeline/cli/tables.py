"""What the verbs print for people: plain tables, every text from the registry made visible first."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.governance.evidence import entry_of
from pipeline.governance.history import one_line_each
from pipeline.governance.text import visible

if TYPE_CHECKING:
    from pipeline.governance.compare import Comparison, Differences, Line
    from pipeline.governance.drift import Difference
    from pipeline.governance.evidence import Evidence
    from pipeline.governance.history import Entry, Moment
    from pipeline.governance.ledger import StoredEvent
    from pipeline.governance.ports import ModelRecord, VersionRow
    from pipeline.governance.request import Outcome
    from pipeline.governance.review import Review
    from pipeline.governance.verify import Problem
    from pipeline.serving.predictions import Explanations, Predictions
    from pipeline.serving.scored import Scored
    from pipeline.training.reproduce import Reproduction

PIPED_WIDTH = 180  # columns, where nobody says how wide the paper is
# What `show` prints of the lineage; `--json` has all of it.
LINEAGE = (
    ("data", "source"),
    ("data", "sha256"),
    ("git", "commit"),
    ("git", "changed"),
    ("environment", "python"),
    ("environment", "lock_sha256"),
    ("environment", "processor", "features"),
    ("environment", "processor", "blas"),
)
Report = Callable[[int, int, str], None]


def when(moment: datetime) -> str:
    """To the minute, in UTC; the heading of the column says so."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def models(records: "Sequence[ModelRecord]") -> None:
    rows = [[each.name, each.versions, each.aliases.get("champion"), each.latest, each.description] for each in records]
    _table(["Model", "Versions", "Champion", "Latest", "Description"], rows, empty="The registry has no models.")


def versions(rows: "Sequence[VersionRow]", metrics: Sequence[str]) -> None:
    names = list(dict.fromkeys(metrics))
    lines = [
        [row.version, row.stage.value, ", ".join(row.aliases), row.status, row.tags.get("model_type")]
        + [_digits(row.metrics.get(name)) for name in names]
        + [when(row.created_at)]
        for row in rows
    ]
    heads = ["Version", "Stage", "Aliases", "Status", "Type", *names, "Created (UTC)"]
    _table(heads, lines, empty="The model has no versions.")


def evidence(found: "Evidence") -> None:
    content = found.content
    facts = ("model", "version", "stage", "aliases", "status", "run_id", "created_at", "source", "description")
    _table(
        ["", ""],
        [[name, content[name]] for name in facts] + [["evidence", found.digest], ["digest", found.file_digest]],
    )
    metrics = [
        [each.name, _digits(each.value), _digits(each.low), _digits(each.high), each.n] for each in found.metrics()
    ]
    _table(["Metric", "Value", "Low", "High", "n"], metrics, empty="No metrics.")
    _table(["Lineage", ""], _lineage(found.document("lineage")), empty="No lineage.")
    files = [[each["path"], each["size"], each["sha256"]] for each in content["files"]]
    _table(["File", "Bytes", "sha256"], files, empty="No files.")
    _table(["Missing", "Why"], [[gap.name, gap.text] for gap in found.gaps], empty="Nothing is missing.")


def _lineage(document: "Mapping[str, Any]") -> list[list[object]]:
    found = {path: entry_of(document, *path[:-1]).get(path[-1]) for path in LINEAGE}
    return [[".".join(path), value] for path, value in found.items() if value not in (None, [])]


def review(found: "Review") -> None:
    rows = [
        [gate.name, _verdict(gate.passed, gate.mode.value), gate.observed, gate.required, gate.why]
        for gate in found.gates
    ]
    _table(["Gate", "Verdict", "Observed", "Required", "Why"], rows)
    if found.recomputation is not None:
        claims = [
            [each.name, each.source, f"{each.claimed:.10f}", f"{each.recomputed:.10f}", "" if each.holds else "DIFFERS"]
            for each in found.recomputation.claims
        ]
        _table(["Claim", "Made by", "Claimed", "Recomputed", ""], claims, empty="No claim could be recomputed.")
    answer = "open" if found.open else "blocked"
    _say(f"{found.move.target}: {answer}")
    _say(f"evidence {found.evidence.digest}")
    _say(f"state {found.state}")


def comparison(found: "Comparison") -> None:
    names = [f"Version {each.version}" for each in (found.a, found.b)]
    if found.warning:
        _say(found.warning.text)
    _lines("Metric", names, found.metrics)
    if found.paired:
        agreed = found.paired.agreement
        _say(
            f"Of {agreed.n:,} rows: both right {agreed.both_right:,}, only version {found.a.version} right "
            f"{agreed.only_a_right:,}, only version {found.b.version} right {agreed.only_b_right:,}; "
            f"predicted differently {agreed.flipped:,}. McNemar's exact test of the accuracy: p = {agreed.p_value:.4g}."
        )
        _lines("Recall of class", names, found.classes)
        _lines("Accuracy in slice", names, found.slices)
    parts = {"Parameter": found.params, "Tag": found.tags, "Schema": found.schema, "Data": found.data}
    for head, differences in {**parts, "Environment": found.environment}.items():
        _different(head, names, differences)


def _lines(head: str, names: Sequence[str], lines: "Sequence[Line]") -> None:
    rows = [
        [
            each.name,
            _digits(each.a),
            _digits(each.b),
            _signed(each.difference),
            each.interval and " to ".join(f"{end:+.4f}" for end in each.interval),
            each.n,
            each.verdict,
        ]
        for each in lines
    ]
    _table([head, *names, "Difference", "Interval", "n", "Verdict"], rows, empty=f"{head}: nothing to compare.")


def _different(head: str, names: Sequence[str], differences: "Differences") -> None:
    rows = [[each.name, _json(each.a), _json(each.b)] for each in differences.different]
    _table([head, *names], rows, empty=f"{head}: no differences, {differences.equal:,} equal.")


def _json(value: object) -> object:
    return value if isinstance(value, str | list | None) else json.dumps(value)


def prediction(found: "Predictions") -> None:
    row = found.rows[0]
    _say(f"{found.model} version {found.version} predicts {row.value}")
    chances = sorted(row.probabilities.items(), key=lambda each: -each[1])
    if chances:
        _table(["Class", "Probability"], [[name, _digits(chance)] for name, chance in chances])
    for warning in (*found.notes, *row.warnings):
        _say(f"Warning: {warning}")
    _say(f"digest {found.digest}")


def explanation(found: "Explanations") -> None:
    document, row, top = found.documents[0], found.rows[0], found.top_class()
    effects = sorted(document["contributions"][top].items(), key=lambda each: -abs(each[1]))
    _say(f"{found.model} version {found.version}, {top}: {_digits(document['output'][top])} ({document['scale']})")
    for sentence in found.sentences():
        _say(sentence)
    _table(["Column", "Value", "Adds"], [[name, row.get(name), _signed(effect)] for name, effect in effects])
    start, error = _digits(document["base_values"][top]), document["sum_error"]
    says = "adds up to within" if found.adds_up else f"DOES NOT ADD UP, {found.tolerance:.0e} is allowed: misses by"
    _say(f"Starts from {start}; {document['method']}; {says} {error:.1g}")
    fallback = f"Sampled, because {found.fallback}." if found.fallback else ""
    for note in filter(None, (fallback, found.background, *found.notes)):
        _say(note)


def scored(found: "Sequence[Scored]") -> None:
    for each in found:
        _say(f"{each.scored:,} of {each.rows:,} rows scored by version {each.version} of {each.model}: {each.output}")
        if each.bad:
            _say(f"{each.bad:,} rows were refused: {each.bad_file}; the first: {each.first_problem}")
        if each.odd:
            _say(f"{each.odd:,} rows have values outside the training data")
        if each.ignored:
            _say(f"Columns that the model does not take: {', '.join(each.ignored)}")
    for note in found[0].notes:
        _say(f"Warning: {note}")


def note(text: str) -> None:
    """On standard error, so that standard output stays what was asked for."""
    sys.stderr.write(f"{visible(text)}\n")


def outcome(found: "Outcome") -> None:
    again = " (decided before, nothing changed now)" if found.replayed else ""
    _say(f"Decision {found.sequence}{again}")
    rows = [[each.slot.label, each.expected, each.to] for each in found.changes]
    _table(["Slot", "From", "To"], rows)


def history(entries: "Sequence[Entry]") -> None:
    rows = [
        [
            each.sequence,
            when(each.at),
            each.type.value,
            each.actor,
            each.version,
            each.slot,
            each.before,
            each.after,
            _words(each),
        ]
        for each in one_line_each(entries)
    ]
    heads = ["No.", "At (UTC)", "Event", "Actor", "Version", "Slot", "From", "To", "Reason"]
    _table(heads, rows, empty="The ledger holds nothing about this model.")


def _words(entry: "Entry") -> str | None:
    return f"{entry.reason} Refused: {entry.why}" if entry.why else entry.reason


def moment(found: "Moment") -> None:
    champion = "no champion" if found.champion is None else f"champion {found.champion}"
    _say(f"{when(found.at)} UTC: {champion}")
    rows = [[version, stage] for version, stage in sorted(found.stages.items())]
    _table(["Version", "Stage"], rows, empty="No version had a stage.")


def problems(found: "Sequence[Problem]") -> None:
    if not found:
        _say("Clean: the ledger is whole, the registry agrees with it, the champions' files are those recorded.")
        return
    _table(["Kind", "Model", "Problem"], [[each.kind, each.model, each.text] for each in found])


def reconciled(events: "Sequence[StoredEvent]", differences: "Sequence[Difference]") -> None:
    rows = [[each.sequence, each.event.type.value, each.event.model] for each in events]
    _table(["No.", "Event", "Model"], rows, empty="Nothing to record.")
    open_rows = [[each.slot.model, each.sentence, when(each.since), when(each.seen)] for each in differences]
    _table(["Model", "Difference", "After (UTC)", "Seen (UTC)"], open_rows, empty="The registry and the ledger agree.")


def registered(found: Sequence[Any], champion: int | None, data: Sequence[str]) -> None:
    for sentence in data:
        _say(sentence)
    rows = [[each.candidate, each.version, "new" if each.new else "was there", each.note] for each in found]
    _table(["Candidate", "Version", "State", "Note"], rows)
    if champion is not None:
        _say(f"Champion: version {champion}")


def reproduction(found: "Reproduction") -> None:
    answer = "identical" if found.identical else "DIFFERS"
    where = f"rebuilt from commit {found.commit[:12]}, {found.rows:,} rows predicted again"
    _say(f"{found.model} version {found.version}: {answer}; {where}, largest difference {found.largest_difference:.4g}")
    for title, differences in (("Differs", found.differences), ("Environment", found.conditions)):
        rows = [[each.part, each.name, _json(each.recorded), _json(each.rebuilt)] for each in differences]
        if rows:
            _table([title, "Name", "Recorded", "Rebuilt"], rows)
    for note in found.notes:
        _say(note)


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
    with Progress(*columns, console=_console()) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=visible(text))


def _report_line(done: int, total: int, text: str) -> None:
    sys.stdout.write(f"[{done}/{total}] {visible(text)}\n")
    sys.stdout.flush()


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "") -> None:
    if not rows:
        _say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(heads))
    for index, head in enumerate(heads):
        numeric = all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    _console().print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return visible(", ".join(str(each) for each in value))
    return "" if value is None else visible(str(value))


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str | None:
    """What rounds to nothing has no sign."""
    return None if value is None else f"{value:+.4f}" if round(value, 4) else f"{0:.4f}"


def _verdict(passed: bool, mode: str) -> str:
    return "passed" if passed else {"prevent": "BLOCKS", "warn": "warns", "allow": "noted"}[mode]


def _say(text: str) -> None:
    _console().print(Text(visible(text)))


def _console() -> Console:
    """Made at each call, so that it writes to where standard output goes now."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
