"""The gates: each looks at the facts of one move and says what it observed, what is required, and why it failed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.governance.lifecycle import CHAMPION, ModelState, Move, MoveKind, Stage
from pipeline.governance.metrics import DEFAULT_RULES, MetricRules, is_training_set, metric_in_text, named, not_a_share
from pipeline.governance.policy import GateRule, Mode
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import TOLERANCE, Evidence, Metric, Recomputation
from pipeline.governance.record.findings import Finding
from pipeline.governance.rules.gate_words import description_of, label_of, worse_by, worst_slices
from pipeline.governance.text import figure, minus, signed


@dataclass(frozen=True)
class Missing:
    """Takes the place of a fact that could not be found."""

    why: str  # one sentence
    tried: bool = True  # False where the trust policy, or a missing example, leaves the fact unknown


@dataclass(frozen=True)
class Facts:
    """What a gate may look at."""

    move: Move
    evidence: Evidence
    state: ModelState
    # The champion's evidence; None where there is no champion, or where it is the version itself.
    incumbent: Evidence | None = None
    # Candidate minus incumbent on the same rows; empty where there is no incumbent or no gate compares.
    differences: Sequence[MetricDifference] | Missing = ()
    # Of the files with which the version to return to was last champion.
    recorded_digest: str | None = None
    # What the version predicts for its own input example, in words.
    smoke: str | Missing = Missing("It was not tried.", tried=False)
    # None where nobody asked for it.
    recomputation: Recomputation | Missing | None = None
    # High ones about versions of the model that nobody has closed.
    findings: Sequence[Finding] = ()
    # How metrics are found and judged.
    metrics: MetricRules = DEFAULT_RULES


@dataclass(frozen=True)
class Observation:
    """What a gate saw."""

    observed: Any
    required: str
    passed: bool
    why: str = ""  # one sentence, shown where the gate is not passed
    present: bool = True  # whether there was anything to look at


@dataclass(frozen=True)
class GateResult:
    """A finding under its name, in the mode that the policy gives it for this version."""

    name: str
    observed: Any
    required: str
    passed: bool
    mode: Mode
    why: str

    @property
    def label(self) -> str:
        return label_of(self.name)

    @property
    def description(self) -> str:
        return description_of(self.name)

    @property
    def sentence(self) -> str:
        """Why it did not pass, after its label."""
        return f"{self.label}: {self.why}"

    @property
    def blocks(self) -> bool:
        return not self.passed and self.mode is Mode.PREVENT

    @property
    def warns(self) -> bool:
        return not self.passed and self.mode is Mode.WARN

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "observed": self.observed,
            "required": self.required,
            "passed": self.passed,
            "mode": self.mode.value,
            "why": self.why,
        }


class JudgedGates:
    """How gates stand: what blocks, what warns, and whether the move is open. Mixed in by what has `gates`."""

    gates: tuple[GateResult, ...]

    @property
    def blocked_by(self) -> list[GateResult]:
        return [gate for gate in self.gates if gate.blocks]

    @property
    def warnings(self) -> list[GateResult]:
        return [gate for gate in self.gates if gate.warns]

    @property
    def open(self) -> bool:
        """Warnings leave a move open: they ask for an acceptance."""
        return not self.blocked_by


Gate = Callable[[Facts, GateRule], Observation]
BASELINE = "baseline_accuracy"
MOST_FINDINGS = 3  # named in a sentence


def version_ready(facts: Facts, _: GateRule) -> Observation:
    """MLflow's status of the version; READY alone proves nothing about the files."""
    status = facts.evidence.content["status"]
    return Observation(status, "READY", status == "READY", f"The registry says {status}, not READY.")


def files_present(facts: Facts, _: GateRule) -> Observation:
    """The model's files are there and their digest was taken."""
    count = len(facts.evidence.content["files"])
    why = "The model's files cannot be read, so a decision cannot be bound to them."
    return Observation(f"{count} files", "files that can be read", facts.evidence.file_digest is not None, why)


def signature(facts: Facts, _: GateRule) -> Observation:
    """MLmodel says what goes in and comes out."""
    present = facts.evidence.content["signature"] is not None
    return _there(present, "signature", "The version has no signature.")


def feature_schema(facts: Facts, _: GateRule) -> Observation:
    """The version carries units, ranges and categories of its input columns."""
    present = bool(facts.evidence.feature_schema.columns)
    return _there(present, "feature schema", "The version has no feature schema.")


def accuracy(facts: Facts, rule: GateRule) -> Observation:
    """The accuracy on the held-out rows is at least the minimum; the lower bound of its interval is shown."""
    minimum = rule.minimum or 0.0
    required, metric = f"at least {figure(minimum)}", _metric(facts, "accuracy", what="accuracy")
    if isinstance(metric, Observation):
        return replace(metric, required=required)
    bound = "" if metric.low is None else f" (lower bound {figure(metric.low)})"
    why = f"The accuracy {figure(metric.value)} is below {figure(minimum)}."
    return Observation(f"{_figure(metric, 'accuracy')}{bound}", required, metric.value >= minimum, why)


def error(facts: Facts, rule: GateRule) -> Observation:
    """The error on the held-out rows is at most the maximum; the upper bound of its interval is shown."""
    name, maximum = rule.metric or "rmse", rule.maximum or 0.0
    required, metric = f"{metric_in_text(name)} at most {figure(maximum)}", _metric(facts, name, what="error")
    if isinstance(metric, Observation):
        return replace(metric, required=required)
    observed = _figure(metric, name) + ("" if metric.high is None else f" (upper bound {figure(metric.high)})")
    if metric.value < 0:
        negative = f"{metric.name} is {minus(f'{metric.value:g}')}, below 0: it is no error."
        return Observation(observed, required, passed=False, why=negative)
    why = f"The error {figure(metric.value)} is above {figure(maximum)}."
    return Observation(observed, required, metric.value <= maximum, why)


def better_than_baseline(facts: Facts, _: GateRule) -> Observation:
    """The accuracy is above that of always answering the most frequent class."""
    required = "above the majority baseline"
    metric, baseline = _metric(facts, "accuracy", what="accuracy"), _baseline(facts)
    if isinstance(metric, Observation):
        return replace(metric, required=required)
    if isinstance(baseline, Observation):
        return replace(baseline, required=required)
    why = f"The accuracy {figure(metric.value)} is not above the majority baseline's {figure(baseline.value)}."
    passed = metric.value > baseline.value
    return Observation(_figure(metric, "accuracy"), f"above {figure(baseline.value)}", passed, why)


def stage_is_staging(facts: Facts, _: GateRule) -> Observation:
    """The version was reviewed in Staging; one that is in Production already only gets the alias.

    The champion only gets the stage: it serves already, and a registry that uses aliases alone has no other way.
    """
    stage, serves = facts.evidence.content["stage"], facts.state.champion == facts.move.version
    passed = serves or stage in (Stage.STAGING, Stage.PRODUCTION)
    observed = f"{stage}, serves as champion" if serves else stage
    why = f"The version is in {'no stage' if stage == Stage.NONE else stage}; move it to Staging first."
    return Observation(observed, Stage.STAGING.value, passed, why)


def not_champion(facts: Facts, _: GateRule) -> Observation:
    """A champion leaves only by naming its successor or by a rollback."""
    if facts.move.kind is MoveKind.UNALIAS:
        serves = facts.move.alias == CHAMPION
    else:
        serves = facts.state.champion == facts.move.version
    way = "promote a successor or roll back first"
    if facts.move.kind is not MoveKind.UNALIAS and facts.evidence.content["stage"] != Stage.PRODUCTION:
        way = "promote it to Production as it is, or a successor"
    why = f"It serves as champion: {way}."
    return Observation("champion" if serves else "not champion", "not champion", not serves, why)


def not_worse_than_incumbent(facts: Facts, rule: GateRule) -> Observation:
    """On the same rows the metric is not distinguishably worse than the champion's."""
    metric = rule.metric or "f1_macro"
    required = f"{metric_in_text(metric)} not distinguishably worse than the champion's"
    if facts.incumbent is None:
        return Observation("no other champion", required, passed=True)
    overall = [each for each in _compared(facts) if not each.slice]
    found = next((each for each in overall if facts.metrics.same(each.metric, metric)), None)
    if found is None:
        there = f"{metric} was not compared; compared were {named(each.metric for each in overall)}."
        why = facts.differences.why if isinstance(facts.differences, Missing) else there
        why = f"{why}{_claims(facts, metric)}"
        return Observation(None, required, passed=False, why=why, present=False)
    observed = f"{signed(found.difference)} ({signed(found.low)} to {signed(found.high)}, n = {found.n:,})"
    if found.verdict is None:
        why = f"Whether more or less {metric_in_text(metric)} is better is not known."
        return Observation(observed, required, passed=False, why=why, present=False)
    return Observation(observed, required, found.verdict != "worse", worse_by(metric, found))


def no_slice_worse(facts: Facts, rule: GateRule) -> Observation:
    """No slice with enough rows is distinguishably worse than the champion on the same rows."""
    metric, fewest, labels = rule.metric or "accuracy", rule.minimum_rows or 30, facts.evidence.feature_schema.labels
    required = f"no slice with n ≥ {fewest} distinguishably worse in {metric_in_text(metric)}"
    if facts.incumbent is None:
        return Observation("no other champion", required, passed=True)
    sliced = [each for each in _compared(facts) if each.slice]
    inside = [each for each in sliced if facts.metrics.same(each.metric, metric)]
    if isinstance(facts.differences, Missing):
        return Observation(None, required, passed=False, why=facts.differences.why, present=False)
    if sliced and not inside:
        why = f"Slices are compared in {named({each.metric for each in sliced})}, not in {metric}."
        return Observation(None, required, passed=False, why=why, present=False)
    slices = [each for each in inside if each.n >= fewest]
    worse = sorted((each for each in slices if each.verdict == "worse"), key=lambda each: -abs(each.difference))
    why = f"Worse in {worst_slices(worse, labels)}."
    return Observation(f"{len(worse)} of {len(slices)} slices worse", required, not worse, why)


def explanation_adds_up(facts: Facts, _: GateRule) -> Observation:
    """Contributions and base value sum to the model's own output, within the tolerance of the method."""
    error, tolerance = facts.evidence.explanation.sum_error, facts.evidence.explanation.tolerance
    if error is None or tolerance is None:
        why = "The version has no explanation summary."
        return Observation(None, "sums to the output", passed=False, why=why, present=False)
    why = f"The contributions miss the model's output by up to {error:.1e}."
    return Observation(f"off by {error:.1e}", f"within {tolerance:.0e}", error <= tolerance, why)


def digest_recorded(facts: Facts, _: GateRule) -> Observation:
    """The files to return to are those that the ledger recorded when they were champion."""
    now, recorded = facts.evidence.file_digest, facts.recorded_digest
    observed = "no files" if now is None else now[:12]
    if recorded is None:
        why = "The record has no fingerprint of its files from when this version was champion."
        return Observation(observed, "the recorded fingerprint", passed=False, why=why, present=False)
    why = "The files are not those that were champion."
    return Observation(observed, recorded[:12], now == recorded, why)


def smoke_prediction(facts: Facts, _: GateRule) -> Observation:
    """The version loads under the trust policy, in a process of its own, and predicts its own input example."""
    required = "predicts its input example"
    if isinstance(facts.smoke, Missing):
        return Observation(None, required, passed=False, why=facts.smoke.why, present=facts.smoke.tried)
    return Observation(facts.smoke, required, passed=True)


def claims_recomputed(facts: Facts, _: GateRule) -> Observation:
    """The metrics and predictions that came with the version are those that its own bytes give on the stored rows."""
    required, found = f"claims within {TOLERANCE:.0e} of what is recomputed", facts.recomputation
    if found is None or isinstance(found, Missing):
        why = found.why if found else "Nobody has asked for it."
        return Observation(None, required, passed=False, why=why, present=False)
    compiled = f"; {found.measured.compiled}" if found.measured.compiled else ""
    observed = f"{len(found.contradicted)} of {len(found.claims)} claims differ, n = {found.measured.n:,}{compiled}"
    return Observation(observed, required, found.holds, found.sentence)


def no_open_finding(facts: Facts, _: GateRule) -> Observation:
    """No high finding about this very version is open: it gets no further role before somebody has looked."""
    return _closed(facts, own=True)


def no_finding_elsewhere(facts: Facts, _: GateRule) -> Observation:
    """No high finding about another version of the model is open: it may be true of this one too."""
    return _closed(facts, own=False)


def _closed(facts: Facts, *, own: bool) -> Observation:
    """own: of the findings about this very version, else of those about the others."""
    about = facts.evidence.version, facts.evidence.content["created_at"]
    findings = [each for each in facts.findings if each.is_about(*about) == own]
    listed = "; ".join(f"finding {each.sequence}, version {each.version}" for each in findings[:MOST_FINDINGS])
    more = f" and {len(findings) - MOST_FINDINGS} more" if len(findings) > MOST_FINDINGS else ""
    why = f"Open: {listed}{more}." if findings else ""
    return Observation(f"{len(findings)} open" if findings else "none open", "none open", not findings, why)


GATES: Mapping[str, Gate] = {
    gate.__name__: gate
    for gate in (
        version_ready,
        files_present,
        signature,
        feature_schema,
        accuracy,
        error,
        better_than_baseline,
        stage_is_staging,
        not_champion,
        not_worse_than_incumbent,
        no_slice_worse,
        explanation_adds_up,
        digest_recorded,
        smoke_prediction,
        claims_recomputed,
        no_open_finding,
        no_finding_elsewhere,
    )
}
# Where a policy says nothing about `missing`: whoever must go back can, also to what cannot be tried here.
WARNS_WHEN_MISSING = frozenset({"smoke_prediction"})
COMPARING = frozenset({"not_worse_than_incumbent", "no_slice_worse"})


RECOMPUTING = "claims_recomputed"
WHEN_ASKED = {RECOMPUTING: GateRule(Mode.WARN)}  # a policy that lists the gate has it in every review, in its own mode


def check_gates(facts: Facts, rules: Mapping[str, GateRule]) -> list[GateResult]:
    """The gates of the move in the policy's order, after what was asked for. A rule that names no gate: KeyError."""
    results = []
    for name, rule in (rules if facts.recomputation is None else {**WHEN_ASKED, **rules}).items():
        found = GATES[name](facts, rule)
        mode = rule.mode_for(ours=facts.evidence.ours, present=found.present)
        softened = name in WARNS_WHEN_MISSING and not found.present and rule.missing is None
        if softened and mode is Mode.PREVENT:
            mode = Mode.WARN
        why = "" if found.passed else found.why
        results.append(GateResult(name, found.observed, found.required, found.passed, mode, why))
    return results


def _compared(facts: Facts) -> Sequence[MetricDifference]:
    return () if isinstance(facts.differences, Missing) else facts.differences


def _there(present: bool, what: str, why: str) -> Observation:
    return Observation("there" if present else "missing", what, present, why, present=present)


def _metric(facts: Facts, name: str, *, what: str) -> Metric | Observation:
    """The first under its accepted names that can be what it is called; else what there is instead.

    The version's own evaluation file comes first: the file digest covers it, a run can be written again.
    """
    evidence, impossible = facts.evidence, ""
    names = (name,) if name in evidence.evaluation.metrics else facts.metrics.accepted(name)
    for found in filter(None, map(evidence.metric, names)):
        if name not in facts.metrics.names and is_training_set(_dataset(evidence, found.name)):
            continue
        if not (why := not_a_share(found.name, found.value)):
            return found
        impossible = impossible or why
    if impossible:
        return Observation(impossible.partition(",")[0], "", passed=False, why=f"{impossible}: it is no {what}.")
    asked = what if what == name else f"{what} ({name})"
    metrics = (
        each + (f" on {dataset}" if (dataset := _dataset(evidence, each)) else "")
        for each in evidence.content["metrics"]
    )
    there = f"The version has no {asked}; its metrics: {named(metrics)}."
    return Observation(None, "", passed=False, why=there, present=False)


def _dataset(evidence: Evidence, name: str) -> str:
    """On which a metric was measured; empty where nobody said."""
    return str(evidence.datasets.get(name) or "")


def _claims(facts: Facts, name: str) -> str:
    """What both say of themselves, where rows say nothing: for a reader, not for a verdict."""
    ours = _metric(facts, name, what=name)
    theirs = _metric(replace(facts, evidence=facts.incumbent or facts.evidence), name, what=name)
    if isinstance(ours, Observation) or isinstance(theirs, Observation):
        return ""
    return f" As logged it is {_figure(ours, name)}, the champion's {_figure(theirs, name)}."


def _baseline(facts: Facts) -> Metric | Observation:
    measured = facts.evidence.evaluation.baseline_accuracy
    if measured is None:
        return _metric(facts, BASELINE, what="majority baseline")
    if why := not_a_share(BASELINE, measured):
        return Observation(f"{BASELINE} is {minus(f'{measured:g}')}", "", passed=False, why=f"{why}.")
    return Metric(BASELINE, measured)


def _figure(metric: Metric, name: str) -> str:
    """Under which name it was found, where that is another one."""
    return figure(metric.value) if metric.name == name else f"{metric.name} {figure(metric.value)}"
