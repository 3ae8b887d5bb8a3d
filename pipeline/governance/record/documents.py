"""The documents under `signoff/` of a version, each parsed once into frozen values.

They come with a version, so a stranger may have written them: whatever is missing or of another shape is None or left
out, never an error. Digests are taken of the raw documents, not of these values.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.governance.ports import Json
from pipeline.governance.text import column_label

FOLDER = "signoff/"  # inside the model's folder
DOCUMENTS = ("evaluation", "feature_schema", "lineage", "data_report", "explanation")
EVALUATION_ROWS = f"{FOLDER}evaluation_rows.parquet"
BACKGROUND = f"{FOLDER}background.parquet"
EXPLANATION_VALUES = f"{FOLDER}explanation.npz"


def document_path(name: str) -> str:
    """Where a document lies inside the model's folder."""
    return f"{FOLDER}{name}.json"


@dataclass(frozen=True)
class MeasuredMetric:
    """One metric of the evaluation, on the held-out rows."""

    # None where the document names the metric without a number.
    value: float | None
    # The ends of its interval, at the evaluation's confidence.
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassMetrics:
    """What the evaluation says about one class."""

    # The class, as the document has it.
    name: Json
    # Rows whose true class it is.
    n: int | None
    precision: float | None
    recall: float | None
    # The ends of the interval of the recall.
    recall_low: float | None
    recall_high: float | None
    f1: float | None


@dataclass(frozen=True)
class SliceMetrics:
    """The accuracy on the rows that have one value in a column."""

    # The column and the value or band of values, as the document has them.
    column: Json
    value: Json
    n: int | None
    accuracy: float | None
    # The ends of the interval of the accuracy.
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts over `classes`, by [true][predicted]."""

    classes: tuple[Json, ...]
    counts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Evaluation:
    """`evaluation.json`: what the version did on rows that it had not seen."""

    # Held-out rows.
    n: int | None
    # Of each interval, such as 0.95.
    confidence: float | None
    # By name.
    metrics: Mapping[str, MeasuredMetric]
    per_class: tuple[ClassMetrics, ...]
    slices: tuple[SliceMetrics, ...]
    confusion: ConfusionMatrix | None
    # The classes in the evaluation's order.
    classes: tuple[Json, ...] | None
    # The accuracy of always answering the most frequent class.
    baseline_accuracy: float | None
    # Mean and standard deviation of the accuracy over the folds of the training rows.
    folds_mean: float | None
    folds_deviation: float | None
    # Equal for two versions that were evaluated on the same rows.
    rows_fingerprint: str | None
    # Median milliseconds for one row alone, on one thread of the machine that trained the version.
    latency_ms: float | None


@dataclass(frozen=True)
class TrainingEnvironment:
    """Where the version was trained, as its lineage says; each value as the document has it."""

    python: Json
    platform: Json
    # sha256 of the pinned requirements.
    lock_sha256: Json
    # What the processor can do, and what the numerical library was built for.
    processor_features: tuple[Json, ...] | None
    blas: Json
    # Of numerical libraries and of packages, the version by name.
    libraries: Mapping[str, Json]
    packages: Mapping[str, Json]
    # The settings that limit threads, by name.
    threads: Mapping[str, Json]


@dataclass(frozen=True)
class Lineage:
    """`lineage.json`: from which data, code and environment the version came."""

    # Facts about the training data and about its split, by name.
    data: Mapping[str, Json]
    split: Mapping[str, Json]
    # Facts about the commit, by name.
    git: Mapping[str, Json]
    environment: TrainingEnvironment
    # Everything that the document says of the environment.
    environment_facts: Mapping[str, Json]
    trained_at: Json

    @property
    def commit(self) -> Json:
        return self.git.get("commit")

    @property
    def dirty(self) -> bool:
        """Whether files differed from the commit."""
        return bool(self.git.get("dirty"))

    @property
    def changed(self) -> tuple[Json, ...] | None:
        """The files that differed from the commit; None where that was not recorded."""
        return _items(self.git.get("changed"))


@dataclass(frozen=True)
class DescribedColumn:
    """What the feature schema says of one input column; unit and description are empty where it says nothing."""

    # "number" or "category", or whatever else a stranger wrote.
    type: Json
    unit: str
    description: str
    # What a form starts with.
    default: Json
    # The accepted categories in the order of a form, and the number of training rows of each.
    categories: tuple[Json, ...]
    counts: Mapping[str, Json]
    # The least and the greatest accepted value of a number, then those of the training rows.
    minimum: float | None
    maximum: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class FeatureSchema:
    """`feature_schema.json`: what the input columns and the target hold; `validation.schema` makes rules of it."""

    # What the document says of each column, by name: as it came, and parsed where the entry is an object.
    columns: Mapping[str, Json]
    described: Mapping[str, DescribedColumn]
    # What it says of the target, by name of the fact, and the classes that the target can have.
    target: Mapping[str, Json]
    classes: tuple[Json, ...] | None
    # The unit of each column that has one, and what people call it, see text.column_label.
    units: Mapping[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class ExplanationSummary:
    """`explanation.json`: how the version uses its columns as a whole."""

    method: Json
    # What the contributions are measured in: "probability", "log-odds" or "value".
    scale: Json
    # Whether they were sampled; otherwise they are exact.
    sampled: bool
    # Explained rows.
    n: int | None
    # The largest difference between base value plus contributions and the model's own output.
    sum_error: float | None
    # The largest such difference that may be rounding.
    tolerance: float | None
    # Per column its mean absolute contribution over all classes, the largest first; None where there is no number.
    importance: tuple[tuple[Json, float | None], ...]
    # Per class and column the mean absolute contribution; empty where the classes have other columns than each other.
    mean_abs: Mapping[str, Mapping[str, float]]
    # Positions of the explained rows among the evaluation rows.
    rows: tuple[int, ...]

    @property
    def adds_up(self) -> bool | None:
        """None where the document does not say."""
        return None if self.sum_error is None or self.tolerance is None else self.sum_error <= self.tolerance


@dataclass(frozen=True)
class ColumnReport:
    """What training changed in one column."""

    name: str
    # Values below the minimum and above the maximum, which were set to it.
    below_minimum: int
    minimum: Json
    above_maximum: int
    maximum: Json
    # How often each unknown category was replaced by the default.
    unknown: Mapping[str, Json]
    # Missing values that were replaced by the default.
    missing: int
    default: Json


@dataclass(frozen=True)
class DataReport:
    """`data_report.json`: what training did to the rows before it used them."""

    rows_read: int
    rows_used: int
    # How many rows were dropped, by reason.
    dropped: Mapping[str, int]
    columns: tuple[ColumnReport, ...]
    # Columns of the file that were not used.
    extra_columns: tuple[Json, ...]


def parse_evaluation(document: Json) -> Evaluation:
    found = _object(document)
    folds = _object(found.get("cross_validation"))
    fingerprint = found.get("rows_fingerprint")
    return Evaluation(
        n=_count(found.get("n")),
        confidence=number(found.get("confidence")),
        metrics={
            name: MeasuredMetric(*(number(_object(entry).get(key)) for key in ("value", "low", "high")))
            for name, entry in _object(found.get("metrics")).items()
        },
        per_class=tuple(
            ClassMetrics(
                each.get("class"),
                _count(each.get("n")),
                *(number(each.get(name)) for name in ("precision", "recall", "recall_low", "recall_high", "f1")),
            )
            for each in _objects(found.get("per_class"))
        ),
        slices=tuple(
            SliceMetrics(
                each.get("column"),
                each.get("value"),
                _count(each.get("n")),
                *(number(each.get(name)) for name in ("accuracy", "low", "high")),
            )
            for each in _objects(found.get("slices"))
        ),
        confusion=_confusion(_object(found.get("confusion"))),
        classes=_items(found.get("classes")),
        baseline_accuracy=number(_object(found.get("baseline")).get("accuracy")),
        folds_mean=number(folds.get("mean")),
        folds_deviation=number(folds.get("std")),
        rows_fingerprint=None if fingerprint is None else str(fingerprint),
        latency_ms=number(_object(found.get("latency_ms")).get("median")),
    )


def _confusion(found: Mapping[str, Json]) -> ConfusionMatrix | None:
    """None where the document holds no square matrix of numbers."""
    classes, lines = _items(found.get("classes")), _items(found.get("matrix"))
    if classes is None or lines is None or len(lines) != len(classes):
        return None
    counts = tuple(tuple(n for each in _items(line) or () if (n := number(each)) is not None) for line in lines)
    return ConfusionMatrix(classes, counts) if all(len(line) == len(classes) for line in counts) else None


def parse_lineage(document: Json) -> Lineage:
    found = _object(document)
    environment = _object(found.get("environment"))
    return Lineage(
        data=_object(found.get("data")),
        split=_object(found.get("split")),
        git=_object(found.get("git")),
        environment=TrainingEnvironment(
            python=environment.get("python"),
            platform=environment.get("platform"),
            lock_sha256=environment.get("lock_sha256"),
            processor_features=_items(entry_of(environment, "processor").get("features")),
            blas=entry_of(environment, "processor").get("blas"),
            libraries=_object(environment.get("libraries")),
            packages=_object(environment.get("packages")),
            threads=_object(environment.get("threads")),
        ),
        environment_facts=environment,
        trained_at=found.get("trained_at"),
    )


def parse_feature_schema(document: Json) -> FeatureSchema:
    found = _object(document)
    columns, target = _object(found.get("columns")), _object(found.get("target"))
    described = {name: _column(entry) for name, entry in columns.items() if isinstance(entry, Mapping)}
    return FeatureSchema(
        columns=columns,
        described=described,
        target=target,
        classes=_items(target.get("classes")),
        labels={name: label for name, column in described.items() if (label := column_label(name, column.description))},
        units={name: column.unit for name, column in described.items() if column.unit},
    )


def _column(entry: Mapping[str, Json]) -> DescribedColumn:
    training = _object(entry.get("training"))
    unit, description = (text if isinstance(text := entry.get(name), str) else "" for name in ("unit", "description"))
    ends = (number(each.get(end)) for each in (entry, training) for end in ("minimum", "maximum"))
    categories, counts = _items(entry.get("categories")) or (), _object(training.get("counts"))
    return DescribedColumn(entry.get("type"), unit, description, entry.get("default"), categories, counts, *ends)


def parse_explanation(document: Json) -> ExplanationSummary:
    found = _object(document)
    return ExplanationSummary(
        method=found.get("method"),
        scale=found.get("scale"),
        sampled=found.get("sampled") is True,
        n=_count(found.get("n")),
        sum_error=number(found.get("sum_error")),
        tolerance=number(found.get("tolerance")),
        importance=tuple(
            (each.get("column"), number(each.get("mean_abs"))) for each in _objects(found.get("importance"))
        ),
        mean_abs=_mean_abs(_object(found.get("mean_abs"))),
        rows=tuple(each for each in _items(found.get("rows")) or () if type(each) is int),
    )


def _mean_abs(document: Mapping[str, Json]) -> dict[str, dict[str, float]]:
    classes = {name: entry for name, entry in document.items() if isinstance(entry, Mapping)}
    found = {
        name: {column: abs(value) for column, entry in columns.items() if (value := number(entry)) is not None}
        for name, columns in classes.items()
    }
    alike = len({frozenset(columns) for columns in found.values()}) == 1
    return found if alike and all(found.values()) else {}


def parse_data_report(document: Json) -> DataReport | None:
    """None where the document does not say how many rows were read and used."""
    found = _object(document)
    rows_read, rows_used = _count(found.get("rows_read")), _count(found.get("rows_used"))
    if rows_read is None or rows_used is None:
        return None
    dropped = {name: _count(count) or 0 for name, count in _object(found.get("dropped")).items()}
    columns = {name: _object(column) for name, column in _object(found.get("columns")).items()}
    return DataReport(
        rows_read=rows_read,
        rows_used=rows_used,
        dropped=dropped,
        columns=tuple(
            ColumnReport(
                name=name,
                below_minimum=_count(column.get("below_minimum")) or 0,
                minimum=column.get("minimum"),
                above_maximum=_count(column.get("above_maximum")) or 0,
                maximum=column.get("maximum"),
                unknown=_object(column.get("unknown")),
                missing=_count(column.get("missing")) or 0,
                default=column.get("default"),
            )
            for name, column in columns.items()
        ),
        extra_columns=_items(found.get("extra_columns")) or (),
    )


def entry_of(document: Mapping[str, Json], *path: str) -> Mapping[str, Json]:
    """The object at a path of keys; empty where any step is not an object."""
    for key in path:
        document = _object(document.get(key))
    return document


def number(value: object) -> float | None:
    """A finite number, or None for anything else; a boolean is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON has whole numbers of any length
        return None


def _count(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _object(value: object) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> tuple[Json, ...] | None:
    return tuple(value) if isinstance(value, list | tuple) else None


def _objects(value: object) -> Iterator[Mapping[str, Json]]:
    """The entries of a list that are objects."""
    return (each for each in _items(value) or () if isinstance(each, Mapping))
