"""The OpenAPI document: the row is described by the columns of the version that serves, answers by their models."""

from functools import cache
from importlib.metadata import version as installed
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from pipeline.governance.text import visible
from pipeline.http_api.answers import (
    AliveAnswer,
    BatchAnswer,
    HealthAnswer,
    ModelInfo,
    PredictionAnswer,
    ProblemDetails,
    StartAnswer,
)
from pipeline.http_api.problems import MEDIA_TYPE
from pipeline.serving.champion import Served
from pipeline.validation.ranges import accepted_lengths, accepted_range
from pipeline.validation.rows import CheckedRow
from pipeline.validation.schema import ColumnSchema, InputSchema, Kind
from pipeline.validation.values import EXAMPLE, PATTERN

Json = dict[str, Any]
COMPONENTS = "#/components/schemas/"
MOST_DESCRIPTION = 500
PLAIN: dict[Kind, Json] = {
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "pattern": PATTERN},
    "unfit": {"type": "null"},
}


def row_schema(schema: InputSchema, example: CheckedRow | None) -> Json:
    """One row as JSON Schema: every required column, the optional ones, and nothing else."""
    row: Json = {
        "type": "object",
        "title": "Row",
        "description": f"One row of the {len(schema.columns)} columns that the version takes.",
        "properties": {rule.name: _column(rule) for rule in schema.columns},
        "required": list(schema.required),
        "additionalProperties": False,
    }
    return {**row, "examples": [dict(example.values)]} if example else row


def _column(rule: ColumnSchema) -> Json:
    schema = {**_allowed(rule), "description": _described(rule)}
    if rule.unit:
        schema["x-unit"] = visible(rule.unit, most=MOST_DESCRIPTION)
    if rule.default is not None:
        schema["examples"] = [rule.default]
    return schema if rule.required else {"anyOf": [schema, {"type": "null"}], "description": schema["description"]}


def _allowed(rule: ColumnSchema) -> Json:
    if rule.kind in PLAIN:
        return PLAIN[rule.kind]
    if rule.kind in {"number", "integer"}:
        return {"type": rule.kind, **_range(rule)}
    if rule.kind == "category":
        return {"type": "string", "enum": list(rule.categories)}
    if rule.kind == "text":
        return {"type": "string", **_length(rule)}
    return {
        "anyOf": [
            {"type": "string", **_length(rule)},
            {"type": "number", **_range(rule)},
            {"type": "boolean"},
        ]
    }


def _length(rule: ColumnSchema) -> Json:
    return dict(zip(("minLength", "maxLength"), accepted_lengths(rule), strict=True))


def _range(rule: ColumnSchema) -> Json:
    return dict(zip(("minimum", "maximum"), accepted_range(rule), strict=True))


def _described(rule: ColumnSchema) -> str:
    """The description with the unit, and with the training range, outside of which an answer carries a warning."""
    trained = rule.lowest is not None and rule.highest is not None
    sentences = [
        rule.description,
        rule.refusal,
        f"A date or time in ISO 8601, such as {EXAMPLE}; with an offset it is taken in UTC"
        if rule.kind == "datetime"
        else "",
        f"Unit: {rule.unit}" if rule.unit else "",
        f"In the training data: {rule.lowest:.10g} to {rule.highest:.10g}" if trained else "",
        f"Not in the training data: {', '.join(rule.unseen[:12])}" if rule.unseen else "",
    ]
    return visible(". ".join(each.rstrip(".") for each in sentences if each), most=MOST_DESCRIPTION)


ENDPOINTS = {
    "/": ("get", "Health, and what answers here"),
    "/predict": ("post", "Predict one row"),
    "/predict_batch": ("post", "Predict many rows; a row that cannot be used does not stop the others"),
    "/model_info": ("get", "The version that serves: columns, metrics, digest"),
    "/livez": ("get", "Whether the process answers"),
    "/readyz": ("get", "Whether predictions can be had, and whether the champion is as it should be"),
    "/metrics": ("get", "Counters in Prometheus' text format"),
    "/openapi.json": ("get", "This description"),
}
REFUSALS = {  # description by HTTP status
    "400": "The Host header is not one that is allowed, or the request is malformed",
    "401": "The token is missing or wrong",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The body is not JSON in UTF-8",
    "422": "The body does not fit the columns of the version; one entry in `errors` per column",
    "503": "Nothing can be predicted now, or too many requests are being answered; see Retry-After",
    "504": "The prediction took too long",
}
READING, PREDICTING = ("400", "401", "503"), tuple(REFUSALS)


def document(served: Served | None, *, batch_rows: int, protected: bool) -> Json:
    """The document of the predictions, without columns where nothing is served; `protected`: paths ask for a token."""
    label = served.target.label if served else "no version"
    digest = f", digest {served.target.digest}" if served else ""
    content: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Signoff",
            "version": installed("signoff"),
            "description": f"Predictions of the champion: {label}{digest}.",
        },
        "paths": _paths(protected=protected),
        "components": {"schemas": _schemas(served, batch_rows)},
    }
    if protected:
        content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return content


def _paths(*, protected: bool) -> Json:
    security: Json = {"security": [{"token": []}]} if protected else {}
    explain = {
        "name": "explain",
        "in": "query",
        "description": "Also what each column adds to the output, per class",
        "schema": {"type": "boolean", "default": False},
    }
    return {
        "/": {"get": _operation("/", _answer(StartAnswer))},
        "/predict": {
            "post": {
                **_operation("/predict", _answer(PredictionAnswer), PREDICTING, body="Row"),
                "parameters": [explain],
            }
            | security
        },
        "/predict_batch": {
            "post": _operation("/predict_batch", _answer(BatchAnswer), PREDICTING, body="Rows") | security
        },
        "/model_info": {"get": _operation("/model_info", _answer(ModelInfo), READING) | security},
        "/livez": {"get": _operation("/livez", _answer(AliveAnswer))},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _operation("/metrics", {"text/plain": {"schema": {"type": "string"}}}, READING) | security},
    }


def _operation(path: str, content: Json, refusals: tuple[str, ...] = ("400",), *, body: str = "") -> Json:
    problem = _json(ProblemDetails.__name__, MEDIA_TYPE)
    operation: Json = {
        "summary": ENDPOINTS[path][1],
        "operationId": path.strip("/") or "health",
        "responses": {
            "200": {"description": "As asked", "content": content},
            **{status: {"description": REFUSALS[status], "content": problem} for status in refusals},
        },
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _ready() -> Json:
    operation = _operation("/readyz", _answer(HealthAnswer))
    operation["responses"]["503"] = {"description": "Nothing can be predicted now", "content": _answer(HealthAnswer)}
    return operation


def _answer(model: type[BaseModel]) -> Json:
    return _json(model.__name__)


def _json(schema: str, media_type: str = "application/json") -> Json:
    return {media_type: {"schema": {"$ref": f"{COMPONENTS}{schema}"}}}


def _schemas(served: Served | None, batch_rows: int) -> Json:
    row = row_schema(served.schema, served.example) if served else {"type": "object", "title": "Row"}
    reference = {"$ref": f"{COMPONENTS}Row"}
    rows: Json = {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "minItems": 1,
                "maxItems": batch_rows,
                "description": "As in /predict. A row that does not fit is answered with its problems.",
                "items": {"anyOf": [reference, {"type": "object"}]},
            }
        },
        "required": ["rows"],
        "additionalProperties": False,
    }
    if "examples" in row:
        rows["examples"] = [{"rows": row["examples"]}]
    return {"Row": row, "Rows": rows, **_answer_schemas()}


class Untitled(GenerateJsonSchema):
    """Documents fields by their description: a title would repeat the name."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False


@cache
def _answer_schemas() -> Json:
    """The pydantic models of the answers, and what they refer to, as JSON Schema."""
    models = (PredictionAnswer, BatchAnswer, StartAnswer, HealthAnswer, AliveAnswer, ModelInfo, ProblemDetails)
    modes: list[tuple[type[BaseModel], Literal["serialization"]]] = [(model, "serialization") for model in models]
    template = f"{COMPONENTS}{{model}}"
    _, schemas = models_json_schema(modes, ref_template=template, schema_generator=Untitled)
    return dict(schemas["$defs"])
