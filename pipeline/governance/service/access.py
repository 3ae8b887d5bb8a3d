"""Who may call which method of the service: default deny, decided in one place for every door.

A method that the table does not name reads, and needs a role that reads: one that somebody adds is closed until then.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol, TypeVar

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
OPEN = ("as_", "authorise", "may", "roles", "check_signer", "authenticate", "issue_token", "revoke_token")
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


class Checking(Protocol):
    """What the guarded methods need of their class."""

    def authorise(self, action: Action) -> None:
        """Raises NotAllowed."""


Guarded = TypeVar("Guarded", bound=type[Checking])


def guarded(service: Guarded) -> Guarded:
    """A class whose public methods, its own and those it inherits, check first who asks."""
    for name, method in inspect.getmembers(service, inspect.isfunction):
        if name.startswith("_") or name in OPEN:
            continue
        action = ACTION_OF.get(name, Action.READ)
        if action not in RULED_INSIDE:
            setattr(service, name, _checked(method, action))
    return service


def _checked(method: Callable[..., Any], action: Action) -> Callable[..., Any]:
    @wraps(method)
    def ask(self: Checking, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever the method takes and gives)
        self.authorise(action)
        return method(self, *arguments, **options)

    return ask
