"""The OpenAPI document, written for the version that serves: it changes when the champion does."""

from importlib.metadata import version as installed
from typing import Any

from pipeline.governance.text import visible
from pipeline.http_api.problems import MEDIA_TYPE
from pipeline.serving.champion import Served
from pipeline.validation.ranges import accepted_lengths, accepted_range
from pipeline.validation.rows import CheckedRow
from pipeline.validation.schema import ColumnSchema, InputSchema, Kind
from pipeline.validation.values import EXAMPLE, PATTERN

# The columns of the served version as JSON Schema: what a caller may send, in the words of its feature schema.

Json = dict[str, Any]
MOST_DESCRIPTION = 500
PLAIN: dict[Kind, Json] = {
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "pattern": PATTERN},
    "unfit": {"type": "null"},
}


def row_schema(layout: InputSchema, example: CheckedRow | None) -> Json:
    """One row: every column that has to be there, those that may be left out, and nothing else."""
    schema: Json = {
        "type": "object",
        "title": "Row",
        "description": f"One row of the {len(layout.columns)} columns that the version takes.",
        "properties": {rule.name: _column(rule) for rule in layout.columns},
        "required": list(layout.required),
        "additionalProperties": False,
    }
    return {**schema, "examples": [dict(example.values)]} if example else schema


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
    """With the unit, and with the range of the training data, outside of which an answer carries a warning."""
    trained = rule.lowest is not None and rule.highest is not None
    parts = [
        rule.description,
        rule.refusal,
        f"A date or time in ISO 8601, such as {EXAMPLE}; with an offset it is taken in UTC"
        if rule.kind == "datetime"
        else "",
        f"Unit: {rule.unit}" if rule.unit else "",
        f"In the training data: {rule.lowest:.10g} to {rule.highest:.10g}" if trained else "",
        f"Not in the training data: {', '.join(rule.unseen[:12])}" if rule.unseen else "",
    ]
    return visible(". ".join(part.rstrip(".") for part in parts if part), most=MOST_DESCRIPTION)


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
UNLISTED = "/openapi.json"
WHY = {
    "400": "The Host header is not one that is allowed, or the request is malformed",
    "401": "The token is missing or wrong",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The body is not JSON in UTF-8",
    "422": "The body does not fit the columns of the version; one entry in `errors` per column",
    "503": "Nothing can be predicted now, or too many requests are being answered; see Retry-After",
    "504": "The prediction took too long",
}
READING, PREDICTING = ("400", "401", "503"), tuple(WHY)


def document(served: Served | None, *, batch_rows: int, protected: bool) -> Json:
    """`served` None: without columns. protected: a token is asked for."""
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
    lock: Json = {"security": [{"token": []}]} if protected else {}
    explain = {
        "name": "explain",
        "in": "query",
        "description": "Also what each column adds to the output, per class",
        "schema": {"type": "boolean", "default": False},
    }
    return {
        "/": {"get": _operation("/", _json("Health"))},
        "/predict": {
            "post": {**_operation("/predict", _json("Prediction"), PREDICTING, body="Row"), "parameters": [explain]}
            | lock
        },
        "/predict_batch": {"post": _operation("/predict_batch", _json("Predictions"), PREDICTING, body="Rows") | lock},
        "/model_info": {"get": _operation("/model_info", _json("Model"), READING) | lock},
        "/livez": {"get": _operation("/livez", _json("Alive"))},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _operation("/metrics", {"text/plain": {"schema": {"type": "string"}}}, READING) | lock},
    }


def _operation(path: str, content: Json, refusals: tuple[str, ...] = ("400",), *, body: str = "") -> Json:
    operation: Json = {
        "summary": ENDPOINTS[path][1],
        "operationId": path.strip("/") or "health",
        "responses": {
            "200": {"description": "As asked", "content": content},
            **{status: _problem(status) for status in refusals},
        },
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _ready() -> Json:
    operation = _operation("/readyz", _json("Health"))
    operation["responses"]["503"] = {"description": "Nothing can be predicted now", "content": _json("Health")}
    return operation


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _problem(status: str) -> Json:
    return {
        "description": WHY[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _schemas(served: Served | None, batch_rows: int) -> Json:
    row = row_schema(served.schema, served.example) if served else {"type": "object", "title": "Row"}
    reference = {"$ref": "#/components/schemas/Row"}
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
    return {"Row": row, "Rows": rows, **ANSWERS}


def _object(description: str, properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
MAYBE_TEXT, MAYBE_NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
ABOUT = {
    "model": TEXT,
    "version": {"type": "integer", "minimum": 1},
    "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "sha256 over the version's files"},
}
PREDICTED = {
    "prediction": {"type": ["string", "number", "boolean", "object"]},
    "probabilities": {**NUMBERS, "description": "By class; empty where the model gives none"},
    "confidence": {**MAYBE_NUMBER, "description": "The largest probability"},
    "warnings": {"type": "array", "items": TEXT, "description": "Values outside the training data, and notes"},
}
ERROR = _object("What is wrong", {"column": TEXT, "row": {"type": ["integer", "null"]}, "sentence": TEXT})
ANSWERS: Json = {
    "Prediction": _object(
        "A prediction and the version that made it",
        {**ABOUT, **PREDICTED, "explanation": {"$ref": "#/components/schemas/Explanation"}},
        optional=("explanation",),
    ),
    "Explanation": _object(
        "What each column adds to the output, per class; base value and contributions sum to the output",
        {
            "classes": {"type": "array", "items": TEXT},
            "scale": {**TEXT, "description": "probability or log-odds"},
            "method": TEXT,
            "sum_error": {"type": "number"},
            "base_values": NUMBERS,
            "contributions": {"type": "object", "additionalProperties": NUMBERS},
            "output": NUMBERS,
        },
    ),
    "Predictions": _object(
        "One entry per row, and how many rows there were of each class",
        {
            **ABOUT,
            "summary": _object("Counts", {"n": COUNT, "n_bad": COUNT, "predictions": NUMBERS}),
            "notes": {"type": "array", "items": TEXT},
            "rows": {
                "type": "array",
                "items": {
                    "anyOf": [
                        _object("A prediction", {"row": COUNT, **PREDICTED}),
                        _object("Why not", {"row": COUNT, "errors": {"type": "array", "items": ERROR}}),
                    ]
                },
            },
        },
    ),
    "Health": _object(
        "What serves",
        {
            "status": {"enum": ["ready", "degraded", "unavailable"]},
            "degraded": {"type": "boolean"},
            "reason": {**TEXT, "description": "Why degraded or unavailable, else empty"},
            "model": TEXT,
            "version": {"type": ["integer", "null"]},
            "digest": MAYBE_TEXT,
            "endpoints": {
                "type": "array",
                "items": _object("One endpoint", {"method": TEXT, "path": TEXT, "does": TEXT}),
            },
        },
        optional=("endpoints",),
    ),
    "Alive": _object("The process answers", {"status": {"const": "alive"}}),
    "Model": _object(
        "The version that serves",
        {
            **ABOUT,
            "champion_since": MAYBE_TEXT,
            "classes": {"type": "array", "items": TEXT},
            "columns": {"type": "array", "items": {"type": "object"}},
            "metrics": {"type": "object"},
        },
    ),
    "Problem": _object(
        "RFC 9457, with the error's name and what is wrong with which column",
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "code": TEXT,
            "errors": {"type": "array", "items": ERROR},
        },
    ),
}
