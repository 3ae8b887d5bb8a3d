"""Role, action and door in one table: what the command line can do, what it takes a role for, and where screens and
HTTP do it, or why they do not. docs/governance.md has the table.

Tests walk it: each verb has a row, each path is answered, each screen asks the service for the same, and whoever lacks
the role is refused over HTTP, on the command line and by the service.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.governance.actor import Role
from pipeline.governance.roles import ACTIONS, Action


class LeftOut(str):
    """Why a door does not have a verb, as a sentence without its end mark."""

    __slots__ = ()


class VerbDoors(NamedTuple):
    """One verb of the command line, or a way of it, and the two other doors."""

    action: Action | None  # what it takes a role for; None: none, since programs that somebody starts here act
    screen: str  # the page that does it, or LeftOut
    route: str  # method and path, or LeftOut
    asks: tuple[str, ...] = ()  # methods of the service of which each door calls one; empty where it is not the service
    by_desk: bool = False  # whether the command line asks as the desk itself, which records without a role


PROCESS = LeftOut("it takes minutes and a checkout, and runs where these are")
HOST = LeftOut("it is about the host that it runs on")
PERSON = LeftOut("a program cannot say that a person has looked")
TOKENS = LeftOut("people say which programs come in, where a secret is shown once: on a page or a terminal")
OF_LOG = LeftOut("programs get how complete the log is from /metrics; rows of it are not handed out")
ROWS = LeftOut("rows hold what callers sent: they are listed and purged by who may use the database of the log")
WATCHED = LeftOut("the API itself records what is seen; programs get drift, accuracy and findings from /metrics")
OUTCOMES = LeftOut("outcomes come from other programs, as files or over HTTP")
ENDING = LeftOut("ending a difference is for a person who looks at it; adoption by others is asked for as a request")
RECORDING = LeftOut("the desk's own programs record what is there, and need nobody to ask them")
DESK_MODEL, DESK_REQUEST = "/api/v1/models/{model}", "/api/v1/requests/{id}"
DECIDE = ("decide",)

# A way of a verb that is another thing stands behind it: ` --option`, or `, of others`.
VERBS: Mapping[str, VerbDoors] = {
    "demo": VerbDoors(None, "overview", LeftOut("it fills an empty registry for somebody who looks around")),
    "train": VerbDoors(None, PROCESS, PROCESS),
    "models": VerbDoors(Action.READ, "overview", "GET /api/v1/models", ("models", "overview")),
    "versions": VerbDoors(
        Action.READ, "versions", f"GET {DESK_MODEL}/versions", ("versions", "versions_with", "telling_versions")
    ),
    "show": VerbDoors(Action.READ, "review", f"GET {DESK_MODEL}/versions/{{version}}", ("show",)),
    "best": VerbDoors(Action.READ, "versions", LeftOut("versions come with every metric, by which a program chooses")),
    "best --waiting": VerbDoors(
        Action.READ,
        "overview",
        LeftOut("it orders what waits for people who look; a program compares those that it asks for"),
        ("waiting",),
    ),
    "compare": VerbDoors(Action.READ, "compare", f"GET {DESK_MODEL}/compare", ("compare",)),
    "card": VerbDoors(
        Action.READ, "card", LeftOut("it is a page for people; versions, reviews and history have what is on it")
    ),
    "review": VerbDoors(Action.READ, "review", f"GET {DESK_MODEL}/versions/{{version}}/review", ("review",)),
    "check": VerbDoors(
        Action.READ,
        LeftOut("it prints reviews in the formats of pipelines"),
        LeftOut("it prints reviews in the formats of pipelines; each review is answered"),
    ),
    "explain": VerbDoors(Action.PREDICT, "explain", "POST /predict"),
    "predict": VerbDoors(Action.PREDICT, "predict", "POST /predict"),
    "score": VerbDoors(Action.PREDICT, "predict", "POST /predict_batch"),
    "serve": VerbDoors(None, HOST, HOST),
    "promote": VerbDoors(Action.DECIDE, "review", f"POST {DESK_MODEL}/promote", ("promote", *DECIDE)),
    "alias": VerbDoors(Action.DECIDE, "review", f"POST {DESK_MODEL}/alias", ("set_alias", *DECIDE)),
    "unalias": VerbDoors(Action.DECIDE, "review", f"POST {DESK_MODEL}/unalias", ("remove_alias", *DECIDE)),
    "rollback": VerbDoors(Action.DECIDE, "review", f"POST {DESK_MODEL}/rollback", ("rollback", *DECIDE)),
    "request": VerbDoors(Action.REQUEST, "review", f"POST {DESK_MODEL}/request", ("request",)),
    "approve": VerbDoors(Action.APPROVE, "review", f"POST {DESK_REQUEST}/approve", ("approve",)),
    "reject": VerbDoors(Action.APPROVE, "review", f"POST {DESK_REQUEST}/reject", ("reject",)),
    "withdraw": VerbDoors(Action.REQUEST, "review", f"POST {DESK_REQUEST}/withdraw", ("withdraw",)),
    "requests": VerbDoors(Action.READ, "overview", "GET /api/v1/requests", ("requests", "queues")),
    "comment": VerbDoors(Action.COMMENT, "review", f"POST {DESK_MODEL}/comment", ("comment",)),
    "override": VerbDoors(
        Action.OVERRIDE, "review", LeftOut("breaking glass is for a person who stands for it"), ("override",)
    ),
    "acknowledge": VerbDoors(Action.ACKNOWLEDGE, "overview", PERSON, ("acknowledge",)),
    "monitor": VerbDoors(Action.READ, "monitoring", WATCHED, ("monitor",)),
    "monitor --record": VerbDoors(
        Action.RECORD,
        LeftOut("the API's process looks and records by itself, every monitoring.every_minutes"),
        WATCHED,
    ),
    "findings": VerbDoors(Action.READ, "monitoring", WATCHED, ("findings",)),
    "close": VerbDoors(Action.CLOSE, "monitoring", PERSON, ("close_finding",)),
    "history": VerbDoors(Action.READ, "history", f"GET {DESK_MODEL}/history", ("history", "history_page")),
    "history --export": VerbDoors(
        Action.READ,
        "history",
        LeftOut("it is the whole ledger, for an auditor; the events are in the history"),
        ("export",),
    ),
    "export": VerbDoors(Action.READ, "history", LeftOut("it is a file for an auditor; the events are in the history")),
    "verify": VerbDoors(
        Action.READ,
        "history",
        LeftOut("it reads every event and file, and is run where its exit code is watched"),
        ("verify",),
    ),
    "reconcile": VerbDoors(Action.RECORD, "history", RECORDING, ("reconcile",), by_desk=True),
    "reconcile --watch": VerbDoors(
        Action.RECORD, LeftOut("the dashboard looks by itself, once a minute"), RECORDING, by_desk=True
    ),
    "reconcile --adopt": VerbDoors(Action.DECIDE, "history", ENDING, ("adopt",)),
    "reconcile --revert": VerbDoors(Action.DECIDE, "history", ENDING, ("revert",)),
    "keys new": VerbDoors(None, HOST, HOST),
    "keys list": VerbDoors(None, HOST, HOST),
    "ledger upgrade": VerbDoors(None, HOST, HOST),
    "token new": VerbDoors(Action.OWN_TOKENS, "tokens", TOKENS, ("issue_token",)),
    "token list": VerbDoors(Action.OWN_TOKENS, "tokens", TOKENS, ("tokens",)),
    "token revoke": VerbDoors(Action.OWN_TOKENS, "tokens", TOKENS, ("revoke_token",)),
    "token list, of others": VerbDoors(Action.ALL_TOKENS, "tokens", TOKENS),
    "token revoke, of others": VerbDoors(Action.ALL_TOKENS, "tokens", TOKENS),
    "log status": VerbDoors(Action.READ, "monitoring", OF_LOG, ("status",)),
    "log show": VerbDoors(Action.READ_LOG, ROWS, ROWS),
    "log purge": VerbDoors(Action.PURGE_LOG, ROWS, ROWS),
    "outcomes": VerbDoors(Action.OUTCOMES, OUTCOMES, "POST /api/v1/outcomes", ("tell_outcomes",)),
    "shadow": VerbDoors(Action.READ_LOG, "monitoring", OF_LOG, ("side_by_side",)),
    "reproduce": VerbDoors(Action.READ, PROCESS, PROCESS),
}
WHAT: Mapping[Action | None, str] = {
    Action.READ: "models, versions, reviews, the record",
    Action.PREDICT: "predictions and explanations, metrics of the API",
    Action.RECORD: "have the desk write down what it finds, finish what a crash left",
    Action.COMMENT: "comment on a version or a request",
    Action.REQUEST: "ask for a move that needs others, take the request back",
    Action.DECIDE: "the moves above, of which each lists its own roles among these",
    Action.APPROVE: "approve or reject a request; `approver_roles` of its move says for whom",
    Action.OVERRIDE: "decide past approvals and gates, in the open",
    Action.ACKNOWLEDGE: "say that somebody else's override was seen",
    Action.CLOSE: "close a finding that one has looked at",
    Action.READ_LOG: "read rows of the log of predictions, which may hold personal data",
    Action.OUTCOMES: "tell what turned out to be true of a prediction",
    Action.PURGE_LOG: "delete rows of the log of predictions",
    Action.OWN_TOKENS: "make, list and revoke tokens that act for oneself",
    Action.ALL_TOKENS: "list and revoke everybody's tokens",
    None: "programs that somebody starts on a host of the desk, with its files and addresses",
}
HEAD = "| action | roles | verb | screen | HTTP |"


def rows() -> list[str]:
    """The table as Markdown: action and roles stand at the first verb of each action."""
    return [row for action in WHAT for row in _rows_of(action)]


def _rows_of(action: Action | None) -> Iterator[str]:
    name = "" if action is None else f"`{action.value}`: "
    roles = "none" if action is None else ", ".join(f"`{each}`" for each in Role if each in ACTIONS[action])
    first = (f"{name}{WHAT[action]}", roles)
    for verb, doors in VERBS.items():
        if doors.action is action:
            asking = " (as the desk itself)" if doors.by_desk else ""
            cells = (*first, f"`{verb}`{asking}", _cell(doors.screen), _cell(doors.route))
            yield f"| {' | '.join(cells)} |"
            first = ("", "")


def _cell(door: str) -> str:
    return f"no: {door}" if isinstance(door, LeftOut) else f"`{door}`"
