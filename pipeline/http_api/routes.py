"""One function per endpoint: read, ask, answer. Bodies are checked by the same code as a form or a file of rows."""

import time

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pipeline.governance.errors import InvalidInput, SignoffError
from pipeline.http_api import answers
from pipeline.http_api.answers import AliveAnswer, Endpoint, StartAnswer, batch_text, counts, prediction_text, to_json
from pipeline.http_api.desk.routes import DESK_ENDPOINTS
from pipeline.http_api.limits import read_text
from pipeline.http_api.metrics import CONTENT_TYPE_LATEST
from pipeline.http_api.openapi import ENDPOINTS
from pipeline.http_api.problems import problem
from pipeline.http_api.state import AppState, state_of
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import check_rows, parse_row, parse_rows

router = APIRouter()
UNAVAILABLE = 503
ONE_ROW = "/predict"
JSON = (b"content-type", b"application/json")


@router.get("/")
async def health(request: Request) -> Response:
    state = state_of(request.scope)
    listed = [
        Endpoint.model_construct(method=method.upper(), path=path, does=does)
        for path, (method, does) in {**ENDPOINTS, **(DESK_ENDPOINTS if state.desk else {})}.items()
    ]
    current = answers.health(state.model, state.status, state.follower.compiled)
    return _json(to_json(StartAnswer.model_construct(**dict(current), endpoints=listed)))


@router.get("/livez")
async def alive() -> Response:
    return _json(to_json(AliveAnswer.model_construct(status="alive")))


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """Answers 503 only where nothing can be predicted: a degraded server is better than none."""
    state = state_of(request.scope)
    text = to_json(answers.health(state.model, state.status, state.follower.compiled))
    return _json(text) if state.status.ready else _json(text, UNAVAILABLE)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    return Response(state_of(request.scope).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/model_info")
async def model_info(request: Request) -> Response:
    state = state_of(request.scope)
    return _json(to_json(answers.model_info(state.served(), state.status, state.follower.compiled)))


class OneRow:
    """The ASGI application of POST /predict: what a framework does for each request takes longer than a prediction."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        try:
            content = (await self._predict(state, Request(scope, receive))).encode()
        except SignoffError as error:
            state.not_answered(ONE_ROW, error)
            await problem(error)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(content)), JSON]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _predict(self, state: AppState, request: Request) -> str:
        started = time.perf_counter()
        explain = _flag(request, "explain")
        with state.concurrency.slot():
            served = state.served()
            row = check_rows([parse_row(await read_text(request, state.limits))], served.schema)[0]
            found = await state.batcher.predict(served.target, row)
            explained = await state.batcher.explain(served.target, row) if explain else None
        prediction_id = state.recorder.answered(served.target, row, found, seconds=time.perf_counter() - started)
        one_class = served.target.classes and not served.target.names
        state.metrics.predicted(served.target, {str(found.value): 1} if one_class else {})
        return prediction_text(served.target, found, explained, prediction_id=prediction_id)


router.routes.append(Route(ONE_ROW, OneRow(), methods=["POST"]))  # refuses other methods, see app.Api


@router.post("/predict_batch")
async def predict_batch(request: Request) -> Response:
    state, started = state_of(request.scope), time.perf_counter()
    with state.concurrency.slot():
        served = state.served()
        rows = parse_rows(await read_text(request, state.limits), most=state.limits.batch_rows)
        checked = check_many(Input.of_rows(rows, served.schema), served.schema, numbers=range(1, len(rows) + 1))
        found = await state.batcher.predict_columns(served.target, checked) if checked.usable.any() else None
        state.metrics.predicted(served.target, counts(served.target, found))
        checked = found.checked if found else checked
        state.recorder.refused(served.target, (each for problems in checked.problems.values() for each in problems))
        ids = state.recorder.answered_columns(found, seconds=time.perf_counter() - started) if found else ()
        return _json(batch_text(served.target, checked, found, ids=ids))


def _flag(request: Request, name: str) -> bool:
    """A query parameter, false where it is absent. Raises InvalidInput for anything but true and false."""
    values = request.query_params.getlist(name) if request.scope["query_string"] else []
    if values not in ([], ["true"], ["false"]):
        raise InvalidInput(f"{name}: must be true or false")
    return values == ["true"]


def _json(text: str, status: int = 200) -> Response:
    return Response(text.encode(), status, media_type="application/json")
