"""Which version is served: what the champion alias points to and the ledger confirms, followed while it serves.

A look costs a few queries. What it finds replaces what was known by one assignment, so that whoever is answering at
that moment goes on with the version that it began with.
"""

import logging
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.governance.errors import NotFound, OutOfBand, Refused, SignoffError
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.service import GovernanceService
from pipeline.governance.standing import LedgerView
from pipeline.serving.predictions import Resolved, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.trust import Trust
from pipeline.validation.rows import CheckedRow, example_row
from pipeline.validation.schema import InputSchema

KEPT_COPIES = 2  # the one that serves, and the one before it: requests may still be with it
LOG = logging.getLogger(__name__)


class NoChampion(NotFound):
    """Registry and ledger agree that the model has no champion: nothing may be served."""


@dataclass(frozen=True)
class Served:
    """A champion that answers. since: when the ledger made it one. example: a row that it takes, if one is known."""

    target: Target
    schema: InputSchema
    since: datetime | None
    example: CheckedRow | None


@dataclass(frozen=True)
class ServingStatus:
    """What the last look found.

    served: None where nothing may be served. reason: one sentence where that is not the champion as it should be, else
    empty. answers: whether `served` could predict when it was last tried.
    """

    served: Served | None
    reason: str = ""
    answers: bool = True

    @property
    def ready(self) -> bool:
        """Predictions can be had, of the champion or of the last good one."""
        return self.served is not None and self.answers

    @property
    def degraded(self) -> bool:
        return bool(self.reason)


class Follower:
    """Follows the champion of one model. One thread calls `look` now and then; any may read `standing`."""

    def __init__(self, service: GovernanceService, scorer: Scorer, model: str) -> None:
        self.model = model
        self._service, self._scorer = service, scorer
        self._kept: deque[ExitStack] = deque()
        self.standing = ServingStatus(None, f"the champion of {model!r} was not looked at yet")
        self._closed = False

    def look(self) -> ServingStatus:
        """Ask registry and ledger, make a new champion ready, and say how things stand. Raises nothing of ours."""
        held = self.standing.served
        try:
            standing = ServingStatus(self._champion(held))
        except NoChampion as reason:
            standing = ServingStatus(None, str(reason))
        except SignoffError as reason:
            standing = ServingStatus(held, str(reason))
        standing = self._tried(standing)
        if self._closed:  # meanwhile: the worker that did not answer was ended with the server
            return self.standing
        if (standing.served, standing.reason) != (held, self.standing.reason):
            _log_change(self.model, standing)
        self.standing = standing
        return standing

    def failed(self) -> None:
        """The look itself did not work: what serves goes on, and says so."""
        self.standing = replace(self.standing, reason=f"the champion of {self.model!r} could not be looked up")

    def close(self) -> None:
        """Lets go of the private copies; a look that is under way changes nothing any more."""
        self._closed = True
        while self._kept:
            self._kept.popleft().close()

    def _champion(self, held: Served | None) -> Served:
        """The confirmed champion, ready to answer. Raises NoChampion; SignoffError where the last good one goes on."""
        targets = self._scorer.targets
        view = targets.ledger_view(self.model)
        version = self._confirmed(view)
        target = targets.usable(targets.target(Resolved(self.model, version, CHAMPION)))
        if target.state.state is not Trust.TRUSTED:
            raise Refused(f"{target.label} is not served: {target.state.reason or 'nobody has approved it yet'}")
        if held and (held.target.resolved, held.target.digest) == (target.resolved, target.digest):
            return replace(held, since=view.since)
        return self._made_ready(target, view)

    def _confirmed(self, view: LedgerView) -> int:
        """The version that the alias points to, where the ledger says the same."""
        version = self._service.state(self.model).aliases.get(CHAMPION)
        if version is not None and version == view.champion:
            return version
        if version is None and view.champion is None:
            raise NoChampion(f"champion: {self.model!r} has none")
        if not view.known:
            raise Refused(f"champion: the ledger does not know {self.model!r}; run `signoff reconcile {self.model}`")
        in_registry = f"version {version}" if version else "gone"
        recorded = f"version {view.champion}" if view.champion else "no champion"
        then = "a decision about it has not ended" if view.pending else "adopt or revert it"
        raise OutOfBand(
            f"champion: of {self.model!r} is {in_registry} in the registry, the ledger says {recorded}; {then}"
        )

    def _made_ready(self, target: Target, view: LedgerView) -> Served:
        """Loaded by the worker and tried with one row, its copy kept on disk. Raises Refused for an unusable one."""
        columns = input_schema(target)
        example = example_row(columns, target.example)
        with ExitStack() as stack:
            stack.enter_context(self._scorer.keeping(target))
            if example:
                self._scorer.try_out(target, example)
            self._kept.append(stack.pop_all())
        while len(self._kept) > KEPT_COPIES:
            self._kept.popleft().close()
        return Served(target, columns, view.since, example)

    def _tried(self, standing: ServingStatus) -> ServingStatus:
        """With one prediction, which also makes a worker that was started anew ready before a request needs it."""
        served = standing.served
        if served is None or served.example is None:
            return standing
        try:
            self._scorer.try_out(served.target, served.example)
        except SignoffError as error:
            return replace(standing, reason=standing.reason or str(error), answers=False)
        return standing


def _log_change(model: str, standing: ServingStatus) -> None:
    served = standing.served
    what = f"version {served.target.resolved.version}, digest {served.target.digest[:12]}" if served else "nothing"
    LOG.warning("%s: serves %s%s", model, what, f"; degraded: {standing.reason}" if standing.reason else "")
