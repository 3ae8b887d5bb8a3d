"""Who acts, and how that is known."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.governance.text import visible


class Established(StrEnum):
    """How an identity was established, weakest last."""

    OIDC = "oidc"
    PROXY_HEADER = "proxy_header"
    TOKEN = "token"  # noqa: S105 (a word, not a secret)
    PROGRAM = "program"
    SELF_DECLARED = "self_declared"


@dataclass(frozen=True)
class Actor:
    """A person or program. Roles are not part of it: the service looks them up in the policy."""

    subject: str
    established: Established
    display_name: str = ""
    issuer: str = ""


def signature(subject: str, established: str | None) -> str:
    """Who, and how that is known, as one line of visible text: `grace (self-declared)`."""
    return f"{visible(subject)} ({(established or 'unknown').replace('_', '-')})"
