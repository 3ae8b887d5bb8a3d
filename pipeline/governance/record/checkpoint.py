"""Checkpoints: which event was the newest, kept outside the database: a chain that was cut off or written anew is seen.

One that is signed cannot be made by whoever may write to the file.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from pipeline.governance.errors import Unavailable
from pipeline.governance.record.ledger import canonical

LABEL = "signoff-checkpoint-v1"
SETTING = "checkpoints.keys of params.yaml"


@dataclass(frozen=True)
class ChainCheckpoint:
    """One line of a checkpoint file."""

    registry: str
    sequence: int
    hash: str
    at: str  # ISO 8601, as it was written; empty where the line has none
    key: str | None = None  # fingerprint of the key that signed it; None: it is not signed
    signature: str | None = None  # base64

    @property
    def text(self) -> str:
        """What is signed."""
        fields = {"registry": self.registry, "sequence": self.sequence, "hash": self.hash, "at": self.at}
        return f"{LABEL}\0{canonical(fields)}"

    @property
    def line(self) -> str:
        """As it stands in the file, without the line feed."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def from_line(cls, line: str) -> "ChainCheckpoint | None":
        """None where the line is damaged."""
        try:
            found: dict[str, Any] = json.loads(line)
            key, signature = found.get("key"), found.get("signature")
            return cls(
                registry=str(found["registry"]),
                sequence=int(found["sequence"]),
                hash=str(found["hash"]),
                at=str(found.get("at", "")),
                key=None if key is None else str(key),
                signature=None if signature is None else str(signature),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return None


@dataclass(frozen=True)
class CheckpointKey:
    """A public key whose signatures count."""

    name: str
    public: str  # base64 of its 32 bytes
    first: int  # the event from which it holds
    last: int | None = None  # the event up to which it held; None: it still does

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def holds_at(self, sequence: int) -> bool:
        return self.first <= sequence and (self.last is None or sequence <= self.last)

    @property
    def range(self) -> str:
        """From which event to which it holds, in words."""
        return f"from event {self.first} on" if self.last is None else f"from event {self.first} to {self.last}"


def fingerprint(public: str) -> str:
    """Of a public key in base64: sixteen hexadecimal digits."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()[:16]


class Signer(Protocol):
    """Signs with the private key of this host."""

    @property
    def public(self) -> str:
        """The public key in base64."""

    def sign(self, text: str) -> str:
        """The signature in base64."""


class SignatureCheck(Protocol):
    """Knows whether a signature was made with a key."""

    def fits(self, public: str, text: str, signature: str) -> bool:
        """False also for what is no signature or no key at all."""


@dataclass(frozen=True)
class Signing:
    """Whose signatures on checkpoints count, and with which key this host signs."""

    signer: Signer | None = None  # None: this host has no key
    keys: tuple[CheckpointKey, ...] = ()  # none: signatures are not asked for
    check: SignatureCheck | None = None  # None: none fits, as nobody here can tell

    def signed(self, checkpoint: ChainCheckpoint) -> ChainCheckpoint:
        """The checkpoint with a signature, where this host has a key or has to have one.

        Raises Unavailable where what it would write is no signature that counts.
        """
        holding = [key for key in self.keys if key.holds_at(checkpoint.sequence)]
        if self.signer is None:
            if holding:
                raise Unavailable(
                    f"checkpoint: {_names(holding)} must sign event {checkpoint.sequence}, and this host has no key; "
                    "name its file in SIGNOFF_SIGNING_KEY_FILE"
                )
            return checkpoint
        own = fingerprint(self.signer.public)
        if self.keys and own not in {key.fingerprint for key in holding}:
            raise Unavailable(
                f"checkpoint: the key {own} of SIGNOFF_SIGNING_KEY_FILE does not hold for event {checkpoint.sequence}; "
                f"{SETTING} has {_names(self.keys)}"
            )
        signature = self.signer.sign(checkpoint.text)
        return ChainCheckpoint(**{**asdict(checkpoint), "key": own, "signature": signature})

    def problems(self, checkpoints: Iterable[ChainCheckpoint]) -> list[str]:
        """What is wrong with the signatures, one sentence each; lines from before the first key need none."""
        return [problem for each in checkpoints if (problem := self._problem(each))] if self.keys else []

    def _problem(self, found: ChainCheckpoint) -> str | None:
        checkpoint = f"event {found.sequence}: its checkpoint"
        if found.key is None:
            holding = [key for key in self.keys if key.holds_at(found.sequence)]
            return f"{checkpoint} is not signed, as it has to be by {_names(holding)}" if holding else None
        keys = [key for key in self.keys if key.fingerprint == found.key]
        if not keys:
            return f"{checkpoint} is signed with the key {found.key}, which {SETTING} does not have"
        if not any(key.holds_at(found.sequence) for key in keys):
            return f"{checkpoint} is signed with {_names(keys)}"
        if self.check is None or not self.check.fits(keys[0].public, found.text, found.signature or ""):
            return f"{checkpoint} has a signature that does not fit {_names(keys)}"
        return None


def _names(keys: Iterable[CheckpointKey]) -> str:
    return " or ".join(f"the key {key.name!r} ({key.fingerprint}, holds {key.range})" for key in keys)
