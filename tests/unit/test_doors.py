"""Role, action and door: the one table, walked for every role; and what one act answers by two doors."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import bootstrap
from pipeline.cli import record, run
from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.lifecycle import MoveKind, Stage, alias_move, stage_move
from pipeline.governance.policy import Policy
from pipeline.governance.roles import ACTIONS, Action, Provider, Roles
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.access import ACTION_OF, OPEN
from pipeline.http_api.desk.verbs import VERBS
from support.desk_api import DeskApi, token_of
from support.desks import MODEL, REASON, OpenDesk, TickingClock, build_desk, default_policy, small_registry
from support.in_memory import EPOCH
from support.signers import ALAN, ANNA, RITA, signing_desk, signing_policy
from support.watched import DRIFT, KnownWatcher

ISSUER = "https://login.example.org"
OF_MODEL, WHY = f"/models/{MODEL}", ("--reason", REASON)
ELSE = ("--expect", "another state")  # so that who may is refused for this, and nothing changes


def somebody(role: Role | None) -> Actor:
    """Who is logged in, with the role of the group of that name."""
    return Actor(f"u-{role}", Established.OIDC, issuer=ISSUER, groups=(role.value,) if role else ())


def everything_listed() -> Policy:
    """People log in; each move lists every role, so that the table alone keeps somebody out."""
    policy = default_policy()
    every = tuple(Role)
    moves = {kind: replace(rules, roles=every, approver_roles=every) for kind, rules in policy.moves.items()}
    moves[MoveKind.ALIAS] = replace(moves[MoveKind.ALIAS], approvals=1)
    groups = {role.value: (role,) for role in Role}
    return replace(policy, provider=Provider.OIDC, roles=Roles(groups=groups), moves=moves)


def full_desk() -> tuple[OpenDesk, dict[str, int]]:
    """With something of everything that a verb looks up, and the numbers of those things."""
    clock = TickingClock(EPOCH + timedelta(days=1))
    watching = Watching(KnownWatcher([DRIFT]))
    desk = build_desk(small_registry(), policy=everything_listed(), clock=clock, watching=watching)
    approver = somebody(Role.APPROVER)
    for version in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=approver, accept_warnings=True)
    request = desk.request(alias_move(MODEL, "wanted", 3), reason=REASON, actor=somebody(Role.REVIEWER))
    (finding,) = desk.record_findings(MODEL)[1]
    moved = stage_move(MODEL, 3, Stage.STAGING)
    override = desk.override(moved, reason=REASON, actor=somebody(Role.BREAKER), accept_warnings=True)
    desk.registry.set_alias(MODEL, "moved", 1)
    desk.look()
    return desk, {"request": request.sequence, "finding": finding.sequence, "override": override.sequence}


def arguments(numbers: dict[str, int], folder: Path) -> dict[str, list[Any]]:
    """What each verb is called with: about things that are there, and refused for another reason to who may."""
    row, nothing, told = ("--row", "{}"), folder / "nothing.csv", folder / "outcomes.csv"
    told.write_text("prediction_id,actual\n")
    request, seen = numbers["request"], ("--evidence", "0" * 64, *ELSE)
    return {
        "models": [],
        "versions": [MODEL],
        "show": [MODEL, 1],
        "best": [MODEL],
        "best --waiting": [MODEL],
        "compare": [MODEL, 1, 2],
        "card": [MODEL, 1],
        "review": [MODEL, 3, "--to", "Staging"],
        "check": [MODEL, "--to", "Staging"],
        "explain": ["nobody", 1, *row],
        "predict": ["nobody", *row],
        "score": ["nobody", nothing, folder / "out.csv"],
        "promote": [MODEL, 3, "Staging", *WHY, *ELSE],
        "alias": [MODEL, "mine", 1, *WHY, *ELSE],
        "unalias": [MODEL, "moved", *WHY, *ELSE],
        "rollback": [MODEL, *WHY, *ELSE],
        "request": [MODEL, 1, "--to", "@other", *WHY, *ELSE],
        "approve": [request, *WHY, *seen],
        "reject": [request, *WHY],
        "withdraw": [request, *WHY],
        "requests": [],
        "comment": [MODEL, 1, "Looks good."],
        "override": [MODEL, 3, "--to", "Archived", *WHY, *ELSE],
        "acknowledge": [numbers["override"], *WHY],
        "monitor": [MODEL],
        "monitor --record": [MODEL],
        "findings": [MODEL],
        "close": [numbers["finding"], *WHY],
        "history": [MODEL],
        "history --export": [folder / "ledger.json", MODEL],
        "export": [2, "--zip", folder / "pack.zip"],
        "verify": [],
        "reconcile --adopt": [MODEL, *WHY, *ELSE],
        "reconcile --revert": [MODEL, *WHY, *ELSE],
        "token new": ["mine", "--role", "breaker", "--days", 1],
        "token list": [],
        "token revoke": ["nobody's"],
        "log status": [],
        "log show": [MODEL],
        "log purge": ["--before", "2020-01-01"],
        "outcomes": [told],
        "shadow": [MODEL],
        "reproduce": [MODEL, 1],
    }


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """Runs a verb with --json over a desk as the owner of a token; gives the exit code, what was printed and said."""
    monkeypatch.setenv("SIGNOFF_LEDGER_URL", f"sqlite:///{tmp_path / 'none.db'}")
    monkeypatch.setenv("SIGNOFF_LOG_URL", f"sqlite:///{tmp_path / 'log.db'}")

    def run_verb(desk: GovernanceService, token: str, verb: str, *given: Any) -> tuple[int, str, str]:
        monkeypatch.setenv("SIGNOFF_TOKEN", token)
        for module in (bootstrap, record):
            monkeypatch.setattr(module, "own_desk", lambda _settings=None: desk)
        code = run([*verb.split(), *map(str, given), "--json"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_verb


@pytest.mark.parametrize("role", [*Role, None])
def test_the_command_line_asks_for_a_role_of_the_table(
    role: Role | None, act: Callable[..., Any], tmp_path: Path
) -> None:
    """Whoever has none of the action's roles is refused with exit code 3 and told which it takes; whoever has one is
    not refused for that. Where a verb reads a number, there is such a thing.
    """
    desk, numbers = full_desk()
    token = token_of(desk, somebody(role), role or Role.VIEWER, name="of-the-test")
    refused = {}
    for verb, given in arguments(numbers, tmp_path).items():
        code, _, said = act(desk, token, verb, *given)
        refused[verb] = code == 3 and "NotAllowed: " in said and "needs one of" in said
        assert code != 1, said

    assert {verb for verb, no in refused.items() if no} == {
        verb for verb in refused if role not in ACTIONS[VERBS[verb].action or Action.READ]
    }


def test_the_walk_leaves_no_verb_out() -> None:
    """But those that take no role, those that the desk itself asks, and tokens of others, which have a test of their
    own.
    """
    walked = set(arguments({"request": 1, "finding": 1, "override": 1}, Path("/tmp")))
    other = {verb for verb, doors in VERBS.items() if doors.action is None or doors.by_desk}

    assert walked | other | {"token list, of others", "token revoke, of others"} == set(VERBS)
    assert not walked & other


@pytest.mark.parametrize("role", sorted(ACTIONS[Action.OWN_TOKENS]))
def test_tokens_of_others_take_a_role_of_the_table(role: Role, act: Callable[..., Any]) -> None:
    """Whoever lacks it sees their own, and ends no other."""
    desk = full_desk()[0]
    mine, _ = (token_of(desk, somebody(each), each, name=f"of-{each}") for each in (role, Role.CALLER))
    listed = [each["name"] for each in json.loads(act(desk, mine, "token list")[1])]
    ended = act(desk, mine, "token revoke", "of-caller")[0]
    everybody = role in ACTIONS[Action.ALL_TOKENS]

    assert (set(listed), ended) == ({f"of-{role}", "of-caller"}, 0) if everybody else ({f"of-{role}"}, 5)


def test_the_service_asks_for_the_action_of_the_table() -> None:
    """Each method of the service that a row names has the row's action there too."""
    for verb, doors in VERBS.items():
        methods = {name for name in doors.asks if hasattr(GovernanceService, name) and name not in OPEN}
        assert {ACTION_OF.get(name, Action.READ) for name in methods} <= {doors.action}, verb


# What one act answers by two doors


class TwoDoors:
    """Two desks that are alike: what is done to one by HTTP is done to the other by the command line."""

    def __init__(self, make: Callable[[], OpenDesk], act: Callable[..., Any]) -> None:
        self._over_http, self._typed, self._act = make(), make(), act
        self._api = DeskApi(self._over_http)

    def close(self) -> None:
        self._api.close()

    def alike(self, who: Actor, role: Role, verb: tuple[Any, ...], path: str, body: dict[str, Any]) -> Any:
        """What both answer, which is the same but for times."""
        tokens = [token_of(desk, who, role) for desk in (self._over_http, self._typed)]
        answer = self._api.post(path, tokens[0], body)
        code, printed, said = self._act(self._typed, tokens[1], verb[0], *verb[1:])
        if answer.status_code == 200:
            assert code == 0, said
            typed = json.loads(printed)
        else:
            typed = {"code": said.partition(": ")[0], "detail": said.partition(": ")[2].rstrip("\n")}
            assert {name: answer.json()[name] for name in typed} == typed
            return typed
        assert json.dumps(timeless(answer.json())) == json.dumps(timeless(typed))
        return typed


def timeless(value: Any) -> Any:
    """The same without its times, which are those of two clocks."""
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items()}
    if isinstance(value, list):
        return [timeless(each) for each in value]
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", value) if isinstance(value, str) else value


def test_decisions_answer_alike_by_both_doors(act: Callable[..., Any]) -> None:
    """promote, alias, unalias, rollback, comment: the same fields in the same order with the same values, and of a
    refusal the same name and sentence.
    """
    both = TwoDoors(lambda: signing_desk(policy=signing_policy(0)), act)
    as_anna = (ANNA, Role.APPROVER)
    why, warned = {"reason": REASON}, {"reason": REASON, "accept_warnings": True}
    for version in (1, 2):
        for stage in ("Staging", "Production")[version == 1 :]:
            typed = ("promote", MODEL, version, stage, *WHY, "--accept-warnings")
            done = both.alike(*as_anna, typed, f"{OF_MODEL}/promote", {**warned, "version": version, "stage": stage})
            assert done["to"] == stage
    back = both.alike(*as_anna, ("rollback", MODEL, *WHY, "--accept-warnings"), f"{OF_MODEL}/rollback", warned)
    both.alike(*as_anna, ("alias", MODEL, "mine", 1, *WHY), f"{OF_MODEL}/alias", {**why, "alias": "mine", "version": 1})
    both.alike(*as_anna, ("unalias", MODEL, "mine", *WHY), f"{OF_MODEL}/unalias", {**why, "alias": "mine"})
    said = both.alike(
        *as_anna, ("comment", MODEL, 1, "Why so?"), f"{OF_MODEL}/comment", {"version": 1, "text": "Why so?"}
    )
    gone = both.alike(
        *as_anna,
        ("promote", MODEL, 9, "Staging", *WHY),
        f"{OF_MODEL}/promote",
        {**why, "version": 9, "stage": "Staging"},
    )
    both.close()

    assert (back["version"], said["type"], gone["code"]) == (1, "commented", "NotFound")


def test_the_road_of_several_persons_answers_alike_by_both_doors(act: Callable[..., Any]) -> None:
    """request, withdraw, reject, approve, comment on a request; a promotion that needs others is refused alike."""
    both = TwoDoors(lambda: signing_desk(2), act)
    rita, anna, alan = (RITA, Role.REVIEWER), (ANNA, Role.APPROVER), (ALAN, Role.APPROVER)
    asking = ("request", MODEL, 1, "--to", "Production", *WHY, "--accept-warnings")
    asked = {"version": 1, "to": "Production", "reason": REASON, "accept_warnings": True}
    alone = both.alike(
        *anna,
        ("promote", MODEL, 1, "Production", *WHY),
        f"{OF_MODEL}/promote",
        {"version": 1, "stage": "Production", "reason": REASON},
    )
    for verb, who in (("withdraw", rita), ("reject", anna)):
        number = both.alike(*rita, asking, f"{OF_MODEL}/request", asked)["id"]
        both.alike(*who, (verb, number, *WHY), f"/requests/{number}/{verb}", {"reason": REASON})
    made = both.alike(*rita, asking, f"{OF_MODEL}/request", asked)
    number, seen = made["id"], {"evidence": made["evidence"], "expect": made["expect"]}
    both.alike(
        *anna,
        ("comment", MODEL, 1, "Why so?", "--request", number),
        f"{OF_MODEL}/comment",
        {"version": 1, "text": "Why so?", "request": number},
    )
    looked = ("--evidence", seen["evidence"], "--expect", seen["expect"])
    signed = [
        both.alike(*who, ("approve", number, *WHY, *looked), f"/requests/{number}/approve", {"reason": REASON, **seen})
        for who in (rita, anna, alan)
    ]
    both.close()

    assert (alone["code"], signed[0]["code"]) == ("ApprovalsNeeded", "NotAllowed")
    assert [each["state"] for each in signed[1:]] == ["open", "applied"]
