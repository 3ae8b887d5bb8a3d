"""What the container image is made of and what its commands start; `make try-image` builds and runs it."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipeline.settings import ROOT

LINES = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
STEPS = [(line.partition(" ")[0], line.partition(" ")[2]) for line in LINES if line and not line.startswith("#")]
SECRET = ("TOKEN", "PASSWORD", "SECRET", "KEY")
SHIPPED = {".streamlit/config.toml", "LICENSE", "README.md", "dashboard", "docker/start", "params.yaml", "pipeline"} | {
    "pyproject.toml",
    "requirements.txt",
}


def arguments(keyword: str) -> list[str]:
    return [rest for found, rest in STEPS if found == keyword]


def test_it_is_made_of_what_runs_and_nothing_else() -> None:
    """The build sees the named files alone: no registry, ledger, tests or history; the installer goes again."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in ignored if line and not line.startswith("#")]

    assert patterns[0] == "*"
    assert {line.removeprefix("!") for line in patterns if line.startswith("!")} == SHIPPED
    assert ".venv/bin/pip uninstall --yes pip" in arguments("RUN")[-1]


def test_it_has_what_the_variables_of_the_documents_ask_for() -> None:
    """Logins, a ledger in PostgreSQL and notices: the packages of these extras are among its pins."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {re.split(r"[\[>]", each)[0] for extra in ("notify", "oidc", "postgres") for each in extras[extra]}
    pins = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()}

    assert wanted <= pins


def test_it_runs_as_nobody_in_particular() -> None:
    """A fixed number that is not root's, which owns the volume and nothing else; and nothing secret is built in."""
    assert arguments("USER") == ["10001:10001"]
    assert [each for each in arguments("COPY") if "--chown" in each] == [
        "--from=build --chown=10001:10001 /opt/signoff/var var"
    ]
    assert [json.loads(each) for each in arguments("VOLUME")] == [["/opt/signoff/var"]]
    assert not [each for each in arguments("ENV") + arguments("ARG") if any(word in each for word in SECRET)]


def test_the_base_is_named_once_by_a_tag() -> None:
    """Both stages have the same Python, and one argument pins it by digest."""
    assert STEPS[0] == ("ARG", "PYTHON=python:3.12-slim-bookworm")
    assert [each.split()[0] for each in arguments("FROM")] == ["${PYTHON}", "${PYTHON}"]


def test_it_starts_the_dashboard_and_asks_for_its_health() -> None:
    """Where nothing else is said."""
    assert [json.loads(each) for each in arguments("ENTRYPOINT")] == [["/opt/signoff/docker/start"]]
    assert [json.loads(each) for each in arguments("CMD")] == [["dashboard"]]
    assert json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2]) == ["/opt/signoff/docker/start", "health"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Programs that print how they were called, in the place of those that the start script calls."""
    for name in ("streamlit", "signoff", "python"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path)}


def started(environment: dict[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    start = ["/bin/sh", str(ROOT / "docker" / "start"), *command]
    return subprocess.run(start, env=environment, capture_output=True, text=True, check=False)


DASHBOARD = "streamlit run dashboard/app.py --server.address 0.0.0.0 --server.port 8501"


@pytest.mark.parametrize(
    ("command", "called", "health"),
    [
        ([], DASHBOARD, "http://127.0.0.1:8501/_stcore/health"),
        (["dashboard"], DASHBOARD, "http://127.0.0.1:8501/_stcore/health"),
        (["api", "--model", "m"], "signoff serve --host 0.0.0.0 --port 8000 --model m", "http://127.0.0.1:8000/livez"),
        (["pipeline", "verify", "--new"], "signoff verify --new", ""),
    ],
)
def test_a_command_listens_on_every_address_and_says_where_it_is_healthy(
    environment: dict[str, str], command: list[str], called: str, health: str
) -> None:
    """The health check asks the address of what was started; a verb is healthy as long as it runs."""
    assert started(environment, *command).stdout == f"{called}\n"

    checked = started(environment, "health")
    assert checked.returncode == 0
    assert checked.stdout.endswith(f" {health}\n" if health else "")
    assert bool(checked.stdout) == bool(health)


def test_address_and_port_can_be_chosen(environment: dict[str, str]) -> None:
    """As on a host whose network the container shares."""
    chosen = {**environment, "ADDRESS": "192.0.2.1", "PORT": "9000"}

    assert started(chosen, "api").stdout == "signoff serve --host 192.0.2.1 --port 9000\n"
    assert started(chosen, "health").stdout.endswith(" http://192.0.2.1:9000/livez\n")


def test_another_command_is_refused(environment: dict[str, str]) -> None:
    """In one sentence that says which there are."""
    refused = started(environment, "sh")

    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "dashboard, api and pipeline" in refused.stderr
