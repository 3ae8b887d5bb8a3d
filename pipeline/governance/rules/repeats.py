"""The same once more: what an idempotency key stands for, and refusals that a program runs into again and again."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice, takewhile
from typing import Any, TypedDict

from pipeline.governance.actor import Established
from pipeline.governance.errors import DecisionPending, KeyReused
from pipeline.governance.ports import Ledger, LedgerTransaction
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, canonical, digest_of

ONCE_IN = timedelta(minutes=1)
MOST_LOOKED_AT = 100  # refusals of the last minute
# By what a refusal is the same as another. Why it was refused may name figures that move; the kind of refusal counts.
SAME = ("actor", "meaning", "to", "subject", "requested", "overridden", "reason", "refusal", "token")


class KeyOptions(TypedDict, total=False):
    """Idempotency: the same key again is the same act, and another act under it is refused."""

    key: str | None
    body: str  # the digest of all that the key stands for, where that is more than the act, its reason and its actor


def key_digest(content: Mapping[str, Any], body: str = "") -> str:
    """What a key stands for. body: as in KeyOptions."""
    return digest_of(canonical({**content, **({"body": body} if body else {})}))


def check_same(stored: StoredEvent, digest: str) -> None:
    """Raises KeyReused where the event that a key was used for stands for another request."""
    if stored.event.content.get("request") != digest:
        raise KeyReused("key: it belongs to another request; take a new key for this one")


def check_unused(transaction: LedgerTransaction, key: str | None) -> None:
    """Under the lock: whoever sent the same at the same time was faster. Raises DecisionPending."""
    if key and transaction.find_key(key):
        raise DecisionPending("key: the same request is being decided at this moment")


def record_refusal(ledger: Ledger, denied: Event) -> None:
    """Record a refusal, unless it repeats itself; of several that come at once, one is recorded."""
    if _is_repeated(ledger, denied):
        return
    with ledger.transaction() as transaction:
        if not _is_repeated(ledger, denied):  # looked at again under the lock
            transaction.append(denied)


def _is_repeated(ledger: Ledger, denied: Event) -> bool:
    """Whether the ledger holds the same refusal of the same token from within the last minute.

    A program tries again by itself, and would fill the record; each refusal of a person is one.
    """
    if denied.content["actor"]["established"] != Established.TOKEN:
        return False
    page = (each for each in ledger.page(denied.model, only=(EventType.DENIED,)) if isinstance(each, StoredEvent))
    recent = takewhile(lambda each: denied.at - each.event.at < ONCE_IN, islice(page, MOST_LOOKED_AT))
    wanted = [denied.content.get(name) for name in SAME]
    return any([each.event.content.get(name) for name in SAME] == wanted for each in recent)
