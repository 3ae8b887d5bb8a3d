"""What MODEL, MODEL@ALIAS and MODEL/VERSION mean: the registry says it, and of a champion the ledger has to agree."""

from pipeline.governance.errors import InvalidInput, NotFound, OutOfBand
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.service import GovernanceService
from pipeline.serving.predictions import Resolved
from pipeline.serving.trust import LedgerView


class References:
    """Safe to share between threads; keeps what the ledger holds of each model until it holds more."""

    def __init__(self, service: GovernanceService) -> None:
        self._service = service
        self._views: dict[str, tuple[int, LedgerView]] = {}

    def resolve(self, reference: str) -> Resolved:
        """MODEL (its champion), MODEL@ALIAS or MODEL/VERSION. Raises NotFound, InvalidInput.

        Raises OutOfBand where the registry has another champion than the ledger: what serves must have been recorded.
        """
        name, slash, number = reference.rpartition("/")
        if slash:
            if not number.isdecimal() or not number.isascii() or not name:
                raise InvalidInput(f"model: {reference!r} is none of MODEL, MODEL@ALIAS and MODEL/VERSION")
            return Resolved(name, int(number))
        model, alias = self._split_alias(reference)
        version = self._service.registry.state(model).aliases.get(alias)
        if version is None:
            raise NotFound(f"alias: {model!r} has no alias {alias!r}")
        if alias == CHAMPION:
            self._check_champion(model, version)
        return Resolved(model, version, alias)

    def _split_alias(self, reference: str) -> tuple[str, str]:
        """A name may itself have an @."""
        name, at, alias = reference.rpartition("@")
        if not at or any(record.name == reference for record in self._service.models()):
            return reference, CHAMPION
        return name, alias

    def _check_champion(self, model: str, version: int) -> None:
        view = self.ledger_view(model)
        if view.known and view.champion != version:
            recorded = f"version {view.champion}" if view.champion else "no champion"
            raise OutOfBand(
                f"champion: of {model!r} is version {version} in the registry, the ledger says {recorded}; "
                "adopt or revert it first"
            )

    def ledger_view(self, model: str) -> LedgerView:
        """What the ledger holds of the model; read again only when it has a newer event about it."""
        last = self._service.ledger.last(model)
        sequence = last.sequence if last else 0
        known = self._views.get(model)
        if known is None or known[0] != sequence:
            known = self._views[model] = (sequence, LedgerView.read(self._service.ledger, model))
        return known[1]
