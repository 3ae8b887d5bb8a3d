"""A desk in memory whose versions are real models, and the files that come with them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from pipeline.explanation.explain import Explainer, explain_summary, summarise
from pipeline.explanation.result import to_npz
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService
from pipeline.serving.trust import LoadingPolicy
from support.desks import MODEL, build_desk
from support.hostile_models import ALLOWED, a5_pickle_inside, fitted, hostile, rows, save
from support.in_memory import InMemoryRegistry

POLICY = LoadingPolicy("allow_list", ALLOWED, kept_models=4, predict_seconds=60, explain_seconds=60)
REGRESSION = "price"
SCHEMA = {
    "columns": {
        "Age": {"type": "number", "unit": "years", "minimum": 10, "maximum": 100, "default": 24},
        "Weight": {
            "type": "number",
            "unit": "kg",
            "minimum": 25,
            "maximum": 260,
            "default": 80,
            "description": ":red-badge[Approved]",
            "training": {"minimum": 40, "maximum": 150},
        },
        "Gender": {"type": "category", "categories": ["Female", "Male"], "default": "Female"},
        "CAEC": {"type": "category", "categories": ["no", "Sometimes", "Always"], "default": "no"},
    }
}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def with_explanation(folder: Path, name: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A model with its stored rows and explanation: the files, and the documents."""
    inputs, truth = rows()
    model = fitted(name)
    files = content(save(model, folder))
    chances = model.predict_proba(inputs)
    held = inputs.assign(actual=truth, predicted=model.predict(inputs))
    held = held.assign(**{f"probability_{each}": chances[:, k] for k, each in enumerate(model.classes_)})
    held.loc[3, "predicted"] = "Normal_Weight" if held.loc[3, "actual"] != "Normal_Weight" else "Obesity_Type_I"
    positions, explanation = explain_summary(Explainer(model, background=inputs.head(40)), inputs, truth)
    files |= {
        "signoff/evaluation_rows.parquet": parquet(held),
        "signoff/background.parquet": parquet(inputs.head(40)),
        "signoff/explanation.npz": to_npz(explanation),
    }
    summary = {**summarise(explanation), "rows": positions.tolist()}
    return files, {"feature_schema": SCHEMA, "explanation": summary}


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def regression(folder: Path, columns: Sequence[str] = ("Age", "Weight")) -> dict[str, bytes]:
    """Plain MLflow: no schema, no explanation, an input example."""
    inputs = rows()[0][list(columns)]
    return content(save(LinearRegression().fit(inputs, np.arange(len(inputs))), folder, columns=columns))


def pickled(clean: Path, place: Path) -> dict[str, bytes]:
    """The files of a version whose model is a pickle."""
    return content(hostile(a5_pickle_inside, clean, place)[0])


def all_models(place: Path) -> dict[str, tuple[dict[str, bytes], dict[str, Any]]]:
    """By name: files and documents."""
    made = {name: with_explanation(place / name, name) for name in ("random_forest", "logistic_regression")}
    files, documents = made["random_forest"]
    bad = pickled(place / "random_forest", place / "pickled")
    made["pickled"] = {**files, **bad}, documents
    made["regression"] = regression(place / "regression"), {}
    made["fewer columns"] = regression(place / "fewer", ["Age"]), {}
    return made


def desk_of(models: dict[str, tuple[dict[str, bytes], dict[str, Any]]], **ports: Any) -> GovernanceService:
    """Version 1 champion and approved, version 2 in review, version 3 a pickle; and a regression model."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for name in ("random_forest", "logistic_regression", "pickled"):
        registry.add_version(MODEL, files=models[name][0], documents=models[name][1])
    registry.add_model(REGRESSION)
    registry.add_version(REGRESSION, files=models["regression"][0])
    registry.set_alias(MODEL, "champion", 1)
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    service = build_desk(registry, **ports)
    service.take_over()
    return service
