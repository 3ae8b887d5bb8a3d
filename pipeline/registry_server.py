"""Which MLflow a tracking server runs: one that cannot be supported is said by its number, not met as odd answers."""

import re

from pipeline.governance.errors import Unavailable

SERVERS = ("http://", "https://")
# 2.9 is the oldest server that was tried; aliases came with 2.3, and a new major version may change any answer.
OLDEST, NEWEST_MAJOR = (2, 9), 3
LOGGED_MODELS = (3, 0)
NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})[\w.+-]{0,40}")


def check_server(uri: str, *, least: tuple[int, int] = OLDEST, why: str = "Signoff reads") -> None:
    """Ask a server for its version; other addresses, and servers that do not tell, are let through.

    Imports MLflow, and raises what its requests raise; Unavailable for a version outside of what is supported.
    """
    if not uri.startswith(SERVERS):
        return
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415 (takes seconds)
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415

    answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False)
    found = NUMBER.fullmatch(answer.text.strip()) if answer.status_code == 200 else None  # noqa: PLR2004
    if found and not (least <= (int(found[1]), int(found[2])) and int(found[1]) <= NEWEST_MAJOR):
        oldest = ".".join(map(str, least))
        raise Unavailable(
            f"The registry's server runs MLflow {found[0]}: {why} those from {oldest} up to {NEWEST_MAJOR}.x."
        )
