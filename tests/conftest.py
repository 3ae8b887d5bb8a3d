"""What every test starts from: no settings of whoever runs it, no telemetry, no time limit in property tests."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import settings

from support.registries import template_store
from support.small_desk import demo_folder, plain_folder
from support.soak import SOAK

if TYPE_CHECKING:
    from support.postgres import PostgresServer

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it when it is imported
os.environ["DO_NOT_TRACK"] = "true"

# Many containers set it. Here hundreds of processes would each compile our code, and each of pytest-xdist all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job, and so in all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that a failure is of the change that is tested; the nightly soak looks for others.
settings.register_profile("signoff", deadline=None, database=None, derandomize=not SOAK)
settings.load_profile("signoff")
LITTER = [path for path in (Path.cwd() / "mlflow.db", Path.cwd() / "mlruns") if not path.exists()]
MEMORY = Path("/dev/shm")
ROOM = 8 * 2**30  # bytes, of which a run uses less than half


def work_in_memory() -> None:
    """Temporary files go into memory where there is room: small databases wait for a disk at each write."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return
    if min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # whoever has asked before asks again


work_in_memory()


def clean_environment() -> None:
    for name in list(os.environ):
        if name in {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} or name.startswith("SIGNOFF_"):
            del os.environ[name]


clean_environment()  # for fixtures that live longer than a test


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run, the same for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def template(shared: Path) -> Path:
    """The database of an empty MLflow store, to be copied."""
    return template_store(shared)


@pytest.fixture(scope="session")
def demo_desk(shared: Path) -> Path:
    """The folder of a desk that the demo has filled with four versions, to be copied with `copy_desk`."""
    return demo_folder(shared)


@pytest.fixture(scope="session")
def plain_registry(shared: Path) -> Path:
    """The folder of a registry that plain MLflow has filled, to be copied with `copy_registry`."""
    return plain_folder(shared)


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    """A PostgreSQL server of this process, for ledgers that several hosts share."""
    from support.postgres import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """AppTest leaves its script as the main module, which every process that a later test spawns would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """MLflow writes the tracking URI into the environment: what one test set, the next does not see.

    And where a call names no registry, MLflow makes one in the current folder: that is a mistake of the test.
    """
    clean_environment()
    yield
    assert not [path.name for path in LITTER if path.exists()]


def pytest_collection_finish() -> None:
    """What thousands of collected tests consist of stays: the garbage collector need not look through it again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests have kept with `record_property`, such as how many kills a soak has seen."""
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        if report.when == "call" and report.user_properties:
            figures = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid}: {figures}")
