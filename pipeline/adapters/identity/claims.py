"""A person by the claims of an ID token (OpenID Connect Core 1.0, section 2) whose signature the login has checked."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.governance.actor import Actor, Established

NAMES = ("name", "preferred_username", "email")  # what people see; never by what they are told apart
LAST_SECOND = 253_402_300_799  # of the year 9999, the last that a datetime holds


def actor_of_claims(claims: Mapping[str, object], *, groups_claim: str, now: datetime) -> Actor | None:
    """The person by issuer and subject; None for nobody: not logged in, without one of the two, or expired at `now`."""
    issuer, subject, expires = _text(claims, "iss"), _text(claims, "sub"), _time(claims, "exp")
    if claims.get("is_logged_in") is not True or not issuer or not subject or expires is None or expires <= now:
        return None
    return Actor(
        subject,
        Established.OIDC,
        display_name=next(filter(None, (_text(claims, name) for name in NAMES)), ""),
        issuer=issuer,
        groups=_groups(claims.get(groups_claim)),
        authenticated_at=_time(claims, "auth_time"),
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    """Empty where it is not there or no text."""
    found = claims.get(name)
    return found if isinstance(found, str) else ""


def _time(claims: Mapping[str, object], name: str) -> datetime | None:
    """None where it is not there or no number of seconds since 1970."""
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LAST_SECOND:
        return None
    return datetime.fromtimestamp(found, UTC)


def _groups(found: object) -> tuple[str, ...]:
    """A claim that is one text is one group."""
    listed = found if isinstance(found, list | tuple) else [found]
    return tuple(each for each in listed if isinstance(each, str) and each)
