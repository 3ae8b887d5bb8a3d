"""The steps prepare → fit → evaluate → explain → register: functions that hand files to the next in a work folder.

FOLDER/train.parquet, test.parquet, data_report.json, data.json
FOLDER/CANDIDATE/model/, fit.json, origin.json
    evaluation.json, evaluation_rows.parquet, latency.json, metrics.json, confusion.csv, calibration.csv
    explanation.json, explanation.npz
    registered/ (the complete model folder), receipt.json

The same data, settings and code give the same bytes in each of them, but for model/ (two saved files of one model
differ), origin.json and latency.json (of the moment), and what is registered.
"""

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from pipeline.explanation.explain import Explainer, explain_summary, summarise
from pipeline.explanation.result import to_npz
from pipeline.governance.errors import InvalidInput
from pipeline.monitoring.profile import DOCUMENT as PROFILE
from pipeline.monitoring.reference import profile_of
from pipeline.settings import Settings
from pipeline.training.candidates import Candidate, build_pipeline, fit_pipeline
from pipeline.training.clean import clean_rows, feature_schema
from pipeline.training.data import read_data, schema_digest, split_rows
from pipeline.training.evaluate import evaluate_model, latency, write_figures
from pipeline.training.files import read_json, read_parquet, write_bytes, write_json, write_parquet
from pipeline.training.lineage import lineage, origin, requirements, training_settings
from pipeline.training.model_folder import (
    EXAMPLE_ROWS,
    background_rows,
    complete_folder,
    load_model,
    model_fingerprint,
    save_model,
)
from pipeline.training.register import NewVersion, Registered
from pipeline.training.version_tags import version_metadata

Document = dict[str, Any]


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


def fit(settings: Settings, candidate: Candidate, *, folder: Path) -> Pipeline:
    """Fit one candidate, save its model, `fit.json` and `origin.json`. Raises InvalidInput."""
    own = folder / candidate.name
    train = read_parquet(folder / "train.parquet")
    inputs = train[list(settings.schema_.columns)]
    model = fit_pipeline(build_pipeline(candidate, settings.schema_), inputs, train[settings.schema_.target.name])
    save_model(model, own / "model", allowed_types=settings.serving.allowed_types)
    write_json(own / "origin.json", origin())
    write_json(own / "fit.json", {"fit_key": candidate.fit_key, "fingerprint": model_fingerprint(model)})
    return model


def evaluate(settings: Settings, candidate: Candidate, *, folder: Path, model: Pipeline | None = None) -> Document:
    """Evaluate one fitted candidate on the test rows; the document `evaluation.json`. Raises InvalidInput.

    model: what `fit` has given back just now; without it the saved one is read.
    """
    own = folder / candidate.name
    fitted = _fitted(candidate, own)
    model = model or _saved_model(settings, own, fitted)
    train, test = read_parquet(folder / "train.parquet"), read_parquet(folder / "test.parquet")
    document, rows = evaluate_model(model, train=train, test=test, settings=settings)
    document["fingerprint"] = fitted["fingerprint"]
    document["training_key"] = candidate.training_key
    write_parquet(own / "evaluation_rows.parquet", rows)
    write_figures(own, document, rows)
    write_json(own / "latency.json", latency(model, test[list(settings.schema_.columns)]))
    write_json(own / "evaluation.json", document)
    return document


def explain(settings: Settings, candidate: Candidate, *, folder: Path, model: Pipeline | None = None) -> Document:
    """How one fitted candidate uses its columns: `explanation.json`, and the values behind it in `explanation.npz`.

    `rows` in the document are positions in the evaluation rows. Raises InvalidInput.
    """
    own = folder / candidate.name
    fitted = _fitted(candidate, own)
    model = model or _saved_model(settings, own, fitted)
    train, test = read_parquet(folder / "train.parquet"), read_parquet(folder / "test.parquet")
    explainer = Explainer(model, background=background_rows(train, settings.schema_))
    inputs, truth = test[list(settings.schema_.columns)], test[settings.schema_.target.name]
    positions, explanation = explain_summary(explainer, inputs, truth)
    document = {**summarise(explanation), "rows": positions.tolist()}
    write_bytes(own / "explanation.npz", to_npz(explanation))
    write_json(own / "explanation.json", document)
    return document


def complete(settings: Settings, candidate: Candidate, *, folder: Path) -> NewVersion:
    """One evaluated candidate as the version that it becomes, with its files in `registered/`. Raises InvalidInput."""
    own, data, train = folder / candidate.name, read_json(folder / "data.json"), read_parquet(folder / "train.parquet")
    fitted = _fitted(candidate, own)
    evaluation = _evaluated(candidate, own, fitted)
    origins = lineage(candidate, data=data, fitted=fitted, origin=read_json(own / "origin.json"))
    evaluation["latency_ms"] = read_json(own / "latency.json")
    described = feature_schema(settings.schema_, train)
    profile = profile_of((own / "evaluation_rows.parquet").read_bytes(), described, candidate.name)
    complete_folder(
        own / "model",
        own / "registered",
        documents={
            "evaluation": evaluation,
            "explanation": read_json(own / "explanation.json"),
            "feature_schema": described,
            "data_report": read_json(folder / "data_report.json"),
            "lineage": origins,
            "training_settings": training_settings(settings, candidate, data),
            PROFILE: profile.as_json(),
        },
        tables={
            "evaluation_rows": own / "evaluation_rows.parquet",
            "background": background_rows(train, settings.schema_),
        },
        values=own / "explanation.npz",
    )
    return NewVersion(
        folder=own / "registered",
        example=train[list(settings.schema_.columns)].head(EXAMPLE_ROWS),
        target=settings.schema_.target.name,
        requirements=tuple(requirements()),
        metadata=version_metadata(settings, key=candidate.training_key, evaluation=evaluation, lineage=origins),
    )


def write_receipt(candidate: Candidate, registered: Registered, *, folder: Path) -> None:
    """`receipt.json`: which version a candidate is, for a tool that keeps track of files."""
    fitted = read_json(folder / candidate.name / "fit.json")
    receipt = {
        "model": registered.model,
        "version": registered.version,
        "candidate": candidate.name,
        "training_key": candidate.training_key,
        "fingerprint": fitted["fingerprint"],
    }
    write_json(folder / candidate.name / "receipt.json", receipt)


def _fitted(candidate: Candidate, own: Path) -> Document:
    """`fit.json`, as made from the present data and settings. Raises InvalidInput for an older one."""
    fitted = read_json(own / "fit.json")
    if fitted.get("fit_key") != candidate.fit_key:
        raise InvalidInput(f"{own}: was fitted with other data or settings; fit again")
    return fitted


def _evaluated(candidate: Candidate, own: Path, fitted: Document) -> Document:
    """`evaluation.json` of the fitted model under the present settings. Raises InvalidInput for an older one."""
    evaluation = read_json(own / "evaluation.json")
    if evaluation["fingerprint"] != fitted["fingerprint"]:
        raise InvalidInput(f"{own}: the evaluation is of another model; evaluate again")
    if evaluation.get("training_key") != candidate.training_key:
        raise InvalidInput(f"{own}: was evaluated with other settings; evaluate again")
    return evaluation


def _saved_model(settings: Settings, folder: Path, fitted: Document) -> Pipeline:
    """The saved model, which must be the one that `fit.json` is about. Raises InvalidInput."""
    model = load_model(folder / "model", settings.serving.allowed_types)
    if model_fingerprint(model) != fitted["fingerprint"]:
        raise InvalidInput(f"{folder / 'model'}: is another model than fit.json says; fit again")
    return model
