"""What MLflow cannot open, or Signoff not support, said by name before it is met as odd answers."""

import os
import re

from pipeline.governance.errors import Unavailable

SERVERS = ("http://", "https://")
# 2.9 is the oldest server that was tried; aliases came with 2.3, and a new major version may change any answer.
OLDEST, NEWEST_MAJOR = (2, 9), 3
LOGGED_MODELS = (3, 0)
ALLOW_FOLDERS = "MLFLOW_ALLOW_FILE_STORE"
NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})[\w.+-]{0,40}")


def check_server(uri: str, *, least: tuple[int, int] = OLDEST, why: str = "Signoff reads") -> None:
    """Ask a server for its version, and refuse a folder; other addresses, and who does not tell, are let through.

    Imports MLflow, and raises what its requests raise; Unavailable for a version outside of what is supported.
    """
    if _is_folder(uri) and os.environ.get(ALLOW_FOLDERS, "").lower() not in {"true", "1"}:
        raise Unavailable(
            "The registry is a folder, which MLflow reads no more: run `mlflow migrate-filestore` and give the address "
            f"of the database, or set {ALLOW_FOLDERS}=true."
        )
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


def _is_folder(uri: str) -> bool:
    """A path, or a file: address."""
    return uri.startswith("file:") or (":" not in uri and uri != "databricks")
