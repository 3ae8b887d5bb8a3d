"""What to say to somebody who was too late: who changed what, when and why, since they looked."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from pipeline.governance.errors import SignoffError, StateChanged
from pipeline.governance.record.history import Entry
from pipeline.governance.record.telling import told

MOST_NEWS = 3  # decisions of others that are told in full


class KnowsChanges(Protocol):
    """What is needed of the service."""

    def changed_from(self, model: str, state: str) -> list[Entry]: ...


@contextmanager
def who_was_faster(service: KnowsChanges, model: str, expect: str | None) -> Iterator[None]:
    """To a refusal because the state has changed, adds who changed what, when and why, as notes of the exception.

    expect: the state that was looked at.
    """
    try:
        yield
    except StateChanged as error:
        with suppress(SignoffError):  # the refusal is told all the same
            for entry in service.changed_from(model, expect or "")[:MOST_NEWS]:
                error.add_note(told(entry))
        raise
