"""The desk's part of the OpenAPI document: parameters, bodies and answers as their pydantic models say."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from pipeline.http_api.desk.answers import DeskProblem
from pipeline.http_api.desk.given import MOST_NUMBER, Nothing
from pipeline.http_api.desk.routes import KEY, MOST_KEY_CHARACTERS, NUMBERS, ROUTES, DeskRoute
from pipeline.http_api.openapi import COMPONENTS, Json, Untitled
from pipeline.http_api.problems import MEDIA_TYPE
from pipeline.serving.champion import Served

IDENTITY: Json = {"identity": []}
REFUSALS = {  # description by HTTP status
    "400": "The Host header is not one that is allowed, or the request is malformed",
    "401": "No identity token is shown, or it is not good",
    "403": "A rule says no, or the owner of the token has no role for this; `code` says which refusal it is",
    "404": "There is no such model, version, alias or request",
    "408": "The body did not arrive in time",
    "409": "Somebody was faster, or something is not as it was recorded; `code` says which",
    "413": "The body is too large",
    "415": "The body is not JSON in UTF-8",
    "422": "What was sent is malformed; `detail` says what and where",
    "503": "Registry or ledger do not answer, or too many requests are being answered; see Retry-After",
}
OF_A_BODY = {"408", "413", "415"}
OF_PATH: dict[str, Json] = {
    "model": {"description": "Name of the registered model.", "schema": {"type": "string", "minLength": 1}},
    "version": {"description": "Number of the version in the registry."},
    "id": {"description": "Number of the request."},
}
IDEMPOTENCY: Json = {
    "name": KEY,
    "in": "header",
    "description": "The same key again, with the same body by the same person, is the same act; another body under it "
    "is a conflict.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
}


def with_desk(content: Json, served: Served | None) -> Json:
    """A document of the predictions with the desk in it; of what serves the paths take their examples."""
    components = content["components"]
    schemes = {**components.get("securitySchemes", {}), "identity": {"type": "http", "scheme": "bearer"}}
    paths = content["paths"]
    for operation in (each for path in paths.values() for each in path.values() if "security" in each):
        operation["security"] = [*operation["security"], IDENTITY]
    return {
        **content,
        "paths": {**paths, **{route.template: {route.method.lower(): _operation(route, served)} for route in ROUTES}},
        "components": {
            **components,
            "securitySchemes": schemes,
            "schemas": {**components["schemas"], **_described()[1]},
        },
    }


def _operation(route: DeskRoute, served: Served | None) -> Json:
    schemas, _ = _described()
    refusals = {status: text for status, text in REFUSALS.items() if route.decides or status not in OF_A_BODY}
    problem = {MEDIA_TYPE: {"schema": {"$ref": f"{COMPONENTS}{DeskProblem.__name__}"}}}
    operation: Json = {
        "summary": route.does,
        "operationId": route.ask.__name__,
        "security": [IDENTITY],
        "parameters": list(_parameters(route, served)),
        "responses": {
            "200": {
                "description": "As asked",
                "content": {"application/json": {"schema": schemas[route.template, "answer"]}},
            },
            **{status: {"description": text, "content": problem} for status, text in refusals.items()},
        },
    }
    if route.decides:
        body = {"schema": schemas[route.template, "wanted"]}
        operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


def _parameters(route: DeskRoute, served: Served | None) -> Iterator[Json]:
    number = {"type": "integer", "minimum": 1, "maximum": MOST_NUMBER}
    for name in (each for each in OF_PATH if f"{{{each}}}" in route.path):
        found: Json = {"name": name, "in": "path", "required": True, **OF_PATH[name]}
        if name in NUMBERS:
            found["schema"] = number
        if served and name in {"model", "version"}:
            found["example"] = getattr(served.target.resolved, name)
        yield found
    if route.decides:
        yield IDEMPOTENCY
    elif route.wanted is not Nothing:
        schema = TypeAdapter(route.wanted).json_schema(schema_generator=Untitled)
        for name, each in schema["properties"].items():
            described = {key: value for key, value in each.items() if key != "description"}
            if described.get("default", ...) is None:
                del described["default"]
            yield {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": each["description"],
                "schema": described,
            }


@cache
def _described() -> tuple[dict[tuple[str, str], Json], Json]:
    """The schemas of what is given and answered, by path, and the models that they refer to, as JSON Schema."""
    kinds: list[tuple[Any, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        (("", "problem"), "serialization", TypeAdapter(DeskProblem))
    ]
    for route in ROUTES:
        if route.decides:
            kinds.append(((route.template, "wanted"), "validation", route.adapter))
        kinds.append(((route.template, "answer"), "serialization", TypeAdapter(route.answer)))
    found, shared = TypeAdapter.json_schemas(kinds, ref_template=f"{COMPONENTS}{{model}}", schema_generator=Untitled)
    schemas = {key: dict(schema) for (key, _), schema in found.items()}
    return schemas, dict(shared["$defs"])
