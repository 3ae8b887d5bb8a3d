"""The bearer token that callers show, where the operator has set one; there is no default token."""

import hmac
from dataclasses import dataclass, field

from pipeline.governance.errors import InvalidInput
from pipeline.governance.tokens import PREFIX
from pipeline.settings import Environment

FEWEST_CHARACTERS = 16
SCHEME = b"bearer"


@dataclass(frozen=True)
class Token:
    """A shared secret, which is compared in constant time and never printed."""

    secret: bytes = field(repr=False)  # printable ASCII

    def shown_in(self, authorization: bytes | None) -> bool:
        """Whether the value of an Authorization header is `Bearer SECRET`."""
        scheme, _, secret = (authorization or b"").partition(b" ")
        return hmac.compare_digest(secret.strip(), self.secret) and scheme.lower() == SCHEME


def read_token(environment: Environment) -> Token | None:
    """The token of SIGNOFF_TOKEN or of the file named by SIGNOFF_TOKEN_FILE; None where neither is set.

    Raises InvalidInput where both are set, for a token that protects nothing, and for an identity token: whoever asks
    for predictions would hold it, and might do whatever its owner may.
    """
    found = environment.secret()
    if found is None:
        return None
    where, secret = found
    if secret.startswith(PREFIX):
        raise InvalidInput(f"{where}: is an identity token; callers for predictions share another secret")
    return _checked(secret, where)


def _checked(secret: str, where: str) -> Token:
    """The token. Raises InvalidInput, beginning with `where`, for a secret that is short or not one word."""
    if len(secret) < FEWEST_CHARACTERS:
        raise InvalidInput(f"{where}: must have at least {FEWEST_CHARACTERS} characters")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidInput(f"{where}: must be one word of printable ASCII")
    return Token(secret.encode())
