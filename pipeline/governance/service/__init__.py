"""The one door: the command line, the API and every screen call this service, and none of them talks to MLflow."""

import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Self, Unpack

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.lifecycle import (
    ModelState,
    Move,
    MoveKind,
    Stage,
    alias_move,
    check_move,
    parse_reference,
    parse_target,
    stage_move,
)
from pipeline.governance.metrics import Direction
from pipeline.governance.policy import LivePolicy, Policy
from pipeline.governance.ports import (
    Ledger,
    ModelFiles,
    ModelRecord,
    PendingDecision,
    Registry,
    SmokePredictor,
    SteadyClock,
    Upgrade,
    VersionRecord,
    VersionRow,
)
from pipeline.governance.reason import check_reason
from pipeline.governance.record.evidence import Evidence, Recomputation, Recomputer
from pipeline.governance.record.history import (
    Entry,
    ModelOverview,
    entry,
    one_line_each,
    overview,
)
from pipeline.governance.record.ledger import EventType, StoredEvent, iso
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.roles import Action, FixedRoles, RoleBook
from pipeline.governance.rules.compare import Best, Comparison, Comparisons, MetricColumn, VersionTables
from pipeline.governance.rules.decide import RECONCILE_AFTER, Decider, Options, Outcome, Request
from pipeline.governance.rules.merit import Merit, Merits, Waiting
from pipeline.governance.rules.paired import Flips, PairedComparer
from pipeline.governance.rules.reconcile import (
    IntegrityProblem,
    Reconciler,
    Unresolved,
    Verification,
    find_problems,
    unknown_registry,
)
from pipeline.governance.rules.review import Review, Reviewer
from pipeline.governance.rules.signing.approval import Approvals
from pipeline.governance.rules.signing.override import Overrides
from pipeline.governance.rules.tampering import Changed, Watch
from pipeline.governance.rules.trend import TrendRecord, Trends
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service.access import guarded
from pipeline.governance.service.findings import FindingDesk
from pipeline.governance.service.notices import Messenger, Nobody, TellingPeople
from pipeline.governance.service.tokens import TokenDesk

DESK = Actor("desk", Established.PROGRAM)  # the desk by itself: it reads and records, and decides nothing


@guarded
class GovernanceService(FindingDesk, TokenDesk, TellingPeople):
    """Each deciding method is load, rule, record, apply, confirm; each reading method writes nothing."""

    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        policy: Policy,
        comparer: PairedComparer,
        smoke: SmokePredictor,
        clock: SteadyClock,
        new_id: Callable[[], str],
        new_secret: Callable[[], str],
        recomputer: Recomputer | None = None,
        roles: RoleBook | None = None,
        messenger: Messenger | None = None,
        watching: Watching | None = None,
    ) -> None:
        """new_secret: at least 256 bits of chance, as text.

        recomputer: None for a desk that loads no models; claims are then refused to be recomputed. roles: where the
        policy's are read anew while the desk runs; None: they stay. watching: None where predictions are not logged.
        """
        FindingDesk.__init__(self, registry, ledger)
        self.actor = DESK  # who asks
        self._messenger = messenger or Messenger(ledger, Nobody(), clock)
        self._policies = LivePolicy(policy, roles or FixedRoles(policy.roles), clock)
        TokenDesk.__init__(self, ledger, policies=self._policies, clock=clock, new_secret=new_secret)
        self._reviewer = Reviewer(registry, ledger, policy, comparer, smoke, recomputer)
        self._watch = Watch(registry, ledger, clock, self._reviewer)
        self._decider = Decider(registry, ledger, self._policies, clock, self._reviewer, self._watch, new_id)
        self._reconciler = Reconciler(registry, ledger, clock, self._decider, self._reviewer, self._watch)
        self._approvals = Approvals(ledger, self._policies, clock, self._decider, self._reconciler)
        self._watching = watching or Watching()
        self._overrides = Overrides(ledger, self._policies, self._decider)
        self._comparisons = Comparisons(registry, self._reviewer, comparer)
        self._tables = VersionTables(registry, policy.metrics)
        self._trends = Trends(registry, ledger, policy.metrics)
        self._merits = Merits(registry, self._reviewer, comparer)

    def as_(self, actor: Actor) -> Self:
        """The same service for whoever asks now; each call looks up anew what they may."""
        bound = copy.copy(self)
        bound.actor = actor
        return bound

    def roles(self) -> tuple[Role, ...]:
        """Those of whoever asks."""
        return self._policies.known().roles_of(self.actor)

    def may(self, action: Action) -> bool:
        """Whether whoever asks has a role for it."""
        return self._policies.known().may(self.actor, action)

    def models(self) -> list[ModelRecord]:
        """Every model by name."""
        return self._registry.models()

    def known_models(self) -> list[str]:
        """Those of the registry, and those that only the ledger still knows."""
        return sorted({*self._ledger.models(), *(record.name for record in self._registry.models())})

    def gone_models(self) -> list[str]:
        """Those that were taken over and that the registry does not have any more: renamed or deleted there."""
        there = {record.name for record in self._registry.models()}
        return [name for name in self.known_models() if name not in there and self._ledger.baseline(name)]

    def overview(self) -> list[ModelOverview]:
        """Every model as the first page shows it."""
        pending, records = self.pending(), self._registry.models()
        newest = (event for each in records for event in islice(self._ledger.page(each.name), 1))
        last = {each.model: each for each in self._told(newest)}
        return [
            overview(
                record,
                self._registry.state(record.name),
                differences=self.differences(record.name),
                pending=[each for each in pending if each.model == record.name],
                last=last.get(record.name),
            )
            for record in records
        ]

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        """The decisions that have not ended, oldest first, and for how long."""
        return self._reconciler.pending(model)

    def silence(self) -> str | None:
        """Why the registry does not answer; None where it does. The record can be read all the same."""
        try:
            self._registry.registry_id()
        except Unavailable as error:
            return str(error)
        return None

    def versions(self, model: str, metrics: Sequence[str] | None = None) -> list[VersionRow]:
        """Newest first, with the metrics asked for (None: all). Raises NotFound."""
        return self._registry.table(model, metrics)

    def versions_with(self, model: str, names: Sequence[str]) -> list[VersionRow]:
        """As `versions`. Raises NotFound also for a metric that no version has."""
        return self._tables.versions_with(model, names)

    def telling_versions(
        self, model: str, preferred: Sequence[str], intervals: Sequence[str] = (), *, last: str = ""
    ) -> tuple[list[str], list[VersionRow]]:
        """The metrics that a table of the versions shows, and the versions with them, newest first. Raises NotFound.

        intervals: the metrics of which the ends of the intervals are read too. last: a figure behind all others.
        """
        return self._tables.telling_versions(model, preferred, intervals, last=last)

    def metric_columns(self, rows: Sequence[VersionRow], names: Sequence[str]) -> list[MetricColumn]:
        """Which end of each metric is better, and which of these versions have the best value."""
        return self._tables.columns(rows, names)

    def trend(self, model: str, metric: str) -> TrendRecord:
        """A metric over all versions, with what served, the decisions and the alarms. Raises NotFound."""
        return self._trends.read(model, metric)

    def best(self, model: str, metric: str, direction: Direction | None = None) -> Best:
        """The version at the better end of a metric (None: what the name and the policy say); of equal ones the newest.

        Raises InvalidInput where nobody says which end is the better one, NotFound where no version has the metric.
        """
        return self._tables.best(model, metric, direction)

    def show(self, model: str, version: int) -> Evidence:
        """One version with files and digests. Raises NotFound."""
        return self.evidence_of(self.version(model, version))

    def version(self, model: str, version: int) -> VersionRecord:
        """Raises NotFound."""
        return self._registry.version(model, version)

    def state(self, model: str) -> ModelState:
        """Aliases and stages of a model as the registry has them now. Raises NotFound."""
        return self._registry.state(model)

    def files(self, record: VersionRecord, *, fresh: bool = False) -> ModelFiles:
        """The files of a version with their digests, taken anew where `fresh`. Raises NotFound where they are gone."""
        return self._registry.files(record, fresh=fresh)

    def read_file(self, record: VersionRecord, path: str) -> bytes:
        """One file of a version. Raises NotFound."""
        return self._registry.read_file(record, path)

    def evidence_of(self, record: VersionRecord) -> Evidence:
        """What a reviewer is shown about a version; files that are gone are named there as missing."""
        return self._reviewer.evidence(record)

    def unasked(self, model: str, version: int, actor: Actor) -> bool:
        """Whether the version is in no stage and the actor never asked for a move of it. Raises NotFound."""
        row = self.version(model, version).row
        about = (entry(stored) for stored in self._ledger.about(model, version))
        moves = (each for each in about if each.type is not EventType.REGISTERED)
        asked = (each.actor for each in moves if each.is_about(version, iso(row.created_at)))
        return row.stage is Stage.NONE and actor.subject not in asked

    def review(self, move: Move, *, recompute: bool = False, recomputed: Recomputation | None = None) -> Review:
        """The gates of a move and whether it is open. Raises NotFound.

        `recompute` adds `claims_recomputed`; `recomputed`, what `recompute` gave just now, does so without its seconds.
        """
        return self._reviewer.review(move, recompute=recompute, recomputed=recomputed)

    def check(self, reference: str, to: str) -> Review:
        """The review of MODEL (its newest version), MODEL@ALIAS or MODEL/VERSION to a stage or `@alias`, in words.

        Raises InvalidInput, NotFound.
        """
        named = parse_reference(reference, lambda name: any(each.name == name for each in self.models()))
        if named.alias is not None:
            version = self.state(named.model).aliases.get(named.alias)
        else:
            version = named.version or self._registry.model(named.model).latest
        if version is None:
            lacking = "versions" if named.alias is None else f"alias {named.alias!r}"
            raise NotFound(f"model: {named.model!r} has no {lacking}")
        return self.review(parse_target(named.model, version, to))

    def recompute(self, model: str, version: int) -> Recomputation:
        """What the version claims beside what its own bytes give on its evaluation rows; takes seconds.

        Raises NotFound, and Refused, InvalidInput or IntegrityFailure where it cannot be done, with the reason.
        """
        record = self.version(model, version)
        return self._reviewer.recompute(record, self._reviewer.evidence(record))

    def compare(self, model: str, a: int, b: int) -> Comparison:
        """Two versions side by side, b minus a. Raises NotFound, InvalidInput for a version compared with itself."""
        return self._comparisons.compare(model, a, b)

    def flips(self, model: str, a: int, b: int) -> Flips:
        """The evaluation rows that the two predict differently. Raises NotFound, InvalidInput where rows differ."""
        return self._comparisons.flips(model, a, b)

    def merit(self, model: str, version: int, reference: int, *, metric: str) -> Merit:
        """What speaks for a version and against it beside another one; metric: the one that decides first.

        Raises NotFound.
        """
        return self._merits.merit(model, version, reference, metric=metric)

    def waiting(self, model: str, metric: str) -> Waiting:
        """The versions in Staging in order of merit, see Waiting; metric: the one that decides first. Raises NotFound.

        Nothing is loaded: gates that load a model are left to the review.
        """
        return self._merits.waiting(model, metric)

    def decisions(self, model: str, version: int) -> list[Entry]:
        """What was decided about a version that is there now, and what moved it beside another one; oldest first.

        Raises NotFound.
        """
        created_at = iso(self.version(model, version).row.created_at)
        about = list(self._told(self._ledger.about(model, version)))[::-1]
        return [each for each in one_line_each(about) if each.concerns(version, created_at)]

    def differences(self, model: str) -> list[OutOfBandChange]:
        """Where the registry is not what the ledger says, now."""
        return self._reconciler.differences(model)

    def changed_files(self, model: str) -> list[Changed]:
        """Versions in Staging, in Production or under an alias whose files are not those recorded, read anew."""
        return self._reconciler.changed_files(model)

    def verify(self, *, new: bool = False, checkpoints: Sequence[Path] = ()) -> list[IntegrityProblem]:
        """The chain, its copies and checkpoints; the registry against the ledger; the bytes of what is in use.

        new: the registry is meant to be one that the ledger does not know yet. checkpoints: files from elsewhere.
        """
        asked = Verification(self._ledger.registry, self.known_models, new, checkpoints)
        return list(find_problems(self._ledger, self._reconciler, asked))

    def unknown_registry(self) -> str | None:
        """Why the ledger says nothing about this registry, beside others that it knows; None where it does."""
        return unknown_registry(self._ledger, self._ledger.registry()) if self._ledger.exists() else None

    # Deciding

    def check_signer(self, actor: Actor, kind: MoveKind | None = None) -> None:
        """Raises NotAllowed for an actor who decides nothing here, or no move of this kind; nothing is recorded."""
        policy = self._policies.known()
        if kind is None or policy.closed(kind):
            policy.check_decider(actor)
        else:
            policy.authorise(actor, kind)

    def decide(self, move: Move, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Decide a move, such as a review was drawn for.

        Raises InvalidInput for what is no move or no reason; Refused and Conflict, which the ledger then holds as
        `denied`; NotFound; Unavailable where registry or ledger do not answer.
        """
        request = Request(check_move(move), check_reason(reason), actor, **options)
        self._reconciler.take_over(move.model)
        return self._decider.decide(request)

    def promote(
        self, model: str, version: int, stage: Stage, *, reason: str, actor: Actor, **options: Unpack[Options]
    ) -> Outcome:
        """Move a version to a stage; Production also makes it champion."""
        return self.decide(stage_move(model, version, stage), reason=reason, actor=actor, **options)

    def set_alias(
        self, model: str, alias: str, version: int, *, reason: str, actor: Actor, **options: Unpack[Options]
    ) -> Outcome:
        """Point an alias at a version; the alias champion also moves it to Production."""
        return self.decide(alias_move(model, alias, version), reason=reason, actor=actor, **options)

    def remove_alias(self, model: str, alias: str, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Take an alias away. Raises NotFound where there is none."""
        return self.decide(Move(model, MoveKind.UNALIAS, None, alias), reason=reason, actor=actor, **options)

    def rollback(self, model: str, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Return to the previous champion. Raises NotFound where the ledger knows none."""
        return self.decide(self.rollback_move(model), reason=reason, actor=actor, **options)

    def take_over(self) -> list[StoredEvent]:
        """Record every model that the ledger has not seen yet."""
        return [event for each in self._registry.models() if (event := self._reconciler.first_look(each.name))]

    def look(self) -> list[StoredEvent]:
        """Record what is new without anybody's doing: models not seen yet, and what moved by another way.

        What is pending is seen, so that its age is known here whatever the database's clock says.
        """
        self.pending()
        return [event for model in self.known_models() for event in self._reconciler.look(model)]

    def report_tampering(self, evidence: Evidence) -> StoredEvent | None:
        """Record an alarm where the files of a version, as they were read, are not those recorded; once."""
        return self._watch.look(evidence)

    def reconcile(self, model: str | None = None, *, min_age: timedelta = RECONCILE_AFTER) -> list[StoredEvent]:
        """Finish what a crash left and record what differs, for one model or all."""
        known = self.known_models()
        if model is not None and model not in known:
            raise NotFound(f"model: neither the registry nor the ledger knows {model!r}")
        models = known if model is None else [model]
        if self._ledger.models():
            with self._ledger.transaction():
                """It keeps the address too, where the registry has moved."""
        return [event for each in models for event in self._reconciler.reconcile(each, min_age=min_age)]

    def unresolved(self, model: str | None = None) -> Unresolved:
        """What a reconcile leaves for a person to end; reads only."""
        models = self.known_models() if model is None else [model]
        unknown = self.unknown_registry()
        problems = [IntegrityProblem("registry", "", unknown)] if unknown else []
        changed = [(name, each) for name in models for each in self.changed_files(name)]
        return Unresolved(
            differences={name: found for name in models if (found := self.differences(name))},
            pending=self.pending(model),
            gone=[name for name in self.gone_models() if name in models],
            problems=[*problems, *(IntegrityProblem("tampering", name, each.sentence) for name, each in changed)],
        )

    def adopt(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Take what the registry holds as recorded from now on; `expect`: what the actor looked at, see state_text."""
        return self._reconciler.adopt(model, reason=check_reason(reason), actor=actor, expect=expect)

    def revert(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Put the registry back to what the ledger says; `expect` as in `adopt`."""
        return self._reconciler.revert(model, reason=check_reason(reason), actor=actor, expect=expect)

    def upgrade_ledger(self, *, new: bool = False) -> Upgrade:
        """Bring an older ledger's tables up to this version, as its next write would; new: make them without one.

        Raises NotFound where there is none and none is to be made.
        """
        return self._ledger.upgrade(new=new)
