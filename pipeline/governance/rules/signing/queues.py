"""What waits for a person's signature, what that person asked for, and what was done past the others."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.governance.actor import Actor, Role, signature
from pipeline.governance.record.requests import RequestView
from pipeline.governance.rules.signing.override import OpenOverride


@dataclass(frozen=True)
class SigningQueues:
    """What concerns one person among the requests that have not ended, and the overrides that concern everybody."""

    waiting: tuple[RequestView, ...]  # requests that the person may sign, see `signable`
    asked: tuple[RequestView, ...]  # the person's own, the newest first
    overrides: tuple[OpenOverride, ...]  # that nobody else has looked at, the newest first
    open_to_person: frozenset[int]  # the numbers of the overrides that the person may acknowledge
    names: Mapping[str, str]  # what people are called, by the reference that events hold

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.asked or self.overrides)

    def who(self, actor: Mapping[str, Any]) -> str:
        """Whoever signed an event, and how that was known; actor: as the event holds it."""
        name = self.names.get(str(actor.get("person")), str(actor.get("subject")))
        return signature(name, actor.get("established"))


def signable(views: Iterable[RequestView], actor: Actor, roles: Collection[Role]) -> tuple[RequestView, ...]:
    """The requests that somebody may sign: first those that can be approved as they are, of these first what expires
    first.
    """
    found = (each for each in views if each.may_be_signed_by(actor, roles))
    return tuple(sorted(found, key=lambda each: (bool(each.stale), each.request.expires_at)))
