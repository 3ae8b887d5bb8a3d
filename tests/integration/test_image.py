"""The container image: its Dockerfile is executed in a folder, and each of its commands is started from there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import ROOT
from support.dockerfile import Build, Image, instructions
from support.ports import free_port
from support.small_desk import small_desk

START_SECONDS = 180
SHIPPED = {".streamlit", ".venv", "LICENSE", "README.md", "dashboard", "docker", "params.yaml", "pipeline", "var"} | {
    "pyproject.toml",
    "requirements.txt",
    "signoff.egg-info",
}
NOT_NEEDED = ["pip", "pytest", "uv", "hadolint", "gcc"]
if sys.version_info >= (3, 12):  # as in the image; an older venv brings it along
    NOT_NEEDED.append("setuptools")
SECRET = ("TOKEN", "PASSWORD", "SECRET", "KEY")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Takes a minute: the virtual environment is installed from the pins."""
    return Build(ROOT, tmp_path_factory.mktemp("image")).run()


@pytest.fixture
def environment(image: Image, tmp_path: Path) -> Mapping[str, str]:
    """What `docker run --env` would add, with a /tmp of its own; registry and ledger lie in the volume."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    params = small_desk(tmp_path, "")["SIGNOFF_PARAMS"]
    return {**image.environment, "SIGNOFF_PARAMS": params, "TMPDIR": str(scratch), "HOME": str(scratch)}


def argv(image: Image, *command: str) -> list[str]:
    return [image.outside(each) for each in (*image.entry, *command)]


def ran(image: Image, environment: Mapping[str, str], command: list[str]) -> "subprocess.CompletedProcess[str]":
    where = image.path(image.folder)
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def started(image: Image, environment: Mapping[str, str], *command: str) -> Iterator[str]:
    """The address of a command on a free port, once the image's own health check is content; then SIGTERM ends it."""
    port = free_port()
    used = {**environment, "PORT": str(port)}
    scratch = Path(environment["TMPDIR"])
    shutil.rmtree(scratch)  # as a container starts: what an earlier command left there is not this one's health
    scratch.mkdir()
    process = subprocess.Popen(argv(image, *command), cwd=image.path(image.folder), env=used, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while ran(image, used, [image.outside(each) for each in image.health]).returncode != 0:
            assert process.poll() is None, "the command has ended"
            assert time.monotonic() < deadline, "the command is not healthy"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode in {0, -signal.SIGTERM}


def outside_of_volumes(image: Image) -> dict[str, int]:
    """Every file of the image with the time of its last change, but for those in a volume."""
    volumes = [image.path(each) for each in image.volumes]
    files = [each for each in image.root.rglob("*") if not any(each.is_relative_to(volume) for volume in volumes)]
    return {str(each): each.lstat().st_mtime_ns for each in files}


@pytest.fixture
def unchanged(image: Image) -> Iterator[None]:
    """A read-only root file system would have been enough."""
    before = outside_of_volumes(image)
    yield
    assert outside_of_volumes(image) == before


def test_it_holds_what_runs_and_nothing_else(image: Image) -> None:
    """No registry, no ledger, no tests, no history, no installer; the volume is empty."""
    home = image.path(image.folder)

    assert {each.name for each in home.iterdir()} == SHIPPED
    assert list((home / "var").iterdir()) == []
    assert [name for name in NOT_NEEDED if (home / ".venv" / "bin" / name).exists()] == []
    assert [
        each.name for each in (home / ".venv").glob("lib/python3.*/site-packages/*") if each.name in NOT_NEEDED
    ] == []


def test_it_runs_as_nobody_in_particular() -> None:
    """A fixed number that is not root's, which owns the volume and nothing else; and nothing secret is built in."""
    steps = list(instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    users = [rest for keyword, rest in steps if keyword == "USER"]
    owned = [rest for keyword, rest in steps if "--chown" in rest]

    assert users == ["10001:10001"]
    assert owned == ["--from=build --chown=10001:10001 /opt/signoff/var var"]
    assert not [rest for keyword, rest in steps if keyword in {"ENV", "ARG"} and any(word in rest for word in SECRET)]


def test_the_base_is_named_once_by_a_tag() -> None:
    """Both stages have the same Python, and one argument pins it by digest."""
    steps = list(instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))

    assert steps[0] == ("ARG", "PYTHON=python:3.12-slim-bookworm")
    assert [rest.split()[0] for keyword, rest in steps if keyword == "FROM"] == ["${PYTHON}", "${PYTHON}"]


@pytest.fixture
def filled(image: Image, environment: Mapping[str, str]) -> str:
    """What `pipeline demo` prints; the first fills the registry in the volume, and another changes nothing."""
    demo = ran(image, environment, argv(image, "pipeline", "demo", "--json"))
    assert demo.returncode == 0, demo.stderr
    return demo.stdout


@pytest.mark.usefixtures("unchanged")
def test_the_pipeline_command(image: Image, environment: Mapping[str, str], filled: str) -> None:
    """`pipeline demo` fills the registry in the volume; `pipeline verify` finds it whole, and counts as healthy."""
    assert '"champion": 1' in filled

    assert ran(image, environment, argv(image, "pipeline", "verify")).returncode == 0
    assert ran(image, environment, [image.outside(each) for each in image.health]).returncode == 0


@pytest.mark.usefixtures("unchanged")
def test_the_dashboard_command(image: Image, environment: Mapping[str, str]) -> None:
    """It is the default, listens on every address, and answers its health check."""
    with (
        started(image, environment, *image.command) as url,
        urllib.request.urlopen(url, timeout=10) as answer,
    ):
        assert b"<title>" in answer.read()
        assert answer.headers["Content-Security-Policy"]


@pytest.mark.usefixtures("unchanged", "filled")
def test_the_api_command(image: Image, environment: Mapping[str, str]) -> None:
    """It serves the champion of the volume's registry, on every address."""
    with started(image, environment, "api") as url:
        deadline = time.monotonic() + START_SECONDS
        while (health := asked(f"{url}/"))["status"] != "ready":  # alive at once, ready when the model is loaded
            assert time.monotonic() < deadline, health
            time.sleep(0.2)

    assert (health["version"], len(health["digest"])) == (1, 64)


def asked(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_another_command_is_refused(image: Image, environment: Mapping[str, str]) -> None:
    """In one sentence that says which there are."""
    refused = ran(image, environment, argv(image, "sh"))

    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "dashboard, api and pipeline" in refused.stderr
