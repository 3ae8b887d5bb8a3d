"""Where a version comes from: data, split, recipe, code and environment, and the key that recognises it."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any

from threadpoolctl import threadpool_info

from pipeline.settings import ROOT, Settings
from pipeline.training.candidates import parameters, recipe
from pipeline.training.files import digest

# What must be installed where the model is loaded, in the versions that made it.
REQUIRED = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GIT_SECONDS = 10
Document = dict[str, Any]


def packages() -> dict[str, str]:
    return {name: installed_version(name) for name in REQUIRED}


def requirements() -> list[str]:
    return [f"{name}=={number}" for name, number in packages().items()]


def training_key(settings: Settings, name: str, data: Document) -> str:
    """The same key means the same version again: data, schema, split, recipe, evaluation and library versions.

    The commit is no part of it: a change of a comment makes no new model.
    """
    versions = {**packages(), "shap": installed_version("shap")}
    return digest(
        {
            "data": data["sha256"],
            "schema": data["schema_sha256"],
            "split": settings.split.model_dump(mode="json"),
            "candidate": candidate_facts(settings, name),
            "evaluation": settings.evaluation.model_dump(mode="json"),
            "packages": {package: versions[package] for package in ("mlflow", "scikit-learn", "shap", "skops")},
        }
    )


def candidate_facts(settings: Settings, name: str) -> Document:
    candidate = recipe(settings, name)
    return {
        "name": name,
        "estimator": candidate.estimator,
        "parameters": parameters(settings, name),
        "body_mass_index": candidate.body_mass_index,
    }


def git_state() -> Document:
    """Commit and whether files differ from it; nulls where the project is no checkout or git is not there."""
    commit = _git("rev-parse", "HEAD")
    status = None if commit is None else _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def environment() -> Document:
    """Interpreter, machine, packages and threads: what a difference between two trainings may come from."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        "cpu_count": os.cpu_count(),
        "threads": {
            **{name: os.environ.get(name) for name in THREAD_VARIABLES},
            **{library["prefix"]: library["num_threads"] for library in threadpool_info()},
        },
    }


def lineage(settings: Settings, name: str, *, data: Document, fitted: Document) -> Document:
    """The document `lineage.json`."""
    return {
        "data": {key: data[key] for key in ("source", "sha256", "rows", "rows_used", "schema_sha256")},
        "split": data["split"],
        "candidate": candidate_facts(settings, name),
        "git": git_state(),
        "environment": environment(),
        "fingerprint": fitted["fingerprint"],
        "trained_at": fitted["trained_at"],
    }


def now_text() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
