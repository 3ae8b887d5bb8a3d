"""Evidence: everything a reviewer is shown about a version, as plain data with a digest; and what it claims."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol

from pipeline.governance.metrics import not_a_share
from pipeline.governance.ports import File, Gap, ModelFiles, VersionRecord, VersionRow
from pipeline.governance.record.documents import (
    DOCUMENTS,
    DataReport,
    Evaluation,
    ExplanationSummary,
    FeatureSchema,
    Lineage,
    number,
    parse_data_report,
    parse_evaluation,
    parse_explanation,
    parse_feature_schema,
    parse_lineage,
)
from pipeline.governance.record.ledger import canonical, digest_of, iso

TOLERANCE = 1e-9  # of a claim: sums in another order differ by less, one row more or less by more
OUR_TAG, OUR_VALUE = "produced_by", "signoff"
MIRROR_PREFIX = "signoff."  # tags that repeat a decision: a decision must not make its own evidence stale
VALIDATION_TAG = "validation_status"  # likewise, on versions of our pipeline, which registers it as "pending"
LATENCY_METRIC = "latency_ms_median"
DEEPEST = 40
KEPT = frozenset({"model", "version", "files", "file_digest", "gaps", "metrics", "params", "tags", *DOCUMENTS})


@dataclass(frozen=True)
class Metric:
    """One metric of a version, such as the accuracy or a loss."""

    name: str
    value: float
    # The ends of its interval at the evaluation's confidence; None where nobody gave them.
    low: float | None = None
    high: float | None = None
    # Rows on which it was measured; None where nobody said.
    n: int | None = None
    # On which dataset; empty where nobody said.
    dataset: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything a reviewer is shown about a version."""

    # Finite JSON.
    content: Mapping[str, Any]
    # The canonical form of `content`.
    text: str
    # sha256 of `text`.
    digest: str

    @property
    def model(self) -> str:
        return str(self.content["model"])

    @property
    def version(self) -> int:
        return int(self.content["version"])

    @property
    def file_digest(self) -> str | None:
        """Over the names and bytes of all files; None where the files are gone."""
        digest: str | None = self.content["file_digest"]
        return digest

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return tuple(Gap(each["name"], each["text"]) for each in self.content["gaps"])

    @property
    def ours(self) -> bool:
        """Whether our pipeline registered the version: its own claim, by a tag."""
        return bool(self.content["ours"])

    @cached_property
    def evaluation(self) -> Evaluation:
        return parse_evaluation(self.content["evaluation"])

    @cached_property
    def feature_schema(self) -> FeatureSchema:
        return parse_feature_schema(self.content["feature_schema"])

    @cached_property
    def lineage(self) -> Lineage:
        return parse_lineage(self.content["lineage"])

    @cached_property
    def data_report(self) -> DataReport | None:
        return parse_data_report(self.content["data_report"])

    @cached_property
    def explanation(self) -> ExplanationSummary:
        return parse_explanation(self.content["explanation"])

    def document(self, name: str) -> Mapping[str, Any]:
        """One of DOCUMENTS as it came; empty where there is none or where it is not an object."""
        document = self.content[name]
        return document if isinstance(document, dict) else {}

    def metric(self, name: str) -> Metric | None:
        """From the evaluation file, which the file digest covers; else from the run, which anybody can change."""
        measured = self.evaluation.metrics.get(name)
        if measured is not None and measured.value is not None:
            return Metric(name, measured.value, measured.low, measured.high, self.evaluation.n)
        metrics = self.content["metrics"]
        if (value := number(metrics.get(name))) is None:
            return None
        low, high = number(metrics.get(f"{name}_low")), number(metrics.get(f"{name}_high"))
        return Metric(name, value, low, high, dataset=self.datasets.get(name, ""))

    @property
    def latency_ms(self) -> float | None:
        """Median milliseconds for one row, from the evaluation file, else from the metric of our pipeline."""
        if self.evaluation.latency_ms is not None:
            return self.evaluation.latency_ms
        return number(self.content["metrics"].get(LATENCY_METRIC))

    @property
    def datasets(self) -> Mapping[str, str]:
        """Of the metrics that were logged for a named one."""
        datasets: Mapping[str, str] = self.content.get("datasets", {})
        return datasets

    def metrics(self) -> list[Metric]:
        """Every metric that is known, by name; the bounds of an interval are not metrics of their own."""
        names = {*self.content["metrics"], *self.evaluation.metrics}
        bounds = {f"{name}{end}" for name in names for end in ("_low", "_high")}
        found = (self.metric(name) for name in sorted(names - bounds))
        return [metric for metric in found if metric is not None]

    def subject(self) -> dict[str, Any]:
        """What identifies the version for good: (model, version) alone is given out again after a deletion."""
        keys = ("model", "version", "model_id", "created_at", "run_id", "source", "file_digest")
        return {key: self.content[key] for key in keys}


def assemble(record: VersionRecord, files: ModelFiles | None, gaps: Iterable[Gap] = ()) -> Evidence:
    """`files` None: they are gone, and a gap says why."""
    found = files or ModelFiles(files=())
    documents = {name: found.documents.get(name) for name in DOCUMENTS}
    content, not_finite = finite({**_facts(record), **_files(found, present=files is not None), **documents})
    evaluation = parse_evaluation(documents["evaluation"])
    contradictions, impossible = _contradictions(record.row, evaluation), _impossible(record.row, evaluation)
    all_gaps = [*record.gaps, *gaps, *found.gaps, *not_finite, *contradictions, *impossible]
    content["gaps"] = [asdict(gap) for gap in all_gaps]
    text = canonical(content)
    return Evidence(content, text, digest_of(text))


def read_evidence(text: str) -> Evidence:
    """Evidence as the ledger keeps it, of whichever version of Signoff. Raises ValueError for a text that is none."""
    content = json.loads(text)
    if not isinstance(content, dict) or not content.keys() >= KEPT:
        raise ValueError("the text is no evidence")
    return Evidence(content, text, digest_of(text))


def manifest_digest(files: Iterable[File]) -> str:
    """One sha256 over sorted lines `sha256  path`: to add, rename or change any file changes it."""
    lines = sorted(f"{file.sha256}  {file.path}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _facts(record: VersionRecord) -> dict[str, Any]:
    row = record.row
    ours = row.tags.get(OUR_TAG) == OUR_VALUE
    mirrors = {key for key in row.tags if key.startswith(MIRROR_PREFIX) or (ours and key == VALIDATION_TAG)}
    return {
        "model": row.model,
        "version": row.version,
        "model_id": record.model_id,
        "created_at": iso(row.created_at),
        "registered_by": record.registered_by,
        "run_id": row.run_id,
        "source": record.source,
        "status": row.status,
        "status_message": record.status_message,
        "stage": row.stage.value,
        "aliases": sorted(row.aliases),
        "description": row.description,
        "tags": {key: value for key, value in row.tags.items() if key not in mirrors},
        "params": dict(row.params),
        "metrics": dict(row.metrics),
        "ours": ours,
        # Only where there are any: evidence from before they were read keeps its digest.
        **({"datasets": dict(record.datasets)} if record.datasets else {}),
    }


def _files(files: ModelFiles, *, present: bool) -> dict[str, Any]:
    return {
        "files": [asdict(file) for file in sorted(files.files, key=lambda file: file.path)],
        "file_digest": manifest_digest(files.files) if present and files.files else None,
        "flavors": sorted(files.flavors),
        "signature": files.signature,
        "has_input_example": files.has_input_example,
    }


def _contradictions(row: VersionRow, evaluation: Evaluation) -> list[Gap]:
    """A run's metrics can be written again after registration; the evaluation file cannot without a new digest."""
    gaps = []
    for name, claimed in sorted(row.metrics.items()):
        measured = evaluation.metrics.get(name)
        value = None if measured is None else measured.value
        if value is not None and not math.isclose(value, claimed, rel_tol=1e-9, abs_tol=1e-12):
            text = f"{name}: the run says {claimed:.4f}, the model's evaluation file says {value:.4f}."
            gaps.append(Gap("metrics_differ", text))
    return gaps


def _impossible(row: VersionRow, evaluation: Evaluation) -> list[Gap]:
    """An accuracy in percent, say: it is compared with nothing."""
    measured = [(name, each.value) for name, each in evaluation.metrics.items()]
    figures = [*row.metrics.items(), *measured]
    sentences = {not_a_share(name, value) for name, value in figures if value is not None}
    return [Gap("not_a_share", f"{sentence}.") for sentence in sorted(filter(None, sentences))]


def finite(content: dict[str, Any]) -> tuple[dict[str, Any], list[Gap]]:
    """The content with NaN, infinities and what is nested too deep as null, and a gap for each."""
    gaps: list[Gap] = []
    return {key: _finite(value, (key,), gaps) for key, value in content.items()}, gaps


def _finite(value: object, path: tuple[str, ...], gaps: list[Gap]) -> object:
    if len(path) > DEEPEST:
        gaps.append(Gap("too_deep", f"{path[0]}: is nested more than {DEEPEST} levels deep."))
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner, (*path, str(key)), gaps) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner, (*path, str(index)), gaps) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        gaps.append(Gap("not_finite", f"{'.'.join(path)}: is {value}, not a number that can be shown."))
        return None
    return value


# What the version claims about itself, held against what its own bytes give on the stored evaluation rows.


@dataclass(frozen=True)
class RecomputedMetrics:
    """What the version's own bytes give on its stored evaluation rows."""

    n: int  # rows
    metrics: Mapping[str, float] = field(hash=False)  # by name; a mapping has no hash
    changed_rows: int  # rows whose stored prediction is not what the version predicts
    # Whether its compiled form would answer single rows, and how equal it is, or why not; empty where nobody looked.
    compiled: str = ""


class Recomputer(Protocol):
    """Scores a version's stored evaluation rows under the trust policy, away from this process."""

    def recompute(self, record: VersionRecord, *, file_digest: str) -> RecomputedMetrics:
        """Raises Refused, NotFound, InvalidInput or IntegrityFailure with the reason."""


@dataclass(frozen=True)
class Claim:
    """One metric as it was claimed and as it was measured now."""

    name: str
    # "evaluation" for the file among the version's own; "run" for the metrics that MLflow holds for it, on its logged
    # model or its run, which anybody can write again.
    source: str
    claimed: float
    recomputed: float

    @property
    def claimant(self) -> str:
        """The source in words."""
        return "the evaluation file" if self.source == "evaluation" else "MLflow"

    @property
    def holds(self) -> bool:
        return abs(self.claimed - self.recomputed) <= TOLERANCE

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "source": self.source,
            "claimed": self.claimed,
            "recomputed": self.recomputed,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Recomputation:
    """Every claim that could be measured again."""

    measured: RecomputedMetrics
    claims: tuple[Claim, ...]  # by name

    @property
    def contradicted(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if not claim.holds)

    @property
    def holds(self) -> bool:
        return not self.contradicted and not self.measured.changed_rows

    @property
    def sentence(self) -> str:
        """What does not hold; empty where everything does."""
        wrong = [
            f"{claim.name} is claimed as {claim.claimed:.6g} by {claim.claimant} and is {claim.recomputed:.6g}"
            for claim in self.contradicted
        ]
        if changed := self.measured.changed_rows:
            wrong.append(f"{changed:,} of {self.measured.n:,} stored predictions are not what the version predicts")
        return f"{'; '.join(wrong)}." if wrong else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.measured.n,
            "changed_rows": self.measured.changed_rows,
            "compiled": self.measured.compiled,
            "holds": self.holds,
            "claims": [claim.as_json() for claim in self.claims],
        }


def check_claims(evidence: Evidence, measured: RecomputedMetrics) -> Recomputation:
    """Holds each metric that the version claims against the one measured now."""
    claims: list[Claim] = []
    for name, value in sorted(measured.metrics.items()):
        evaluated = evidence.evaluation.metrics.get(name)
        sources = {
            "evaluation": None if evaluated is None else evaluated.value,
            "run": number(evidence.content["metrics"].get(name)),
        }
        claims += [Claim(name, source, claimed, value) for source, claimed in sources.items() if claimed is not None]
    return Recomputation(measured, tuple(claims))
