"""The champion that is served: what the alias points to and the ledger confirms, followed while it serves.

A refresh costs a few queries. Its result replaces the status by one assignment, so that a request that is being
answered goes on with the version that it began with.
"""

import logging
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.governance.errors import NotFound, OutOfBand, Refused, SignoffError
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.record.out_of_band import champion_differs
from pipeline.governance.record.standing import LedgerView
from pipeline.governance.service import GovernanceService
from pipeline.serving.compiled.form import CompiledForm
from pipeline.serving.predictions import Resolved, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.trust import Trust
from pipeline.validation.rows import CheckedRow, example_row
from pipeline.validation.schema import InputSchema

KEPT_COPIES = 2  # of the version that serves and of the one before it, which may still be answering requests
LOG = logging.getLogger(__name__)


class NoChampion(NotFound):
    """Registry and ledger agree that the model has no champion: nothing may be served."""


@dataclass(frozen=True)
class Served:
    """A champion that answers."""

    target: Target
    schema: InputSchema
    since: datetime | None  # since when it is the champion, by the ledger
    example: CheckedRow | None  # a row that it takes, where one is known


@dataclass(frozen=True)
class ServingStatus:
    """What is served after the last refresh, and how well."""

    served: Served | None  # None where nothing may be served
    reason: str = ""  # one sentence where that is not the champion as it should be
    answers: bool = True  # whether `served` could predict when it was last tried

    @property
    def ready(self) -> bool:
        """Whether predictions can be had, of the champion or of the last good one."""
        return self.served is not None and self.answers

    @property
    def degraded(self) -> bool:
        """Whether anything is not as it should be; `reason` says what."""
        return bool(self.reason)


class Follower:
    """Follows the champion of one model. One thread calls `refresh` now and then; any thread may read `status`."""

    def __init__(self, service: GovernanceService, scorer: Scorer, model: str) -> None:
        self.model = model
        self._service, self._scorer = service, scorer
        self._copies: deque[ExitStack] = deque()
        self.status = ServingStatus(None, f"the champion of {model!r} was not looked at yet")
        self._closed = False

    def refresh(self) -> ServingStatus:
        """Asks registry and ledger, loads a new champion, and gives the new status. Raises no SignoffError."""
        current = self.status.served
        try:
            status = ServingStatus(self._champion(current))
        except NoChampion as reason:
            status = ServingStatus(None, str(reason))
        except SignoffError as reason:
            status = ServingStatus(current, str(reason))
        status = self._try_out(status)
        if self._closed:  # meanwhile: the worker that did not answer was ended with the server
            return self.status
        if (status.served, status.reason) != (current, self.status.reason):
            _log_change(self.model, status)
        self.status = status
        return status

    def refresh_failed(self) -> None:
        """To be called where `refresh` ended in an error of this program: what serves goes on, degraded."""
        self.status = replace(self.status, reason=f"the champion of {self.model!r} could not be looked up")

    def compile(self) -> None:
        """Compiles what serves, see CompiledForms.keep; may take many seconds, in a thread of its own."""
        if (served := self.status.served) and not self._closed:
            self._scorer.compiled.keep(served.target)

    @property
    def compiled(self) -> CompiledForm | None:
        """Whether what serves answers by a compiled form, and why not; None where nothing serves."""
        if (served := self.status.served) is None:
            return None
        why = "serving.http.compile is off" if self._scorer.compiled.off else "it is being compiled"
        return self._scorer.compiled.of(served.target) or CompiledForm.refused(why)

    def close(self) -> None:
        """Removes the private copies; a refresh that is under way changes nothing any more."""
        self._closed = True
        while self._copies:
            self._copies.popleft().close()

    def _champion(self, current: Served | None) -> Served:
        """The confirmed champion, loaded. Raises NoChampion; another SignoffError where the last good one goes on."""
        targets = self._scorer.targets
        view = targets.ledger_view(self.model)
        version = self._confirmed_version(view)
        target = targets.usable(targets.target(Resolved(self.model, version, CHAMPION)))
        if target.state.state is not Trust.TRUSTED:
            raise Refused(f"{target.label} is not served: {target.state.reason or 'nobody has approved it yet'}")
        if current and (current.target.resolved, current.target.digest) == (target.resolved, target.digest):
            return replace(current, since=view.since)
        return self._load(target, view)

    def _confirmed_version(self, view: LedgerView) -> int:
        """The version that the alias points to. Raises NoChampion, Refused, or OutOfBand where the ledger differs."""
        version = self._service.state(self.model).aliases.get(CHAMPION)
        if version is not None and version == view.champion:
            return version
        if version is None and view.champion is None:
            raise NoChampion(f"champion: {self.model!r} has none")
        if not view.known:
            raise Refused(f"champion: the ledger does not know {self.model!r}; run `signoff reconcile {self.model}`")
        if view.pending:
            raise OutOfBand(f"the champion of {self.model!r} is not known yet: a decision about it has not ended")
        raise OutOfBand(champion_differs(self.model, version, view.champion))

    def _load(self, target: Target, view: LedgerView) -> Served:
        """Loads a version by predicting one row, and keeps its copy on disk. Raises Refused where that fails."""
        columns = input_schema(target)
        example = example_row(columns, target.example)
        with ExitStack() as stack:
            stack.enter_context(self._scorer.keeping(target))
            if example:
                self._scorer.try_out(target, example)
            self._copies.append(stack.pop_all())
        while len(self._copies) > KEPT_COPIES:
            self._copies.popleft().close()
        return Served(target, columns, view.since, example)

    def _try_out(self, status: ServingStatus) -> ServingStatus:
        """The status after one prediction, by which a restarted worker loads the model before a request needs it."""
        served = status.served
        if served is None or served.example is None:
            return status
        try:
            self._scorer.try_out(served.target, served.example)
        except SignoffError as error:
            return replace(status, reason=status.reason or str(error), answers=False)
        return status


def _log_change(model: str, status: ServingStatus) -> None:
    served = status.served
    what = f"version {served.target.resolved.version}, digest {served.target.digest[:12]}" if served else "nothing"
    LOG.warning("%s: serves %s%s", model, what, f"; degraded: {status.reason}" if status.reason else "")
