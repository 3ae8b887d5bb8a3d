"""What CI runs is what a developer runs."""

import re
from typing import Any

import pytest
import yaml

from pipeline.settings import ROOT

WORKFLOWS: dict[str, dict[Any, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
JOBS = {(file, name): job for file, content in WORKFLOWS.items() for name, job in content["jobs"].items()}
STEPS = [(key, step) for key, job in JOBS.items() for step in job["steps"]]


def made(file: str) -> set[str]:
    """The targets that a workflow makes."""
    commands = [step["run"].split() for key, step in STEPS if key[0] == file and "run" in step]
    assert {command[0] for command in commands} == {"make"}
    return {command[1] for command in commands}


def test_every_command_is_a_target_that_exists() -> None:
    """Nothing is installed, checked, tested or built in CI that make does not do."""
    assert {"check", "test", "try-image"} <= made("ci") <= TARGETS
    assert made("nightly") == {"install", "soak"} <= TARGETS


def test_what_takes_too_long_for_every_change_runs_every_night() -> None:
    """At a fixed time, each day."""
    (schedule,) = WORKFLOWS["nightly"][True]["schedule"]  # YAML reads `on` as true

    assert schedule["cron"].split()[2:] == ["*", "*", "*"]


def test_every_python_that_the_project_names_is_tested() -> None:
    """The matrix is that of the classifiers."""
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert JOBS["ci", "test"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("key", JOBS, ids="-".join)
def test_a_job_may_read_and_nothing_else(key: tuple[str, str]) -> None:
    """No rights for the workflow, reading the contents for a job, and no credentials left in the checkout."""
    checkouts = [step for job, step in STEPS if job == key and step.get("uses", "").startswith("actions/checkout@")]

    assert WORKFLOWS[key[0]]["permissions"] == {}
    assert JOBS[key]["permissions"] == {"contents": "read"}
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


@pytest.mark.parametrize("used", sorted({step["uses"] for _, step in STEPS if "uses" in step}))
def test_actions_are_pinned(used: str) -> None:
    """To a version or a commit, never to a branch; our own is that of the checkout."""
    assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})|\./", used)


def test_the_cache_is_that_of_the_lock() -> None:
    """Another pin is another cache."""
    keys = [step["with"]["key"] for _, step in STEPS if step.get("uses", "").startswith("actions/cache@")]

    assert keys
    assert all("requirements.txt" in key and "requirements-dev.txt" in key for key in keys)
