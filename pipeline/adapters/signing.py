"""Signatures on checkpoints by Ed25519 (RFC 8032). The library cryptography is imported where it is needed."""

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.governance.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SETTING = "SIGNOFF_SIGNING_KEY_FILE"


class Ed25519Signer:
    """Signs with a private key in a file; implements Signer."""

    def __init__(self, file: Path) -> None:
        """Raises InvalidInput for a file that cannot be read, or that holds no private key of this kind."""
        self._key = _read(file)
        self.public = _public(self._key)

    def sign(self, text: str) -> str:
        return base64.b64encode(self._key.sign(text.encode())).decode()


class Ed25519Check:
    """Implements SignatureCheck."""

    def fits(self, public: str, text: str, signature: str) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
            key.verify(base64.b64decode(signature, validate=True), text.encode())
        except (InvalidSignature, ValueError, binascii.Error):
            return False
        return True


def new_key(file: Path) -> str:
    """Makes a private key in a new file that only its owner may read, in PKCS #8; gives the public key in base64.

    Raises InvalidInput where there is a file already, or none can be made.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InvalidInput(f"keys: {file} is there already; a key is never written over") from error
    except OSError as error:
        raise InvalidInput(f"keys: {file} cannot be made ({error.strerror})") from error
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(descriptor)
    return _public(key)


def _read(file: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise InvalidInput(f"{SETTING}: {file} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{SETTING}: {file} is no private key; make one with signoff keys new FILE") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            f"{SETTING}: {file} is a key of another kind than Ed25519; make one with signoff keys new FILE"
        )
    return key


def _public(key: "Ed25519PrivateKey") -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
