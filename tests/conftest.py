"""What every test starts from: no settings of whoever runs it, no telemetry, no time limit in property tests."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it when it is imported
os.environ["DO_NOT_TRACK"] = "true"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job, and so in all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("signoff", deadline=None, database=None)
settings.load_profile("signoff")

# These start processes on a machine that has other work: what fails there is tried once more, and the run lists it.
REPEATED = tuple(Path(__file__).parent / name for name in ("contract", "integration", "browser"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(map(item.path.is_relative_to, REPEATED)):
            item.add_marker(pytest.mark.flaky(reruns=1))


def clean_environment() -> None:
    for name in list(os.environ):
        if name in {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} or name.startswith("SIGNOFF_"):
            del os.environ[name]


clean_environment()  # for fixtures that live longer than a test


@pytest.fixture(autouse=True)
def _environment() -> None:
    """MLflow writes the tracking URI into the environment: what one test set, the next does not see."""
    clean_environment()
