"""A file that came through the browser, and what was made of it: once, though every click runs the page again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import streamlit as st

from dashboard import session
from pipeline.serving.batch.upload import ScoredUpload, score_upload
from pipeline.serving.predictions import Target

KEPT = "uploads"  # under which the session keeps what was made of the last file
Made = TypeVar("Made")


@dataclass(frozen=True)
class Upload:
    """The name and the bytes of the file."""

    name: str
    content: bytes
    sha256: str  # of the content

    @classmethod
    def of(cls, name: str, content: bytes) -> Self:
        return cls(name, content, hashlib.sha256(content).hexdigest())

    @staticmethod
    def forget() -> None:
        st.session_state.pop(KEPT, None)

    def once(self, *key: str, make: Callable[[], Made]) -> Made:
        """What `make` gives for this file and key; of other files nothing is kept."""
        kept: dict[tuple[str, ...], Any] = st.session_state.setdefault(KEPT, {})
        full = (self.sha256, self.name, *key)
        if full not in kept:
            for other in [each for each in kept if each[0] != self.sha256]:
                del kept[other]
            kept[full] = make()
        found: Made = kept[full]
        return found

    def scored(self, target: Target) -> ScoredUpload:
        """With the predictions of a version; draws a bar while they are made."""
        return self.once("scored", target.digest, make=lambda: self._score(target))

    def _score(self, target: Target) -> ScoredUpload:
        limits, bar = session.settings().serving, st.progress(0.0, "Reading")

        def report(done: int, total: int, text: str) -> None:
            bar.progress(min(1.0, done / total), text)

        try:
            return score_upload(
                session.scorer(),
                target,
                self.content,
                name=self.name,
                most_bytes=int(limits.upload_megabytes * 2**20),
                most_rows=limits.upload_rows,
                chunk_rows=limits.chunk_rows,
                report=report,
            )
        finally:
            bar.empty()
