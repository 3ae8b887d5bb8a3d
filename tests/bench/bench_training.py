"""`train` beside its parts called by hand, and an explanation summary beside other ways to read its file.

`python tests/bench/bench_training.py FOLDER` in a process of its own: MLflow's own calls set its address for all of it.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CANDIDATE, ROUNDS, READS = "random_forest", 3, 50
VALUES = "signoff/explanation.npz"


def training_figures(folder: Path) -> dict[str, tuple[float, float]]:
    """(ours, floor) in milliseconds per figure, medians of both from the same run."""
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
    found: Mapping[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return {name: (ours, floor) for name, (ours, floor) in found.items()}


def measured(folder: Path) -> dict[str, tuple[float, float]]:
    """Everything once before it counts: imports and MLflow's first look at a store."""
    from pipeline.bootstrap import desk
    from pipeline.settings import read_settings
    from support import registries

    template = registries.template_store(folder)
    ours, by_hand = [], []
    for each in range(ROUNDS + 1):
        place = folder / f"train-{each}"
        os.environ["MLFLOW_TRACKING_URI"] = registries.copy_store(template, place)
        os.environ["SIGNOFF_LEDGER_URL"] = f"sqlite:///{place / 'ledger.db'}"
        settings = read_settings()
        ours.append(_seconds(partial(_train, settings, place)))
        os.environ["MLFLOW_TRACKING_URI"] = registries.copy_store(template, place / "by hand")
        by_hand.append(_seconds(partial(_by_hand, settings, place)))
    # The version of the last round is still there.
    summary, from_registry, from_disk, through_mlflow = _summary(desk(settings), settings, place)
    return {
        "train, against its parts by hand": (_median_ms(ours[1:]), _median_ms(by_hand[1:])),
        "explanation summary, against a known path": (summary, from_disk),
        "explanation summary, against its bytes alone": (summary, from_registry),
        "explanation summary, against MLflow's own read": (summary, through_mlflow),
    }


def _train(settings, place: Path) -> None:
    from pipeline.bootstrap import publisher
    from pipeline.training.train import train

    train(settings, folder=place / "work", publisher=publisher(settings), names=[CANDIDATE])


def _by_hand(settings, place: Path) -> None:
    """The same rows, recipe, folds and number of explained rows, and what MLflow's own manual would have one write."""
    import mlflow
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    from pipeline.explanation.explain import Explainer, explain_summary
    from pipeline.training.candidates import fit_pipeline
    from support.candidates import untrained

    train, test = (pd.read_parquet(place / "work" / f"{name}.parquet") for name in ("train", "test"))
    inputs, target = list(settings.schema_.columns), settings.schema_.target.name
    model = fit_pipeline(untrained(settings, CANDIDATE), train[inputs], train[target])
    folds = StratifiedKFold(settings.evaluation.cross_validation_folds, shuffle=True, random_state=52)
    scores = cross_val_score(untrained(settings, CANDIDATE), train[inputs], train[target], cv=folds)
    explain_summary(Explainer(model, background=train[inputs].head(50)), test[inputs], test[target])
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    mlflow.set_experiment("by hand")
    with mlflow.start_run():
        mlflow.log_metrics({"accuracy": model.score(test[inputs], test[target]), "cv_accuracy_mean": scores.mean()})
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="by_hand",
            skops_trusted_types=list(settings.serving.allowed_types),
            signature=infer_signature(train[inputs].head(), model.predict(train[inputs].head())),
            input_example=train[inputs].head(),
            pip_requirements=["scikit-learn"],
        )


def _summary(service, settings, place: Path) -> tuple[float, float, float, float]:
    """As the Explain page has it: found in the registry, read, checked. Beside it the bytes alone, found the same way;
    numpy's reading of a path that is known; and the same by name with MLflow and numpy.
    """
    import mlflow
    import numpy as np

    from pipeline.explanation.result import from_npz

    model = settings.registry.model_name
    record, known = service.version(model, 1), place / "explanation.npz"
    known.write_bytes(service.read_file(record, VALUES))
    mlflow.set_tracking_uri(settings.environment.tracking_uri)

    def bare(path: Path) -> None:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            [arrays[name] for name in arrays.files]

    ways = (
        lambda: from_npz(service.read_file(record, VALUES)),
        lambda: service.read_file(record, VALUES),
        lambda: bare(known),
        lambda: bare(Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model}/1/{VALUES}"))),
    )
    ours, from_registry, from_disk, through_mlflow = (_median_ms([_seconds(way) for _ in range(READS)]) for way in ways)
    return ours, from_registry, from_disk, through_mlflow


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median_ms(taken: list[float]) -> float:
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(f"\n{json.dumps(measured(Path(sys.argv[1])))}\n")
