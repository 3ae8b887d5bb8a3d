"""What the log of predictions and a shadow cost whoever asks: three servers of the same champion, asked in turn."""

import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml
from bench_floor import wait_until_compiled
from bench_http import running
from bench_serving import FOREST, MODEL
from callers import many_callers, request_bytes

from pipeline.bootstrap import desk, person
from pipeline.governance.lifecycle import Stage
from pipeline.settings import params_file, read_settings
from pipeline.training.data import generate_sample

CLIENTS, SECONDS, WINDOWS = 8, 2.0, 14
DIFFERENT_ROWS = 500  # the log counts equal values once: one row over and over would flatter it
SECTIONS: dict[str, dict[str, object]] = {
    "off": {},
    "log": {"log": {"enabled": True, "clear": ["Age", "Gender", "Height", "Weight"]}},
    "shadow": {"log": {"enabled": True, "clear": ["Age", "Gender", "Height", "Weight"]}, "shadow": "challenger"},
}


def log_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[float, float]]:
    """(with, without): requests/s and p95 in milliseconds at eight clients, medians of windows taken in turn."""
    os.environ.update(environment)
    settings = read_settings()
    service, actor = desk(settings), person(settings, "bench")
    reason = "What the bench of the log measures."
    if service.state(MODEL).champion != FOREST:
        service.promote(MODEL, FOREST, Stage.PRODUCTION, reason=reason, actor=actor, accept_warnings=True)
    if "challenger" not in service.state(MODEL).aliases:
        other = next(row.version for row in service.versions(MODEL) if row.version != FOREST)
        service.set_alias(MODEL, "challenger", other, reason=reason, actor=actor, accept_warnings=True)
    rows = generate_sample(DIFFERENT_ROWS, seed=1)[list(settings.schema_.columns)].to_dict("records")
    command = [sys.executable, "-m", "pipeline", "serve"]
    with ExitStack() as stack:
        ports = {}
        for name, section in SECTIONS.items():
            own = {**environment, **_monitored(environment, folder / name, section)}
            ports[name] = stack.enter_context(running(command, own, folder / f"{name}.log", "/readyz"))
            wait_until_compiled(ports[name])
        return _compared(ports, [request_bytes("/predict", row) for row in rows])


def _monitored(environment: Mapping[str, str], folder: Path, section: Mapping[str, object]) -> dict[str, str]:
    """Settings and a log of its own."""
    folder.mkdir(exist_ok=True)
    content = yaml.safe_load(params_file(environment).read_text(encoding="utf-8"))
    content["serving"]["workers"] = None
    (folder / "params.yaml").write_text(yaml.safe_dump({**content, "monitoring": section}), encoding="utf-8")
    log = f"sqlite:///{folder / 'predictions.db'}"
    return {"SIGNOFF_PARAMS": str(folder / "params.yaml"), "SIGNOFF_LOG_URL": log}


def _compared(ports: Mapping[str, int], questions: Sequence[bytes]) -> dict[str, tuple[float, float]]:
    taken: dict[str, list[list[float]]] = {name: [] for name in ports}
    for window in range(WINDOWS + 1):
        # What one has left to write, the next one pays for: by turns each comes after each.
        order = list(ports.items())[:: -1 if window % 2 else 1]
        for name, port in order:
            answers = many_callers(port, *questions, callers=CLIENTS, seconds=SECONDS)
            if window:  # the first one pays for what is loaded by the first request
                taken[name].append(answers)
    rates = {name: statistics.median(len(each) / SECONDS for each in windows) for name, windows in taken.items()}
    p95 = {name: statistics.median(_p95(each) for each in windows) for name, windows in taken.items()}
    return {
        f"the log on, {CLIENTS} clients, requests/s": (rates["log"], rates["off"]),
        f"the log on, {CLIENTS} clients, p95, ms": (p95["log"], p95["off"]),
        f"a shadow beside it, {CLIENTS} clients, requests/s": (rates["shadow"], rates["off"]),
        f"a shadow beside it, {CLIENTS} clients, p95, ms": (p95["shadow"], p95["off"]),
    }


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[int(0.95 * len(times))]
