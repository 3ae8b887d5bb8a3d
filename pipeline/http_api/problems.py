"""Refusals as problem details (RFC 9457): one sentence, what is wrong where, and never more than 4 kB."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.governance.errors import IntegrityFailure, InvalidInput, NotFound, Refused, SignoffError, Unavailable
from pipeline.governance.text import visible
from pipeline.http_api.answers import ProblemDetails, problem_entry, to_json
from pipeline.http_api.desk.answers import DeskProblem
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.validation.rows import InvalidRows, Problem

MEDIA_TYPE = "application/problem+json"
MOST_BYTES = 4_000
MOST_DETAIL = 600
RETRY_AFTER_SECONDS = 2


class TooLarge(InvalidInput):
    """The body has more bytes than a request may have."""

    http_status = 413


class WrongMediaType(InvalidInput):
    """The body is not sent as JSON."""

    http_status = 415


class TooSlow(InvalidInput):
    """The body did not arrive in time."""

    http_status = 408


class TokenNeeded(Refused):
    """The request does not show the token."""

    http_status = 401


class WrongHost(InvalidInput):
    """The Host header has a name that is not ours."""

    http_status = 400


class ForeignOrigin(Refused):
    """A page of another origin asks, in somebody's browser."""


class NoSuchPath(NotFound):
    """Nothing answers under this path."""


class MethodNotAllowed(InvalidInput):
    """The path has other methods."""

    http_status = 405


class TooManyRequests(Unavailable):
    """As many requests are being answered as may be at once."""


class NothingServed(Unavailable):
    """There is no champion that may be served, or it does not answer."""


class InternalError(SignoffError):
    """The server failed; its log has the traceback. Answers call it `Failed`."""


def problem(error: SignoffError, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that was refused."""
    status = http_status(error)
    more = {**_headers(status), **(headers or {})}
    return Response(_body(_content(error, status), _rows_of(error)), status, more, media_type=MEDIA_TYPE)


def desk_problem(error: SignoffError) -> Response:
    """The answer of the desk: the status is that of the error table, and notes say who was faster."""
    content, status = _content(error, error.http_status), error.http_status
    if notes := getattr(error, "__notes__", ()):
        told = [visible(note, most=MOST_DETAIL) for note in notes]
        content = DeskProblem.model_construct(**dict(content), notes=told)
    return Response(_body(content, _rows_of(error)), status, _headers(status), media_type=MEDIA_TYPE)


def _rows_of(error: SignoffError) -> Sequence[Problem]:
    return error.problems if isinstance(error, InvalidRows) else ()


def http_status(error: SignoffError) -> int:
    """The HTTP status. An approved model that does not answer is a failure of the server, not of the request."""
    if isinstance(error, WorkerRefusal):
        return HTTPStatus.GATEWAY_TIMEOUT if error.kind == "time" else HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, IntegrityFailure):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return error.http_status


def _headers(status: int) -> dict[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return {}


def _content(error: SignoffError, status: int) -> ProblemDetails:
    return ProblemDetails.model_construct(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=visible(_sentence(error), most=MOST_DETAIL),
        code="Failed" if isinstance(error, InternalError) else type(error).__name__,
        errors=[],
    )


def _body(content: ProblemDetails, found: Sequence[Problem]) -> bytes:
    room = MOST_BYTES - len(to_json(content))
    for each in found:
        entry = problem_entry(each)
        room -= len(to_json(entry)) + 2
        if room < 0:
            break
        content.errors.append(entry)
    return to_json(content).encode()


def _sentence(error: SignoffError) -> str:
    """The error's message, without what a model raised, which may hold values of the row."""
    if isinstance(error, WorkerRefusal) and error.kind == "failed":
        return "the model: could not predict this"
    return str(error)


async def on_refusal(_request: Request, error: Exception) -> Response:
    """Answers a SignoffError, raised anywhere."""
    assert isinstance(error, SignoffError)  # noqa: S101 (registered for nothing else)
    return problem(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answers what the framework itself refuses: an unknown path, or a method that the path has not."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for nothing else)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        sentence = f"method: {visible(request.method, most=20)} is not one that this path answers"
        return problem(MethodNotAllowed(sentence), headers=error.headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(NoSuchPath("path: nothing answers here; GET / lists what does"))
    return problem(InvalidInput(f"request: {visible(str(error.detail), most=MOST_DETAIL)}"), headers=error.headers)


async def on_mistake(_request: Request, _error: Exception) -> Response:
    """Answers any other error, whose traceback is in the server's log."""
    return problem(InternalError("the server: could not answer this request"))
