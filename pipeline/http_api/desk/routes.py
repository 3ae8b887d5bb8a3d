"""The paths of the desk as one table, and how a request goes through it: read what is given, ask, answer."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response

from pipeline.governance.actor import Actor
from pipeline.governance.errors import InvalidInput, SignoffError
from pipeline.governance.record.ledger import canonical, digest_of
from pipeline.governance.rules.repeats import KeyOptions
from pipeline.http_api.desk import answers, asking, given
from pipeline.http_api.desk.asking import Visit
from pipeline.http_api.desk.door import DESK, only
from pipeline.http_api.limits import read_text
from pipeline.http_api.problems import desk_problem
from pipeline.http_api.state import AppState, state_of

KEY = "Idempotency-Key"
MOST_KEY_CHARACTERS = 200
NUMBERS = ("version", "id")  # of the path
ACTOR = "signoff.actor"  # under which the scope of a request holds who asks


@dataclass(frozen=True)
class DeskRoute:
    """A path, and what answers there."""

    method: str
    path: str  # below /api/v1, with the names of what it is about in braces
    does: str
    ask: Callable[[Visit, Any], object]
    answer: Any  # the type of the answer
    wanted: Any = given.Nothing  # the type of what is given: as parameters of a GET, as the body of a POST

    @property
    def template(self) -> str:
        return f"{DESK}{self.path}"

    @property
    def decides(self) -> bool:
        return self.method == "POST"

    @cached_property
    def adapter(self) -> "TypeAdapter[Any]":
        return TypeAdapter(self.wanted)


OF_MODEL, OF_REQUEST = "/models/{model}", "/requests/{id}"
OF_VERSION = f"{OF_MODEL}/versions/{{version}}"
ROUTES = (
    DeskRoute("GET", "/models", "The registered models", asking.list_models, list[answers.DeskModel]),
    DeskRoute(
        "GET",
        f"{OF_MODEL}/versions",
        "The versions of a model, newest first",
        asking.list_versions,
        list[answers.DeskVersion],
        given.VersionsQuery,
    ),
    DeskRoute("GET", OF_VERSION, "One version with files and digests", asking.show, answers.ShownVersion),
    DeskRoute(
        "GET",
        f"{OF_VERSION}/review",
        "The gates of a move, and whether it is open",
        asking.review,
        answers.ReviewAnswer,
        given.ReviewQuery,
    ),
    DeskRoute(
        "GET",
        f"{OF_MODEL}/compare",
        "Two versions side by side",
        asking.compare,
        answers.CompareAnswer,
        given.CompareQuery,
    ),
    DeskRoute(
        "GET",
        f"{OF_MODEL}/history",
        "Who decided what, oldest first; with `at` who was champion then",
        asking.history,
        list[answers.HistoryEvent] | answers.HistoryMoment,
        given.HistoryQuery,
    ),
    DeskRoute(
        "GET",
        "/requests",
        "The requests that wait",
        asking.list_requests,
        list[answers.RequestAnswer],
        given.RequestsQuery,
    ),
    DeskRoute("GET", OF_REQUEST, "One request as it stands now", asking.show_request, answers.RequestAnswer),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/promote",
        "Move a version to a stage",
        asking.promote,
        answers.DecisionAnswer,
        given.PromoteInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/alias",
        "Point an alias at a version",
        asking.set_alias,
        answers.DecisionAnswer,
        given.AliasInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/unalias",
        "Take an alias away",
        asking.remove_alias,
        answers.DecisionAnswer,
        given.UnaliasInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/rollback",
        "Return to the previous champion",
        asking.roll_back,
        answers.DecisionAnswer,
        given.RollbackInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/request",
        "Ask for a move that needs the approval of others",
        asking.request,
        answers.RequestAnswer,
        given.RequestInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_MODEL}/comment",
        "Add a comment to the record of a version",
        asking.comment,
        answers.HistoryEvent,
        given.CommentInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_REQUEST}/approve",
        "Approve a request of somebody else; the last approval makes the move",
        asking.approve,
        answers.ApprovedAnswer,
        given.ApproveInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_REQUEST}/reject",
        "End a request of somebody else",
        asking.reject,
        answers.RequestAnswer,
        given.CloseInput,
    ),
    DeskRoute(
        "POST",
        f"{OF_REQUEST}/withdraw",
        "End a request of one's own",
        asking.withdraw,
        answers.RequestAnswer,
        given.CloseInput,
    ),
    DeskRoute(
        "POST",
        "/outcomes",
        "Tell what turned out to be true, by prediction_id",
        asking.tell_outcomes,
        answers.OutcomesAnswer,
        given.OutcomesInput,
    ),
)
DESK_ENDPOINTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {route.template: (route.method.lower(), route.does) for route in ROUTES}
)


def desk_router() -> APIRouter:
    router = APIRouter()
    for route in ROUTES:
        router.add_api_route(route.template, _endpoint(route), methods=[route.method], name=route.template)
    return router


def _endpoint(route: DeskRoute) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            return await _answer(route, request)
        except SignoffError as refusal:
            return desk_problem(refusal)

    return answer


async def _answer(route: DeskRoute, request: Request) -> Response:
    state = state_of(request.scope)
    assert state.desk is not None  # noqa: S101 (the routes are there with it only)
    with state.desk.concurrency.slot():
        path = _named(request.path_params)
        found = await _given(route, request, state)
        service = state.desk.service.as_(request.scope[ACTOR])
        once = _once(request, found, service.actor) if route.decides else {}
        visit = Visit(service, path, once, state.desk.log(service))
        text = await state.desk.work(lambda: json.dumps(route.ask(visit, found), allow_nan=False))
    # In ASCII, so that no text of a stranger can make it unsendable.
    return Response(text.encode(), media_type="application/json")


def _named(path: Mapping[str, str]) -> dict[str, str | int]:
    return {name: given.parse_number(name, text) if name in NUMBERS else text for name, text in path.items()}


async def _given(route: DeskRoute, request: Request, state: AppState) -> Any:  # noqa: ANN401 (whatever is wanted)
    if not route.decides:
        return given.parse_query(route.adapter, request.query_params)
    return given.parse_body(route.adapter, await read_text(request, state.limits))


def _once(request: Request, body: BaseModel, actor: Actor) -> KeyOptions:
    """The idempotency key, which belongs to the person and stands for all that was sent under it."""
    if KEY.lower() not in request.headers:
        return {}
    key = (only(request.scope["headers"], KEY.lower().encode()) or b"").decode("latin-1")
    if not 1 <= len(key) <= MOST_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"{KEY}: must be there once, with 1 to {MOST_KEY_CHARACTERS} printable characters of ASCII")
    sent = canonical({"path": request.scope["path"], "body": body.model_dump(mode="json")})
    return {"key": f"{actor.person.reference}:{key}", "body": digest_of(sent)}
