"""MLflow's own roles, as docs/operations.md gives them: trainers cannot move what serves, the desk's account can."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import SignoffError
from pipeline.governance.lifecycle import Stage
from pipeline.settings import ROOT
from support.ports import free_port
from support.registries import Filler, copy_store, wait_for

PASSWORDS = {"admin": "administrator-of-the-server", "trainer": "trainer-of-models", "signoff": "account-of-the-desk"}
CANDIDATES, PROD = "candidates", "prod"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
CALLS = re.findall(r"""curl -u admin -H "\$json" \$api/(\S+) -d '(.*)'""", PAGE)  # path and JSON


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow server --app-name basic-auth` with two registered models and the rights of the page."""
    folder = tmp_path_factory.mktemp("auth")
    uri = copy_store(template, folder)
    filler = Filler(uri)
    for name in (CANDIDATES, PROD):
        filler.add_model(name)
        filler.add_version(name, metrics={"accuracy": 0.9})
    port = free_port()
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nauth_cache_ttl_seconds = 60\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-secret-of-this-test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
    where = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        running = subprocess.Popen([*command, *where], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", running)
        give_rights(url)
        yield url
    finally:
        running.terminate()
        running.wait(120)


def give_rights(url: str) -> None:
    """What the page has the administrator send."""
    with httpx.Client(base_url=f"{url}/api", auth=("admin", PASSWORDS["admin"]), timeout=60) as admin:
        for path, text in CALLS:
            content = json.loads(text)
            if "password" in content:
                content["password"] = PASSWORDS[content["username"]]
            answer = admin.post(path, json=content)
            assert answer.status_code == 200, answer.text


class patched_environment:  # noqa: N801 (used as a block)
    """MLflow's client takes user and password from the environment of its process."""

    def __init__(self, user: str) -> None:
        self._patch = pytest.MonkeyPatch()
        self._user = user

    def __enter__(self) -> None:
        self._patch.setenv("MLFLOW_TRACKING_USERNAME", self._user)
        self._patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORDS[self._user])

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def status(url: str, user: str, act: Callable[[Any], object]) -> int:
    """What the server answers to MLflow's own client: 403 is about rights."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with patched_environment(user):
        try:
            act(MlflowClient(url, url))
        except MlflowException as error:
            print(user, error)  # noqa: T201 (shown where the test fails)
            denied = "error code 403" in str(error)  # whoever copies a version is told so in the text alone
            return 403 if denied else error.get_http_status_code()
    return 200


def create_version(client: Any, model: str) -> object:
    """As the page brings a version over."""
    return client.copy_model_version(f"models:/{CANDIDATES}/1", model)


def delete_version(client: Any, model: str) -> object:
    """The newest one, which a test before this one may have made; the others use the first."""
    newest = max(int(each.version) for each in client.search_model_versions(f"name='{model}'"))
    return client.delete_model_version(model, str(newest))


ACTS: dict[str, Callable[..., object]] = {
    "read": lambda client, model: client.get_registered_model(model),
    "new version": create_version,
    "alias": lambda client, model: client.set_registered_model_alias(model, "champion", "1"),
    "tag": lambda client, model: client.set_model_version_tag(model, "1", "validation_status", "approved"),
    "stage": lambda client, model: client.transition_model_version_stage(model, "1", "Staging"),
    "no alias": lambda client, model: client.delete_registered_model_alias(model, "champion"),
    "delete": delete_version,
}


def table_of_the_page() -> dict[tuple[str, str], set[str]]:
    """By user and model the acts that the server allows; every other one is 403."""
    head, *rows = (
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith(("| as ", "| trainer |", "| signoff |"))
    )
    return {
        (user, model): {
            act for acts, cell in zip(head[2:], cells, strict=True) for act in acts.split(", ") if cell == "yes"
        }
        for user, model, *cells in rows
    }


ALLOWED = table_of_the_page()


@pytest.mark.filterwarnings("ignore:.*transition_model_version_stage.*")
@pytest.mark.parametrize(("user", "model"), ALLOWED)
def test_who_may_do_what(server: str, user: str, model: str) -> None:
    """The table of the page: one right covers registering and moving the champion; two models keep them apart."""
    found = {name: status(server, user, partial(act, model=model)) for name, act in ACTS.items()}

    assert set(found.values()) <= {200, 403}
    assert {name for name, answer in found.items() if answer == 200} == ALLOWED[user, model]


def test_the_desks_account_moves_what_serves(server: str) -> None:
    """Through the desk's own door to MLflow."""
    with patched_environment("signoff"):
        registry = MlflowRegistry(server, experiment="signoff")
        registry.set_alias(PROD, "champion", 1)
        registry.set_stage(PROD, 1, Stage.PRODUCTION)
        registry.set_alias(PROD, "asked", 1)
        registry.set_alias(PROD, "asked", None)

        assert registry.state(PROD).champion == 1


def test_a_desk_without_the_right_says_so(server: str) -> None:
    """One sentence that names the credentials, not a traceback."""
    with patched_environment("trainer"), pytest.raises(SignoffError) as refused:
        MlflowRegistry(server, experiment="signoff").set_alias(PROD, "champion", 1)

    assert "credentials" in str(refused.value)
