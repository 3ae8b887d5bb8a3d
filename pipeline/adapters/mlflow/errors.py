"""Translates the errors of MLflow, the databases and the network into those of this project."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy.exc

import pipeline.adapters.mlflow.environment  # noqa: F401 (before MLflow is imported)
from pipeline.adapters.mlflow.database import database_errors
from pipeline.governance.errors import InvalidInput, NotFound, SignoffError, Unavailable
from pipeline.governance.text import first_line

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException


Result = TypeVar("Result")

MOST_RETRY_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.02
MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "RESOURCE_NOT_FOUND")
INVALID = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST")
DENIED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
NO_ANSWER = "API request to "  # its error goes on with the address, which may hold a password
# Warnings about what MLflow does, or what it has us call: stages are deprecated since 2.9, `noload` is MLflow's own.
KNOWN_WARNINGS = (
    (r"``mlflow\.tracking\.client\.MlflowClient\.transition_model_version_stage`` is deprecated", FutureWarning),
    ("The ``noload`` loader strategy is deprecated", sqlalchemy.exc.SADeprecationWarning),
)
# Failures that the operator can end, by what MLflow writes.
SENTENCES = {
    "out-of-date database schema": "The registry's database has another schema; run `mlflow db upgrade` on it.",
}


@contextmanager
def mlflow_errors(
    subject: str, *, on_invalid: type[SignoffError] = InvalidInput, quoted: bool = False
) -> Iterator[None]:
    """Raises MLflow's and its libraries' errors in the block as those of this project, with their cause kept.

    subject: what was asked for, in words. on_invalid: NotFound where a name that cannot exist is only looked up.
    quoted: a refusal has the first line of MLflow's text, for requests that hold nothing of strangers.
    """
    # MLflow takes seconds to import, and is imported already where this is used.
    import requests.exceptions
    from mlflow.exceptions import MlflowException

    for text, category in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=text, category=category)
    try:
        with database_errors():
            yield
    except MlflowException as error:
        raise (_quoted(error) if quoted else _translated(error, subject, on_invalid)) from error
    except requests.exceptions.RequestException as error:
        raise Unavailable("The registry does not answer.") from error


@contextmanager
def unreadable_answers() -> Iterator[None]:
    """Raises Unavailable where a record is not of the kind that MLflow keeps, such as a version without a number.

    Another program may answer at the address, and with JSON.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise Unavailable("The registry does not answer as MLflow does: a record cannot be read.") from error


def _translated(error: "MlflowException", subject: str, on_invalid: type[SignoffError]) -> SignoffError:
    code = error.error_code
    if code in MISSING or (code in INVALID and on_invalid is NotFound):
        return NotFound(f"The registry has no {subject}.")
    if code in INVALID:
        return on_invalid(f"The registry refuses this as invalid: {subject}.")
    if code in DENIED:
        return Unavailable("The registry refuses the credentials of this installation.")
    known = (sentence for text, sentence in SENTENCES.items() if text in str(error))
    return Unavailable(next(known, "The registry does not answer."))


def _quoted(error: "MlflowException") -> Unavailable:
    line = first_line(error)
    return Unavailable(
        "The registry does not answer." if line.startswith(NO_ANSWER) else f"the registry does not do it: {line}"
    )


def is_transient(error: "MlflowException") -> bool:
    """Whether a write lost a race with another and may be repeated; SQLite and PostgreSQL give ordinary codes then."""
    text = str(error).lower()
    return error.error_code == "TEMPORARILY_UNAVAILABLE" or (
        error.error_code == "BAD_REQUEST" and ("unique" in text or "0 were matched" in text)
    )


def retried(write: Callable[[], Result]) -> Result:
    """The result of a write that may be repeated, tried again after lost races for at most MOST_RETRY_SECONDS."""
    from mlflow.exceptions import MlflowException

    deadline = time.monotonic() + MOST_RETRY_SECONDS
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return write()
        except MlflowException as error:
            if not is_transient(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2


# Circuit breaker: a registry that has just not answered is not asked again by everybody who waited.

OPEN_SECONDS = 1.0


class CircuitBreaker:
    """For a second after a call ended as Unavailable, more calls fail at once instead of waiting for a time-out.

    Pages wait for each other's reads: the tenth visitor of a silent server would wait for ten time-outs.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: tuple[float, Unavailable] | None = None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Runs the call in the block, or raises Unavailable with the last sentence while the circuit is open."""
        with self._lock:
            last = self._last
        if last is not None and self._monotonic() - last[0] < OPEN_SECONDS:
            raise Unavailable(str(last[1])) from last[1]
        try:
            yield
        except Unavailable as error:
            with self._lock:
                self._last = self._monotonic(), error
            raise
