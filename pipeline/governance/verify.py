"""What is not as it was recorded: in the ledger itself, in the registry, in the files of what is in use."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.governance.ports import Ledger
from pipeline.governance.reconcile import Reconciler


@dataclass(frozen=True)
class Problem:
    """What `verify` found: kind is ledger, out_of_band or tampering; model is empty for the ledger as a whole."""

    kind: str
    model: str
    text: str

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "model": self.model, "text": self.text}


def find_problems(ledger: Ledger, reconciler: Reconciler, models: Iterable[str]) -> Iterator[Problem]:
    """The ledger's own first, then model by model."""
    yield from (Problem("ledger", "", text) for text in ledger.problems())
    for model in models:
        yield from (Problem("out_of_band", model, each.sentence) for each in reconciler.differences(model))
        yield from (Problem("tampering", model, each.sentence) for each in reconciler.changed_files(model))
