"""The OpenAPI document and the answers of every path agree, field by field and in both directions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import jsonschema_rs
import pytest

from pipeline.governance.lifecycle import Stage
from pipeline.http_api.answers import prediction, prediction_text, to_json
from pipeline.http_api.openapi import ENDPOINTS
from pipeline.serving.predictions import Prediction
from support.desks import MODEL
from support.served import ROW, KnownWorker, LocalApi, registry_with_columns, state_in_memory

Json = dict[str, Any]
BODIES: dict[str, list[Json]] = {
    "/predict": [{"json": ROW}, {"json": {}}, {"json": ROW, "params": {"explain": "true"}}],
    "/predict_batch": [{"json": {"rows": [ROW, {**ROW, "Age": 5}]}}],
}


@dataclass
class Document:
    """An OpenAPI document, which remembers the fields that it has seen in answers."""

    content: Json
    seen: set[tuple[str, str]] = field(default_factory=set)

    @property
    def schemas(self) -> Json:
        """The schemas of answers: all but those of a request's body."""
        schemas = self.content["components"]["schemas"]
        return {name: schema for name, schema in schemas.items() if name not in {"Row", "Rows"}}

    @property
    def fields(self) -> dict[tuple[str, str], Json]:
        """Every documented field, by schema and name."""
        return {
            (name, key): each for name, schema in self.schemas.items() for key, each in schema["properties"].items()
        }

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """The answer fits the schema of its status, with every required field and none that is not documented."""
        responses = self.content["paths"][path][method]["responses"]
        ((media_type, described),) = responses[str(answer.status_code)]["content"].items()
        assert answer.headers["content-type"].startswith(media_type)
        value = answer.json() if media_type.endswith("json") else answer.text
        closed = {name: {**schema, "additionalProperties": False} for name, schema in self.schemas.items()}
        whole = {**described["schema"], "components": {"schemas": closed}}
        jsonschema_rs.validator_for(whole).validate(value)
        self._see(value, described["schema"])

    def _see(self, value: object, schema: Json) -> None:
        """Remembers each field of the value, and of what is in it."""
        for name in [each["$ref"].rsplit("/", 1)[1] for each in schema.get("anyOf", [schema]) if "$ref" in each]:
            properties = self.schemas[name]["properties"]
            if isinstance(value, dict) and set(value) <= set(properties):
                self.seen |= {(name, key) for key in value}
                for key, each in value.items():
                    self._see(each, properties[key])
        if isinstance(value, list):
            for each in value:
                self._see(each, schema["items"])
        elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
            for each in value.values():
                self._see(each, schema["additionalProperties"])


@pytest.fixture
def apis() -> Iterator[list[LocalApi]]:
    """With a champion that names a class, with one that answers with a table, and with none."""
    empty = registry_with_columns()
    empty.set_alias(MODEL, "champion", None)
    empty.set_stage(MODEL, 1, Stage.NONE)
    states = [
        state_in_memory(KnownWorker()),
        state_in_memory(KnownWorker(table=True)),
        state_in_memory(KnownWorker(), registry=empty),
    ]
    yield [LocalApi(state) for state in states]
    for state in states:
        state.batcher.close()
        state.follower.close()


def document_of(api: LocalApi) -> Document:
    return Document(api.ask("GET", "/openapi.json").json())


def test_every_answered_field_is_documented_and_every_documented_field_is_answered(apis: list[LocalApi]) -> None:
    """By predictions of a class and of a table, explanations, refusals, and a server that serves nothing."""
    seen: set[tuple[str, str]] = set()
    answered = set()
    for api in apis:
        document = document_of(api)
        for path, (method, _) in ENDPOINTS.items():
            if path == "/openapi.json":
                continue
            for body in BODIES.get(path, [{}]):
                answer = api.ask(method.upper(), path, **body)
                document.check(method, path, answer)
                answered.add((path, answer.status_code))
        seen |= document.seen

    assert set(document.fields) == seen
    assert {path for path, status in answered if status == 200} == set(document.content["paths"])
    assert {("/predict", 422), ("/predict", 503), ("/readyz", 503)} <= answered


def test_every_field_has_a_type_and_a_sentence(apis: list[LocalApi]) -> None:
    """Which says what it means, and its unit or range where it is a number."""
    document = document_of(apis[0])
    assert len([key for name, key in document.fields if name == "ModelInfo"]) == 17
    for name, each in document.fields.items():
        assert each.keys() & {"$ref", "type", "anyOf"}, name
        assert len(each["description"].split()) > 1, name
        assert each["description"].endswith("."), name


def test_an_undocumented_field_would_be_noticed(apis: list[LocalApi]) -> None:
    """The comparison is strict in both directions."""
    document, answer = document_of(apis[0]), apis[0].ask("GET", "/model_info")
    content = answer.json()
    for changed in ({**content, "more": 1}, {key: content[key] for key in content if key != "alias"}):
        with pytest.raises(jsonschema_rs.ValidationError):
            document.check("get", "/model_info", httpx.Response(200, json=changed))


def test_answers_are_ascii_in_the_order_of_the_models(apis: list[LocalApi]) -> None:
    """Written as json.dumps writes them, whatever letters a registry holds."""
    answer = apis[0].predict(ROW)
    assert answer.text == json.dumps(answer.json())
    assert list(answer.json()) == list(document_of(apis[0]).schemas["PredictionAnswer"]["properties"])[:-1]


@pytest.mark.parametrize(
    "found",
    [
        Prediction("yes", {"no": 0.2, "yes": 0.8}),
        Prediction('50 % "sure"', {'50 % "sure"': 1.0, "\u00e4": 1e-17, "%r": 0.0}, warnings=("Age: 80", "\u00e4 %s")),
        Prediction(True, {"False": 0.25, "True": 0.75}),
        Prediction(3, {"3": 1 / 3, "4": 2 / 3}),
        Prediction(2.5, {}),
        Prediction({"score": 0.5, "label": "a"}, {"a": 0.5}),
    ],
)
def test_an_answer_written_into_a_template_is_the_same_text(found: Prediction) -> None:
    """Byte for byte what the documented model gives, whatever classes and warnings hold."""
    state = state_in_memory(KnownWorker())
    target = state.served().target
    state.batcher.close()
    documented = to_json(prediction(target, found, None, prediction_id="an-id"))
    assert prediction_text(target, found, None, prediction_id="an-id") == documented
