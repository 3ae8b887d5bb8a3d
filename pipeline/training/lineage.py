"""Where a version comes from: data, split, recipe, settings, code and environment, and the keys that recognise it."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any

from pipeline.settings import Settings
from pipeline.training.candidates import Candidate, read_recipe
from pipeline.training.data import SAMPLE, SAMPLE_NAME
from pipeline.training.environment import environment, git_state, packages
from pipeline.training.files import digest

Document = dict[str, Any]


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
    """The document `lineage.json`."""
    return {
        "data": {key: data[key] for key in ("source", "sha256", "rows", "rows_used", "schema_sha256")},
        "split": data["split"],
        "candidate": candidate.facts(),
        "fingerprint": fitted["fingerprint"],
        **origin,
    }


def now_text() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
