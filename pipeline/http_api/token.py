"""The bearer token that callers show, where the operator has set one; there is no default token."""

import hmac
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.governance.errors import InvalidInput
from pipeline.settings import Environment

FEWEST_CHARACTERS = 16
MOST_BYTES = 4_096
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

    Raises InvalidInput where both are set, and for a token that protects nothing.
    """
    if environment.token is not None and environment.token_file is not None:
        raise InvalidInput("SIGNOFF_TOKEN and SIGNOFF_TOKEN_FILE: set one of them, not both")
    if environment.token is not None:
        return _checked(environment.token.get_secret_value(), "SIGNOFF_TOKEN")
    if environment.token_file is None:
        return None
    about = f"SIGNOFF_TOKEN_FILE: {environment.token_file}"
    try:
        with Path(environment.token_file).open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii").strip()
    except OSError as error:
        raise InvalidInput(f"{about}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{about}: must hold one line of ASCII") from error
    return _checked(text, about)


def _checked(secret: str, where: str) -> Token:
    """The token. Raises InvalidInput, beginning with `where`, for a secret that is short or not one word."""
    if len(secret) < FEWEST_CHARACTERS:
        raise InvalidInput(f"{where}: must have at least {FEWEST_CHARACTERS} characters")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidInput(f"{where}: must be one word of printable ASCII")
    return Token(secret.encode())
