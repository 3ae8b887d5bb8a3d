"""Who registered a version: what the desk itself recorded, and what MLflow claims."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.governance.actor import Actor, Established, person_in
from pipeline.governance.ports import Ledger
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import EventType, StoredEvent

NAMES_OF_NOBODY = frozenset({Established.SELF_DECLARED.value})


@dataclass(frozen=True)
class Registrar:
    """Who registered a version, as far as anybody knows."""

    # The actor of the event `registered` about these very files, as the event holds it; None where there is none.
    recorded: Mapping[str, Any] | None
    claimed: str = ""  # the subject that MLflow's login stands for; empty where MLflow names none

    def is_known_to(self, signers: Iterable[Actor]) -> bool:
        """Whether it is known well enough to say that these are others.

        A self-declared name says so of self-declared names only: whoever is logged in may have called themselves
        anything when the training ran.
        """
        if self.recorded is None:
            return False
        vouched = self.recorded["established"] not in NAMES_OF_NOBODY
        return vouched or all(each.established in NAMES_OF_NOBODY for each in signers)

    def may_be(self, actor: Actor) -> bool:
        """Whether the actor is, or may be, who registered the version. A claim keeps out and never lets in."""
        person = actor.person
        if self.claimed and self.claimed in (person.subject, person.text):
            return True
        if self.recorded is None:
            return False
        unvouched = self.recorded["established"] in NAMES_OF_NOBODY and self.recorded["subject"] == person.subject
        return person_in(self.recorded) == person or unvouched


def registrar_of(ledger: Ledger, evidence: Evidence, logins: Mapping[str, str]) -> Registrar:
    """Of a version as it is now; logins: from logins in MLflow to subjects here."""
    login = str(evidence.content["registered_by"] or "")
    stored = registration(ledger, evidence)
    return Registrar(None if stored is None else stored.event.content["actor"], logins.get(login, login))


def registrars_of(ledger: Ledger, evidences: Iterable[Evidence], logins: Mapping[str, str]) -> tuple[Registrar, ...]:
    """Of each of several versions."""
    return tuple(registrar_of(ledger, each, logins) for each in evidences)


def registration(ledger: Ledger, evidence: Evidence) -> StoredEvent | None:
    """The event `registered` about this version with these files; None where there is none."""
    wanted = evidence.subject()
    for each in ledger.about(evidence.model, evidence.version):
        subject = each.event.content.get("subject") or {}
        same = all(subject.get(name) == wanted[name] for name in ("version", "created_at", "file_digest"))
        if each.event.type is EventType.REGISTERED and same:
            return each
    return None
