"""What is not as it was recorded: in the ledger itself, in the registry, in the files of what is in use."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from pipeline.governance.decide import RECONCILE_AFTER
from pipeline.governance.errors import Unavailable
from pipeline.governance.ledger import iso
from pipeline.governance.ports import KnownRegistry, Ledger, PendingDecision
from pipeline.governance.reconcile import Reconciler

MOST_NAMED = 5
CLOCKS_DIFFER = timedelta(minutes=1)
UNITS = ((timedelta(days=2), timedelta(days=1), "days"), (timedelta(hours=2), timedelta(hours=1), "h"))
MINUTES = (timedelta(minutes=2), timedelta(minutes=1), "min")


@dataclass(frozen=True)
class Problem:
    """What `verify` found.

    kind: registry, ledger, pending, out_of_band or tampering. model: empty where it is about all of them.
    """

    kind: str
    model: str
    text: str

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "model": self.model, "text": self.text}


@dataclass(frozen=True)
class Verification:
    """What `verify` is asked.

    registry: the id that the registry has, None where it has none. models: which there are. new: the registry is meant
    to be one that the ledger does not know. checkpoints: files of them from elsewhere.
    """

    registry: Callable[[], str | None]
    models: Callable[[], Iterable[str]]
    new: bool = False
    checkpoints: Sequence[Path] = ()


def find_problems(ledger: Ledger, reconciler: Reconciler, asked: Verification) -> Iterator[Problem]:
    """The ledger's own, which registry this is, then model by model.

    Where the ledger is damaged, what cannot be looked at because of that is a problem too. Raises Unavailable where the
    ledger is whole and the registry does not answer.
    """
    own = ledger.problems(asked.checkpoints)
    look = partial(_careful, own)
    if not asked.new:
        yield from look("", lambda: _registry_problems(ledger, asked.registry()))
    yield from (Problem("ledger", "", text) for text in own)
    yield from look("", lambda: _pending_problems(reconciler))
    names: list[str] = []

    def name() -> Iterator[Problem]:
        names.extend(asked.models())
        yield from ()

    yield from look("", name)
    for model in names:
        yield from look(model, partial(_model_problems, reconciler, model))


def _careful(own: Sequence[str], model: str, look: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """What is found, and what ended the search where the ledger is damaged: what was found before is not lost."""
    found: list[Problem] = []
    try:
        found.extend(look())
    except Unavailable as error:
        if not own:
            raise
        if str(error) in own:  # the whole file: said once
            return found
        found.append(Problem("ledger", model, f"not all could be checked: {error}"))
    return found


def _registry_problems(ledger: Ledger, registry: str | None) -> Iterator[Problem]:
    if unknown := unknown_registry(ledger, registry):
        yield Problem("registry", "", unknown)


def _pending_problems(reconciler: Reconciler) -> Iterator[Problem]:
    for each in reconciler.pending():
        if each.age > RECONCILE_AFTER:
            yield Problem("pending", each.model, pending_sentence(each))


def _model_problems(reconciler: Reconciler, model: str) -> Iterator[Problem]:
    yield from (Problem("out_of_band", model, each.sentence) for each in reconciler.differences(model))
    yield from (Problem("tampering", model, each.sentence) for each in reconciler.changed_files(model))


def unknown_registry(ledger: Ledger, registry: str | None) -> str:
    """Why the ledger's word about this registry is worth nothing, as one sentence; empty where it knows it.

    registry: the id that it has, None where it has none.
    """
    known, new = ledger.registries(), "or `verify --new` if the registry is new"
    if not ledger.exists():
        return f"there is no ledger: it was lost, or nothing was recorded yet; name its address, {new}"
    here = f"the registry at {ledger.address}" if ledger.address else "this registry"
    if not ledger.models():
        its = f"its id is {registry}" if registry else "it has no id"
        return f"the ledger holds nothing about {here} ({its}), it knows {_named(known)}; name the right address, {new}"
    addresses = [each.address for each in known if each.registry == registry]
    if not ledger.address or not addresses or ledger.address in addresses:
        return ""
    held = ", ".join(addresses[-MOST_NAMED:])
    return (
        f"the ledger knows {here} by its id {registry}, but at {held}; name that address, or reconcile if it has moved"
    )


def set_back(ledger: Ledger) -> list[str]:
    """Where time went back from one event to the next, by more than clocks differ and a lock is waited for.

    No problem of the ledger, whose order is by sequence, but of somebody's clock; the newest are named.
    """
    found = []
    for (before, earlier), (number, at) in pairwise(ledger.stamps()):
        if earlier - at > CLOCKS_DIFFER:
            back = lasting(earlier - at)
            found.append(f"event {number} is stamped {back} before event {before}; a clock was set, or ran ahead")
    more = [f"time went back {len(found) - MOST_NAMED} more times before"] if len(found) > MOST_NAMED else []
    return [*more, *found[-MOST_NAMED:]]


def pending_sentence(pending: PendingDecision) -> str:
    """How long it has not ended, and since when by the clock of whoever decided."""
    stamped = f"{pending.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"decision {pending.sequence} is pending since {stamped}, for {lasting(pending.age)}; reconcile finishes it"


def pending_json(pending: PendingDecision) -> dict[str, str | int | float]:
    return {
        "sequence": pending.sequence,
        "model": pending.model,
        "decision": pending.decision,
        "at": iso(pending.at),
        "age_seconds": round(pending.age.total_seconds(), 3),
    }


def lasting(age: timedelta) -> str:
    """A duration in the largest unit that it has two of."""
    for least, unit, name in (*UNITS, MINUTES):
        if age >= least:
            return f"{age // unit} {name}"
    return f"{age // timedelta(seconds=1)} s"


def _named(known: Iterable[KnownRegistry]) -> str:
    pairs = [f"{each.registry} at {each.address}" for each in known]
    more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return ", ".join(pairs[-MOST_NAMED:]) + more if pairs else "another one"
