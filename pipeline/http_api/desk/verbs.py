"""What the command line can do, and where screens and HTTP do it, or why they do not. docs/governance.md has the table.

A test walks it: each verb has a row, each path is answered, each screen asks the service for the same.
"""

from collections.abc import Mapping
from typing import NamedTuple


class LeftOut(str):
    """Why a door does not have a verb, as a sentence without its end mark."""

    __slots__ = ()


class VerbDoors(NamedTuple):
    """One verb of the command line at the two other doors."""

    screen: str  # the page that does it, or LeftOut
    route: str  # method and path, or LeftOut
    asks: tuple[str, ...] = ()  # methods of the service of which each door calls one; empty where it is not the service


PROCESS = LeftOut("it takes minutes and a checkout, and runs where these are")
HOST = LeftOut("it is about the host that it runs on")
PERSON = LeftOut("a program cannot say that a person has looked")
TOKENS = LeftOut("a token that makes tokens would outlive its own end")
OF_LOG = LeftOut("programs get how complete the log is from /metrics; rows of it are not handed out")
ROWS = LeftOut("rows hold what callers sent: they are listed and purged by who may use the database of the log")
WATCHED = LeftOut("the API itself records what is seen; programs get drift, accuracy and findings from /metrics")
OUTCOMES = LeftOut("outcomes come from other programs, as files or over HTTP")
DESK_MODEL, DESK_REQUEST = "/api/v1/models/{model}", "/api/v1/requests/{id}"
DECIDE = ("decide",)

VERBS: Mapping[str, VerbDoors] = {
    "demo": VerbDoors("overview", LeftOut("it fills an empty registry for somebody who looks around")),
    "train": VerbDoors(PROCESS, PROCESS),
    "models": VerbDoors("overview", "GET /api/v1/models", ("models", "overview")),
    "versions": VerbDoors("versions", f"GET {DESK_MODEL}/versions", ("versions", "versions_with", "telling_versions")),
    "show": VerbDoors("review", f"GET {DESK_MODEL}/versions/{{version}}", ("show",)),
    "best": VerbDoors("overview", LeftOut("versions come with every metric, by which a program chooses")),
    "compare": VerbDoors("compare", f"GET {DESK_MODEL}/compare", ("compare",)),
    "card": VerbDoors("card", LeftOut("it is a page for people; versions, reviews and history have what is on it")),
    "review": VerbDoors("review", f"GET {DESK_MODEL}/versions/{{version}}/review", ("review",)),
    "check": VerbDoors(
        LeftOut("it prints reviews in the formats of pipelines"),
        LeftOut("it prints reviews in the formats of pipelines; each review is answered"),
    ),
    "explain": VerbDoors("explain", "POST /predict"),
    "predict": VerbDoors("predict", "POST /predict"),
    "score": VerbDoors("predict", "POST /predict_batch"),
    "serve": VerbDoors(HOST, HOST),
    "promote": VerbDoors("review", f"POST {DESK_MODEL}/promote", ("promote", *DECIDE)),
    "alias": VerbDoors("review", f"POST {DESK_MODEL}/alias", ("set_alias", *DECIDE)),
    "unalias": VerbDoors("review", f"POST {DESK_MODEL}/unalias", ("remove_alias", *DECIDE)),
    "rollback": VerbDoors("review", f"POST {DESK_MODEL}/rollback", ("rollback", *DECIDE)),
    "request": VerbDoors("review", f"POST {DESK_MODEL}/request", ("request",)),
    "approve": VerbDoors("review", f"POST {DESK_REQUEST}/approve", ("approve",)),
    "reject": VerbDoors("review", f"POST {DESK_REQUEST}/reject", ("reject",)),
    "withdraw": VerbDoors("review", f"POST {DESK_REQUEST}/withdraw", ("withdraw",)),
    "requests": VerbDoors("overview", "GET /api/v1/requests", ("requests", "queues")),
    "comment": VerbDoors("review", f"POST {DESK_MODEL}/comment", ("comment",)),
    "override": VerbDoors("review", LeftOut("breaking glass is for a person who stands for it"), ("override",)),
    "acknowledge": VerbDoors("overview", PERSON, ("acknowledge",)),
    "monitor": VerbDoors("monitoring", WATCHED, ("monitor", "record_findings")),
    "findings": VerbDoors("monitoring", WATCHED, ("findings",)),
    "close": VerbDoors("monitoring", PERSON, ("close_finding",)),
    "history": VerbDoors("history", f"GET {DESK_MODEL}/history", ("history", "history_page")),
    "export": VerbDoors("history", LeftOut("it is a file for an auditor; the events are in the history")),
    "verify": VerbDoors(
        "history", LeftOut("it reads every event and file, and is run where its exit code is watched"), ("verify",)
    ),
    "reconcile": VerbDoors(
        "history",
        LeftOut("ending a difference is for a person who looks at it; adoption by others is asked for as a request"),
        ("adopt", "revert"),
    ),
    "keys new": VerbDoors(HOST, HOST),
    "keys list": VerbDoors(HOST, HOST),
    "ledger upgrade": VerbDoors(HOST, HOST),
    "token new": VerbDoors("tokens", TOKENS, ("issue_token",)),
    "token list": VerbDoors("tokens", TOKENS, ("tokens",)),
    "token revoke": VerbDoors("tokens", TOKENS, ("revoke_token",)),
    "log status": VerbDoors("monitoring", OF_LOG, ("status",)),
    "log show": VerbDoors(ROWS, ROWS),
    "log purge": VerbDoors(ROWS, ROWS),
    "outcomes": VerbDoors(OUTCOMES, "POST /api/v1/outcomes", ("tell_outcomes",)),
    "shadow": VerbDoors("monitoring", OF_LOG, ("side_by_side",)),
    "reproduce": VerbDoors(PROCESS, PROCESS),
}


def rows() -> list[str]:
    """The table as Markdown, one row per verb."""
    return [f"| `{verb}` | {_cell(doors.screen)} | {_cell(doors.route)} |" for verb, doors in VERBS.items()]


def _cell(door: str) -> str:
    return f"no: {door}" if isinstance(door, LeftOut) else f"`{door}`"
