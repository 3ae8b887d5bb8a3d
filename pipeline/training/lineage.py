"""Where a version comes from: data, split, recipe, settings, code and environment, and the keys that recognise it."""

from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any

from pipeline.settings import Settings
from pipeline.training.candidates import parameters, recipe
from pipeline.training.data import SAMPLE, SAMPLE_NAME
from pipeline.training.environment import environment, git_state, packages
from pipeline.training.files import digest

Document = dict[str, Any]


def fit_key(settings: Settings, name: str, data: Document) -> str:
    """The same key means the same fitted model: data, schema, split, recipe and library versions."""
    versions = packages()
    return digest(
        {
            **_rows_and_recipe(settings, name, data),
            "packages": {package: versions[package] for package in ("mlflow", "scikit-learn", "skops")},
        }
    )


def training_key(settings: Settings, name: str, data: Document) -> str:
    """The same key means the same version again: what `fit_key` covers, the evaluation, and what explains.

    The commit is no part of it: a change of a comment makes no new model.
    """
    versions = {**packages(), "shap": installed_version("shap")}
    return digest(
        {
            **_rows_and_recipe(settings, name, data),
            "evaluation": settings.evaluation.measuring(),
            "packages": {package: versions[package] for package in ("mlflow", "scikit-learn", "shap", "skops")},
        }
    )


def _rows_and_recipe(settings: Settings, name: str, data: Document) -> Document:
    return {
        "data": data["sha256"],
        "schema": data["schema_sha256"],
        "split": settings.split.model_dump(mode="json"),
        "candidate": candidate_facts(settings, name),
    }


def candidate_facts(settings: Settings, name: str) -> Document:
    candidate = recipe(settings, name)
    return {
        "name": name,
        "estimator": candidate.estimator,
        "parameters": parameters(settings, name),
        "body_mass_index": candidate.body_mass_index,
    }


def training_settings(settings: Settings, name: str, data: Document) -> Document:
    """The document `training_settings.json`: the sections of `params.yaml` that this training has read.

    Of a data file it has the name only: where it lay is nobody else's business.
    """
    source = SAMPLE if data["source"] == SAMPLE_NAME else data["source"]
    return {
        "data": {**settings.data.model_dump(mode="json"), "source": source},
        "schema": settings.schema_.model_dump(mode="json"),
        "split": settings.split.model_dump(mode="json"),
        "candidates": {name: recipe(settings, name).model_dump(mode="json")},
        "evaluation": settings.evaluation.measuring(),
    }


def origin() -> Document:
    """The document `origin.json`: when, from which code and in which environment a model was fitted."""
    return {"trained_at": now_text(), "git": git_state(), "environment": environment()}


def lineage(settings: Settings, name: str, *, data: Document, fitted: Document, origin: Document) -> Document:
    """The document `lineage.json`."""
    return {
        "data": {key: data[key] for key in ("source", "sha256", "rows", "rows_used", "schema_sha256")},
        "split": data["split"],
        "candidate": candidate_facts(settings, name),
        "fingerprint": fitted["fingerprint"],
        **origin,
    }


def now_text() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
