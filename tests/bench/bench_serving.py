"""One prediction and one explanation through the worker, beside the same model in this process."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

from pipeline.bootstrap import desk, scorer
from pipeline.explanation.exact import load_shap
from pipeline.serving.copies import PrivateCopies
from pipeline.serving.worker.load import load_model
from pipeline.settings import read_settings

MODEL, FOREST = "obesity_classifier", 2
ROUNDS = 30


def serving_figures(environment: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """(ours, floor) in milliseconds for the demo's random forest, medians of both from the same run."""
    os.environ.update(environment)
    settings = read_settings()
    service = desk(settings)
    ours = scorer(settings, service)
    try:
        return _figures(settings, service, ours)
    finally:
        ours.close()


def _figures(settings, service, ours) -> dict[str, tuple[float, float]]:
    import pandas as pd

    record = service.version(MODEL, FOREST)
    digest = str(service.show(MODEL, FOREST).file_digest)
    with PrivateCopies(service, most=1).using(record, digest) as folder:
        pipeline = load_model(folder, allowed_types=tuple(settings.serving.allowed_types)).model
    row = {name: column.default for name, column in settings.schema_.columns.items()}
    frame, target = pd.DataFrame([row]), ours.targets.target(f"{MODEL}/{FOREST}")
    explainer = load_shap().TreeExplainer(pipeline[-1])

    def bare_explanation() -> None:
        explainer.shap_values(pipeline[:-1].transform(frame))
        pipeline.predict_proba(frame)

    return {
        "one prediction, against predict_proba": (
            median_ms(lambda: ours.predict(target, [row])),
            median_ms(lambda: pipeline.predict_proba(frame)),
        ),
        "one live explanation, against the bare one": (
            median_ms(lambda: ours.explain(target, [row])),
            median_ms(bare_explanation),
        ),
    }


def median_ms(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)
