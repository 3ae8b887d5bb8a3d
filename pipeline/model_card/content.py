"""What a model card says, as plain data: the evidence of one version, its gates and its decisions so far.

The headings follow M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Nothing is invented: a part that the
registry does not have is listed as missing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from pipeline.governance.lifecycle import Stage, stage_move
from pipeline.governance.metrics import is_share, metric_label
from pipeline.governance.ports import Json, ModelRecord
from pipeline.governance.record.documents import ColumnReport, ConfusionMatrix, DataReport, SliceMetrics
from pipeline.governance.record.evidence import LATENCY_METRIC, Evidence, Metric
from pipeline.governance.record.history import Entry
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.record.telling import change_of, sentence
from pipeline.governance.rules.review import Review
from pipeline.governance.service import GovernanceService
from pipeline.governance.text import called, figure, minus, parse_time, visible
from pipeline.model_card.charts import BarChart, Chart, IntervalChart, MatrixChart

# What training did to the rows before it used them, in sentences, from the document `data_report.json`.

LONGEST = 60
METRIC = "Metric"  # the heading over names of metrics
DROPPED = {
    "missing_target": "without a class",
    "unknown_target": "with an unknown class",
    "duplicates": "exact duplicates",
}


def sentences(report: DataReport | None, labels: Mapping[str, str]) -> list[str]:
    """What a reader is told; empty where there is no report. labels: what people call the columns."""
    if report is None:
        return []
    dropped = ", ".join(f"{count:,} {words}" for name, words in DROPPED.items() if (count := report.dropped.get(name)))
    repaired = [text for column in report.columns for text in _column(column, labels)]
    ignored = ", ".join(_text(name) for name in report.extra_columns)
    return [
        f"{report.rows_read:,} rows read, {report.rows_used:,} used; dropped: {dropped or 'none'}.",
        *(repaired or ["No value was clipped or replaced."]),
        *([f"Columns not used: {ignored}."] if ignored else []),
    ]


def _column(found: ColumnReport, labels: Mapping[str, str]) -> Iterator[str]:
    name, default = visible(called(found.name, labels), most=LONGEST), _text(found.default)
    if found.below_minimum:
        yield f"{name}: {found.below_minimum:,} below {_text(found.minimum)}, clipped to it."
    if found.above_maximum:
        yield f"{name}: {found.above_maximum:,} above {_text(found.maximum)}, clipped to it."
    for value, count in found.unknown.items():
        yield f"{name}: {visible(value, most=LONGEST)!r} is no category, {_text(count)} times replaced by {default}."
    if found.missing:
        yield f"{name}: {found.missing:,} missing, replaced by {default}."


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else visible(str(value), most=LONGEST)


@dataclass(frozen=True)
class Table:
    """A table of a card."""

    heads: tuple[str, ...]
    # Each row has one cell per head; every cell is text for people.
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One heading of a card with what stands below it."""

    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    # The same as the table in a picture; stands before it.
    chart: Chart | None = None
    # One sentence per part that the registry does not have.
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        table = self.table and [dict(zip(self.table.heads, row, strict=True)) for row in self.table.rows]
        return {
            "title": self.title,
            "sentences": list(self.sentences),
            "table": table or [],
            "missing": list(self.missing),
        }

    def in_words(self) -> "Section":
        """With what people call metrics; the JSON, which other programs read, has the registry's names."""
        table, chart = self.table, self.chart
        if table and table.heads[0] == METRIC:
            table = replace(table, rows=tuple((metric_label(row[0]), *row[1:]) for row in table.rows))
        if isinstance(chart, IntervalChart):
            chart = IntervalChart(
                tuple((metric_label(name), value, low, high) for name, value, low, high in chart.rows)
            )
        return replace(self, table=table, chart=chart)


@dataclass(frozen=True)
class Card:
    """One version's card; the text is as it came, one line each, and is escaped where it is rendered."""

    title: str
    sections: tuple[Section, ...]

    @property
    def in_words(self) -> tuple[Section, ...]:
        """The sections as people read them."""
        return tuple(section.in_words() for section in self.sections)

    def as_json(self) -> dict[str, Any]:
        return {"title": self.title, "sections": [section.as_json() for section in self.sections]}


ALWAYS = frozenset({"changes_something", "slot_settled"})  # about the moment, not about the version
SAMPLE = "generated sample data"  # how our pipeline names it
FEW_ROWS = 30  # an accuracy on fewer rows says little
MOST_COLUMNS, MOST_CLASSES, MOST_CHANGES = 20, 12, 5


def describe(service: GovernanceService, model: str, version: int) -> Card:
    """The card of a version as it is now. Raises NotFound."""
    row = service.version(model, version).row
    # The next step that is open to it; one in Production is held against the gates of Production.
    target = Stage.STAGING if row.stage in (Stage.NONE, Stage.ARCHIVED) else Stage.PRODUCTION
    review = service.review(stage_move(model, version, target))
    record = next(each for each in service.models() if each.name == model)
    return card(review, record, service.decisions(model, version), changed=service.differences(model))


def card(
    review: Review, record: ModelRecord, decisions: Sequence[Entry], *, changed: Sequence[OutOfBandChange] = ()
) -> Card:
    """changed: what of the model was changed outside of the desk."""
    evidence = review.evidence
    sections = (
        _version(evidence, changed),
        _intended_use(evidence, record),
        _data(evidence),
        _metrics(evidence),
        _classes(evidence),
        _slices(evidence),
        _explanation(evidence),
        _limits(evidence),
        _gates(review),
        _decisions(decisions),
        _files(evidence),
        _gaps(evidence),
    )
    return Card(f"Model card: {one_line(evidence.model)}, version {evidence.version}", sections)


def evidence_sections(evidence: Evidence) -> tuple[Section, ...]:
    """What evidence says by itself, without the registry, the policy and the decisions of now."""
    makers = (_version, _data, _metrics, _classes, _slices, _explanation, _limits, _files, _gaps)
    return tuple(make(evidence) for make in makers)


def one_line(value: object) -> str:
    """Anything as one line of visible text: None is empty, a float has up to six digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return minus(f"{value:.6g}")
    if isinstance(value, list | tuple):
        return ", ".join(one_line(each) for each in value)
    return visible(" ".join(str(value).split()))


def paragraphs(text: object) -> list[str]:
    """The lines of a text that somebody wrote, whole; none of nothing."""
    return [one_line(line) for line in str(text or "").splitlines() if line.strip()]


def _version(evidence: Evidence, changed: Sequence[OutOfBandChange] = ()) -> Section:
    names = ("stage", "aliases", "status", "registered_by", "run_id", "flavors")
    rows = [(name.replace("_", " "), one_line(evidence.content[name])) for name in names]
    rows.insert(3, ("registered", _moment(evidence.content["created_at"])))
    rows += [("type", one_line(evidence.content["tags"].get("model_type"))), ("evidence", evidence.digest)]
    said = [each.plain for each in sorted(changed, key=lambda each: not each.of_champion)[:MOST_CHANGES]]
    more = [f"And {len(changed) - MOST_CHANGES:,} more changes."] if len(changed) > MOST_CHANGES else []
    return Section("Version", (*said, *more), table_of(("", "Value"), [row for row in rows if row[1]]))


def _moment(text: str) -> str:
    """As History writes it."""
    return f"{parse_time(text):%Y-%m-%d %H:%M:%S} UTC"


def _intended_use(evidence: Evidence, record: ModelRecord) -> Section:
    stated = evidence.content["tags"].get("intended_use") or record.tags.get("intended_use")
    schema = evidence.feature_schema
    texts = (stated, record.description, evidence.content["description"])
    uses = [part for text in texts for part in paragraphs(text)]
    if schema.target:
        named = "" if schema.classes is None else f", one of {one_line(schema.classes)}"
        uses.append(f"Predicts {one_line(schema.target.get('name'))}{named}.")
    missing = () if stated else ("No intended use is written down (tag intended_use of the version or the model).",)
    return Section("Intended use", tuple(text for text in uses if text), missing=missing)


def _data(evidence: Evidence) -> Section:
    lineage = evidence.lineage
    facts = {
        **{f"data {name}": value for name, value in lineage.data.items()},
        **{f"split {name}": value for name, value in lineage.split.items()},
        "evaluation rows": evidence.evaluation.n,
        "evaluation fingerprint": evidence.evaluation.rows_fingerprint,
        "git commit": lineage.commit,
    }
    rows = [(one_line(name).replace("_", " "), _fact(value)) for name, value in facts.items() if value is not None]
    missing = () if lineage.data else ("Which data the version was trained on is not recorded.",)
    return Section(
        "Data",
        tuple(sentences(evidence.data_report, evidence.feature_schema.labels)),
        table_of(("", "Value"), rows),
        missing=missing,
    )


def _fact(value: object) -> str:
    return f"{value:,}" if type(value) is int else one_line(value)


def _metrics(evidence: Evidence) -> Section:
    rows = [(each.name, _value(each), each.low, each.high, each.n) for each in evidence.metrics()]
    baseline = evidence.evaluation.baseline_accuracy
    sentences = (
        () if baseline is None else (f"Always the most frequent class would reach an accuracy of {baseline:.4f}.",)
    )
    missing = () if rows else ("No metrics.",)
    confidence = evidence.evaluation.confidence
    interval = "interval" if confidence is None else f"{confidence:.0%} interval"
    heads = (METRIC, "Value", f"Low ({interval})", "High", "n")
    return Section("Metrics", sentences, _numbers(heads, rows), _intervals(evidence), missing)


def _value(found: Metric) -> float | str:
    """Milliseconds are measured to a tenth at best."""
    return f"{found.value:.1f}" if found.name == LATENCY_METRIC else found.value


def _intervals(evidence: Evidence) -> IntervalChart | None:
    """Of the metrics between 0 and 1 that have one; losses have a scale of their own."""
    rows = tuple(
        (one_line(each.name), each.value, each.low, each.high)
        for each in evidence.metrics()
        if each.low is not None and each.high is not None and is_share(each.name) and 0 <= each.low <= each.high <= 1
    )
    return IntervalChart(rows) if rows else None


def _classes(evidence: Evidence) -> Section:
    rows = [
        (each.name, each.recall, each.recall_low, each.recall_high, each.precision, each.f1, each.n)
        for each in evidence.evaluation.per_class
    ]
    heads = ("Class", "Recall", "Low", "High", "Precision", "F1", "n")
    missing = () if rows else ("No metrics per class.",)
    found = evidence.evaluation.confusion
    chart = MatrixChart(tuple(map(one_line, found.classes)), found.counts) if found and _drawable(found) else None
    return Section("Per class", table=_numbers(heads, rows), chart=chart, missing=missing)


def _drawable(found: ConfusionMatrix) -> bool:
    """Whether a page has room for it."""
    return 0 < len(found.classes) <= MOST_CLASSES and all(count >= 0 for line in found.counts for count in line)


def _slices(evidence: Evidence) -> Section:
    rows = [(_slice(evidence, each), each.accuracy, each.low, each.high, each.n) for each in evidence.evaluation.slices]
    heads = ("Slice", "Accuracy", "Low", "High", "n")
    return Section("Slices", table=_numbers(heads, rows), missing=() if rows else ("No accuracy per slice.",))


def _slice(evidence: Evidence, found: SliceMetrics) -> str:
    return f"{_called(evidence, found.column)} = {one_line(found.value)}"


def _called(evidence: Evidence, column: Json) -> str:
    """What people call a column, its own name behind."""
    return one_line(called(str(column), evidence.feature_schema.labels)) if column is not None else ""


def _explanation(evidence: Evidence) -> Section:
    summary = evidence.explanation
    if not summary.importance:
        return Section("Explanation", missing=("No explanation summary.",))
    measured = f"Mean absolute effect of each column on the {one_line(summary.scale)}; {one_line(summary.method)}"
    sentences = [f"{measured}, {one_line(summary.n) or 'an unknown number of'} rows."]
    if summary.adds_up is not None:
        sums = "account for" if summary.adds_up else "do not account for"
        allowed = f"off by {summary.sum_error:.1e}, allowed {summary.tolerance:.0e}"
        sentences.append(f"The effects {sums} the whole of each prediction: {allowed}.")
    rows = [(_called(evidence, column), amount) for column, amount in summary.importance[:MOST_COLUMNS]]
    bars = tuple((name, abs(amount)) for name, amount in rows if amount is not None)
    chart = BarChart(bars, one_line(summary.scale)) if bars else None
    return Section("Explanation", tuple(sentences), _numbers(("Column", "Mean effect"), rows), chart)


def _limits(evidence: Evidence) -> Section:
    stated = evidence.content["tags"].get("limitations")
    limits = paragraphs(stated)
    if evidence.lineage.data.get("source") == SAMPLE:
        limits.append("Trained and evaluated on generated sample data.")
    if few := [each for each in evidence.evaluation.slices if (each.n or 0) < FEW_ROWS]:
        named = ", ".join(_slice(evidence, each) for each in few)
        limits.append(f"Fewer than {FEW_ROWS} evaluation rows, too few to judge: {named}.")
    if recalls := [(each.recall, each) for each in evidence.evaluation.per_class if each.recall is not None]:
        lowest, worst = min(recalls, key=lambda pair: pair[0])
        limits.append(f"Lowest recall: {one_line(worst.name)}, {lowest:.4f} (n = {one_line(worst.n)}).")
    if evidence.explanation.sampled:
        limits.append("The explanations are sampled, not exact.")
    missing = () if stated else ("No limits are written down (tag limitations of the version).",)
    return Section("Limits", tuple(limits), missing=missing)


def _gates(review: Review) -> Section:
    rows = [
        (
            gate.label,
            "passed" if gate.passed else gate.mode.value,
            one_line(gate.observed),
            gate.required,
            one_line(gate.why),
        )
        for gate in review.gates
        if gate.name not in ALWAYS
    ]
    heads = ("Gate", "Result", "Observed", "Required", "Why")
    about = f"For {review.move.target}, under the policy of now, but for those about the moment of a decision."
    return Section("Gates", (about,), table_of(heads, rows))


def _decisions(entries: Sequence[Entry]) -> Section:
    rows = [
        (
            str(each.number),
            f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if each.at else "",
            sentence(each),
            one_line(each.signature),
            change_of(each),
            one_line(each.reason),
        )
        for each in entries
    ]
    heads = ("No.", "At (UTC)", "What", "Actor", "Change", "Reason")
    missing = () if rows else ("Nothing was decided about this version.",)
    return Section("Decisions so far", table=table_of(heads, rows), missing=missing)


def _files(evidence: Evidence) -> Section:
    rows = [(one_line(each["path"]), f"{each['size']:,}", each["sha256"]) for each in evidence.content["files"]]
    sentences = (f"Fingerprint of all files (sha256): {evidence.file_digest}",) if evidence.file_digest else ()
    missing = () if rows else ("The files cannot be read.",)
    return Section("Files", sentences, table_of(("File", "Bytes", "sha256"), rows), missing=missing)


def _gaps(evidence: Evidence) -> Section:
    gaps = tuple(f"{gap.name}: {one_line(gap.text)}" for gap in evidence.gaps)
    nothing = () if gaps else ("The registry has everything that it was asked for.",)
    return Section("Missing in the registry", nothing, missing=gaps)


def table_of(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table | None:
    """None without rows."""
    kept = tuple(rows)
    return Table(heads, kept) if kept else None


def _numbers(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Table | None:
    """Fractions with four digits; everything else as `one_line` writes it."""
    return table_of(
        heads, [tuple(figure(cell) if isinstance(cell, float) else one_line(cell) for cell in row) for row in rows]
    )
