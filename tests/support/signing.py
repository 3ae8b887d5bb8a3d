"""A signer and its check without mathematics: the signature is a hash of key and text, which anybody could make."""

import base64
import hashlib
from dataclasses import dataclass

from pipeline.governance.record.checkpoint import CheckpointKey


@dataclass(frozen=True)
class KnownSigner:
    """Signs with a name for a key."""

    name: str

    @property
    def public(self) -> str:
        return base64.b64encode(self.name.encode()).decode()

    def sign(self, text: str) -> str:
        return base64.b64encode(hashlib.sha256(f"{self.public}\0{text}".encode()).digest()).decode()

    def key(self, first: int = 1, last: int | None = None) -> CheckpointKey:
        return CheckpointKey(self.name, self.public, first, last)


class KnownCheck:
    """Knows the signatures of KnownSigner."""

    def fits(self, public: str, text: str, signature: str) -> bool:
        try:
            name = base64.b64decode(public, validate=True).decode()
        except ValueError:
            return False
        return KnownSigner(name).sign(text) == signature
