"""What CI runs is what a developer runs."""

import re
from typing import Any

import pytest
import yaml

from pipeline.settings import ROOT

CI: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
STEPS = [(name, step) for name, job in CI["jobs"].items() for step in job["steps"]]


def test_every_command_is_a_target_that_exists() -> None:
    """Nothing is installed, checked, tested or built in CI that make does not do."""
    commands = [step["run"].split() for _, step in STEPS if "run" in step]
    made = [command[1] for command in commands if command[0] == "make"]

    assert set(made) <= TARGETS
    assert {"check", "test", "try-image"} <= set(made)
    assert {command[0] for command in commands} == {"make"}


def test_every_python_that_the_project_names_is_tested() -> None:
    """The matrix is that of the classifiers."""
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert CI["jobs"]["test"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("name", CI["jobs"])
def test_a_job_may_read_and_nothing_else(name: str) -> None:
    """No rights for the workflow, reading the contents for a job, and no credentials left in the checkout."""
    checkouts = [step for job, step in STEPS if job == name and step.get("uses", "").startswith("actions/checkout@")]

    assert CI["permissions"] == {}
    assert CI["jobs"][name]["permissions"] == {"contents": "read"}
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


@pytest.mark.parametrize("used", sorted({step["uses"] for _, step in STEPS if "uses" in step}))
def test_actions_are_pinned(used: str) -> None:
    """To a version or a commit, never to a branch."""
    assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", used)


def test_the_cache_is_that_of_the_lock() -> None:
    """Another pin is another cache."""
    keys = [step["with"]["key"] for _, step in STEPS if step.get("uses", "").startswith("actions/cache@")]

    assert keys
    assert all("requirements.txt" in key and "requirements-dev.txt" in key for key in keys)
