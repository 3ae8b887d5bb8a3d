"""A desk of its own on any registry, with candidates that are trained in seconds; registries that are filled once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from pipeline.settings import ROOT
from support.registries import copy_store, execute, relocate, template_store

FEW = {"n_estimators": 20, "max_iter": 20}
LIMITS = ("smoke_seconds", "predict_seconds", "explain_seconds")  # and ten times as long on a busy machine
HTTP_LIMITS = ("request_seconds", "body_seconds")
SERVED = "mlflow-artifacts:"


def small_params(candidates: Mapping[str, Any] | None = None, *, rows: int = 800) -> dict[str, Any]:
    """The shipped settings with little work: these candidates or the shipped ones with few trees, few rows, few folds,
    and one worker process: half of what a server's start takes is the imports of each.

    The time limits of predictions are long: a test waits for an answer, however busy the machine is.
    """
    content = deepcopy(_shipped_params())
    if candidates is None:
        for each in content["candidates"].values():
            if each["estimator"] != "logistic_regression":
                each["parameters"] |= {name: few for name, few in FEW.items() if name in each["parameters"]}
    else:
        content["candidates"] = deepcopy(dict(candidates))
    content["data"]["sample_rows"] = rows
    content["evaluation"] |= {"bootstrap_samples": 100, "cross_validation_folds": 2}
    content["serving"]["workers"] = 1
    for section, names in ((content["serving"], LIMITS), (content["serving"]["http"], HTTP_LIMITS)):
        section |= {name: 10 * section[name] for name in names}
    return content


@cache
def _shipped_params() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return content


def small_desk(folder: Path, registry: str, content: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """The environment of a desk with a ledger and settings of its own, small ones unless others are given."""
    params = small_params() if content is None else dict(content)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return {
        "MLFLOW_TRACKING_URI": registry,
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SIGNOFF_LOG_URL": f"sqlite:///{folder / 'predictions.db'}",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
        "SIGNOFF_ACTOR": "grace",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def demo_folder(shared: Path) -> Path:
    """A desk that `pipeline demo` has filled, made once for all who ask with the same `shared` folder; to be copied."""
    folder = shared / "demo"
    with FileLock(f"{folder}.lock"):
        if not (folder / "filled").exists():
            folder.mkdir()
            environment = small_desk(folder, copy_store(template_store(shared), folder))
            command = [sys.executable, "-m", "pipeline", "demo"]
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            (folder / "filled").touch()
    return folder


def plain_folder(shared: Path) -> Path:
    """A registry that plain MLflow has filled, see plain_models; made once as `demo_folder` is, and to be copied."""
    folder = shared / "plain"
    with FileLock(f"{folder}.lock"):
        if not (folder / "filled").exists():
            uri = copy_store(template_store(shared), folder)
            program = ROOT / "tests" / "support" / "plain_models.py"
            subprocess.run([sys.executable, program, uri], cwd=folder, check=True, capture_output=True)
            (folder / "filled").touch()
    return folder


def copy_registry(filled: Path, folder: Path) -> str:
    """The address of a copy, with the models' files, in an empty folder."""
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    relocate(folder / "mlflow.db", filled, folder)
    return f"sqlite:///{folder / 'mlflow.db'}"


def copy_desk(filled: Path, folder: Path) -> Mapping[str, str]:
    """The environment of a copy in an empty folder: databases, checkpoints, settings and the models' files."""
    registry = copy_registry(filled, folder)
    relocate(folder / "ledger.db", filled, folder)
    return small_desk(folder, registry)


def copy_behind_a_server(filled: Path, registry: Path, desk: Path) -> None:
    """A copy for `mlflow server`: its database and `artifacts` in one folder, ledger and settings in another.

    Locations are those of a server that hands out the files itself: a client reaches them through it only.
    """
    copy_desk(filled, desk)
    registry.mkdir(parents=True, exist_ok=True)
    for name in ("mlflow.db", "artifacts"):
        shutil.move(desk / name, registry / name)
    database, before = registry / "mlflow.db", (desk / "artifacts").as_uri()
    relocate(database, before, SERVED)
    execute(database, "update experiments set artifact_location = ? where artifact_location = ?", f"{SERVED}/", before)
