"""Where a version comes from: data, split, recipe, settings, code and environment, and the keys that recognise it."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from pipeline.settings import ROOT, Settings
from pipeline.training.candidates import Candidate, read_recipe
from pipeline.training.data import SAMPLE, SAMPLE_NAME
from pipeline.training.files import digest

# What a difference between two trainings may come from beside code, data and settings.

# What must be installed where the model is loaded, in the versions that made it.
REQUIRED = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LOCK = ROOT / "requirements.txt"
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==")
Document = dict[str, Any]


def packages() -> dict[str, str]:
    return {name: installed_version(name) for name in REQUIRED}


def requirements() -> list[str]:
    return [f"{name}=={number}" for name, number in packages().items()]


def environment() -> Document:
    """Interpreter, platform, processor, libraries and packages; nothing in it names a user, a host or a folder."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": pinned_packages(),
        "lock_sha256": hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.exists() else None,
        "cpu_count": os.cpu_count(),
        "processor": {"architecture": platform.machine(), **_numpy()},
        "libraries": _libraries(),
        "threads": {
            **{name: os.environ.get(name) for name in THREAD_VARIABLES},
            **{library["prefix"]: library["num_threads"] for library in threadpool_info()},
        },
    }


def pinned_packages() -> dict[str, str]:
    """The installed version of every package that the lock names; without a lock, of those that a model requires."""
    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.exists() else requirements()
    found = {}
    for name in sorted({pin[1] for line in lines if (pin := PIN.match(line))}):
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:  # pinned for another system
            continue
    return found


def _numpy() -> Document:
    """The instructions that NumPy found in this processor, which choose how it sums, and the BLAS it was built on."""
    config: Document = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "features": sorted(config.get("SIMD Extensions", {}).get("found", [])),
        "blas": f"{blas.get('name')} {blas.get('version')}",
    }


def _libraries() -> Document:
    """Per numerical library that is loaded, its versions and the processor kinds whose kernels they chose."""
    found: dict[str, set[str]] = {}
    for library in threadpool_info():
        words = (library["version"], library.get("architecture"), library.get("threading_layer"))
        found.setdefault(library["prefix"], set()).add(" ".join(filter(None, words)) or "unknown version")
    return {prefix: ", ".join(sorted(texts)) for prefix, texts in sorted(found.items())}


# The project's own git checkout: which commit its code is, and how it differs from it.

GIT_SECONDS = 10
# What DVC writes while it runs: it is no code and changes nothing.
NOT_CODE = ":(exclude)dvc.lock"
MOST_CHANGED = 20


def git_state() -> dict[str, Any]:
    """Commit and which files differ from it; nulls where the project is no checkout or git is not there."""
    commit = git("rev-parse", "HEAD")
    listed = None if commit is None else git("diff", "--name-only", "HEAD", "--", ".", NOT_CODE)
    if listed is None:
        return {"commit": commit, "dirty": None, "changed": None}
    changed = listed.splitlines()
    return {"commit": commit, "dirty": bool(changed), "changed": changed[:MOST_CHANGED]}


def git(*arguments: str, seconds: float = GIT_SECONDS) -> str | None:
    """The output of a git command, stripped; None where it fails, git is missing, or the project is no checkout."""
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def read_candidate(settings: Settings, name: str, data: Document) -> Candidate:
    """The candidate of this name on these rows; data: the document `data.json`. Raises InvalidInput.

    Its fit key covers data, schema, split, recipe and library versions; its training key the evaluation and what
    explains, too. The commit is no part of them: a change of a comment makes no new model.
    """
    recipe, parameters = read_recipe(settings, name)
    unkeyed = Candidate(name, recipe, parameters, fit_key="", training_key="")
    versions = {name: number for name, number in packages().items() if name in {"mlflow", "scikit-learn", "skops"}}
    rows_and_recipe = {
        "data": data["sha256"],
        "schema": data["schema_sha256"],
        "split": settings.split.model_dump(mode="json"),
        "candidate": unkeyed.facts(),
    }
    measuring = {
        "evaluation": settings.evaluation.measuring(),
        "packages": {**versions, "shap": installed_version("shap")},
    }
    return replace(
        unkeyed,
        fit_key=digest({**rows_and_recipe, "packages": versions}),
        training_key=digest({**rows_and_recipe, **measuring}),
    )


def training_settings(settings: Settings, candidate: Candidate, data: Document) -> Document:
    """The document `training_settings.json`: the sections of `params.yaml` that this training has read.

    Of a data file it has the name only: where it lay is nobody else's business.
    """
    source = SAMPLE if data["source"] == SAMPLE_NAME else data["source"]
    return {
        "data": {**settings.data.model_dump(mode="json"), "source": source},
        "schema": settings.schema_.model_dump(mode="json"),
        "split": settings.split.model_dump(mode="json"),
        "candidates": {candidate.name: candidate.recipe.model_dump(mode="json")},
        "evaluation": settings.evaluation.measuring(),
    }


def origin() -> Document:
    """The document `origin.json`: when, from which code and in which environment a model was fitted."""
    return {"trained_at": now_text(), "git": git_state(), "environment": environment()}


def lineage(candidate: Candidate, *, data: Document, fitted: Document, origin: Document) -> Document:
    """The document `lineage.json`: data, split, recipe, code and environment of one version."""
    return {
        "data": {key: data[key] for key in ("source", "sha256", "rows", "rows_used", "schema_sha256")},
        "split": data["split"],
        "candidate": candidate.facts(),
        "fingerprint": fitted["fingerprint"],
        **origin,
    }


def now_text() -> str:
    """The present time in ISO 8601, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
