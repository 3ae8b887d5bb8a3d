"""The one door: the command line, the API and every screen call this service, and none of them talks to MLflow."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack

from pipeline.governance.claims import Recomputation, Recomputer
from pipeline.governance.compare import Comparison, Comparisons
from pipeline.governance.decide import RECONCILE_AFTER, Decider, Outcome, Request
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.evidence import Evidence
from pipeline.governance.export import export
from pipeline.governance.history import (
    Entry,
    GateCount,
    HistoryPage,
    ModelOverview,
    Moment,
    Period,
    champion_periods,
    entry,
    gate_counts,
    given_out_again,
    history_page,
    moment,
    one_line_each,
    overview,
    rollback_target,
)
from pipeline.governance.ledger import StoredEvent, Topic, iso
from pipeline.governance.lifecycle import (
    Move,
    MoveKind,
    Stage,
    alias_move,
    check_alias,
    check_reason,
    stage_move,
)
from pipeline.governance.metrics import Direction, named, not_a_share, telling
from pipeline.governance.out_of_band import OutOfBandChange
from pipeline.governance.paired import Flips, PairedComparer
from pipeline.governance.policy import Actor, Policy
from pipeline.governance.ports import (
    Ledger,
    ModelRecord,
    PendingDecision,
    Registry,
    SmokePredictor,
    SteadyClock,
    Upgrade,
    VersionRecord,
    VersionRow,
)
from pipeline.governance.reconcile import (
    IntegrityProblem,
    Reconciler,
    Verification,
    find_problems,
    set_back,
    unknown_registry,
)
from pipeline.governance.review import Review, Reviewer
from pipeline.governance.tampering import Changed, Watch

PAGE_LINES = 50


class Options(TypedDict, total=False):
    """What the actor looked at and accepts; see Request."""

    evidence: str | None
    expect: str | None
    accept_warnings: bool
    recompute: bool
    key: str | None


@dataclass(frozen=True)
class Best:
    """The best version by a metric. left_out: versions whose figure cannot be that metric, such as a share of 62."""

    row: VersionRow
    metric: str
    direction: Direction
    left_out: tuple[int, ...] = ()

    @property
    def version(self) -> int:
        return self.row.version


@dataclass(frozen=True)
class GovernanceService:
    """Each deciding method is load, rule, record, apply, confirm; each reading method writes nothing.

    recomputer: None for a desk that loads no models; claims are then refused to be recomputed.
    """

    registry: Registry
    ledger: Ledger
    policy: Policy
    comparer: PairedComparer
    smoke: SmokePredictor
    clock: SteadyClock
    new_id: Callable[[], str]
    recomputer: Recomputer | None = None
    reviewer: Reviewer = field(init=False)
    decider: Decider = field(init=False)
    watch: Watch = field(init=False)
    reconciler: Reconciler = field(init=False)
    comparisons: Comparisons = field(init=False)

    def __post_init__(self) -> None:
        reviewer = Reviewer(self.registry, self.ledger, self.policy, self.comparer, self.smoke, self.recomputer)
        watch = Watch(self.registry, self.ledger, self.clock, reviewer)
        decider = Decider(self.registry, self.ledger, self.policy, self.clock, reviewer, watch, self.new_id)
        reconciler = Reconciler(self.registry, self.ledger, self.clock, decider, reviewer, watch)
        comparisons = Comparisons(self.registry, reviewer, self.comparer)
        parts = {
            "reviewer": reviewer,
            "decider": decider,
            "watch": watch,
            "reconciler": reconciler,
            "comparisons": comparisons,
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    # Reading

    def models(self) -> list[ModelRecord]:
        """Every model by name."""
        return self.registry.models()

    def known_models(self) -> list[str]:
        """Those of the registry, and those that only the ledger still knows."""
        return sorted({*self.ledger.models(), *(record.name for record in self.registry.models())})

    def recorded_models(self) -> list[str]:
        """Those that the ledger knows, whether or not the registry answers."""
        return self.ledger.models()

    def gone_models(self) -> list[str]:
        """Those that were taken over and that the registry does not have any more: renamed or deleted there."""
        there = {record.name for record in self.registry.models()}
        return [name for name in self.known_models() if name not in there and self.ledger.baseline(name)]

    def overview(self) -> list[ModelOverview]:
        """Every model as the first page shows it."""
        pending = self.pending()
        return [
            overview(
                record,
                self.registry.state(record.name),
                differences=self.differences(record.name),
                pending=[each for each in pending if each.model == record.name],
                last=next(self.ledger.page(record.name), None),
            )
            for record in self.registry.models()
        ]

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        """The decisions that have not ended, oldest first, and for how long."""
        return self.reconciler.pending(model)

    def silence(self) -> str:
        """Why the registry does not answer; empty where it does. The record can be read all the same."""
        try:
            self.registry.registry_id()
        except Unavailable as error:
            return str(error)
        return ""

    def versions(self, model: str, metrics: Sequence[str] | None = None) -> list[VersionRow]:
        """Newest first, with the metrics asked for (None: all). Raises NotFound."""
        return self.registry.table(model, metrics)

    def versions_with(self, model: str, names: Sequence[str]) -> list[VersionRow]:
        """As `versions`. Raises NotFound also for a metric that no version has."""
        rows = self.registry.table(model, names)
        held = {name for row in rows for name in row.metrics}
        if missing := [name for name in names if name not in held]:
            raise NotFound(
                f"metric: no version of {model!r} has a metric {missing[0]!r}; ask for one of {self._names(model)}"
            )
        return rows

    def telling_versions(self, model: str, preferred: Sequence[str]) -> tuple[list[str], list[VersionRow]]:
        """The metrics that a table of the versions shows, and the versions with them, newest first: the preferred ones
        where any version has them, else those that the model has. Raises NotFound.
        """
        rows = self.registry.table(model, preferred)
        if not any(row.metrics for row in rows):
            rows = self.registry.table(model, None)
        return telling([row.metrics for row in rows], preferred=preferred), rows

    def show(self, model: str, version: int) -> Evidence:
        """One version with files and digests. Raises NotFound."""
        return self.reviewer.evidence(self.version(model, version))

    def version(self, model: str, version: int) -> VersionRecord:
        """Raises NotFound."""
        return self.registry.version(model, version)

    def best(self, model: str, metric: str, direction: Direction | None = None) -> Best:
        """The version at the better end of a metric (None: what the name and the policy say); of equal ones the newest.

        Where no version has the metric by that name, it is looked for under those accepted for it. Raises InvalidInput
        where nobody says which end is the better one, NotFound where no version has the metric.
        """
        name, held = self._holders(model, metric)
        end = direction or self.policy.metrics.direction(name)
        able = [row for row in held if not not_a_share(name, row.metrics[name])]
        if not able:
            raise NotFound(f"metric: no version of {model!r} has a {name!r} between 0 and 1, as a share must be")
        sign = 1 if end is Direction.HIGHEST else -1
        best = max(able, key=lambda row: (sign * row.metrics[name], row.version))
        left_out = tuple(row.version for row in held if not_a_share(name, row.metrics[name]))
        return Best(self.version(model, best.version).row, name, end, left_out)

    def _holders(self, model: str, metric: str) -> tuple[str, list[VersionRow]]:
        """Under which name any version has the metric, and those that have it. Raises NotFound."""
        rows, names = self.registry.table(model, [metric]), [metric]
        if not any(metric in row.metrics for row in rows):
            rows, names = self.registry.table(model, None), list(self.policy.metrics.accepted(metric))
        for name in names:
            if held := [row for row in rows if name in row.metrics]:
                return name, held
        raise NotFound(f"metric: no version of {model!r} has a metric {metric!r}; ask for one of {self._names(model)}")

    def _names(self, model: str) -> str:
        """Every metric that any version has, for a sentence."""
        return named({name for row in self.registry.table(model, None) for name in row.metrics})

    def unasked(self, model: str, version: int, actor: Actor) -> bool:
        """Whether the version is in no stage and the actor never asked for a move of it. Raises NotFound."""
        row = self.version(model, version).row
        about = (entry(stored) for stored in self.ledger.about(model, version))
        asked = (each.actor for each in about if each.is_about(version, iso(row.created_at)))
        return row.stage is Stage.NONE and actor.subject not in asked

    def review(self, move: Move, *, recompute: bool = False, recomputed: Recomputation | None = None) -> Review:
        """The gates of a move and whether it is open. Raises NotFound.

        `recompute` adds `claims_recomputed`; `recomputed`, what `recompute` gave just now, does so without its seconds.
        """
        return self.reviewer.review(move, recompute=recompute, recomputed=recomputed)

    def recompute(self, model: str, version: int) -> Recomputation:
        """What the version claims beside what its own bytes give on its evaluation rows; takes seconds.

        Raises NotFound, and Refused, InvalidInput or IntegrityFailure where it cannot be done, with the reason.
        """
        record = self.version(model, version)
        return self.reviewer.recompute(record, self.reviewer.evidence(record))

    def compare(self, model: str, a: int, b: int) -> Comparison:
        """Two versions side by side, b minus a. Raises NotFound, InvalidInput for a version compared with itself."""
        return self.comparisons.compare(model, a, b)

    def flips(self, model: str, a: int, b: int) -> Flips:
        """The evaluation rows that the two predict differently. Raises NotFound, InvalidInput where rows differ."""
        return self.comparisons.flips(model, a, b)

    def rollback_move(self, model: str) -> Move:
        """The move that a rollback would make. Raises NotFound where the ledger knows no earlier champion."""
        self.registry.model(model)
        version = rollback_target(model, (stored.event for stored in self.ledger.former_champions(model, newest=2)))
        if version is None:
            raise NotFound(f"rollback: the ledger knows no earlier champion of {model!r}")
        return Move(model, MoveKind.ROLLBACK, version)

    def history(self, model: str | None = None) -> list[Entry]:
        """The events of one model, or of all, oldest first. Raises NotFound for a model that nobody knows."""
        entries = [entry(stored) for stored in self.ledger.page(model)]
        if model is not None and not entries:
            self.registry.model(model)
        return entries[::-1]

    def history_page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
        lines: int = PAGE_LINES,
    ) -> HistoryPage:
        """A page of the history, newest first, one line per decision; before: the sequence above which it begins.

        only, without: of which event types. Raises NotFound for a model that nobody knows.
        """
        events = self.ledger.page(model, before=before, only=only, without=without)
        if model is not None and next(self.ledger.page(model), None) is None:
            self.registry.model(model)
        return history_page(events, lines, pending=self.ledger.pending(model), find=self.event)

    def event(self, sequence: int) -> Entry | None:
        """One event by its number; None where there is none."""
        found = next(self.ledger.page(before=sequence + 1), None)
        return entry(found) if found is not None and found.sequence == sequence else None

    def decisions(self, model: str, version: int) -> list[Entry]:
        """The events about a version that is there now, oldest first. Raises NotFound."""
        created_at = iso(self.version(model, version).row.created_at)
        about = [entry(stored) for stored in self.ledger.about(model, version)][::-1]
        return [each for each in one_line_each(about) if each.is_about(version, created_at)]

    def given_out_again(self, model: str | None = None) -> list[str]:
        """One sentence per version number that was given out again, of one model or of all."""
        models = self.ledger.models() if model is None else [model]
        first = (entry(stored) for each in models for stored in self.ledger.current(each, Topic.NUMBER))
        return given_out_again(first)

    def at(self, model: str, time: datetime) -> Moment:
        """Champion and stages at a time as the ledger knows them. Raises NotFound for a model it does not know."""
        events = list(self.ledger.events(model=model))
        if not events:
            raise NotFound(f"history: the ledger knows no model {model!r}")
        return moment(model, events, time)

    def champions(self, model: str, newest: int | None = None) -> list[Period]:
        """Who was champion when, oldest first; newest: only after so many of the newest changes."""
        return champion_periods(model, self.ledger.champions(model, newest))

    def gate_counts(self, model: str) -> dict[tuple[int, str | None], GateCount]:
        """How the gates stood at the last decision about each version, by number and creation time."""
        return gate_counts(stored.event for stored in self.ledger.current(model, Topic.GATES))

    def evidence(self, digest: str) -> str:
        """The canonical JSON that a decision quotes. Raises NotFound."""
        return self.ledger.evidence(digest)

    def export(self, model: str | None = None) -> Iterator[str]:
        """The whole chain, and the evidence about one model or all, as pieces of JSON. Raises NotFound as `history`."""
        if model is not None and self.ledger.last(model) is None:
            self.registry.model(model)
        return export(self.ledger, model)

    def differences(self, model: str) -> list[OutOfBandChange]:
        """Where the registry is not what the ledger says, now."""
        return self.reconciler.differences(model)

    def changed_files(self, model: str) -> list[Changed]:
        """Versions in Staging, in Production or under an alias whose files are not those recorded, read anew."""
        return self.reconciler.changed_files(model)

    def verify(self, *, new: bool = False, checkpoints: Sequence[Path] = ()) -> list[IntegrityProblem]:
        """The chain, its copies and checkpoints; the registry against the ledger; the bytes of what is in use.

        new: the registry is meant to be one that the ledger does not know yet. checkpoints: files from elsewhere.
        """
        asked = Verification(self.ledger.registry, self.known_models, new, checkpoints)
        return list(find_problems(self.ledger, self.reconciler, asked))

    def unprotected(self) -> str:
        """What verify cannot see for want of checkpoints, as a sentence; empty where there are some, or it found a
        ledger that cannot be read.
        """
        with suppress(Unavailable):
            return self.ledger.unprotected()
        return ""

    def set_back(self) -> list[str]:
        """Where time went back from one event to the next: one sentence each, of the newest.

        Empty where the ledger cannot be read: that is a problem, which verify found.
        """
        with suppress(Unavailable):
            return set_back(self.ledger)
        return []

    def unknown_registry(self) -> str:
        """Why the ledger says nothing about this registry, beside others that it knows; empty where it does."""
        return unknown_registry(self.ledger, self.ledger.registry()) if self.ledger.exists() else ""

    # Deciding

    def promote(
        self, model: str, version: int, stage: Stage, *, reason: str, actor: Actor, **options: Unpack[Options]
    ) -> Outcome:
        """Move a version to a stage; Production also makes it champion. Options: see Request."""
        return self._decide(stage_move(model, version, stage), reason, actor, **options)

    def set_alias(
        self, model: str, alias: str, version: int, *, reason: str, actor: Actor, **options: Unpack[Options]
    ) -> Outcome:
        """Point an alias at a version; the alias champion also moves it to Production."""
        return self._decide(alias_move(model, alias, version), reason, actor, **options)

    def remove_alias(self, model: str, alias: str, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Take an alias away. Raises NotFound where there is none."""
        check_alias(alias)
        return self._decide(Move(model, MoveKind.UNALIAS, None, alias), reason, actor, **options)

    def rollback(self, model: str, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Return to the previous champion. Raises NotFound where the ledger knows none."""
        return self._decide(self.rollback_move(model), reason, actor, **options)

    def take_over(self) -> list[StoredEvent]:
        """Record every model that the ledger has not seen yet."""
        events = (self.reconciler.first_look(record.name) for record in self.registry.models())
        return [event for event in events if event is not None]

    def look(self) -> list[StoredEvent]:
        """Record what is new without anybody's doing: models not seen yet, and what moved by another way.

        What is pending is seen, so that its age is known here whatever the database's clock says.
        """
        self.pending()
        return [event for model in self.known_models() for event in self.reconciler.look(model)]

    def report_tampering(self, evidence: Evidence) -> StoredEvent | None:
        """Record an alarm where the files of a version, as they were read, are not those recorded; once."""
        return self.watch.look(evidence)

    def reconcile(self, model: str | None = None, *, min_age: timedelta = RECONCILE_AFTER) -> list[StoredEvent]:
        """Finish what a crash left and record what differs, for one model or all."""
        known = self.known_models()
        if model is not None and model not in known:
            raise NotFound(f"model: neither the registry nor the ledger knows {model!r}")
        models = known if model is None else [model]
        if self.ledger.models():
            with self.ledger.transaction():
                """It keeps the address too, where the registry has moved."""
        return [event for each in models for event in self.reconciler.reconcile(each, min_age=min_age)]

    def adopt(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Take what the registry holds as recorded from now on; `expect`: what the actor looked at, see state_text."""
        return self.reconciler.adopt(model, reason=check_reason(reason), actor=actor, expect=expect)

    def revert(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Put the registry back to what the ledger says; `expect` as in `adopt`."""
        return self.reconciler.revert(model, reason=check_reason(reason), actor=actor, expect=expect)

    def upgrade_ledger(self) -> Upgrade:
        """Bring an older ledger's tables up to this version, as its next write would. Raises NotFound without one."""
        return self.ledger.upgrade()

    def _decide(self, move: Move, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        request = Request(move, check_reason(reason), actor, **options)
        self.reconciler.take_over(move.model)
        return self.decider.decide(request)
