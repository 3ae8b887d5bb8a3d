"""Which version should serve: a version beside the champion, the order of those that wait, and both in sentences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.lifecycle import MoveKind, Stage, stage_move
from pipeline.governance.metrics import Direction, metric_in_text
from pipeline.governance.policy import MoveRules, Policy
from pipeline.governance.ports import Comparer, Gap, MetricDifference, Registry, VersionRecord
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.record.evidence import Evidence, Metric
from pipeline.governance.record.ledger import iso
from pipeline.governance.rules.compare import different_rows, not_compared
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.gates import RECOMPUTING, GateResult, JudgedGates
from pipeline.governance.rules.review import Review, Reviewer
from pipeline.governance.text import figure

BETTER, WORSE, ALIKE = "better", "worse", "not distinguishable"  # see MetricDifference.verdict
LOADING = frozenset({"smoke_prediction", RECOMPUTING})  # gates that load the model: left to the review
ABOUT_EQUAL = 1.25  # costs within this factor of each other are not told apart: a latency is measured on few rows
MOST_COMPARED = 5
MOST_NAMED = 2  # metrics in a sentence


@dataclass(frozen=True)
class Cost:
    """What a version costs, beside what another one costs: milliseconds for one row, or bytes of files."""

    own: float
    other: float
    # Whether both were measured on processors of one kind; None where a version does not say. Bytes are bytes.
    same_machine: bool | None = True

    @property
    def times(self) -> float:
        """How many times the other's; above 1 is worse."""
        return self.own / self.other

    @property
    def differs(self) -> bool:
        """Whether by more than ABOUT_EQUAL."""
        return not 1 / ABOUT_EQUAL < self.times < ABOUT_EQUAL

    def phrase(self, more: str, less: str) -> str:
        """Such as `5.1 times slower`, from the words for more and for less; empty where the two are about equal."""
        if not self.differs:
            return ""
        word, times = (more, self.times) if self.times > 1 else (less, 1 / self.times)
        return f"{times:.1f} times {word}" if times < 10 else f"{times:,.0f} times {word}"  # noqa: PLR2004

    def as_json(self) -> dict[str, float]:
        return {"own": self.own, "other": self.other, "times": self.times}


@dataclass(frozen=True)
class Merit:
    """What speaks for a version and against it, beside another one on the same evaluation rows."""

    version: int
    reference: int  # the other one
    differences: tuple[MetricDifference, ...]  # over all rows, version minus reference; empty where `gap` says why
    primary: MetricDifference | None = None  # the one that decides first; None where nothing was compared
    gap: Gap | None = None  # why nothing was compared
    latency: Cost | None = None  # None where one of the two does not record it
    size: Cost | None = None  # None where the files of one cannot be read

    def metrics(self, verdict: str | None) -> list[str]:
        """The names of the metrics with that verdict; None: those of which nobody knows which end is better."""
        return [each.metric for each in self.differences if each.verdict == verdict]

    @property
    def n(self) -> int | None:
        """Rows on which the two were compared."""
        return None if self.primary is None else self.primary.n

    @property
    def lead(self) -> int:
        """In how many more metrics it is better than in how many it is worse."""
        return len(self.metrics(BETTER)) - len(self.metrics(WORSE))

    @property
    def overall(self) -> str | None:
        """BETTER, WORSE or ALIKE; None where nothing was compared.

        The primary metric decides; where it tells the two not apart, the larger number of metrics.
        """
        if self.primary is None:
            return None
        if self.primary.verdict in (BETTER, WORSE):
            return self.primary.verdict
        return ALIKE if self.lead == 0 else BETTER if self.lead > 0 else WORSE

    @property
    def only_worse(self) -> bool:
        """Whether some metrics get worse and none gets better."""
        return bool(self.metrics(WORSE)) and not self.metrics(BETTER)

    def phrase(self, other: str = "the champion") -> str:
        """Such as `better than the champion in 5 of 7 metrics, but worse in log loss and 5.1 times slower`.

        other: the reference. Of a version that could not be compared: that, without the reason.
        """
        better, worse, n = self.metrics(BETTER), self.metrics(WORSE), len(self.differences)
        speed = self.latency.phrase("slower", "faster") if self.latency else ""
        if not better or self.primary is None:
            if self.primary is None:
                said = [f"not comparable with {other}"]
            elif worse:
                said = [f"worse than {other} in {len(worse)} of {_metrics(n)}", "better in none"]
            else:
                said = [f"not distinguishable from {other} in {_metrics(n)}"]
            return _listed([*said, speed])
        slower = self.latency is not None and self.latency.times > 1
        good = [f"better than {other} in {len(better)} of {_metrics(n)}", "" if slower else speed]
        bad = [_worse_in(worse), speed if slower else ""]
        return f"{_listed(good)}, but {_listed(bad)}" if any(bad) else _listed(good)

    def as_json(self) -> dict[str, Any]:
        """With null for what is not known."""
        first = self.primary
        return {
            "reference": self.reference,
            "overall": self.overall,
            "n": self.n,
            "better": self.metrics(BETTER),
            "worse": self.metrics(WORSE),
            "not_distinguishable": self.metrics(ALIKE),
            "difference": first
            and {"metric": first.metric, "value": first.difference, "low": first.low, "high": first.high},
            "gap": self.gap and self.gap.text,
            "latency_ms": self.latency and self.latency.as_json(),
            "bytes": self.size and self.size.as_json(),
        }


@dataclass(frozen=True)
class Contender(JudgedGates):
    """A version that waits in Staging, and what a reviewer asks of it first."""

    version: int
    created_at: datetime
    model_type: str  # its tag `model_type`, which may be anybody's text; empty where it has none
    metric: Metric | None  # its own primary metric
    merit: Merit | None  # beside the champion; None where there is no champion, or where it cannot be read
    gates: tuple[GateResult, ...]  # of the move to Production, without `untried`
    untried: tuple[str, ...] = ()  # labels of the gates that load the model: its review tries them

    @property
    def checks(self) -> str:
        """How the gates stand, in words."""
        if self.blocked_by:
            return f"blocked by {_quoted(self.blocked_by)}, not passed"
        if n := len(self.warnings):
            warn = "1 gate warns" if n == 1 else f"{n} gates warn"
            return f"{warn}: {_quoted(self.warnings)}, not passed"
        return f"all gates pass, still to be tried: {', '.join(self.untried)}" if self.untried else "all gates pass"

    @property
    def sentence(self) -> str:
        merit = "not comparable with the champion" if self.merit is None else self.merit.phrase()
        return f"Version {self.version} is {merit}; {self.checks}."

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "created_at": iso(self.created_at),
            "model_type": self.model_type,
            "value": self.metric and self.metric.value,
            "open": self.open,
            "blocked_by": [gate.name for gate in self.blocked_by],
            "warnings": [gate.name for gate in self.warnings],
            "untried": list(self.untried),
            "merit": self.merit and self.merit.as_json(),
        }


@dataclass(frozen=True)
class Waiting:
    """The versions of a model that wait in Staging, in order of merit.

    First come those that may be promoted; among them those that are better than the champion, see `Merit.overall`, then
    those that cannot be told apart from it or compared with it, then those that are worse. Equals are ordered by the
    difference in the primary metric, which is of the same rows for all, without one by the metric as each version has
    it; then by the number of metrics that speak for them, by latency, and the newest first.
    """

    champion: int | None
    metric: str  # the primary one
    contenders: tuple[Contender, ...]
    left_out: int = 0  # how many wait beside these: of many, those with the best primary metric as logged are compared

    @property
    def best(self) -> Contender | None:
        """The one to promote: it may be promoted and is better than the champion, or it is the first where none serves.

        None where no version that waits is worth a promotion, as far as that can be told.
        """
        first = next(iter(self.contenders), None)
        if first is None or not first.open:
            return None
        if self.champion is None:
            return first if first.metric else None
        return first if first.merit and first.merit.overall == BETTER else None

    @property
    def sentence(self) -> str:
        """Which version should serve, and why; empty where none waits."""
        if not self.contenders:
            return ""
        first, best = self.contenders[0], self.best
        if self.champion is None:
            if best is None or best.metric is None:
                return f"No version serves. Version {first.version} waits; {first.checks}."
            value = f"the best {metric_in_text(best.metric.name)} of those that wait, {figure(best.metric.value)}"
            return f"No version serves. Version {best.version} has {value}; {best.checks}."
        if best is not None:
            return best.sentence
        if all(each.merit is None or each.merit.overall is None for each in self.contenders):
            return first.sentence
        return f"No version that waits and passes its gates is better than the champion. {first.sentence}"

    def as_json(self) -> dict[str, Any]:
        return {
            "champion": self.champion,
            "metric": self.metric,
            "best": self.best and self.best.version,
            "sentence": self.sentence,
            "waiting": [each.as_json() for each in self.contenders],
            "left_out": self.left_out,
        }


def merit(own: Evidence, other: Evidence, found: Sequence[MetricDifference] | Gap, *, primary: str | None) -> Merit:
    """A version beside another one.

    found: own minus other on the same rows, or why they were not compared. primary: under which name `found` has the
    metric that decides first; the first one decides where it has none.
    """
    differences = () if isinstance(found, Gap) else tuple(each for each in found if not each.slice)
    first = next((each for each in differences if each.metric == primary), next(iter(differences), None))
    return Merit(
        own.version,
        other.version,
        differences,
        primary=first,
        gap=found if isinstance(found, Gap) else None,
        latency=_latency(own, other),
        size=_cost(_bytes(own), _bytes(other)),
    )


def in_order(contenders: Iterable[Contender], *, direction: Direction | None) -> tuple[Contender, ...]:
    """By merit, see Waiting. direction: which end of the primary metric is better, where the name says so."""
    sign = -1 if direction is Direction.LOWEST else 1

    def rank(each: Contender) -> tuple[bool, int, float, int, float, int]:
        found = each.merit
        place = {BETTER: 0, WORSE: 2}.get(found.overall or "", 1) if found else 1
        gain = sign * each.metric.value if each.metric else float("-inf")
        if found and found.primary:
            gain = sign * found.primary.difference
        slow = found.latency.times if found and found.latency else float("inf")
        return not each.open, place, -gain, -found.lead if found else 0, slow, -each.version

    return tuple(sorted(contenders, key=rank))


def warning_sentence(review: Review, found: Merit | None) -> str | None:
    """What somebody must read who is about to promote a version that only makes things worse; else None.

    found: the version beside the champion. A review that is blocked says already why not.
    """
    serves_then = review.move.kind in (MoveKind.PRODUCTION, MoveKind.ROLLBACK)
    if not serves_then or not review.open or found is None or not found.only_worse:
        return None
    passed = "No gate blocks this" if review.warnings else "All gates pass"
    return f"{passed}, but no metric gets better: version {found.version} is {found.phrase()}."


@dataclass(frozen=True)
class Merits:
    """Reads what the versions of a model have to be weighed by; loads no model and writes nothing."""

    registry: Registry
    reviewer: Reviewer
    comparer: Comparer

    def merit(self, model: str, version: int, reference: int, *, metric: str) -> Merit:
        """A version beside another one. metric: the primary one. Raises NotFound for a version that is not there."""
        records = [self.registry.version(model, each) for each in (version, reference)]
        own, other = map(self.reviewer.evidence, records)
        found = different_rows(own, other) or self._compared(records)
        return merit(own, other, found, primary=self._named(found, metric))

    def waiting(self, model: str, metric: str) -> Waiting:
        """The versions in Staging in order of merit. metric: the primary one. Raises NotFound."""
        state = self.registry.state(model)
        numbers = [each for each in state.in_stage(Stage.STAGING) if each != state.champion]
        chosen = self._promising(model, numbers, metric)
        found = (self._contender(model, version, metric) for version in chosen)
        contenders = [each for each in found if each is not None]
        direction = self.reviewer.policy.metrics.known_direction(metric)
        return Waiting(state.champion, metric, in_order(contenders, direction=direction), len(numbers) - len(chosen))

    def _promising(self, model: str, numbers: Sequence[int], metric: str) -> list[int]:
        """Of many, those with the best metric as logged, then the newest."""
        if len(numbers) <= MOST_COMPARED:
            return list(numbers)
        sign = -1 if self.reviewer.policy.metrics.known_direction(metric) is Direction.LOWEST else 1
        logged = {row.version: row.metrics.get(metric) for row in self.registry.table(model, [metric])}

        def rank(version: int) -> tuple[bool, float, int]:
            value = logged.get(version)
            return value is None, 0.0 if value is None else -sign * value, -version

        return sorted(numbers, key=rank)[:MOST_COMPARED]

    def _contender(self, model: str, version: int, metric: str) -> Contender | None:
        """None where the version has gone since it was listed."""
        move = stage_move(model, version, Stage.PRODUCTION)
        quick = replace(self.reviewer, policy=without_loading(self.reviewer.policy))
        try:
            review = quick.review(move)
            found = self._beside_the_champion(review, metric)
        except NotFound:
            return None
        rules = self.reviewer.rules(move.kind, review.prospect.record).gates
        return Contender(
            version,
            datetime.fromisoformat(review.evidence.content["created_at"]),
            review.evidence.content["tags"].get("model_type", ""),
            metric=review.evidence.metric(metric),
            merit=found,
            gates=review.gates,
            untried=tuple(label_of(name) for name in rules if name in LOADING),
        )

    def _beside_the_champion(self, review: Review, metric: str) -> Merit | None:
        """The review has the differences already, where a gate compares. None where there is no other champion."""
        own, other = review.evidence, review.incumbent
        if other is None:
            return None
        if not review.differences:
            return self.merit(own.model, own.version, other.version, metric=metric)
        return merit(own, other, review.differences, primary=self._named(review.differences, metric))

    def _compared(self, records: Iterable[VersionRecord]) -> list[MetricDifference] | Gap:
        """The first minus the second."""
        try:
            return self.comparer.compare(*(self.registry.read_file(each, EVALUATION_ROWS) for each in records))
        except (NotFound, InvalidInput) as error:
            return not_compared(error)

    def _named(self, found: Sequence[MetricDifference] | Gap, metric: str) -> str | None:
        """Under which name the differences have the metric."""
        names = [] if isinstance(found, Gap) else [each.metric for each in found]
        return next((name for name in names if self.reviewer.policy.metrics.same(name, metric)), None)


def without_loading(policy: Policy) -> Policy:
    """The policy without the gates that load a model, for a look at many versions."""

    def kept(moves: Mapping[MoveKind, MoveRules]) -> dict[MoveKind, MoveRules]:
        return {
            kind: replace(rules, gates={name: rule for name, rule in rules.gates.items() if name not in LOADING})
            for kind, rules in moves.items()
        }

    tiers = tuple(replace(tier, moves=kept(tier.moves)) for tier in policy.tiers)
    return replace(policy, moves=kept(policy.moves), tiers=tiers)


def _latency(own: Evidence, other: Evidence) -> Cost | None:
    """As each was measured when it was trained."""
    processors = [_processor(each) for each in (own, other)]
    same = None if None in processors else processors[0] == processors[1]
    found = _cost(own.latency_ms, other.latency_ms)
    return found and replace(found, same_machine=same)


def _processor(evidence: Evidence) -> object:
    """What is known of the machine on which a version was trained; None where nothing is."""
    environment = evidence.lineage.environment
    known: Mapping[str, object] = {"platform": environment.platform, "features": environment.processor_features}
    return dict(known) if any(known.values()) else None


def _bytes(evidence: Evidence) -> float | None:
    return sum(each["size"] for each in evidence.content["files"]) or None


def _cost(own: float | None, other: float | None) -> Cost | None:
    return Cost(own, other) if own and other and own > 0 and other > 0 else None


def _worse_in(metrics: Sequence[str]) -> str:
    """Such as `worse in log loss`: a few by what people call them, else how many."""
    if len(metrics) > MOST_NAMED:
        return f"worse in {len(metrics)}"
    return f"worse in {_listed(map(metric_in_text, metrics))}" if metrics else ""


def _metrics(n: int) -> str:
    return f"{n} metric{'' if n == 1 else 's'}"


def _quoted(gates: Iterable[GateResult]) -> str:
    """By their labels, which say what is wanted: in quotes, so that nobody takes them for what was found."""
    return _listed(f'"{gate.label}"' for gate in gates)


def _listed(parts: Iterable[str]) -> str:
    found = [each for each in parts if each]
    return " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
