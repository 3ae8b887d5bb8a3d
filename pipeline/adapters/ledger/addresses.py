"""An address as it may be kept and shown: one spelling, and nothing secret."""

import re
from pathlib import Path

# A password may hold an @ or a / as it is; where it cannot be told from a host, rather the host goes.
CREDENTIALS = re.compile(r"[^:/?#@]*(:.*)?@")
QUERY = re.compile(r"[?#][\w.-]+=.*$|[?#][^@]*$")


def without_credentials(address: str) -> str:
    """Without user, password, driver and query; of a local file the whole path."""
    scheme, separator, rest = address.partition("://")
    scheme = scheme.lower().partition("+")[0]
    if not separator:
        return f"file://{Path(address.removeprefix('file:')).resolve()}" if address else ""
    if scheme == "sqlite":
        return f"sqlite:///{Path(rest.partition('?')[0].removeprefix('/')).resolve()}"
    if scheme == "file":
        return f"file://{Path(rest.removeprefix('localhost')).resolve()}"
    place = QUERY.sub("", rest)
    secret = CREDENTIALS.match(place)
    host, slash, path = place[secret.end() if secret else 0 :].partition("/")
    return f"{scheme}://{host.lower()}{slash}{path}".rstrip("/")
