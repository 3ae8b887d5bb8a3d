"""A served champion in memory for tests: real rules, real rows, and a worker that knows what to say."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pandas as pd

from pipeline.governance.lifecycle import Stage
from pipeline.http_api import create_app
from pipeline.http_api.batcher import MicroBatcher
from pipeline.http_api.metrics import HttpMetrics
from pipeline.http_api.state import AppState
from pipeline.http_api.token import Token
from pipeline.serving.champion import Follower
from pipeline.serving.scorer import Scorer
from pipeline.serving.trust import LoadingPolicy
from pipeline.serving.worker.arrow import encode_predictions, unpacked
from pipeline.serving.worker.protocol import Frame
from pipeline.settings import HttpSettings
from support.desks import MODEL, build_desk
from support.in_memory import InMemoryRegistry
from support.loops import run_async

POLICY = LoadingPolicy("allow_list", (), kept_models=2, predict_seconds=5, explain_seconds=5)
CLASSES = ["no", "yes"]
ROW: dict[str, object] = {"Age": 30, "Gender": "Male", "Visits": 3}
SCHEMA = {
    "columns": {
        "Age": {
            "type": "number",
            "unit": "years",
            "minimum": 10,
            "maximum": 100,
            "default": 24,
            "description": "Age in full years",
            "training": {"minimum": 14, "maximum": 61},
        },
        "Gender": {"type": "category", "categories": ["Female", "Male"], "default": "Female"},
    }
}
SIGNATURE = {"inputs": [{"name": "Age", "type": "double"}, {"name": "Visits", "type": "long"}]}
LIMITS = HttpSettings(
    poll_seconds=1,
    batch_rows=1000,
    body_megabytes=1,
    at_once=4,
    request_seconds=60,
    body_seconds=2,
    end_seconds=5,
)


@dataclass
class KnownWorker:
    """A worker that says "yes" to every row and remembers what it was asked; `refusal` is raised instead.

    silent: ages to which it has no finite answer. table: it answers with a score and a label instead.
    """

    memory_megabytes: int = 0
    restarts: int = 0
    refusal: Exception | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    silent: tuple[float, ...] = ()
    table: bool = False

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        self.asked.append((request["op"], request["digest"]))
        if self.refusal:
            raise self.refusal
        if request["op"] == "describe":
            known = {"classes": CLASSES, "probabilities": True, "columns": ["Age"], "example": {}}
            if self.table:
                known = {**known, "classes": [], "probabilities": False, "names": ["score", "label"]}
            return {**known, "model_type": "DecisionTreeClassifier", "mlflow_flavor": False}
        if "arrow" in request:
            return self._columns(unpacked(request["arrow"]).column("Age").to_numpy())
        count = len(request["rows"]["values"][0])
        if request["op"] == "explain":
            return _explanations(request["rows"]["columns"], count)
        return {"predictions": ["yes"] * count, "classes": CLASSES, "probabilities": [[0.2, 0.8]] * count}

    def _columns(self, ages: np.ndarray) -> Frame:
        silent = np.isin(ages, self.silent)
        if self.table:
            return {"classes": [], "arrow": encode_predictions(pd.DataFrame({"score": ages / 100, "label": "a"}), None)}
        chances = np.where(silent[:, None], np.nan, [[0.2, 0.8]])
        return {"classes": CLASSES, "arrow": encode_predictions(np.array(["yes"] * len(ages)), chances)}

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to end."""

    kill = stop

    def pipes(self) -> AbstractContextManager[None]:
        """It has none: it is asked by its method alone."""
        return nullcontext()

    def apart(self, worker: object) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def workers(self) -> tuple["KnownWorker", ...]:
        return (self,)


def _explanations(columns: list[str], count: int) -> Frame:
    nothing = dict.fromkeys(columns, 0.0)
    document = {
        "classes": CLASSES,
        "scale": "probability",
        "method": "exact (tree)",
        "sum_error": 0.0,
        "base_values": {"no": 0.2, "yes": 0.8},
        "contributions": {"no": nothing, "yes": nothing},
        "output": {"no": 0.2, "yes": 0.8},
    }
    return {
        "explanations": [document] * count,
        "sampled": False,
        "tolerance": 1e-9,
        "adds_up": True,
        "fallback": "",
        "background": "",
    }


def registry_with_columns() -> InMemoryRegistry:
    """Version 1 is champion and takes Age, Gender and Visits."""
    found = InMemoryRegistry()
    found.add_model(MODEL)
    documents = {"feature_schema": SCHEMA}
    measured = {"accuracy": 0.9}
    found.add_version(MODEL, metrics=measured, files={"MLmodel": b"flavors"}, documents=documents, signature=SIGNATURE)
    found.set_alias(MODEL, "champion", 1)
    found.set_stage(MODEL, 1, Stage.PRODUCTION)
    return found


def state_in_memory(
    worker: KnownWorker, *, registry: InMemoryRegistry | None = None, token: str = "", limits: HttpSettings = LIMITS
) -> AppState:
    """What a lifespan would build, after its first look. Needs a running event loop when it is asked."""
    service = build_desk(registry or registry_with_columns())
    service.take_over()
    scorer = Scorer(service, worker, POLICY)
    follower = Follower(service, scorer, MODEL)
    batcher = MicroBatcher(scorer, concurrency=1, seconds=limits.request_seconds)
    metrics = HttpMetrics(lambda: follower.status, lambda: scorer.worker_restarts)
    follower.refresh()
    return AppState(MODEL, limits, Token(token.encode()) if token else None, follower, batcher, metrics)


class LocalApi:
    """Asks an application in this process, one request per event loop."""

    def __init__(self, state: AppState) -> None:
        self.state = state
        self.app = create_app()
        self.app.state.serving = state

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return run_async(self._ask(method, path, **more))

    def predict(self, row: object, path: str = "/predict", **more: Any) -> httpx.Response:
        return self.ask("POST", path, json=row, **more)

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **more)
