"""How the worker process is started, what it inherits, and how its end reads."""

import os
import signal
import sys
from pathlib import Path

from pipeline.settings import ROOT

# -P: the current folder is no place to import from.
COMMAND = (sys.executable, "-P", "-m", "pipeline.serving.worker")


def environment(home: Path) -> dict[str, str]:
    """Nothing of ours: no tracking address, no credentials. One thread, so that memory does not grow with the cores."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **threads, **quiet}


def ending(returncode: int) -> str:
    """In a word or two, such as SIGSEGV or "exit code 1"."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
