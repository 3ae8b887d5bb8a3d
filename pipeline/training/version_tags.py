"""The parameters, metrics, tags and description that a registry keeps of a version and its run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.settings import Settings

Document = dict[str, Any]
# The tag by which an equal training is recognised.
TRAINING_KEY = "training_key"


@dataclass(frozen=True)
class VersionMetadata:
    """Text and numbers for one version and its run; the files say the same in more detail."""

    # Name of the recipe in `params.yaml`.
    candidate: str
    # ISO 8601 in UTC, to the second.
    trained_at: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    # Of the version.
    tags: Mapping[str, str]
    run_tags: Mapping[str, str]
    # One sentence about the version.
    description: str
    # One sentence about the registered model, used when it is made.
    model_description: str


def version_metadata(settings: Settings, *, key: str, evaluation: Document, lineage: Document) -> VersionMetadata:
    """From the documents that go with the version, so that they cannot disagree."""
    candidate = str(lineage["candidate"]["name"])
    tags = _tags(settings, key=key, lineage=lineage)
    target = settings.schema_.target
    about = target.description.rstrip(".")
    return VersionMetadata(
        candidate=candidate,
        trained_at=str(lineage["trained_at"]),
        params=_params(settings, lineage),
        metrics=_metrics(evaluation),
        tags=tags,
        run_tags={name: tags[name] for name in ("produced_by", "model_type", TRAINING_KEY)},
        description=_sentence(evaluation, lineage),
        model_description=f"Predicts {target.name} from {len(settings.schema_.columns)} columns. {about}.",
    )


def _params(settings: Settings, lineage: Document) -> dict[str, str]:
    candidate, split = lineage["candidate"], lineage["split"]
    values = {
        **candidate["parameters"],
        "candidate": candidate["name"],
        "estimator": candidate["estimator"],
        "body_mass_index": candidate["body_mass_index"],
        "test_share": split["test_share"],
        "split_seed": split["seed"],
        "train_rows": split["train_rows"],
        "test_rows": split["test_rows"],
        "cross_validation_folds": settings.evaluation.cross_validation_folds,
        "bootstrap_seed": settings.evaluation.bootstrap_seed,
        "bootstrap_samples": settings.evaluation.bootstrap_samples,
        "data_source": lineage["data"]["source"],
        "data_sha256": lineage["data"]["sha256"],
    }
    return {name: str(value) for name, value in values.items()}


def _metrics(evaluation: Document) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, measured in evaluation["metrics"].items():
        metrics |= {name: measured["value"], f"{name}_low": measured["low"], f"{name}_high": measured["high"]}
    metrics["cv_accuracy_mean"] = evaluation["cross_validation"]["mean"]
    metrics["cv_accuracy_std"] = evaluation["cross_validation"]["std"]
    metrics["baseline_accuracy"] = evaluation["baseline"]["accuracy"]
    metrics["latency_ms_median"] = evaluation["latency_ms"]["median"]
    return metrics


def _tags(settings: Settings, *, key: str, lineage: Document) -> dict[str, str]:
    stated = {"intended_use": settings.registry.intended_use, "limitations": settings.registry.limitations}
    return {
        **{name: text for name, text in stated.items() if text is not None},
        "produced_by": "signoff",
        "owner": settings.environment.person,
        "model_type": lineage["candidate"]["name"],
        "training_date": lineage["trained_at"],
        "n_features": str(len(settings.schema_.columns)),
        "dataset_size": str(lineage["data"]["rows_used"]),
        "validation_status": "pending",
        "git_commit": lineage["git"]["commit"] or "unknown",
        "data_source": lineage["data"]["source"],
        TRAINING_KEY: key,
    }


def _sentence(evaluation: Document, lineage: Document) -> str:
    accuracy = evaluation["metrics"]["accuracy"]
    name, rows, source = lineage["candidate"]["name"], lineage["split"]["train_rows"], lineage["data"]["source"]
    return (
        f"{name} trained on {rows:,} rows of {source}: accuracy {accuracy['value']:.4f} on {evaluation['n']:,} "
        f"held-out rows ({evaluation['confidence']:.0%} interval {accuracy['low']:.4f} to {accuracy['high']:.4f})."
    )
