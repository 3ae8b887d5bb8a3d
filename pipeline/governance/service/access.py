"""Who may call which method of the service: default deny, decided in one place for every door.

A method that the table does not name reads, and needs a role that reads: one that somebody adds is closed until then.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, TypeVar

from pipeline.governance.actor import Actor
from pipeline.governance.errors import InvalidInput, NotFound, SignoffError
from pipeline.governance.roles import Action

# Beside those that read. Requests and decisions name their actor themselves and leave an event where they are refused.
ACTION_OF: Mapping[str, Action] = {
    **dict.fromkeys(
        (
            "take_over",
            "look",
            "report_tampering",
            "reconcile",
            "upgrade_ledger",
            "send_notices",
            "record_registration",
            "record_findings",
        ),
        Action.RECORD,
    ),
    **dict.fromkeys(("tokens", "token_roles"), Action.OWN_TOKENS),
    **dict.fromkeys(
        ("decide", "promote", "set_alias", "remove_alias", "rollback", "adopt", "revert"),
        Action.DECIDE,
    ),
    **dict.fromkeys(("request", "request_rollback", "request_adoption", "withdraw"), Action.REQUEST),
    **dict.fromkeys(("approve", "reject"), Action.APPROVE),
    "comment": Action.COMMENT,
    "override": Action.OVERRIDE,
    "acknowledge": Action.ACKNOWLEDGE,
    "close_finding": Action.CLOSE,
}
# Who somebody is and may do; making and revoking a token checks inside, since a refusal is an event.
OPEN = (
    *("as_", "authorise", "may", "roles", "check_signer", "authenticate", "keep_name", "check_reader"),
    *("issue_token", "revoke_token"),
)
RULED_INSIDE = frozenset(
    {
        Action.DECIDE,
        Action.COMMENT,
        Action.REQUEST,
        Action.APPROVE,
        Action.OVERRIDE,
        Action.ACKNOWLEDGE,
        Action.CLOSE,
    }
)
SIGNING_TOKENS = ("issue_token", "revoke_token")


class Checking(Protocol):
    """What the guarded methods need of their class."""

    actor: Actor

    def authorise(self, action: Action) -> None:
        """Raises NotAllowed."""

    def check_reader(self, act: str, number: int | None) -> None:
        """Raises NotAllowed for who reads nothing here, after recording it. number: of what the act would look up."""

    def keep_name(self, actor: Actor) -> None:
        """Keep what somebody who has just signed is called; raises nothing."""


Guarded = TypeVar("Guarded", bound=type[Checking])


def guarded(service: Guarded) -> Guarded:
    """A class whose public methods, its own and those it inherits, check first who asks.

    Those that leave an event which somebody signs, also of a refusal, keep what that person is called. Whoever reads
    nothing is refused by them before anything is looked up.
    """
    for name, method in inspect.getmembers(service, inspect.isfunction):
        action = ACTION_OF.get(name, Action.READ)
        if name in SIGNING_TOKENS or action in RULED_INSIDE:
            setattr(service, name, _signed(method))
        elif not name.startswith("_") and name not in OPEN:
            setattr(service, name, _checked(method, action))
    return service


def _checked(method: Callable[..., Any], action: Action) -> Callable[..., Any]:
    @wraps(method)
    def ask(self: Checking, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever the method takes and gives)
        self.authorise(action)
        return method(self, *arguments, **options)

    return ask


def _signed(method: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(method)

    @wraps(method)
    def sign(self: Checking, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever the method takes and gives)
        given = parameters.bind(self, *arguments, **options).arguments
        signer = given["signing"].actor if "signing" in given else given.get("actor", self.actor)
        with _naming(self, signer):
            if method.__name__ not in SIGNING_TOKENS:
                self.check_reader(method.__name__, _number_in(given))
            return method(self, *arguments, **options)

    return sign


def _number_in(given: Mapping[str, Any]) -> int | None:
    """Of the request, override or finding that a method is called about; None where it is about none."""
    signing = given.get("signing")
    number: int | None = given.get("number") if signing is None else signing.request
    return number


@contextmanager
def _naming(service: Checking, signer: Actor) -> Iterator[None]:
    """Keep the name of who signed, unless the block found that there is nothing to sign and left no event."""
    try:
        yield
    except (InvalidInput, NotFound):
        raise
    except SignoffError:  # a refusal is an event too
        service.keep_name(signer)
        raise
    service.keep_name(signer)
