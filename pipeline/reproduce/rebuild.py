"""Fits and evaluates in the code of a recorded commit, and writes the files that `reproduce` compares.

Started by its file's name with that commit's folder as PYTHONPATH, so `pipeline` is the recorded code, not the code
that this file belongs to. It uses only what every commit has since the first that could register: do not add to it.
"""

import json
import platform
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

from pipeline.settings import ROOT, read_settings
from pipeline.training.train import evaluate, fit, prepare


def rebuild(params: Path, name: str, *, work: Path, data: Path | None) -> None:
    settings = read_settings(params)
    _say("prepare")
    prepare(settings, folder=work, data=data)
    _say("fit")
    fit(settings, name, folder=work)
    _say("evaluate")
    evaluate(settings, name, folder=work)
    packages = {re.sub(r"[-_.]+", "-", each.metadata["Name"].lower()): each.version for each in distributions()}
    installed = {"python": platform.python_version(), "packages": packages}
    (work / "installed.json").write_text(json.dumps(installed), encoding="utf-8")


def _say(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code, params, name, work, *data = sys.argv[1:]
    if Path(code).resolve() != ROOT:
        sys.exit(f"the code of {ROOT} was imported instead of that of the commit")
    rebuild(Path(params), name, work=Path(work), data=Path(data[0]) if data else None)
