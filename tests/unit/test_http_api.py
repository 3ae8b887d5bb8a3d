"""The HTTP API without a server: limits, refusals, answers, token, description and counters."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml

from pipeline.governance.errors import IntegrityFailure, InvalidInput, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.http_api.metrics import HttpMetrics
from pipeline.http_api.openapi import ENDPOINTS, row_schema
from pipeline.http_api.state import _refresh
from pipeline.http_api.token import read_token
from pipeline.serving.compiled.form import CompiledForm, Equality
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.settings import ROOT, Environment
from pipeline.validation.rows import InvalidRows, check_row, check_rows, parse_row
from pipeline.validation.schema import ColumnSchema, InputSchema
from support.desks import MODEL
from support.loops import run_async
from support.served import LIMITS, ROW, KnownWorker, LocalApi, registry_with_columns, state_in_memory

JSON = {"content-type": "application/json"}
TOKEN = "a-token-for-this-test-0123456789"


@pytest.fixture
def worker() -> KnownWorker:
    return KnownWorker()


@pytest.fixture
def api(worker: KnownWorker) -> Iterator[LocalApi]:
    found = LocalApi(state_in_memory(worker))
    yield found
    found.state.batcher.close()
    found.state.follower.close()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 4096
    content: dict[str, Any] = answer.json()
    assert set(content) == {"type", "title", "status", "detail", "code", "errors"}
    assert (content["status"], content["code"]) == (status, code)
    return content


# Answers


def test_a_prediction_names_its_version(api: LocalApi) -> None:
    """Model, version and digest, with the probabilities and how sure it is."""
    answer = api.predict(ROW).json()
    digest = api.state.served().target.digest
    assert UUID(answer.pop("prediction_id")).version == 7
    assert answer == {
        "model": MODEL,
        "version": 1,
        "digest": digest,
        "prediction": "yes",
        "probabilities": {"no": 0.2, "yes": 0.8},
        "confidence": 0.8,
        "warnings": [],
    }


def test_a_value_outside_the_training_data_is_a_warning(api: LocalApi) -> None:
    """The row is allowed, so it is answered."""
    assert api.predict({**ROW, "Age": 80}).json()["warnings"] == [
        "Age: 80 years lies outside the training data (14 to 61)"
    ]


def test_an_explanation_is_given_on_request(api: LocalApi) -> None:
    """Contributions per class in the original columns, with what says whether they add up."""
    answer = api.predict(ROW, "/predict?explain=true").json()
    assert set(answer["explanation"]["contributions"]["yes"]) == {"Age", "Gender", "Visits"}
    assert answer["explanation"]["sum_error"] == 0
    assert "explanation" not in api.predict(ROW, "/predict?explain=false").json()
    assert problem(api.predict(ROW, "/predict?explain=1"), 422, "InvalidInput")["detail"].startswith("explain: ")


def test_a_row_without_a_finite_answer_is_an_error_of_that_row(worker: KnownWorker, api: LocalApi) -> None:
    """The others are answered, and the summary counts it with the bad ones."""
    worker.silent = (31.0,)
    answer = api.predict({"rows": [ROW, {**ROW, "Age": 31}, {**ROW, "Age": 5}, ROW]}, "/predict_batch").json()
    sentence = "row 2: the model gives no finite answer"

    assert answer["summary"] == {"n": 4, "n_bad": 2, "predictions": {"yes": 2}}
    assert answer["rows"][1] == {"row": 2, "errors": [{"column": "", "row": 2, "sentence": sentence}]}
    assert [row.get("prediction") for row in answer["rows"]] == ["yes", None, None, "yes"]
    alone = api.predict({"rows": [{**ROW, "Age": 31}]}, "/predict_batch").json()
    assert alone["summary"] == {"n": 1, "n_bad": 1, "predictions": {}}


def test_a_table_is_answered_by_its_columns() -> None:
    """Of a version that answers with several named columns."""
    api = LocalApi(state_in_memory(KnownWorker(table=True)))
    answer = api.predict({"rows": [ROW]}, "/predict_batch").json()

    assert answer["rows"][0]["prediction"] == {"score": 0.3, "label": "a"}
    assert (answer["rows"][0]["probabilities"], answer["rows"][0]["confidence"]) == ({}, None)
    api.state.batcher.close()


def test_bad_rows_do_not_stop_the_good_ones(api: LocalApi) -> None:
    """Each row is answered at its place, and the summary counts them."""
    rows = [ROW, {**ROW, "Age": 5}, {**ROW, "Gender": "Male"}, {}]
    answer = api.predict({"rows": rows}, "/predict_batch").json()
    assert answer["summary"] == {"n": 4, "n_bad": 2, "predictions": {"yes": 2}}
    assert [each["row"] for each in answer["rows"]] == [1, 2, 3, 4]
    assert answer["rows"][2]["prediction"] == "yes"
    (why,) = answer["rows"][1]["errors"]
    assert why["sentence"] == "row 2, Age: 5 is below 10 years (allowed 10 to 100)"


def test_a_row_with_a_name_twice_is_a_bad_row(api: LocalApi) -> None:
    """Also in a batch, where the others go on."""
    row = json.dumps(ROW)
    body = f'{{"rows": [{row}, {row[:-1]}, "Age": 31}}]}}'
    answer = api.ask("POST", "/predict_batch", content=body, headers=JSON).json()
    assert answer["summary"]["n_bad"] == 1
    assert answer["rows"][1]["errors"][0]["sentence"] == "row 2, Age: is there more than once"


def test_rows_that_are_all_bad_need_no_worker(api: LocalApi, worker: KnownWorker) -> None:
    """There is nothing to ask it."""
    worker.asked.clear()
    assert api.predict({"rows": [{}]}, "/predict_batch").json()["summary"]["n_bad"] == 1
    assert worker.asked == []


def test_health_lists_the_endpoints(api: LocalApi) -> None:
    """All four that people ask for, and those that machines do."""
    answer = api.ask("GET", "/").json()
    assert (answer["status"], answer["version"]) == ("ready", 1)
    paths = {each["path"] for each in answer["endpoints"]}
    assert paths == {
        "/", "/predict", "/predict_batch", "/model_info", "/livez", "/readyz", "/metrics", "/openapi.json"
    }  # fmt: skip


def test_model_info_tells_columns_and_digest(api: LocalApi) -> None:
    """What serves, and what it takes."""
    answer = api.ask("GET", "/model_info").json()
    assert answer["version"] == 1
    assert answer["classes"] == ["no", "yes"]
    assert answer["columns"][0]["unit"] == "years"


# Refusals

LIMITS_TABLE: dict[str, tuple[bytes, int, str]] = {
    "NaN": (b'{"Age": NaN, "Gender": "Male", "Visits": 3}', 422, "Age: NaN is not a number (allowed 10 to 100)"),
    "infinity": (b'{"Age": -Infinity, "Gender": "Male", "Visits": 3}', 422, "Age: infinity is not a finite number"),
    "1e400": (b'{"Age": 1e400, "Gender": "Male", "Visits": 3}', 422, "Age: infinity is not a finite number"),
    "5,000 digits": (b'{"Age": ' + b"9" * 5_000 + b', "Gender": "Male", "Visits": 3}', 422, "row: is not valid JSON"),
    "lone surrogate": (b'{"Age": 30, "Gender": "\\ud800", "Visits": 3}', 422, "Gender: '\\ud800' is not allowed"),
    "surrogate as name": (b'{"\\ud800": 1, "Age": 30, "Gender": "Male", "Visits": 3}', 422, "\\ud800: is not a column"),
    "bytes": (b'{"Age": "\xff\xfe"}', 422, "body: is not UTF-8 (byte 10)"),
    "UTF-16": ('{"Age": 30}'.encode("utf-16"), 422, "body: is not UTF-8 (byte 1)"),
    "byte order mark": (b'\xef\xbb\xbf{"Age": 30}', 422, "row: is not valid JSON"),
    "deep": (b"[" * 200_000, 422, "row: is not valid JSON"),
    "deep and closed": (b"[" * 200_000 + b"]" * 200_000, 422, "row: is not valid JSON"),
    "twice": (b'{"Age": 1, "Age": 2}', 422, "Age: is there more than once"),
    "a list": (b"[1]", 422, "row: must be a JSON object"),
    "nothing": (b"", 422, "row: is not valid JSON"),
    "text for a number": (b'{"Age": "30", "Gender": "Male", "Visits": 3}', 422, "Age: '30' is text, not a number"),
    "true for a number": (b'{"Age": true, "Gender": "Male", "Visits": 3}', 422, "Age: true is not a number"),
    "a fraction": (b'{"Age": 30, "Gender": "Male", "Visits": 1.5}', 422, "Visits: 1.5 is not a whole number"),
    "unknown": (b'{"Age": 30, "Gender": "Male", "Visits": 3, "age": 3}', 422, "age: is not a column of this model"),
    "missing": (b'{"Age": 30, "Gender": "Male"}', 422, "Visits: is missing"),
    "null": (b'{"Age": null, "Gender": "Male", "Visits": 3}', 422, "Age: is missing (allowed 10 to 100)"),
    "category": (b'{"Age": 30, "Gender": "male", "Visits": 3}', 422, "Gender: 'male' is not allowed; did you mean"),
    "too large": (b" " * (2**20 + 1), 413, "body: has more than 1 MB"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "sentence"), LIMITS_TABLE.values(), ids=list(LIMITS_TABLE))
def test_what_is_not_a_row_is_refused_in_one_sentence(api: LocalApi, body: bytes, status: int, sentence: str) -> None:
    """As problem details under 4 KB, whatever was sent."""
    answer = api.ask("POST", "/predict", content=body, headers=JSON)
    content = problem(answer, status, answer.json()["code"])
    assert content["detail"].startswith(sentence)


BATCHES = {
    "no rows": ({"rows": []}, "rows: must be a list with at least one row"),
    "no list": ({"rows": ROW}, "rows: must be a list"),
    "not called rows": ({"row": [ROW]}, "rows: must be the one entry"),
    "more": ({"rows": [ROW], "explain": True}, "rows: must be the one entry"),
    "a number": ({"rows": [ROW, 3]}, "row 2: must be a JSON object"),
    "too many": ({"rows": [ROW] * 1001}, "rows: there are 1,001; at most 1,000 are taken at once"),
}


@pytest.mark.parametrize(("body", "sentence"), BATCHES.values(), ids=list(BATCHES))
def test_what_is_no_batch_is_refused(api: LocalApi, body: object, sentence: str) -> None:
    """As a whole: it is not known what its rows are."""
    assert problem(api.predict(body, "/predict_batch"), 422, "InvalidInput")["detail"].startswith(sentence)


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 65_536


@pytest.mark.parametrize("count", [17, 200])
def test_a_body_in_chunks_has_the_same_limit(api: LocalApi, count: int) -> None:
    """Although nothing says in advance how long it is."""
    problem(api.ask("POST", "/predict", content=_chunks(count), headers=JSON), 413, "TooLarge")


async def _slowly() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(60)


def test_a_body_that_does_not_arrive_is_given_up(worker: KnownWorker) -> None:
    """Its place is free again."""
    api = LocalApi(state_in_memory(worker, limits=LIMITS.model_copy(update={"body_seconds": 0.05})))
    problem(api.ask("POST", "/predict", content=_slowly(), headers=JSON), 408, "TooSlow")
    assert api.state.concurrency.in_progress == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ],
)
def test_what_is_not_sent_as_json_is_refused(api: LocalApi, headers: dict[str, str]) -> None:
    """A browser's form cannot ask for predictions across sites either."""
    problem(api.ask("POST", "/predict", content=b"{}", headers=headers), 415, "WrongMediaType")


def test_json_with_a_charset_is_taken(api: LocalApi) -> None:
    """Many clients write it."""
    headers = {"content-type": "application/json; charset=UTF-8"}
    assert api.ask("POST", "/predict", content=json.dumps(ROW), headers=headers).status_code == 200


def test_a_refusal_stays_small(api: LocalApi) -> None:
    """However many columns are wrong and however long their names are."""
    row = {f"{'x' * 300}{number}": "y" * 5_000 for number in range(60)}
    content = problem(api.predict(row), 422, "InvalidRows")
    assert 0 < len(content["errors"]) < 60
    assert "yyyy" not in json.dumps(content)


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/predict", 405, "MethodNotAllowed"),
    ("POST", "/", 405, "MethodNotAllowed"),
    ("GET", "/docs", 404, "NoSuchPath"),
    ("GET", "/%ff", 404, "NoSuchPath"),
])  # fmt: skip
def test_other_paths_and_methods(api: LocalApi, method: str, path: str, status: int, code: str) -> None:
    """In the same form; an allowed method is named in the header."""
    answer = api.ask(method, path)
    problem(answer, status, code)
    assert status == 404 or answer.headers["allow"]


REFUSALS = {
    "time": (WorkerRefusal("version 1", "did not answer within 5 s", kind="time"), 504),
    "crash": (WorkerRefusal("version 1", "crashed the process that tried it (SIGSEGV)", kind="crash"), 503),
    "busy": (Unavailable("the worker: is busy"), 503),
    "copy": (IntegrityFailure("version 1: the private copy is not what was looked at"), 503),
}


@pytest.mark.parametrize(("refusal", "status"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_worker_that_does_not_answer(api: LocalApi, worker: KnownWorker, refusal: Exception, status: int) -> None:
    """Is the server's fault, and the caller is told when to come again."""
    worker.refusal = refusal
    answer = api.predict(ROW)
    problem(answer, status, type(refusal).__name__)
    assert int(answer.headers["retry-after"]) > 0


def test_what_a_model_says_about_a_row_is_not_passed_on(api: LocalApi, worker: KnownWorker) -> None:
    """Its words may hold the row."""
    worker.refusal = WorkerRefusal("version 1", "cannot predict these rows (secret)", kind="failed")
    assert "secret" not in api.predict(ROW).text


def test_a_mistake_of_ours_shows_no_stack(api: LocalApi, worker: KnownWorker) -> None:
    """The log has it."""
    worker.refusal = RuntimeError("secret")
    answer = api.predict(ROW)
    problem(answer, 500, "Failed")
    assert "secret" not in answer.text
    assert 'route="/predict",status="500"} 1.0' in api.ask("GET", "/metrics").text


def test_a_crash_is_tried_once_more(api: LocalApi, worker: KnownWorker) -> None:
    """A prediction changes nothing, so that a worker that died costs a caller nothing."""
    said = worker.ask

    def crash_once(*arguments: Any, **more: Any) -> dict[str, Any]:
        worker.ask = said
        raise WorkerRefusal("version 1", "crashed", kind="crash")

    worker.ask = crash_once
    assert api.predict(ROW).status_code == 200


def test_only_so_many_requests_at_once(api: LocalApi) -> None:
    """More are told to come again."""
    api.state.concurrency.in_progress = LIMITS.at_once
    answer = api.predict(ROW)
    problem(answer, 503, "TooManyRequests")
    assert answer.headers["retry-after"]


# What serves


def test_without_a_champion_nothing_is_predicted(worker: KnownWorker) -> None:
    """The reason is told; the process itself is alive."""
    registry = registry_with_columns()
    registry.set_alias(MODEL, "champion", None)
    registry.set_stage(MODEL, 1, Stage.NONE)
    api = LocalApi(state_in_memory(worker, registry=registry))
    assert "has none" in problem(api.predict(ROW), 503, "NothingServed")["detail"]
    problem(api.ask("GET", "/model_info"), 503, "NothingServed")
    ready = api.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert api.ask("GET", "/").json()["status"] == "unavailable"
    assert api.ask("GET", "/livez").json() == {"status": "alive"}
    assert api.ask("GET", "/openapi.json").json()["components"]["schemas"]["Row"] == {"type": "object", "title": "Row"}


def test_a_degraded_server_is_ready(api: LocalApi) -> None:
    """And says why it is degraded."""
    api.state.follower.status = replace(api.state.status, reason="the registry does not answer")
    ready = api.ask("GET", "/readyz")
    assert ready.status_code == 200
    assert (ready.json()["degraded"], ready.json()["reason"]) == (True, "the registry does not answer")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_a_look_does_not_end_the_following(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves goes on, degraded, and the next look makes it good."""
    follower = api.state.follower
    monkeypatch.setattr(follower, "refresh", lambda: 1 / 0)
    run_async(_refresh(follower))
    assert api.ask("GET", "/readyz").json()["status"] == "degraded"
    monkeypatch.undo()
    run_async(_refresh(follower))
    assert api.ask("GET", "/readyz").json()["status"] == "ready"


# Token and host


@pytest.fixture
def guarded(worker: KnownWorker) -> LocalApi:
    return LocalApi(state_in_memory(worker, token=TOKEN))


@pytest.mark.parametrize("path", ["/model_info", "/metrics", "/openapi.json", "/nothing", "/x//predict", "/predict/"])
def test_the_token_protects_all_but_health(guarded: LocalApi, path: str) -> None:
    """Also paths that do not exist."""
    answer = guarded.ask("GET", path)
    problem(answer, 401, "TokenNeeded")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz"])
def test_probes_need_no_token(guarded: LocalApi, path: str) -> None:
    """They come from machines that have none."""
    assert guarded.ask("GET", path).status_code == 200


SHOWN = {
    "right": ([f"Bearer {TOKEN}"], 200),
    "other case": ([f"bearer {TOKEN}"], 200),
    "none": ([], 401),
    "wrong": (["Bearer wrong"], 401),
    "part": ([f"Bearer {TOKEN[:-1]}"], 401),
    "more": ([f"Bearer {TOKEN}x"], 401),
    "no scheme": ([TOKEN], 401),
    "basic": ([f"Basic {TOKEN}"], 401),
    "empty": (["Bearer "], 401),
    "not ASCII": (["Bearer \xff"], 401),
    "two": ([f"Bearer {TOKEN}", "Bearer wrong"], 401),
}


@pytest.mark.parametrize(("shown", "status"), SHOWN.values(), ids=list(SHOWN))
def test_only_the_token_itself_opens(guarded: LocalApi, shown: list[str], status: int) -> None:
    """Exactly one header with exactly the token."""
    headers = [(b"content-type", b"application/json"), *((b"authorization", each.encode("latin-1")) for each in shown)]
    assert guarded.ask("POST", "/predict", content=json.dumps(ROW), headers=headers).status_code == status


def environment(**more: Any) -> Environment:
    return Environment.read({name: value for name, value in more.items() if value is not None})


def test_no_token_is_none() -> None:
    """There is no default one."""
    assert read_token(environment()) is None


@pytest.mark.parametrize(("content", "sentence"), [
    ("", "must have at least 16 characters"),
    ("\n", "must have at least 16 characters"),
    ("short", "must have at least 16 characters"),
    ("two words are not a token", "must be one word"),
    ("ünfähig-zum-vergleich-hier", "must hold one line of ASCII"),
    (None, "cannot be read"),
])  # fmt: skip
def test_a_token_that_protects_nothing_is_refused(tmp_path: Any, content: str | None, sentence: str) -> None:
    """In one sentence that names the file."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=sentence) as refusal:
        read_token(environment(SIGNOFF_TOKEN_FILE=str(file)))
    assert str(file) in str(refusal.value)


def test_a_token_from_a_file_or_the_environment(tmp_path: Any) -> None:
    """A newline at the end of the file is none of it; it is not printed by accident."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    for found in (read_token(environment(SIGNOFF_TOKEN_FILE=str(file))), read_token(environment(SIGNOFF_TOKEN=TOKEN))):
        assert found is not None
        assert found.shown_in(f"Bearer {TOKEN}".encode())
        assert TOKEN not in repr(found)
    assert TOKEN not in repr(environment(SIGNOFF_TOKEN=TOKEN))


def test_an_identity_token_is_no_shared_secret() -> None:
    """Every caller would hold it, and might do what its owner may."""
    with pytest.raises(
        InvalidInput, match="SIGNOFF_TOKEN: is an identity token; callers for predictions share another"
    ):
        read_token(environment(SIGNOFF_TOKEN=f"signoff_{TOKEN}"))


def test_two_tokens_are_one_too_many() -> None:
    """Nobody should have to guess which one holds."""
    with pytest.raises(InvalidInput, match="not both"):
        read_token(environment(SIGNOFF_TOKEN=TOKEN, SIGNOFF_TOKEN_FILE="file"))


HOSTS = {"api.example": 200, "API.example:8000": 200, "[::1]:80": 200, "[::1]": 200, "evil.example": 400, "": 400}


@pytest.mark.parametrize(("host", "status"), HOSTS.items())
def test_hosts_where_they_are_configured(worker: KnownWorker, host: str, status: int) -> None:
    """A page that points its name at this machine cannot ask."""
    api = LocalApi(
        state_in_memory(worker, limits=LIMITS.model_copy(update={"allowed_hosts": ["api.example", "[::1]"]}))
    )
    assert api.ask("GET", "/", headers={"host": host}).status_code == status


# The description, and the counters


def test_the_description_has_every_column(api: LocalApi) -> None:
    """Type, unit, range, categories and description, with an example that works."""
    schemas = api.ask("GET", "/openapi.json").json()["components"]["schemas"]
    row = schemas["Row"]
    assert row["required"] == ["Age", "Gender", "Visits"]
    assert row["additionalProperties"] is False
    assert row["properties"]["Age"] == {
        "type": "number",
        "minimum": 10,
        "maximum": 100,
        "description": "Age in full years. Unit: years. In the training data: 14 to 61",
        "x-unit": "years",
        "examples": [24],
    }
    assert row["properties"]["Gender"]["enum"] == ["Female", "Male"]
    assert row["properties"]["Visits"]["type"] == "integer"
    assert api.predict(row["examples"][0]).status_code == 200
    assert api.predict(schemas["Rows"]["examples"][0], "/predict_batch").json()["summary"]["n_bad"] == 0


LAYOUT = InputSchema(
    (
        ColumnSchema("id", "integer", "int64"),
        ColumnSchema("bonus", "number", "float64", required=False),
        ColumnSchema("visits", "integer", "int64", required=False),
        ColumnSchema("when", "datetime", "datetime64[ns]"),
        ColumnSchema("tags", "unfit", required=False, takes="an array"),
    ),
    "signature",
)


def test_the_description_says_what_may_be_left_out_and_what_cannot_be_given() -> None:
    """Whole numbers in all of 64 bits, or as far as a gap leaves them exact; times by their pattern."""
    schema = row_schema(LAYOUT, None)
    columns = schema["properties"]
    assert schema["required"] == ["id", "when"]
    assert (columns["id"]["minimum"], columns["id"]["maximum"]) == (-(2**63), 2**63 - 1)
    assert columns["visits"]["anyOf"][0]["maximum"] == 2**53
    assert columns["bonus"]["anyOf"][1] == {"type": "null"}
    assert "ISO 8601" in columns["when"]["description"]
    assert columns["tags"]["anyOf"][0]["type"] == "null"
    assert columns["tags"]["description"] == "takes an array, which cannot be given here"
    for text in ("2024-03-05", "2024-03-05T14:30:00.25+02:00", "2024-03-05 14:30Z", "6.3.2024", "2024-03-05T"):
        fits = re.search(columns["when"]["pattern"], text) is not None
        row = {"id": 2**63 - 1, "when": text}
        assert fits == (not check_row(row, LAYOUT).problems)


def test_every_path_that_answers_is_described(api: LocalApi) -> None:
    """And nothing else."""
    content = api.ask("GET", "/openapi.json").json()
    listed = {each["path"] for each in api.ask("GET", "/").json()["endpoints"]}
    assert set(content["paths"]) == listed - {"/openapi.json"}


def test_the_description_says_when_a_token_is_needed(api: LocalApi, guarded: LocalApi) -> None:
    """For the paths that ask for it."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    content = guarded.ask("GET", "/openapi.json", headers=headers).json()
    assert content["paths"]["/predict"]["post"]["security"] == [{"token": []}]
    assert "security" not in content["paths"]["/readyz"]["get"]
    assert "securitySchemes" not in api.ask("GET", "/openapi.json").json()["components"]


def test_counters(api: LocalApi) -> None:
    """Requests by path and status, predictions by version and class, and how the champion stands."""
    api.predict(ROW)
    api.predict({})
    api.ask("GET", "/nothing/at/all")
    text = api.ask("GET", "/metrics").text
    for line in (
        'signoff_http_requests_total{route="/predict",status="200"} 1.0',
        'signoff_http_requests_total{route="/predict",status="422"} 1.0',
        'signoff_http_requests_total{route="other",status="404"} 1.0',
        f'signoff_predictions_total{{class="yes",model="{MODEL}",version="1"}} 1.0',
        "signoff_ready 1.0",
        "signoff_degraded 0.0",
        "signoff_worker_restarts_total 0.0",
    ):
        assert line in text
    assert "signoff_champion_age_seconds" in text
    assert "/nothing" not in text


def test_whether_the_compiled_form_answers_is_told_where_it_is_to(api: LocalApi) -> None:
    """1 or 0; without a word where serving.http.compile is off, so that an alarm about it has nothing to say."""
    forms = iter([CompiledForm(Equality(equal=True)), CompiledForm.refused("it is being compiled")])
    metrics = HttpMetrics(lambda: api.state.status, lambda: 0, lambda: next(forms))
    assert "signoff_compiled 1.0" in metrics.text().decode().splitlines()
    assert "signoff_compiled 0.0" in metrics.text().decode().splitlines()
    assert "signoff_compiled" not in api.ask("GET", "/metrics").text


def test_counters_stay_few(api: LocalApi) -> None:
    """Old versions go, and a class that the model does not list is `other`."""
    target = api.state.served().target
    for version in range(1, 9):
        api.state.metrics.predicted(
            replace(target, resolved=replace(target.resolved, version=version)), {"surprise": 1}
        )
    text = api.ask("GET", "/metrics").text
    assert 'class="other"' in text
    assert 'version="8"' in text
    assert f'signoff_predictions_total{{class="other",model="{MODEL}",version="1"}}' not in text


def test_every_answer_has_the_headers(api: LocalApi) -> None:
    """Also a refusal: nothing is kept, nothing is framed, nothing is guessed."""
    for answer in (api.ask("GET", "/"), api.ask("GET", "/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


# What the documents say


def test_the_example_of_the_readme_works(worker: KnownWorker) -> None:
    """The row of its curl command is one of the demo's columns, and the answer has the keys that it shows."""
    registry = registry_with_columns()
    demo = yaml.safe_load((ROOT / "params.yaml").read_text())["schema"]
    version = registry.add_version(MODEL, files={"MLmodel": b"demo"}, documents={"feature_schema": demo})
    registry.set_alias(MODEL, "champion", version)
    api = LocalApi(state_in_memory(worker, registry=registry))
    readme = (ROOT / "README.md").read_text()
    address, body = re.findall(r"curl (\S+) -H 'Content-Type: application/json' -d '(.*?)'", readme, re.DOTALL)[0]
    shown = json.loads(re.findall(r"```json\n(.*?)```", readme, re.DOTALL)[0])
    answer = api.ask("POST", address.removeprefix("http://127.0.0.1:8000"), content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == list(shown)


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
def test_every_path_is_in_the_readme(path: str) -> None:
    """With its method."""
    assert f"`{ENDPOINTS[path][0].upper()} {path}`" in (ROOT / "README.md").read_text()


MISTAKES = [
    {**ROW, "Age": 5},
    {**ROW, "Age": "30"},
    {**ROW, "Age": None},
    {**ROW, "Gender": "Mal"},
    {**ROW, "Visits": 1.5},
    {**ROW, "visits": 3},
    {"Age": 30},
]


@pytest.mark.parametrize("row", MISTAKES)
def test_one_validation_for_all_doors(api: LocalApi, row: dict[str, object]) -> None:
    """The command line says the same sentence, in a batch with the number of the row before it."""
    with pytest.raises(InvalidRows) as refusal:
        check_rows([parse_row(json.dumps(row))], api.state.served().schema)
    assert problem(api.predict(row), 422, "InvalidRows")["detail"] == str(refusal.value)
    many = api.predict({"rows": [ROW, row]}, "/predict_batch").json()["rows"][1]["errors"]
    assert [each["sentence"] for each in many] == [f"row 2, {each.sentence}" for each in refusal.value.problems]
