"""One row over HTTP beside its floor and its peers, all in one run: what a caller waits, and how many are answered.

The floor is an echo of the same JSON; the bar, forty lines with the same compiled parts; the peers, MLflow's own server
and, where `make bench-peers` has installed it, LitServe. Windows of all servers alternate, so that what else the
machine does meets all of them alike.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench_http import FOREST, MODEL, running, with_forest_as_champion
from callers import many_callers, one_caller, request_bytes

from pipeline.serving.copies import PrivateCopies
from pipeline.settings import ROOT

HERE = Path(__file__).resolve().parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS, WINDOWS, SECONDS, WARM, COMPILE_SECONDS = 400, 5, 2.0, 100, 120
MANY = (8, 64)
OURS, ECHO, BAR = "signoff", "echo", "forty lines"
BUDGETS = {
    "p50, ms": "at most the echo's + 1 ms",
    "p95, ms": "for comparison",
    **{f"{callers} callers, requests/s": "at least half of the echo's, ahead of the forty lines" for callers in MANY},
}


@dataclass(frozen=True)
class Peer:
    """A running server and the request that it takes for one row."""

    port: int
    question: bytes


def floor_figures(environment: Mapping[str, str], folder: Path) -> dict[str, dict[str, float]]:
    """By figure and server: p50 and p95 in milliseconds, answers per second with several callers."""
    with _peers(environment, folder) as peers:
        for peer in peers.values():
            one_caller(peer.port, peer.question, rounds=WARM)
        taken: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(WINDOWS):
            for name, peer in peers.items():
                taken[name] += one_caller(peer.port, peer.question, rounds=ROUNDS // WINDOWS)
        figures = {
            "p50, ms": {name: statistics.median(each) for name, each in taken.items()},
            "p95, ms": {name: sorted(each)[int(0.95 * len(each))] for name, each in taken.items()},
        }
        for callers in MANY:
            rates: dict[str, list[float]] = {name: [] for name in peers}
            for _ in range(WINDOWS):
                for name, peer in peers.items():
                    answers = many_callers(peer.port, peer.question, callers=callers, seconds=SECONDS)
                    rates[name].append(len(answers) / SECONDS)
            figures[f"{callers} callers, requests/s"] = {name: statistics.median(each) for name, each in rates.items()}
        return figures


@contextmanager
def _peers(environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, Peer]]:
    service, _, row = with_forest_as_champion(environment)
    record = service.version(MODEL, FOREST)
    digest = str(service.show(MODEL, FOREST).file_digest)
    split = {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}
    with PrivateCopies(service, most=1).using(record, digest) as copy, ExitStack() as stack:

        def start(command: list[str], path: str, more: Mapping[str, str] | None = None) -> int:
            log = folder / f"{Path(command[1]).stem}-{time.monotonic_ns()}.log"
            return stack.enter_context(running(command, {**environment, **(more or {})}, log, path))

        model = {"MODEL_FOLDER": str(copy), "MODEL_FILE": str(next(copy.glob("*.skops")))}
        mlflow = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
        ports = {
            ECHO: start([sys.executable, str(HERE / "echo_app.py")], "/ready"),
            BAR: start([sys.executable, str(HERE / "forty_lines_app.py")], "/ready", model),
            OURS: start([sys.executable, "-m", "pipeline", "serve"], "/readyz"),
            "mlflow": start([sys.executable, *mlflow, "-m", f"models:/{MODEL}/{FOREST}"], "/ping"),
        }
        if PEERS.exists():
            ports["LitServe"] = start([str(PEERS), str(HERE / "litserve_app.py")], "/health", model)
        wait_until_compiled(ports[OURS])
        one = request_bytes("/predict", row)
        yield {
            name: Peer(port, request_bytes("/invocations", split) if name == "mlflow" else one)
            for name, port in ports.items()
        }


def wait_until_compiled(port: int) -> None:
    """Return when the server at this port answers by the compiled form."""
    deadline = time.monotonic() + COMPILE_SECONDS
    while time.monotonic() < deadline:
        with urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            said = json.load(answer)["compiled"]
        if said.startswith("compiled"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"not compiled: {said}")
