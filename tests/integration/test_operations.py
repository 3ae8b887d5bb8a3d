"""docs/operations.md: its commands are run as they stand, with other folders and ports."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.bootstrap import desk
from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import SignoffError
from pipeline.settings import ROOT, read_settings
from support.ports import free_port
from support.registries import wait_for
from support.small_desk import copy_behind_a_server

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MODEL = "obesity_classifier"
BESIDE = ("mlflow/basic_auth.db", "signoff/predictions.db")  # of MLflow's users, and of the log
REASON = "Better than the champion in every class."
GRACE = Actor("grace", Established.SELF_DECLARED, loopback=True)
IN_TURN = """
import shlex, sys
from pipeline.cli import run
for program, *arguments in map(shlex.split, sys.argv[1:]):
    assert program == "signoff"
    if code := run(arguments):
        sys.exit(code)
"""


def blocks(heading: str) -> list[str]:
    """The shell blocks below a heading, indented ones too."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    text = next(each for each in section if each.startswith(f"{heading}\n"))
    found = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"^ +(?=docker)", "", each, flags=re.MULTILINE) for each in found]


class Host:
    """A folder in the place of /srv, a free port in the place of 5000, and the environment that the page exports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SIGNOFF_PARAMS": str(folder / "signoff" / "params.yaml"),
            "SIGNOFF_ACTOR": "grace",
        }
        for line in self.here(blocks("Your own MLflow server")[1]).splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value

    def here(self, text: str) -> str:
        return text.replace("/srv", str(self.folder)).replace("5000", str(self.port))

    def run(self, block: str) -> "subprocess.CompletedProcess[str]":
        """Stops at the first command that fails."""
        command = ["sh", "-eu", "-c", self.here(block)]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def verbs(self, block: str) -> "subprocess.CompletedProcess[str]":
        """Commands that are all `signoff`, in one process: most of what each takes is its imports."""
        command = [sys.executable, "-c", IN_TURN, *block.splitlines()]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    @contextmanager
    def server(self) -> Iterator[None]:
        command = blocks("Your own MLflow server")[0].replace("\\\n", " ")
        environment, *arguments = shlex.split(self.here(command))
        name, _, value = environment.partition("=")
        with (self.folder / "server.log").open("ab") as log:
            running = subprocess.Popen(
                arguments, env={**self.environment, name: value}, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_for(f"http://127.0.0.1:{self.port}/health", running)
            yield
        finally:
            running.terminate()
            running.wait(120)


@pytest.fixture(scope="module")
def host(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    made = Host(tmp_path_factory.mktemp("srv"))
    copy_behind_a_server(demo_desk, made.folder / "mlflow", made.folder / "signoff")
    return made


def test_backup_and_restore(
    host: Host, call: Callable[..., tuple[int, Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup taken while somebody decides is restored over a ruin, and after `reconcile` the ledger verifies."""
    for name in ("MLFLOW_TRACKING_URI", "SIGNOFF_LEDGER_URL", "SIGNOFF_PARAMS", "SIGNOFF_ACTOR"):
        monkeypatch.setenv(name, host.environment[name])
    for path in BESIDE:
        keep(host.folder / path, path)
    with host.server():
        with decisions():
            saved = host.run("\n".join(blocks("Backup")[:2]))
        assert saved.returncode == 0, saved.stderr
        promoted, _, said = call("promote", MODEL, 2, "Production", "--accept-warnings", "--reason", REASON)
        assert promoted == 0, said
    ruin(host.folder)

    laid_back = host.run("\n".join(blocks("Restore")[:2]))
    assert laid_back.returncode == 0, laid_back.stderr
    assert [kept(host.folder / path) for path in BESIDE] == list(BESIDE)
    with host.server():
        restored = host.verbs(blocks("Restore")[3])
        if restored.returncode == 7:  # a decision fell between the two copies
            restored = host.verbs(f"signoff reconcile {MODEL} --revert --reason '{REASON}'\n{blocks('Restore')[3]}")
        assert restored.returncode == 0, restored.stdout + restored.stderr
        watched = host.verbs(f"{blocks('What to watch')[0]}signoff models --json")
        assert watched.returncode == 0, watched.stdout + watched.stderr
        assert '"champion": 1' in watched.stdout
        upgraded = host.run(blocks("Upgrade")[0])
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr


@contextmanager
def decisions() -> Iterator[None]:
    """Somebody sets and removes an alias as fast as it goes; at least one decision is made meanwhile."""
    service, enough, begun = desk(read_settings()), threading.Event(), threading.Event()

    def decide() -> None:
        while not enough.is_set():
            # A busy server may not answer, and what follows is then refused; one decision has to be made.
            with suppress(SignoffError):
                service.set_alias(MODEL, "canary", 3, reason=REASON, actor=GRACE, accept_warnings=True)
                begun.set()
            with suppress(SignoffError):
                service.remove_alias(MODEL, "canary", reason=REASON, actor=GRACE, accept_warnings=True)

    somebody = threading.Thread(target=decide)
    somebody.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        enough.set()
        somebody.join(120)


def keep(database: Path, text: str) -> None:
    """A database of one row."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT ? AS text", [text])


def kept(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT text FROM kept").fetchone()[0])


def ruin(folder: Path) -> None:
    """All databases are rubbish, with journals beside them, and the files are gone."""
    for database in map(folder.joinpath, ("mlflow/mlflow.db", "signoff/ledger.db", *BESIDE)):
        for path in (database, database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm")):
            path.write_bytes(b"rubbish" * 1000)
    shutil.rmtree(folder / "mlflow" / "artifacts")
    (folder / "mlflow" / "artifacts").mkdir()


CONTAINERS = [line for block in blocks("In a container") for line in block.splitlines() if "run" in line.split()]


@pytest.mark.parametrize("line", CONTAINERS)
def test_a_container_is_started_with_what_it_has(line: str) -> None:
    """The command is one of the image, and everything written has a place."""
    arguments = shlex.split(line)
    command = arguments[arguments.index("signoff") + 1]

    assert f"\n{command})\n" in (ROOT / "docker" / "start").read_text(encoding="utf-8")
    assert "signoff:/opt/signoff/var" in arguments
    assert "--read-only" not in arguments or arguments[arguments.index("--tmpfs") + 1] == "/tmp"


def test_the_proxy_lets_through_what_the_dashboard_takes() -> None:
    """The same limit for uploads on both sides."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))

    assert f"client_max_body_size {config['server']['maxUploadSize']}m" in PAGE


def test_the_proxy_names_the_host_to_all_behind_it() -> None:
    """A location that sets a header of its own takes over none: each sets Host, of which others make addresses."""
    example = PAGE.partition("```nginx\n")[2].partition("```")[0]
    _, *locations = re.split(r"^ +location ", example, flags=re.MULTILINE)
    own = [each for each in locations if "proxy_set_header" in each]

    assert len(own) > 1
    assert [each for each in own if "proxy_set_header Host $http_host;" not in each] == []


FAILURES = PAGE.partition("## When something fails")[2]


@pytest.mark.parametrize("sentence", re.findall(r'"([^"]+)"', FAILURES))
def test_what_is_seen_is_what_the_code_says(sentence: str) -> None:
    """Each quoted sentence stands in the code word for word."""
    code = [
        file.read_text(encoding="utf-8") for part in ("pipeline", "dashboard") for file in (ROOT / part).rglob("*.py")
    ]

    assert any(sentence in text for text in code)
