"""The JSON answers of the HTTP API: pydantic models, from which the OpenAPI document is derived, and their builders.

Builders use `model_construct`: mypy checks the types, and nothing is validated a second time while a caller waits.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from pipeline.governance.text import visible
from pipeline.serving.champion import Served, ServingStatus
from pipeline.serving.compiled.form import CompiledForm
from pipeline.serving.predictions import Explanations, PredictedColumns, Prediction, Resolved, Target
from pipeline.validation.columns import CheckedColumns
from pipeline.validation.rows import Problem
from pipeline.validation.schema import Kind

Scalar = str | bool | float
ModelName = Annotated[str, Field(description="Name of the registered model.")]
Probability = Annotated[float, Field(ge=0, le=1)]


def without_default(schema: JsonDict) -> None:
    """A field that may be absent is never null, so the document states no default for it."""
    schema.pop("default", None)


class VersionAnswer(BaseModel):
    """Which version answers."""

    model: ModelName
    version: int = Field(ge=1, description="Number of the version in the registry.")
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 over all files of the version, in hexadecimal.")


class ExplanationAnswer(BaseModel):
    """What each column adds to the output (SHAP values): per class, base value plus contributions are the output."""

    classes: list[str] = Field(description="The classes that are explained; one name where the model gives a number.")
    scale: str = Field(description='Unit of every number below, such as "probability" or "log-odds".')
    method: str = Field(description='How the contributions were computed, such as "exact (tree)".')
    sum_error: float = Field(description="Largest distance between the sum and the output, in units of `scale`.")
    base_values: dict[str, float] = Field(description="By class: the mean output over the background rows.")
    contributions: dict[str, dict[str, float]] = Field(description="By class and column: what the value adds.")
    output: dict[str, float] = Field(description="By class: the model's output for this row.")


class PredictedAnswer(BaseModel):
    """What was predicted for one row."""

    prediction_id: str = Field(
        pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="UUID of version 7 (RFC 9562), by which outcomes are told.",
    )
    prediction: Scalar | dict[str, Scalar | None] = Field(
        description="The predicted class or number, or one value per column where the model answers with a table."
    )
    probabilities: dict[str, Probability] = Field(description="By class, from 0 to 1; empty where there are none.")
    confidence: Probability | None = Field(
        description="The largest probability, from 0 to 1; null where no single class is predicted with one."
    )
    warnings: list[str] = Field(description="Sentences about values outside the training data, and about the version.")


class PredictionAnswer(PredictedAnswer, VersionAnswer):
    """A prediction and the version that made it."""

    explanation: ExplanationAnswer | SkipJsonSchema[None] = Field(
        default=None, description="Only with `explain=true`.", json_schema_extra=without_default
    )


class ProblemEntry(BaseModel):
    """Why one value, or a row as a whole, cannot be used."""

    column: str = Field(description="Name of the column; empty where the row as a whole is meant.")
    row: int | None = Field(description="Number of the row in the request, from 1; null where there is only one.")
    sentence: str = Field(description="What is wrong and what is allowed, in one sentence.")


class RowAnswer(PredictedAnswer):
    """A row of a batch that was predicted."""

    row: int = Field(ge=1, description="Number of the row in the request, from 1.")


class RowErrors(BaseModel):
    """A row of a batch that could not be predicted."""

    row: int = Field(ge=1, description="Number of the row in the request, from 1.")
    errors: list[ProblemEntry] = Field(description="What is wrong with it: at most ten entries.")


class BatchSummary(BaseModel):
    """How many rows there were."""

    n: int = Field(ge=0, description="Rows in the request.")
    n_bad: int = Field(ge=0, description="Rows that could not be predicted.")
    predictions: dict[str, int] = Field(description="Rows by predicted class; empty where no class is predicted.")


class BatchAnswer(VersionAnswer):
    """The answer to many rows: one entry per row, in the order of the request."""

    summary: BatchSummary = Field(description="How many rows there were, and how many of each class.")
    notes: list[str] = Field(description="Sentences about the version, which hold for every row.")
    rows: list[RowAnswer | RowErrors] = Field(description="A prediction, or what is wrong with the row.")


class HealthAnswer(BaseModel):
    """Whether predictions can be had, and whether the champion is served as it should be."""

    status: Literal["ready", "degraded", "unavailable"] = Field(
        description='"degraded" while predictions can be had, but not as they should be; see `reason`.'
    )
    degraded: bool = Field(description="Whether anything is not as it should be.")
    reason: str = Field(description="Why degraded or unavailable, in one sentence; else empty.")
    model: ModelName
    version: int | None = Field(description="Number of the version that serves; null where none does.")
    digest: str | None = Field(description="sha256 over all files of that version; null where none serves.")
    compiled: str = Field(
        description="How single rows are answered: compiled and how equal to the original, or why by the original, "
        "in one sentence; empty where none serves."
    )


class Endpoint(BaseModel):
    """One path that answers."""

    method: str = Field(description="HTTP method, in capitals.")
    path: str = Field(description="Path, from the root of the server.")
    does: str = Field(description="What it answers.")


class StartAnswer(HealthAnswer):
    """The health of the server, and the paths that it answers."""

    endpoints: list[Endpoint] = Field(description="Every path that answers.")


class AliveAnswer(BaseModel):
    """The process answers."""

    status: Literal["alive"] = Field(description="Always the same.")


class ColumnInfo(BaseModel):
    """One column that the version takes."""

    name: str = Field(description="Name of the column, as in a row of a request.")
    type: Kind = Field(description='Kind of values that it takes; "unfit" where none can be given here.')
    unit: str = Field(description="Unit of its values, such as kg; empty where there is none.")
    minimum: float | None = Field(description="Smallest value that is allowed, in `unit`; null without a bound.")
    maximum: float | None = Field(description="Largest value that is allowed, in `unit`; null without a bound.")
    categories: list[str] = Field(description="The values that are allowed; empty where they are not listed.")
    required: bool = Field(description="Whether a row without a value is refused.")
    refusal: str = Field(description="Why no value can be given; empty where one can.")
    default: Scalar | None = Field(description="Value that a form starts with; never filled in for a missing one.")
    description: str = Field(description="What the column means, in the words of the version's feature schema.")
    training_minimum: float | None = Field(
        description="Smallest value in the training data, in `unit`; a smaller one gives a warning. Null where unknown."
    )
    training_maximum: float | None = Field(
        description="Largest value in the training data, in `unit`; a larger one gives a warning. Null where unknown."
    )


class MetricInfo(BaseModel):
    """One metric of the version, as it was measured before it was registered."""

    value: float = Field(description="A share from 0 to 1, or a loss (`log_loss` in nats), by the metric's name.")
    low: float | None = Field(description="Lower end of its confidence interval; null where unknown.")
    high: float | None = Field(description="Upper end of its confidence interval; null where unknown.")
    n: int | None = Field(description="Rows that it was measured on; null where unknown.")


class ModelInfo(VersionAnswer):
    """The version that serves."""

    alias: str = Field(description="Alias that it is served by.")
    champion_since: str | None = Field(
        description="When the ledger made it champion, in ISO 8601 and UTC; null where that is not known."
    )
    degraded: bool = Field(description="Whether anything is not as it should be.")
    reason: str = Field(description="Why degraded, in one sentence; else empty.")
    compiled: str = Field(
        description="How single rows are answered: compiled and how equal to the original, or why by the original, "
        "in one sentence."
    )
    model_type: str = Field(description="Name of the estimator's class, such as RandomForestClassifier.")
    classes: list[str] = Field(description="The classes that it predicts; empty where it predicts a number.")
    probabilities: bool = Field(description="Whether it gives a probability per class.")
    columns: list[ColumnInfo] = Field(description="The columns that it takes, in order.")
    metrics: dict[str, MetricInfo] = Field(description="By name, in scikit-learn's words.")
    run_id: str | None = Field(description="Run that logged it; null where the registry names none.")
    created_at: str = Field(description="When it was registered, in ISO 8601 and UTC.")
    description: str = Field(description="The registry's text about it; may be empty.")
    notes: list[str] = Field(description="Sentences that everybody who sees a prediction should know.")


class ProblemDetails(BaseModel):
    """A refusal (RFC 9457), with the error's name and what is wrong with which column."""

    type: str = Field(description='Always "about:blank": `title` and `code` say which problem it is.')
    title: str = Field(description="The phrase of the HTTP status.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What is wrong, in one sentence.")
    code: str = Field(description="Name of the error, the same as on the command line.")
    errors: list[ProblemEntry] = Field(description="One entry per problem of a row, as many as fit into 4 kB.")


encode = json.JSONEncoder(allow_nan=False).encode  # json.dumps would make an encoder for each answer


def to_json(answer: BaseModel) -> str:
    """In ASCII, so that no text of a stranger can make it unsendable; a field that was not set is left out."""
    return encode(answer.model_dump(exclude_unset=True, warnings="none"))


def prediction(
    target: Target, found: Prediction, explained: Explanations | None, *, prediction_id: str
) -> PredictionAnswer:
    """`confidence` is null where several labels are predicted at once: each has a probability of its own."""
    of_one_class = () if isinstance(found.value, Mapping) else found.probabilities.values()
    answer = PredictionAnswer.model_construct(
        model=target.resolved.model,
        version=target.resolved.version,
        digest=target.digest,
        prediction_id=prediction_id,
        prediction=found.value,  # type: ignore[arg-type] # a Mapping is written as the dict that it is
        probabilities=dict(found.probabilities),
        confidence=max(of_one_class, default=None),
        warnings=[*target.notes, *found.warnings],
    )
    if explained is not None:
        answer.explanation = ExplanationAnswer.model_construct(**explained.documents[0])
    return answer


def prediction_text(target: Target, found: Prediction, explained: Explanations | None, *, prediction_id: str) -> str:
    """A PredictionAnswer in JSON, written into a template: as an object it takes four times as long."""
    names = tuple(found.probabilities)
    if explained is not None or not names or isinstance(found.value, Mapping):
        return to_json(prediction(target, found, explained, prediction_id=prediction_id))
    template = _one_template(target.resolved, target.digest, names)
    numbers = found.probabilities.values()
    warnings = [*target.notes, *found.warnings]
    told = encode(warnings) if warnings else "[]"
    return template % (prediction_id, encode(found.value), *numbers, max(numbers), told)


@lru_cache(maxsize=8)  # of the versions that answer, and of tests
def _one_template(resolved: Resolved, digest: str, classes: tuple[str, ...]) -> str:
    """A PredictionAnswer with a place for each value, as _row_template."""
    about = VersionAnswer.model_construct(model=resolved.model, version=resolved.version, digest=digest)
    head = to_json(about)[1:-1].replace("%", "%%")
    values = '"prediction_id": "%s", "prediction": %s'
    return f'{{{head}, {values}, "probabilities": {{{_places(classes)}}}, "confidence": %r, "warnings": %s}}'


def health(model: str, status: ServingStatus, compiled: CompiledForm | None) -> HealthAnswer:
    return HealthAnswer.model_construct(
        status="unavailable" if not status.ready else "degraded" if status.degraded else "ready",
        degraded=status.degraded,
        reason=status.reason,
        model=model,
        version=status.served.target.resolved.version if status.served else None,
        digest=status.served.target.digest if status.served else None,
        compiled=_sentence(compiled),
    )


def _sentence(compiled: CompiledForm | None) -> str:
    return visible(compiled.comparison.sentence) if compiled else ""


def model_info(served: Served, status: ServingStatus, compiled: CompiledForm | None) -> ModelInfo:
    target, content = served.target, served.target.evidence.content
    return ModelInfo.model_construct(
        model=target.resolved.model,
        version=target.resolved.version,
        digest=target.digest,
        alias=target.resolved.alias,
        champion_since=served.since.isoformat().replace("+00:00", "Z") if served.since else None,
        degraded=status.degraded,
        reason=status.reason,
        compiled=_sentence(compiled),
        model_type=target.model_type,
        classes=list(target.classes),
        probabilities=target.probabilities,
        columns=[
            ColumnInfo.model_construct(
                name=rule.name,
                type=rule.kind,
                unit=rule.unit,
                minimum=rule.minimum,
                maximum=rule.maximum,
                categories=list(rule.categories),
                required=rule.required,
                refusal=rule.refusal or "",
                default=rule.default,
                description=rule.description,
                training_minimum=rule.lowest,
                training_maximum=rule.highest,
            )
            for rule in served.schema.columns
        ],
        metrics={
            each.name: MetricInfo.model_construct(value=each.value, low=each.low, high=each.high, n=each.n)
            for each in target.evidence.metrics()
        },
        run_id=content["run_id"],
        created_at=content["created_at"],
        description=content["description"],
        notes=list(target.notes),
    )


def problem_entry(found: Problem) -> ProblemEntry:
    """Which column of which row, and the sentence that the command line would print."""
    column = visible(found.column, most=80)
    return ProblemEntry.model_construct(column=column, row=found.row, sentence=found.sentence)


# The answer to many rows is written as text, row by row: as objects, a thousand rows would take twice as long.

MOST_PROBLEMS = 10  # of one row


def batch_text(
    target: Target, checked: CheckedColumns, found: PredictedColumns | None, *, ids: Sequence[str] = ()
) -> str:
    """A BatchAnswer in JSON. `found` has the usable rows in their order, and is None where no row is usable.

    ids: of the predictions of those rows.
    """
    rows = [""] * len(checked.usable)
    for position, problems in checked.problems.items():
        errors = [vars(problem_entry(each)) for each in problems[:MOST_PROBLEMS]]
        rows[position] = json.dumps({"row": position + 1, "errors": errors})  # RowErrors
    for position, text in _predicted(checked, found, ids) if found else ():
        rows[position] = text
    predictions = counts(target, found)
    head = BatchAnswer.model_construct(  # type: ignore[call-arg] # `rows` are written behind it
        model=target.resolved.model,
        version=target.resolved.version,
        digest=target.digest,
        summary=BatchSummary.model_construct(n=len(rows), n_bad=len(checked.problems), predictions=predictions),
        notes=list(target.notes),
    )
    return f'{to_json(head)[:-1]}, "rows": [{", ".join(rows)}]}}'


def counts(target: Target, found: PredictedColumns | None) -> dict[str, int]:
    """Rows per class; empty where the version predicts a number, or several labels in a table."""
    if found is None or not target.classes or _is_table(found):
        return {}
    return {str(value): count for value, count in Counter(found.answers.column("prediction").to_pylist()).items()}


def _predicted(checked: CheckedColumns, found: PredictedColumns, ids: Sequence[str]) -> Iterator[tuple[int, str]]:
    """RowAnswers by position, as json.dumps would write them: numbers are finite, and repr is how it writes them."""
    values, *columns = (column.to_pylist() for column in found.answers.columns)
    template = _row_template(found.classes)
    tables = _is_table(found)
    encoded = {} if tables else {value: json.dumps(value, allow_nan=False) for value in set(values)}
    probabilities = zip(*columns, strict=True) if columns else ((),) * len(values)
    warned = checked.out_of_range.tolist()
    positions = np.flatnonzero(checked.usable).tolist()
    for prediction_id, position, value, row in zip(ids, positions, values, probabilities, strict=True):
        warnings = json.dumps([each.sentence for each in checked.warnings(position)]) if warned[position] else "[]"
        text = json.dumps(value, allow_nan=False) if tables else encoded[value]
        confidence = repr(max(row)) if row and not tables else "null"
        yield position, template % (position + 1, prediction_id, text, *row, confidence, warnings)


def _is_table(found: PredictedColumns) -> bool:
    return bool(pa.types.is_struct(found.answers.schema.field("prediction").type))


def _row_template(classes: Sequence[str]) -> str:
    """A RowAnswer with a place for each value, to be filled in by the % operator."""
    about = '"row": %d, "prediction_id": "%s", "prediction": %s'
    return f'{{{about}, "probabilities": {{{_places(classes)}}}, "confidence": %s, "warnings": %s}}'


def _places(classes: Sequence[str]) -> str:
    return ", ".join(f"{json.dumps(name).replace('%', '%%')}: %r" for name in classes)
