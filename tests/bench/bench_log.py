"""What the log of predictions and a shadow cost whoever asks: one server, of which only that is switched by turns."""

import json
import os
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import yaml
from bench_floor import wait_until_compiled
from bench_http import running
from bench_serving import FOREST, MODEL
from callers import many_callers, request_bytes
from scipy.stats import bootstrap

from pipeline.bootstrap import desk, person
from pipeline.governance.lifecycle import Stage
from pipeline.settings import params_file, read_settings
from pipeline.training.data import generate_sample

SERVER = Path(__file__).resolve().parent / "switched_app.py"
CLIENTS, SECONDS, LEAD_SECONDS, ROUNDS, SEED = 8, 1.0, 0.5, 60, 20261201
DIFFERENT_ROWS = 500  # equal texts are counted once: one row over and over would flatter the log
SWITCH_SECONDS = 120  # for what waits to be written
OFF, LOG, SHADOW, AGAIN = "off", "log", "shadow", "off again"
WINDOWS = {OFF: "off", LOG: "log", SHADOW: "shadow", AGAIN: "off"}
MONITORED = {
    "log": {"enabled": True, "clear": ["Age", "Gender", "Height", "Weight"]},
    "shadow": "challenger",
}


@dataclass(frozen=True)
class Window:
    """What one window showed."""

    rate: float  # answers per second
    p95: float  # milliseconds
    cost: float  # microseconds of the API process's processor time per answer


@dataclass(frozen=True)
class Ratio:
    """A figure with something switched on over the same without, the median of the rounds with its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} x ({self.low:.3f} to {self.high:.3f})"


def log_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[Ratio, Ratio, str]]:
    """(with, without again, budget) of requests/s and p95 at eight clients, and of the server's processor time.

    The second is what the same comparison finds where nothing is switched: what lies within it cannot be told.
    """
    os.environ.update(environment)
    questions = _questions()
    own = {**environment, **_monitored(environment, folder)}
    with running([sys.executable, str(SERVER)], own, folder / "switched.log", "/readyz") as port:
        wait_until_compiled(port)
        for name in (OFF, LOG, SHADOW):  # the first windows pay for what is loaded by the first request
            _window(port, questions, name)
        return _compared(_rounds(port, questions))


def _questions() -> list[bytes]:
    """Requests with different rows. The demo's random forest is champion, and another version is challenger."""
    settings = read_settings()
    service, actor = desk(settings), person(settings, "bench")
    reason = "What the bench of the log measures."
    if service.state(MODEL).champion != FOREST:
        service.promote(MODEL, FOREST, Stage.PRODUCTION, reason=reason, actor=actor, accept_warnings=True)
    if "challenger" not in service.state(MODEL).aliases:
        other = next(row.version for row in service.versions(MODEL) if row.version != FOREST)
        service.set_alias(MODEL, "challenger", other, reason=reason, actor=actor, accept_warnings=True)
    rows = generate_sample(DIFFERENT_ROWS, seed=1)[list(settings.schema_.columns)].to_dict("records")
    return [request_bytes("/predict", row) for row in rows]


def _monitored(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Settings and a log of its own."""
    content = yaml.safe_load(params_file(environment).read_text(encoding="utf-8"))
    content["serving"]["workers"] = None
    (folder / "monitored.yaml").write_text(yaml.safe_dump({**content, "monitoring": MONITORED}), encoding="utf-8")
    log = f"sqlite:///{folder / 'predictions.db'}"
    return {"SIGNOFF_PARAMS": str(folder / "monitored.yaml"), "SIGNOFF_LOG_URL": log}


def _rounds(port: int, questions: Sequence[bytes]) -> dict[str, list[Window]]:
    """The windows of each kind, one of each per round in random order."""
    taken: dict[str, list[Window]] = {name: [] for name in WINDOWS}
    order = random.Random(SEED)
    for _ in range(ROUNDS):
        for name in order.sample(list(WINDOWS), len(WINDOWS)):
            taken[name].append(_window(port, questions, name))
    return taken


def _window(port: int, questions: Sequence[bytes], name: str) -> Window:
    """Callers for some seconds, after others: what is told is written half a second later, by then as much as comes.

    What is left over at the end is written before the next ones come.
    """
    _tell(port, WINDOWS[name])
    many_callers(port, *questions, callers=CLIENTS, seconds=LEAD_SECONDS)
    before = _used(port)
    times = sorted(many_callers(port, *questions, callers=CLIENTS, seconds=SECONDS))
    used = _used(port) - before
    _tell(port, "off")
    return Window(len(times) / SECONDS, times[int(0.95 * len(times))], used / len(times) * 1e6)


def _tell(port: int, name: str) -> None:
    """Has `name` be told from now on."""
    with urlopen(f"http://127.0.0.1:{port}/told/{name}", timeout=SWITCH_SECONDS) as answer:
        answer.read()


def _used(port: int) -> float:
    """The seconds of processor time that the API process has used."""
    with urlopen(f"http://127.0.0.1:{port}/used", timeout=SWITCH_SECONDS) as answer:
        return float(json.load(answer))


def _compared(taken: Mapping[str, Sequence[Window]]) -> dict[str, tuple[Ratio, Ratio, str]]:
    wanted = (("requests/s", "rate"), ("p95", "p95"), ("processor time", "cost"))
    budgets = {(LOG, "rate"): "at least 0.95 x", (SHADOW, "p95"): "at most 1.10 x"}
    return {
        f"{'the log on' if name == LOG else 'a shadow beside it'}, {CLIENTS} clients, {what}": (
            _ratio(taken, name, field),
            _ratio(taken, AGAIN, field),
            budgets.get((name, field), "for comparison"),
        )
        for name in (LOG, SHADOW)
        for what, field in wanted
    }


def _ratio(taken: Mapping[str, Sequence[Window]], name: str, field: str) -> Ratio:
    """Of the pairs of one round: what else the machine does meets both of them alike."""
    pairs = zip(taken[name], taken[OFF], strict=True)
    ratios = [getattr(one, field) / getattr(other, field) for one, other in pairs]
    interval = bootstrap(
        (np.array(ratios),), np.median, method="percentile", rng=np.random.default_rng(SEED)
    ).confidence_interval
    return Ratio(statistics.median(ratios), float(interval.low), float(interval.high))
