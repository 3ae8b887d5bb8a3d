"""The ledger as one document that anybody can check with sha256 alone, without this program."""

import json
from collections.abc import Iterator
from contextlib import suppress

from pipeline.governance.errors import NotFound
from pipeline.governance.ledger import Event
from pipeline.governance.ports import Ledger


def export(ledger: Ledger, model: str | None = None) -> Iterator[str]:
    """The document in pieces: a long ledger is never in memory as a whole.

    `events`: every stored row, for the chain runs through all models. `evidence`: by digest, what the events of the
    model (None: of all) quote, each as the very text that was hashed; null for what the ledger does not hold any more.
    """
    quoted: dict[str, None] = {}
    yield '{"events": ['
    for index, stored in enumerate(ledger.events()):
        row = {
            "sequence": stored.sequence,
            "previous_hash": stored.previous_hash,
            "hash": stored.hash,
            "body": stored.body,
        }
        yield f"{',' if index else ''}\n{json.dumps(row, ensure_ascii=False)}"
        if model in (None, stored.event.model):
            quoted |= dict.fromkeys(_digests(stored.event))
    yield '\n],\n"evidence": {'
    for index, digest in enumerate(quoted):
        text = None
        with suppress(NotFound):
            text = ledger.evidence(digest)
        yield f"{',' if index else ''}\n{json.dumps(digest)}: {json.dumps(text, ensure_ascii=False)}"
    yield "\n}}\n"


def _digests(event: Event) -> list[str]:
    """Of the version's evidence, and of the incumbent's that it was compared with."""
    incumbent = event.content.get("incumbent") or {}
    found = (event.content.get("evidence"), incumbent.get("evidence"))
    return [digest for digest in found if digest is not None]
