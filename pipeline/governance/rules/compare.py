"""Two versions side by side, as plain data: what differs, and which is better where both saw the same rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.metrics import Direction, MetricRules, bounds, named, not_a_share, telling
from pipeline.governance.ports import Gap, Json, MetricDifference, Registry, VersionRecord, VersionRow
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.paired import Flips, Paired, PairedComparer
from pipeline.governance.rules.review import Reviewer

DIFFERENT_ROWS, NOT_COMPARED = "different_rows", "not_compared"


@dataclass(frozen=True)
class Pair:
    """One thing of both versions; None where a version does not have it."""

    name: str
    a: Json
    b: Json

    def as_json(self) -> dict[str, Json]:
        return {"name": self.name, "a": self.a, "b": self.b}


@dataclass(frozen=True)
class Differences:
    """What differs, by name, and how many things are equal."""

    different: tuple[Pair, ...]
    equal: int

    @classmethod
    def between(cls, a: Mapping[str, Json], b: Mapping[str, Json]) -> Self:
        pairs = [Pair(name, a.get(name), b.get(name)) for name in sorted({*a, *b})]
        # To Python, True is 1. That 1 and 1.0 of two JSON files are the same number is as wanted.
        different = [each for each in pairs if each.a != each.b or isinstance(each.a, bool) != isinstance(each.b, bool)]
        return cls(tuple(different), len(pairs) - len(different))

    def as_json(self) -> dict[str, Any]:
        return {"different": [each.as_json() for each in self.different], "equal": self.equal}


@dataclass(frozen=True)
class MetricRow:
    """One metric of both versions."""

    name: str
    a: float | None
    b: float | None
    difference: float | None  # b minus a
    # This and what follows: None where the two were not compared on the same rows.
    interval: tuple[float, float] | None = None
    # "better", "worse" or "not distinguishable", of b; None too where nobody knows which end is the better one
    verdict: str | None = None
    n: int | None = None  # rows

    @classmethod
    def compared(cls, found: MetricDifference, name: str) -> Self:
        interval = found.low, found.high
        return cls(name, found.incumbent, found.candidate, found.difference, interval, found.verdict, found.n)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "a": self.a,
            "b": self.b,
            "difference": self.difference,
            "interval": None if self.interval is None else list(self.interval),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """What the Compare page shows of two versions."""

    a: Evidence
    b: Evidence
    metrics: tuple[MetricRow, ...]
    classes: tuple[MetricRow, ...]  # recall of each class; empty where `paired` is None
    slices: tuple[MetricRow, ...]  # accuracy, of numbers the mean absolute error; empty where `paired` is None
    params: Differences
    tags: Differences
    schema: Differences
    data: Differences
    environment: Differences
    paired: Paired | None = None
    # Why the metrics carry no verdict, named `different_rows` or `not_compared`; None where they do.
    warning: Gap | None = None

    def as_json(self) -> dict[str, Any]:
        """`data` also holds the environment and what was measured on the rows."""
        return {
            "metrics": [line.as_json() for line in self.metrics],
            "params": self.params.as_json(),
            "tags": self.tags.as_json(),
            "schema": self.schema.as_json(),
            "data": {**self.data.as_json(), "environment": self.environment.as_json(), "rows": self._rows()},
        }

    def _rows(self) -> dict[str, Any]:
        return {
            "same": self.paired is not None,
            "warning": self.warning and {"name": self.warning.name, "text": self.warning.text},
            "agreement": self.paired and self.paired.agreement and self.paired.agreement.as_json(),
            "classes": [{**line.as_json(), "n": line.n} for line in self.classes],
            "slices": [{**line.as_json(), "n": line.n} for line in self.slices],
        }


@dataclass(frozen=True)
class Comparisons:
    """Reads what two versions of a model have to compare; writes nothing."""

    registry: Registry
    reviewer: Reviewer
    comparer: PairedComparer

    def compare(self, model: str, a: int, b: int) -> Comparison:
        """Raises NotFound for a version that is not there, InvalidInput for one compared with itself."""
        records = self._records(model, a, b)
        first, second = (self.reviewer.evidence(record) for record in records)
        if warning := different_rows(first, second):
            return compared(first, second, warning=warning)
        try:
            return compared(first, second, paired=self.comparer.pair(*self._rows(records)))
        except (NotFound, InvalidInput) as error:
            return compared(first, second, warning=not_compared(error))

    def flips(self, model: str, a: int, b: int) -> Flips:
        """Raises NotFound, or InvalidInput with the reason where the rows are not the same."""
        return self.comparer.flips(*self._rows(self._records(model, a, b)))

    def _records(self, model: str, a: int, b: int) -> list[VersionRecord]:
        if a == b:
            raise InvalidInput(f"compare: version {a} is on both sides; name two versions")
        return [self.registry.version(model, version) for version in (a, b)]

    def _rows(self, records: list[VersionRecord]) -> list[bytes]:
        return [self.registry.read_file(record, EVALUATION_ROWS) for record in records]


def compared(a: Evidence, b: Evidence, *, paired: Paired | None = None, warning: Gap | None = None) -> Comparison:
    """The comparison of two versions from their evidence and, where there is one, the comparison of their rows."""
    on_rows = {each.metric: MetricRow.compared(each, each.metric) for each in paired.metrics} if paired else {}
    own = {name: _side_by_side(a, b, name) for name in sorted({each.name for each in (*a.metrics(), *b.metrics())})}
    return Comparison(
        a,
        b,
        metrics=tuple({**on_rows, **{name: on_rows.get(name, line) for name, line in own.items()}}.values()),
        classes=tuple(MetricRow.compared(each, each.slice) for each in paired.classes) if paired else (),
        slices=tuple(MetricRow.compared(each, each.slice) for each in paired.slices) if paired else (),
        params=Differences.between(a.content["params"], b.content["params"]),
        tags=Differences.between(a.content["tags"], b.content["tags"]),
        schema=Differences.between(dict(_schema(a)), dict(_schema(b))),
        data=Differences.between(dict(_data(a)), dict(_data(b))),
        environment=Differences.between(dict(_environment(a)), dict(_environment(b))),
        paired=paired,
        warning=warning,
    )


def different_rows(a: Evidence, b: Evidence) -> Gap | None:
    """The warning where the fingerprints of the evaluation rows differ; None where they agree or one is missing."""
    first, second = (each.evaluation.rows_fingerprint for each in (a, b))
    if first is None or second is None or first == second:
        return None
    named = f"fingerprints {first[:12]} and {second[:12]}"
    text = f"The two were not evaluated on the same rows ({named}): their metrics carry no verdict."
    return Gap(DIFFERENT_ROWS, text)


def not_compared(error: NotFound | InvalidInput) -> Gap:
    """The warning where the rows of one are gone, cannot be read, or turn out to be others."""
    return Gap(NOT_COMPARED, f"Not comparable on the same rows: {error}")


def _side_by_side(a: Evidence, b: Evidence, name: str) -> MetricRow:
    first, second = (None if metric is None else metric.value for metric in (a.metric(name), b.metric(name)))
    return MetricRow(name, first, second, None if first is None or second is None else second - first)


def _schema(evidence: Evidence) -> Iterator[tuple[str, Json]]:
    """The feature schema and the signature, such as `Age.minimum` and `signature.inputs.Age`."""
    yield from _flat(evidence.feature_schema.columns)
    yield from _flat(evidence.feature_schema.target, "target.")
    signature = evidence.content["signature"]
    for side in ("inputs", "outputs"):
        entries = signature.get(side) if isinstance(signature, Mapping) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            name = entry.get("name", index) if isinstance(entry, Mapping) else index
            kind = entry.get("type", entry) if isinstance(entry, Mapping) else entry
            yield f"signature.{side}.{name}", kind


def _data(evidence: Evidence) -> Iterator[tuple[str, Json]]:
    yield from _flat(evidence.lineage.data)
    yield from _flat(evidence.lineage.split, "split.")
    evaluation = evidence.evaluation
    classes = None if evaluation.classes is None else list(evaluation.classes)
    named = {"rows": evaluation.n, "rows_fingerprint": evaluation.rows_fingerprint, "classes": classes}
    yield from ((f"evaluation.{name}", value) for name, value in named.items() if value is not None)


def _environment(evidence: Evidence) -> Iterator[tuple[str, Json]]:
    yield from _flat(evidence.lineage.environment_facts)
    yield from _flat(evidence.lineage.git, "git.")
    yield "flavors", list(evidence.content["flavors"])


def _flat(document: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Nested objects as dotted names; evidence is never nested deeper than its builder allows."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


# All versions of a model, by their metrics.


@dataclass(frozen=True)
class Best:
    """The best version by a metric."""

    row: VersionRow
    metric: str  # under which name the versions have it
    direction: Direction
    left_out: tuple[int, ...] = ()  # versions whose figure cannot be that metric, such as a share of 62

    @property
    def version(self) -> int:
        return self.row.version


@dataclass(frozen=True)
class MetricColumn:
    """One metric over all versions of a model."""

    name: str
    direction: Direction | None  # None: nobody says which end is better
    best: frozenset[int]  # the versions with the best value; empty where there is nothing to choose from


@dataclass(frozen=True)
class VersionTables:
    """Reads the versions of a model with their metrics, and finds the best one; writes nothing."""

    registry: Registry
    rules: MetricRules

    def versions_with(self, model: str, names: Sequence[str]) -> list[VersionRow]:
        """Newest first, with the metrics of these names. Raises NotFound also for a metric that no version has."""
        rows = self.registry.table(model, names)
        found = {name for row in rows for name in row.metrics}
        if missing := [name for name in names if name not in found]:
            raise self._no_metric(model, missing[0])
        return rows

    def telling_versions(
        self, model: str, preferred: Sequence[str], intervals: Iterable[str] = (), *, last: str = ""
    ) -> tuple[list[str], list[VersionRow]]:
        """The metrics that a table of the versions shows, and the versions with them, newest first: the preferred ones
        where any version has them, else those that the model has. Raises NotFound.

        intervals: the metrics whose ends are read too; of 10,000 versions each takes its time. last: a figure that
        stands behind the others where any version has it, and in place of none of them.
        """
        ends = (bound for name in intervals for bound in bounds(name))
        rows = self.registry.table(model, [*preferred, *ends, *filter(None, [last])])
        if not any(name in row.metrics for row in rows for name in preferred):
            rows = self.registry.table(model, None)
        names = telling([row.metrics.keys() - {last} for row in rows], preferred=preferred)
        return [*names, *([last] if any(last in row.metrics for row in rows) else [])], rows

    def columns(self, rows: Sequence[VersionRow], names: Iterable[str]) -> list[MetricColumn]:
        """Which end of each metric is better, and the versions that are there.

        A figure that cannot be the metric, such as a share of 62, is not the best one.
        """
        return [MetricColumn(name, self.rules.known_direction(name), self._best(rows, name)) for name in names]

    def _best(self, rows: Iterable[VersionRow], name: str) -> frozenset[int]:
        end = self.rules.known_direction(name)
        values = {row.version: row.metrics[name] for row in rows if name in row.metrics}
        possible = {version: value for version, value in values.items() if not not_a_share(name, value)}
        if end is None or len(possible) < 2:  # noqa: PLR2004 (one alone is not better than another)
            return frozenset()
        best = (max if end is Direction.HIGHEST else min)(possible.values())
        return frozenset(version for version, value in possible.items() if value == best)

    def best(self, model: str, metric: str, direction: Direction | None) -> Best:
        """The version at the better end of a metric; of equal ones the newest.

        Where no version has the metric by that name, it is looked for under those accepted for it. Raises InvalidInput
        where nobody says which end is the better one, NotFound where no version has the metric.
        """
        name, rows = self._with_metric(model, metric)
        end = direction or self.rules.direction(name)
        possible = [row for row in rows if not not_a_share(name, row.metrics[name])]
        if not possible:
            raise NotFound(f"metric: no version of {model!r} has a {name!r} between 0 and 1, as a share must be")
        sign = 1 if end is Direction.HIGHEST else -1
        best = max(possible, key=lambda row: (sign * row.metrics[name], row.version))
        left_out = tuple(row.version for row in rows if not_a_share(name, row.metrics[name]))
        return Best(self.registry.version(model, best.version).row, name, end, left_out)

    def _with_metric(self, model: str, metric: str) -> tuple[str, list[VersionRow]]:
        """Under which name any version has the metric, and those that have it. Raises NotFound."""
        rows, names = self.registry.table(model, [metric]), [metric]
        if not any(metric in row.metrics for row in rows):
            rows, names = self.registry.table(model, None), list(self.rules.accepted(metric))
        for name in names:
            if found := [row for row in rows if name in row.metrics]:
                return name, found
        raise self._no_metric(model, metric)

    def _no_metric(self, model: str, metric: str) -> NotFound:
        """The refusal, with every metric that any version has."""
        names = named({name for row in self.registry.table(model, None) for name in row.metrics})
        return NotFound(f"metric: no version of {model!r} has a metric {metric!r}; ask for one of {names}")
