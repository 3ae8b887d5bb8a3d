"""The flow prepare → fit → evaluate → explain → register: functions that hand files to the next in a work folder.

FOLDER/train.parquet, test.parquet, data_report.json, data.json
FOLDER/CANDIDATE/model/, fit.json, evaluation.json, evaluation_rows.parquet,
    explanation.json, explanation.npz, registered/ (the complete model folder)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from pipeline.explanation.explain import Explainer
from pipeline.explanation.result import to_npz
from pipeline.explanation.summary import explain_summary, summarise
from pipeline.governance.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.training.candidates import build_pipeline, fit_pipeline, parameters, recipe
from pipeline.training.data import read_data, schema_digest, split_rows
from pipeline.training.evaluate import evaluate_model
from pipeline.training.facts import version_facts
from pipeline.training.files import read_json, read_parquet, write_bytes, write_json, write_parquet
from pipeline.training.fingerprint import model_fingerprint
from pipeline.training.lineage import lineage, now_text, training_key
from pipeline.training.model_folder import background_rows, complete_folder, load_model, save_model
from pipeline.training.register import Desk, Registered, find_registered, register_folder
from pipeline.training.registry_store import locked
from pipeline.training.schema import clean_rows, feature_schema

__all__ = ["Registered", "evaluate", "explain", "fit", "prepare", "register", "train"]

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]  # (steps done, steps in all, what comes next)
STEPS = ("fit", "evaluate", "explain", "register")


def prepare(settings: Settings, *, folder: Path, data: str | Path | None = None) -> Document:
    """Read, clean and split the rows; the facts about them, as in `data.json`. Raises InvalidInput."""
    raw = read_data(settings, data)
    rows, report = clean_rows(raw.frame, settings.schema_)
    train, test = split_rows(rows, settings)
    facts = {
        "source": raw.source,
        "sha256": raw.sha256,
        "rows": len(raw.frame),
        "rows_used": len(rows),
        "columns": [str(name) for name in raw.frame.columns],
        "schema_sha256": schema_digest(settings),
        "split": {**settings.split.model_dump(mode="json"), "train_rows": len(train), "test_rows": len(test)},
    }
    write_parquet(folder / "train.parquet", train)
    write_parquet(folder / "test.parquet", test)
    write_json(folder / "data_report.json", {"source": raw.source, **report})
    # Last: the other steps take it as the sign that the files before it are there.
    write_json(folder / "data.json", facts)
    return facts


def fit(settings: Settings, name: str, *, folder: Path) -> Pipeline:
    """Fit one candidate, save its model and `fit.json`. Raises InvalidInput."""
    key = training_key(settings, name, read_json(folder / "data.json"))
    train = read_parquet(folder / "train.parquet")
    inputs = train[list(settings.schema_.columns)]
    model = fit_pipeline(build_pipeline(settings, name), inputs, train[settings.schema_.target.name])
    save_model(model, folder / name / "model", train=train, settings=settings)
    facts = {"training_key": key, "fingerprint": model_fingerprint(model), "trained_at": now_text()}
    write_json(folder / name / "fit.json", facts)
    return model


def evaluate(settings: Settings, name: str, *, folder: Path, model: Pipeline | None = None) -> Document:
    """Evaluate one fitted candidate on the test rows; the document `evaluation.json`. Raises InvalidInput.

    model: what `fit` has given back just now; without it the saved one is read.
    """
    fitted = _fitted(settings, name, folder)
    model = model or load_model(folder / name / "model", settings.serving.allowed_types)
    train, test = read_parquet(folder / "train.parquet"), read_parquet(folder / "test.parquet")
    document, rows = evaluate_model(model, train, test, settings)
    document["fingerprint"] = fitted["fingerprint"]
    write_parquet(folder / name / "evaluation_rows.parquet", rows)
    write_json(folder / name / "evaluation.json", document)
    return document


def explain(settings: Settings, name: str, *, folder: Path, model: Pipeline | None = None) -> Document:
    """How one fitted candidate uses its columns: `explanation.json`, and the values behind it in `explanation.npz`.

    `rows` in the document are positions in the evaluation rows. Raises InvalidInput.
    """
    _fitted(settings, name, folder)
    model = model or load_model(folder / name / "model", settings.serving.allowed_types)
    train, test = read_parquet(folder / "train.parquet"), read_parquet(folder / "test.parquet")
    explainer = Explainer(model, background=background_rows(train, settings.schema_))
    inputs, truth = test[list(settings.schema_.columns)], test[settings.schema_.target.name]
    positions, explanation = explain_summary(explainer, inputs, truth)
    document = {**summarise(explanation), "rows": positions.tolist()}
    write_bytes(folder / name / "explanation.npz", to_npz(explanation))
    write_json(folder / name / "explanation.json", document)
    return document


def register(settings: Settings, name: str, *, folder: Path, desk: Desk | None = None) -> Registered:
    """Register one evaluated candidate, unless an equal version is there. Raises InvalidInput, Unavailable."""
    fitted = _fitted(settings, name, folder)
    evaluation = read_json(folder / name / "evaluation.json")
    if evaluation["fingerprint"] != fitted["fingerprint"]:
        raise InvalidInput(f"{folder / name}: the evaluation is of another model; evaluate again")
    data, train = read_json(folder / "data.json"), read_parquet(folder / "train.parquet")
    origin = lineage(settings, name, data=data, fitted=fitted)
    complete_folder(
        folder / name / "model",
        folder / name / "registered",
        documents={
            "evaluation": evaluation,
            "explanation": read_json(folder / name / "explanation.json"),
            "feature_schema": feature_schema(settings.schema_, train),
            "data_report": read_json(folder / "data_report.json"),
            "lineage": origin,
        },
        tables={
            "evaluation_rows": folder / name / "evaluation_rows.parquet",
            "background": background_rows(train, settings.schema_),
        },
        values=folder / name / "explanation.npz",
    )
    facts = version_facts(settings, key=fitted["training_key"], evaluation=evaluation, lineage=origin)
    return register_folder(settings, name, folder=folder / name / "registered", facts=facts, desk=desk)


def _fitted(settings: Settings, name: str, folder: Path) -> Document:
    """`fit.json`, made from the data and settings of now. Raises InvalidInput for those of another time."""
    recipe(settings, name)
    fitted = read_json(folder / name / "fit.json")
    if fitted["training_key"] != training_key(settings, name, read_json(folder / "data.json")):
        raise InvalidInput(f"{folder / name}: was fitted with other data or settings; fit again")
    return fitted


def train(
    settings: Settings,
    *,
    folder: Path,
    names: Sequence[str] | None = None,
    data: str | Path | None = None,
    desk: Desk | None = None,
    progress: Progress | None = None,
) -> list[Registered]:
    """All five steps for the named candidates (default: all). What is registered already is not fitted again.

    One training at a time works in a folder; a second one waits and then finds what the first has registered.
    """
    chosen = list(dict.fromkeys(names or settings.candidates))
    for name in chosen:
        parameters(settings, name)  # refuse a wrong recipe before the first fit
    total = 1 + len(STEPS) * len(chosen)
    tell = progress or _silent
    tell(0, total, "prepare")
    with locked(folder / ".lock"):
        facts = prepare(settings, folder=folder, data=data)
        registered = []
        for index, name in enumerate(chosen):
            steps = _Steps(tell, 1 + index * len(STEPS), total, name)
            known = find_registered(settings, name, training_key(settings, name, facts), desk=desk)
            registered.append(known or _train_one(settings, name, folder, desk=desk, steps=steps))
    tell(total, total, "done")
    return registered


def _silent(_done: int, _total: int, _text: str) -> None:
    """For callers that do not want to know."""


@dataclass(frozen=True)
class _Steps:
    """Tells the progress of one candidate; `before` steps of `total` were done for others."""

    tell: Progress
    before: int
    total: int
    candidate: str

    def begin(self, step: str) -> None:
        self.tell(self.before + STEPS.index(step), self.total, f"{self.candidate}: {step}")


def _train_one(settings: Settings, name: str, folder: Path, *, desk: Desk | None, steps: _Steps) -> Registered:
    steps.begin("fit")
    model = fit(settings, name, folder=folder)
    steps.begin("evaluate")
    evaluate(settings, name, folder=folder, model=model)
    steps.begin("explain")
    explain(settings, name, folder=folder, model=model)
    steps.begin("register")
    return register(settings, name, folder=folder, desk=desk)
