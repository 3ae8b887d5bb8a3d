"""A person by the headers that a proxy in front of the dashboard sets, such as oauth2-proxy or an ingress."""

import hmac
from collections.abc import Callable, Sequence

from pipeline.governance.actor import Actor, Established
from pipeline.settings.identity import ProxySettings

Headers = Callable[[str], Sequence[str]]  # every value that a request has under a name, each as often as it was sent


def actor_of_headers(headers: Headers, *, names: ProxySettings, secret: str) -> Actor | None:
    """The person whom the proxy names; None for nobody.

    That is a request without the secret, which did not come through the proxy, and one that has any of these headers
    twice: the proxy did not replace what somebody sent.
    """
    shown, users, groups = (headers(name) for name in (names.secret_header, names.user, names.groups))
    called = headers(names.name) if names.name else ()
    if len(shown) != 1 or not hmac.compare_digest(_bytes(shown[0]), secret.encode()):
        return None
    if len(users) != 1 or len(groups) > 1 or len(called) > 1 or not (user := _text(users[0])):
        return None
    listed = (each.strip() for each in _text(groups[0]).split(",")) if groups else ()
    name = _text(called[0]) if called else ""
    return Actor(user, Established.PROXY_HEADER, name, groups=tuple(filter(None, listed)))


def _bytes(value: str) -> bytes:
    """As it came: the server reads headers as Latin-1."""
    return value.encode("latin-1", errors="replace")


def _text(value: str) -> str:
    """Proxies write names in UTF-8."""
    return _bytes(value).decode("utf-8", errors="replace").strip()
