"""The desk over HTTP: who comes in, what is answered and refused, and one effect per key."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter
from starlette.routing import Route

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import IntegrityFailure, Unavailable
from pipeline.governance.lifecycle import MoveKind, Stage
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import EventType
from pipeline.governance.roles import ACTIONS, Action, FixedRoles, Provider, Roles
from pipeline.http_api.app import OPEN
from pipeline.http_api.desk import answers
from pipeline.http_api.desk.door import AT_ONCE, DESK
from pipeline.http_api.desk.routes import ROUTES, DeskRoute
from pipeline.http_api.desk.verbs import VERBS, LeftOut
from pipeline.monitoring.prediction_log import LogBatch, Selection
from pipeline.settings import ROOT
from support.desk_api import BY_NAME, DeskApi, bearer, described, token_of
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk, default_policy, failing
from support.in_memory import EPOCH
from support.logged import prediction, prediction_id
from support.served import ROW, KnownWorker, LocalApi, state_in_memory
from support.signers import ALAN, ANNA, RITA, signing_desk, signing_policy

SECRET = "a-shared-secret-for-this-test-01"
ISSUER = "https://login.example.org"
OF_MODEL = f"/models/{MODEL}"
TO_STAGING = {"version": 1, "stage": "Staging", "reason": REASON}
BODIES: dict[str, dict[str, Any]] = {
    "promote": TO_STAGING,
    "set_alias": {"alias": "shadow", "version": 1, "reason": REASON},
    "remove_alias": {"alias": "shadow", "reason": REASON},
    "roll_back": {"reason": REASON},
    "request": {"version": 1, "to": "Staging", "reason": REASON},
    "comment": {"version": 1, "text": "Looks good."},
    "approve": {"reason": REASON, "evidence": "e", "expect": "s"},
    "reject": {"reason": REASON},
    "withdraw": {"reason": REASON},
    "tell_outcomes": {"outcomes": [{"prediction_id": prediction_id(1), "actual": "Normal_Weight"}]},
}
QUERIES = {"review": {"to": "Staging"}, "compare": {"a": 1, "b": 2}}


@pytest.fixture
def desk() -> OpenDesk:
    return build_desk()


@pytest.fixture
def api(desk: OpenDesk) -> Iterator[DeskApi]:
    found = DeskApi(desk)
    yield found
    found.close()


@pytest.fixture
def token(desk: OpenDesk) -> str:
    return token_of(desk, role=Role.REVIEWER)


def ask(api: LocalApi, route: DeskRoute, **headers: str) -> httpx.Response:
    """Whatever the path needs, about things that are there where there are any."""
    path = f"{DESK}{route.path}".format(model=MODEL, version=1, id=1)
    name = route.ask.__name__
    if route.decides:
        return api.ask("POST", path, json=BODIES[name], headers=headers)
    return api.ask("GET", path, params=QUERIES.get(name, {}), headers=headers)


def problem(answer: httpx.Response, status: int, code: str) -> str:
    """Its sentence; every refusal is one that the document describes."""
    content = answer.json()
    assert (answer.status_code, content["code"]) == (status, code), answer.text
    TypeAdapter(answers.DeskProblem).validate_python(content)
    return str(content["detail"])


# Who comes in


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.ask.__name__)
def test_nobody_comes_in_without_an_identity_token(desk: OpenDesk, route: DeskRoute) -> None:
    """Neither by the shared secret, a cookie or a proxy's headers; it is counted, and nothing is recorded."""
    api = DeskApi(desk, secret=SECRET)
    shown: list[dict[str, str]] = [
        {},
        bearer(SECRET),
        bearer("signoff_guessed"),
        {"authorization": "Basic signoff_guessed"},
        {"cookie": "signoff=signoff_x", "x-forwarded-user": "grace", "x-signoff-proxy-secret": SECRET},
    ]
    for headers in shown:
        answer = ask(api, route, **headers)
        assert "authorization: " in problem(answer, 401, "TokenNeeded")
        assert answer.headers["www-authenticate"] == "Bearer"
    counted = api.ask("GET", "/metrics", headers=bearer(SECRET)).text
    api.close()

    assert f'signoff_unauthorized_total{{door="desk"}} {len(shown)}.0' in counted
    assert desk.ledger.count() == 0


def test_a_token_ends_at_once(desk: OpenDesk, api: DeskApi) -> None:
    """Revoked or expired, it is nobody at the next request; so is a second header beside it."""
    long, short = (desk.as_(GRACE).issue_token(name, Role.REVIEWER, days).secret for name, days in (("a", 9), ("b", 1)))
    assert api.get("/models", long).status_code == api.get("/models", short).status_code == 200
    twice = [*bearer(long).items(), *bearer(short).items()]
    problem(api.ask("GET", f"{DESK}/models", headers=twice), 401, "TokenNeeded")
    desk.as_(GRACE).revoke_token("a")
    desk.clock.time += timedelta(days=1)

    for each in (long, short):
        assert problem(api.get("/models", each), 401, "TokenNeeded") == "authorization: the token is not accepted"


def with_login() -> Policy:
    """People log in, and each role is that of the group of the same name; each move lists every role."""
    policy = default_policy()
    listed = {kind: replace(rules, roles=tuple(Role)) for kind, rules in policy.moves.items()}
    groups = {role.value: (role,) for role in Role}
    return replace(policy, provider=Provider.OIDC, roles=Roles(groups=groups), moves=listed)


ACTIONS_OF_PATHS = {doors.route: doors.action for doors in VERBS.values() if not isinstance(doors.route, LeftOut)}


@pytest.mark.parametrize("role", Role)
def test_each_path_asks_for_a_role_of_the_table(role: Role) -> None:
    """In a mode where people log in too: of who may not, the answer says so, whatever there is to find."""
    desk = build_desk(policy=with_login())
    api = DeskApi(desk)
    shown = token_of(desk, Actor("g-1", Established.OIDC, issuer=ISSUER, groups=(role.value,)), role)
    allowed: set[str] = set()
    refused: set[str] = set()
    for name, route in BY_NAME.items():
        answer = ask(api, route, **bearer(shown))
        code = answer.json()["code"] if answer.status_code != 200 else ""
        (refused if code == "NotAllowed" else allowed).add(name)
    api.close()
    # Whoever reads learns that there is no such request, and no earlier champion.
    looking_up = {"approve", "reject", "withdraw", "roll_back"}

    named = {name: f"{route.method} {route.template}" for name, route in BY_NAME.items()}
    actions = {name: ACTIONS_OF_PATHS.get(path) or Action.READ for name, path in named.items()}
    expected = {name for name, action in actions.items() if role in ACTIONS[action]}
    assert allowed - looking_up == expected - looking_up
    assert bool(looking_up & refused) == (role not in ACTIONS[Action.READ])


def test_a_role_that_is_taken_away_is_gone_at_the_next_request() -> None:
    """The policy's roles are looked up anew; reading goes by the same."""
    held = [default_policy().roles]

    class Changing(FixedRoles):
        """Gives what is held now."""

        def now(self) -> Roles:
            return held[0]

        known = now

    desk = build_desk(roles=Changing(held[0]))
    api, shown = DeskApi(desk), token_of(desk)
    assert api.get("/models", shown).status_code == 200
    held[0] = Roles()
    assert "has no role here" in problem(api.get("/models", shown), 403, "NotAllowed")
    problem(api.post(f"{OF_MODEL}/promote", shown, TO_STAGING), 403, "NotAllowed")
    api.close()


HOSTS: dict[str, tuple[tuple[str, ...], str, int]] = {
    "this machine": ((), "localhost:8000", 200),
    "IPv6": ((), "[::1]:8000", 200),
    "a name that was turned to this machine": ((), "evil.example:8000", 400),
    "none": ((), "", 400),
    "listed": (("desk.example.org",), "DESK.example.org", 200),
    "this machine, not listed": (("desk.example.org",), "127.0.0.1:8000", 400),
}


@pytest.mark.parametrize(("hosts", "host", "status"), HOSTS.values(), ids=list(HOSTS))
def test_a_foreign_host_is_refused(desk: OpenDesk, token: str, hosts: tuple[str, ...], host: str, status: int) -> None:
    """Also with a good token: names are those of serving.http.allowed_hosts, else this machine's."""
    api = DeskApi(desk, hosts=hosts)
    answer = api.ask("GET", f"{DESK}/models", headers={**bearer(token), "host": host})
    api.close()
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:8000", 200), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1", 403)],
)
def test_a_foreign_origin_is_refused(api: DeskApi, token: str, origin: str, status: int) -> None:
    """A page in somebody's browser asks nothing here unless it came from here."""
    headers = {**bearer(token), "host": "127.0.0.1:8000", "origin": origin}
    answer = api.ask("GET", f"{DESK}/models", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("secret", ["", SECRET])
@pytest.mark.parametrize("path", [DESK, f"{DESK}/models", f"{DESK}/nothing"])
def test_without_the_desk_there_is_nothing(desk: OpenDesk, token: str, path: str, secret: str) -> None:
    """Whatever is shown; with it, what is not there asks for a token too."""
    api = LocalApi(state_in_memory(KnownWorker(), token=secret))
    for headers in ({}, bearer(token), bearer(SECRET)):
        problem(api.ask("GET", path, headers=headers), 404, "NoSuchPath")
    assert not [each for each in api.ask("GET", "/").json()["endpoints"] if DESK in each["path"]]

    with_desk = DeskApi(desk)
    problem(with_desk.ask("GET", f"{DESK}/nothing"), 401, "TokenNeeded")
    problem(with_desk.get("/nothing", token), 404, "NoSuchPath")
    with_desk.close()


PREDICTIONS = ("/predict", "/predict?explain=true", "/predict_batch", "/metrics", "/model_info", "/openapi.json")
BY_ROLE = {
    Role.CALLER: set(PREDICTIONS),
    Role.REVIEWER: set(PREDICTIONS),
    Role.VIEWER: {"/openapi.json"},
    Role.ADMIN: {"/openapi.json"},
}


@pytest.mark.parametrize(("role", "opened"), BY_ROLE.items())
def test_predictions_take_an_identity_token_beside_the_secret(role: Role, opened: set[str]) -> None:
    """Of whoever may predict, with the desk on only; the secret goes on to be taken."""
    desk = build_desk(policy=with_login())
    shown = token_of(desk, Actor("g-1", Established.OIDC, issuer=ISSUER, groups=(role.value,)), role)
    api, without = DeskApi(desk, secret=SECRET), LocalApi(state_in_memory(KnownWorker(), token=SECRET))

    def statuses(asked: LocalApi, secret: str) -> dict[str, int]:
        found = {}
        for path in PREDICTIONS:
            body = {"rows": [ROW]} if "batch" in path else ROW
            more = {"json": body} if "predict" in path else {}
            method = "POST" if "predict" in path else "GET"
            found[path] = asked.ask(method, path, headers=bearer(secret), **more).status_code
        return found

    assert statuses(api, shown) == {path: 200 if path in opened else 403 for path in PREDICTIONS}
    assert set(statuses(api, SECRET).values()) == set(statuses(without, SECRET).values()) == {200}
    assert set(statuses(without, shown).values()) == set(statuses(api, "signoff_guessed").values()) == {401}
    assert api.ask("GET", "/readyz").status_code == 200
    assert desk.ledger.count() == 0
    api.close()


@pytest.mark.parametrize("decides", [True, False], ids=["--desk", "without"])
def test_where_people_log_in_predictions_are_nobodys(decides: bool) -> None:
    """Without a shared secret too: whoever has no role gets nothing, a token of `caller` is enough."""
    desk = build_desk(policy=with_login())
    api = DeskApi(desk, desk=decides, logins=True)
    member = Actor("g-1", Established.OIDC, issuer=ISSUER, groups=("caller", "viewer"))
    caller, viewer = (token_of(desk, member, role) for role in (Role.CALLER, Role.VIEWER))

    def status(headers: dict[str, str]) -> int:
        return api.predict(ROW, headers=headers).status_code

    assert [status(each) for each in ({}, bearer(SECRET), bearer("signoff_guessed"))] == [401, 401, 401]
    assert (status(bearer(viewer)), status(bearer(caller))) == (403, 200)
    assert api.ask("GET", "/metrics", headers=bearer(caller)).status_code == 200
    described_api = api.ask("GET", "/openapi.json", headers=bearer(viewer)).json()
    assert described_api["paths"]["/predict"]["post"]["security"]
    api.close()


def routed(routes: Iterable[Any]) -> Iterator[Route]:
    """Also what the application takes over from a router of ours."""
    for each in routes:
        if isinstance(each, Route):
            yield each
        else:
            yield from routed(each.original_router.routes)


@pytest.mark.parametrize(
    ("secret", "logins", "decides"),
    [(SECRET, False, True), ("", True, True), (SECRET, True, True), (SECRET, False, False), ("", True, False)],
)
def test_every_route_but_health_refuses_who_shows_nothing(secret: str, logins: bool, decides: bool) -> None:
    """All that the application routes, whatever is added to it: a secret or a login provider closes it."""
    desk = build_desk(policy=with_login() if logins else None)
    api = DeskApi(desk, secret=secret, desk=decides, logins=logins)
    routes = {
        (method, route.path_format.format(model=MODEL, version=1, id=1))
        for route in routed(api.app.routes)
        for method in route.methods or ()
    }
    found = {each: api.ask(*each, json={} if each[0] == "POST" else None).status_code for each in routes}
    api.close()

    assert {"/predict", "/metrics", "/openapi.json"} <= {path for _, path in routes}
    assert {path.startswith(DESK) for _, path in routes} == ({True, False} if decides else {False})
    assert {path for (_, path), status in found.items() if status not in (401, 403)} == set(OPEN)
    assert desk.ledger.count() == 0


# What is answered


def test_what_is_read(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Every field is described, and everything is what the service's own answers say as JSON."""
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    models = described("list_models", api.get("/models", token))
    versions = described("list_versions", api.get(f"{OF_MODEL}/versions", token))
    one = described("list_versions", api.get(f"{OF_MODEL}/versions", token, metric="accuracy"))
    shown = described("show", api.get(f"{OF_MODEL}/versions/1", token))
    review = described("review", api.get(f"{OF_MODEL}/versions/1/review", token, to="Production"))
    compared = described("compare", api.get(f"{OF_MODEL}/compare", token, a=1, b=2))
    events = described("history", api.get(f"{OF_MODEL}/history", token))

    assert [(each["name"], each["versions"]) for each in models] == [(MODEL, 3)]
    assert [each["version"] for each in versions] == [3, 2, 1]
    assert [list(each["metrics"]) for each in one] == [["accuracy"]] * 3
    assert shown["evidence"] == desk.show(MODEL, 1).digest
    assert (review["open"], review["evidence"]) == (True, shown["evidence"])
    assert {each["verdict"] for each in compared["metrics"]} <= {"not distinguishable", None}
    assert [each["type"] for each in events] == ["baseline", "decided", "applied"]


def test_a_history_is_read_in_parts(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """The newest first, each part oldest first; at a time it is who was champion."""
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    newest = described("history", api.get(f"{OF_MODEL}/history", token, limit=1))
    before = described("history", api.get(f"{OF_MODEL}/history", token, before=newest[0]["sequence"]))
    moment = described("history", api.get(f"{OF_MODEL}/history", token, at="2030-01-01T00:00:00Z"))

    assert [each["type"] for each in [*before, *newest]] == ["baseline", "decided", "applied"]
    assert (moment["champion"], moment["stages"]) == (None, {"1": "Staging"})
    problem(api.get("/models/nothing/history", token), 404, "NotFound")


def test_a_caller_tells_what_turned_out_to_be_true(desk: OpenDesk, api: DeskApi) -> None:
    """By the prediction_id of an answer; told again nothing changes, and an id of no answer is named."""
    block = api.log.open_block(process="host:7", model=MODEL, at=EPOCH)
    api.log.write(block, LogBatch(1, EPOCH, answered=1, predictions=[prediction(1)]))
    shown = token_of(desk, role=Role.REVIEWER)
    outcomes = [{"prediction_id": prediction_id(number), "actual": "yes"} for number in (1, 2)]
    first, again = (described("tell_outcomes", api.post("/outcomes", shown, {"outcomes": outcomes})) for _ in range(2))

    assert first == {"recorded": 1, "corrected": 0, "unchanged": 0, "unknown": [prediction_id(2)]}
    assert (again["recorded"], again["unchanged"]) == (0, 1)
    (row,) = api.log.predictions(Selection(prediction(1).model, with_outcome=True))
    assert (row.outcome.actual, row.outcome.by) == ("yes", "self_declared|grace")


def test_an_outcome_that_is_wrong_is_named_with_its_row(desk: OpenDesk, api: DeskApi) -> None:
    """As for a file; nothing is kept then."""
    shown = token_of(desk, role=Role.REVIEWER)
    outcomes = [{"prediction_id": prediction_id(1), "actual": None}, {"prediction_id": "7", "actual": True}]
    answer = api.post("/outcomes", shown, {"outcomes": outcomes})

    problem(answer, 422, "InvalidRows")
    assert [each["sentence"] for each in answer.json()["errors"]] == [
        "row 1, actual: must be text, a finite number or a truth value",
        "row 2, prediction_id: is not the prediction_id of an answer",
    ]


def test_what_one_person_decides(desk: OpenDesk, api: DeskApi) -> None:
    """A version on its way to champion and back, an alias, a comment: in the name of the token's owner."""
    shown = token_of(desk, role=Role.APPROVER)
    staged = token_of(desk, role=Role.REVIEWER)
    for version in (1, 2):
        described("promote", api.post(f"{OF_MODEL}/promote", staged, {**TO_STAGING, "version": version}))
        review = api.get(f"{OF_MODEL}/versions/{version}/review", shown, to="Production").json()
        body = {"version": version, "stage": "Production", "reason": REASON, "evidence": review["evidence"]}
        done = api.post(f"{OF_MODEL}/promote", shown, {**body, "expect": review["state"], "accept_warnings": True})
        assert described("promote", done)["to"] == "Production"
    back = described("roll_back", api.post(f"{OF_MODEL}/rollback", shown, {"reason": REASON, "accept_warnings": True}))
    alias = described("set_alias", api.post(f"{OF_MODEL}/alias", staged, BODIES["set_alias"]))
    none = described("remove_alias", api.post(f"{OF_MODEL}/unalias", staged, BODIES["remove_alias"]))
    said = described("comment", api.post(f"{OF_MODEL}/comment", staged, BODIES["comment"]))

    assert (back["version"], alias["to"], none["changes"][0]["to"]) == (1, "@shadow", None)
    assert (said["type"], said["reason"]) == ("commented", "Looks good.")
    signed = {(each.actor, each.established) for each in desk.history(MODEL) if each.type is EventType.DECIDED}
    assert signed == {("grace", "token")}
    assert desk.verify() == []


def test_the_road_of_several_persons() -> None:
    """Asked for by one, approved by two others; one more is rejected, and one withdrawn."""
    desk = signing_desk(2)
    api = DeskApi(desk)
    rita, anna, alan = (
        token_of(desk, who, role) for who, role in ((RITA, Role.REVIEWER), (ANNA, Role.APPROVER), (ALAN, Role.APPROVER))
    )
    asked = {"version": 1, "to": "Production", "reason": REASON, "accept_warnings": True}
    assert "`request`" in problem(
        api.post(f"{OF_MODEL}/promote", anna, {**TO_STAGING, "stage": "Production"}), 403, "ApprovalsNeeded"
    )
    for end, who in (("reject", anna), ("withdraw", rita)):
        made = described("request", api.post(f"{OF_MODEL}/request", rita, asked))
        ended = described(end, api.post(f"/requests/{made['id']}/{end}", who, {"reason": REASON}))
        assert ended["state"] == f"{end}ed".replace("withdrawed", "withdrawn")
    made = described("request", api.post(f"{OF_MODEL}/request", rita, asked))
    waiting = described("list_requests", api.get("/requests", anna, model=MODEL))
    assert [each["id"] for each in waiting] == [made["id"]]
    assert described("list_requests", api.get("/requests", anna, due="true")) == []
    seen = {"reason": REASON, "evidence": waiting[0]["evidence"], "expect": waiting[0]["expect"]}
    problem(api.post(f"/requests/{made['id']}/approve", rita, seen), 403, "NotAllowed")
    first = described("approve", api.post(f"/requests/{made['id']}/approve", anna, seen))
    last = described("approve", api.post(f"/requests/{made['id']}/approve", alan, seen))

    assert (first["decision"], last["state"], last["decision"]["to"]) == (None, "applied", "Production")
    assert described("show_request", api.get(f"/requests/{made['id']}", rita))["state"] == "applied"
    problem(api.get("/requests/1", rita), 404, "NotFound")
    problem(api.post(f"/requests/{made['id']}/approve", alan, seen), 409, "RequestClosed")
    assert desk.state(MODEL).champion == 1
    api.close()


def test_other_things_are_asked_for_by_the_same_path() -> None:
    """To take an alias away, to adopt what somebody moved, to roll back: each reaches the rules of its move."""
    kinds = (MoveKind.UNALIAS, MoveKind.RECONCILE)
    desk = signing_desk(policy=signing_policy(1, kinds=kinds))
    api, rita = DeskApi(desk), token_of(desk, RITA, Role.REVIEWER)
    desk.set_alias(MODEL, "shadow", 1, reason=REASON, actor=ANNA)
    asked = {"reason": REASON, "accept_warnings": True}
    away = described("request", api.post(f"{OF_MODEL}/request", rita, {**asked, "unalias": "shadow"}))
    desk.registry.set_alias(MODEL, "other", 2)
    desk.look()
    adopted = described("request", api.post(f"{OF_MODEL}/request", rita, {"reason": REASON, "adopt": True}))
    problem(api.post(f"{OF_MODEL}/request", rita, {**asked, "rollback": True}), 404, "NotFound")
    api.close()

    assert (away["to"], adopted["state"]) == ("@shadow", "open")


def test_what_was_moved_past_the_desk_is_approved_over_http() -> None:
    """Seen in the queue and signed with what it is bound to; the last approval records it."""
    desk = signing_desk()
    api, rita, anna = DeskApi(desk), token_of(desk, RITA, Role.REVIEWER), token_of(desk, ANNA, Role.APPROVER)
    desk.registry.set_alias(MODEL, "champion", 1)
    desk.registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    api.post(f"{OF_MODEL}/request", rita, {"reason": REASON, "adopt": True})
    (waiting,) = described("list_requests", api.get("/requests", anna))
    seen = {"reason": REASON, "evidence": waiting["evidence"], "expect": waiting["expect"]}
    done = described("approve", api.post(f"/requests/{waiting['id']}/approve", anna, seen))
    api.close()

    assert (done["state"], done["decision"]["to"]) == ("applied", "adopt")
    assert desk.differences(MODEL) == []


def test_no_approval_without_its_sentences() -> None:
    """NotAttested names those that are missing, by key and text; confirmed one by one it is taken.

    No panels are open at this door, and the event says so: what an approver has to have opened is no door's demand.
    """
    desk = signing_desk(policy=signing_policy(attestations={"data": "I know where the data come from."}))
    api, rita, anna = DeskApi(desk), token_of(desk, RITA, Role.REVIEWER), token_of(desk, ANNA, Role.APPROVER)
    asked = {"version": 1, "to": "Production", "reason": REASON, "accept_warnings": True}
    made = described("request", api.post(f"{OF_MODEL}/request", rita, asked))
    waiting = api.get(f"/requests/{made['id']}", anna).json()
    seen = {"reason": REASON, "evidence": waiting["evidence"], "expect": waiting["expect"]}
    path = f"/requests/{made['id']}/approve"
    said = problem(api.post(path, anna, seen), 403, "NotAttested")
    done = described("approve", api.post(path, anna, {**seen, "attest": ["data"]}))
    api.close()

    assert said == "attest: to be confirmed too: data (I know where the data come from.)"
    assert done["state"] == "applied"
    (approved,) = [each for each in desk.history(MODEL) if each.type is EventType.APPROVED]
    assert (list(approved.content["attested"]), approved.content["opened"]) == (["data"], [])


MALFORMED: dict[str, tuple[str, str, str]] = {
    "nothing": ("promote", "", "body: is not valid JSON"),
    "a list": ("promote", "[]", "body: must be a JSON object"),
    "missing": ("promote", '{"version": 1, "stage": "Staging"}', "reason: is missing"),
    "misspelt": ("promote", '{"versoin": 1}', "versoin: is not a known key"),
    "twice": ("promote", '{"version": 1, "version": 2}', "version: is there twice"),
    "text": ("promote", json.dumps({**TO_STAGING, "version": "1"}), "version: must be a whole number"),
    "too large": ("promote", json.dumps({**TO_STAGING, "version": 2**70}), "version: must be at most 2,147,483,647"),
    "zero": ("promote", json.dumps({**TO_STAGING, "version": 0}), "version: must be at least 1"),
    "not a number": ("promote", json.dumps({**TO_STAGING, "version": math.nan}), "version: must be a whole number"),
    "a stage": ("promote", json.dumps({**TO_STAGING, "stage": "live"}), "stage: 'live' is not one of None, Staging"),
    "short": ("promote", json.dumps({**TO_STAGING, "reason": "ok"}), "reason: 2 characters given, 10 to 2,000"),
    "surrogate": (
        "promote",
        '{"reason": "\\ud800\\ud800\\ud800 and some more"}',
        "body: is not valid JSON ('utf-8' codec",
    ),
    "its name": ("promote", '{"\\ud800": 1}', "body: is not valid JSON ('utf-8' codec"),
    "number for text": ("promote", json.dumps({**TO_STAGING, "reason": 5}), "reason: must be text"),
    "deep": ("promote", "[" * 100_000, "body: is not valid JSON"),
    "alias": ("alias", json.dumps({**BODIES["set_alias"], "alias": "v1"}), "alias: 'v1' is reserved by MLflow"),
    "empty": ("comment", '{"version": 1, "text": " "}', "comment: 0 characters given, 1 to 2,000"),
    "neither": ("request", json.dumps({"reason": REASON}), "request: give one of to, unalias, rollback, adopt"),
    "both": ("request", '{"to": "Staging", "rollback": true}', "request: give one of to, unalias, rollback, adopt"),
    "false": ("request", json.dumps({"rollback": False, "reason": REASON}), "rollback: must be true"),
    "target": ("request", json.dumps({**BODIES["request"], "to": "live"}), "stage: 'live' is not one of"),
    "many": ("../../requests/1/approve", json.dumps({**BODIES["approve"], "attest": ["x"] * 101}), "attest: has more"),
    "unseen": ("../../requests/1/approve", json.dumps({"reason": REASON}), "evidence: is missing"),
    "no outcomes": ("../../outcomes", '{"outcomes": []}', "outcomes: there are 0; 1 to 100,000 are taken at once"),
    "number": ("../../requests/x/reject", json.dumps({"reason": REASON}), "id: must be a whole number from 1"),
}


@pytest.mark.parametrize(("path", "body", "sentence"), MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_malformed_is_one_sentence(
    desk: OpenDesk, api: DeskApi, token: str, path: str, body: str, sentence: str
) -> None:
    """That of the command line where it has one; nothing is recorded, and little is repeated."""
    where = f"{OF_MODEL}/{path}".replace(f"{OF_MODEL}/../..", "")
    headers = {**bearer(token), "content-type": "application/json"}
    answer = api.ask("POST", f"{DESK}{where}", content=body, headers=headers)
    assert problem(answer, 422, "InvalidInput").startswith(sentence)
    assert len(answer.content) < 1_000
    assert desk.ledger.count() == 0


@pytest.mark.parametrize(
    ("path", "query", "sentence"),
    [
        ("/compare", "a=1", "b: is missing"),
        ("/compare", "a=1&b=one", "b: must be a whole number"),
        ("/compare", "a=1&b=2&c=3", "c: is not a known key"),
        ("/compare", "a=1&a=2&b=3", "a: is there twice"),
        ("/compare", "a=1&b=1", "compare: version 1 is on both sides"),
        ("/versions/1/review", "to=Staging&recompute=yes", "recompute: must be true or false"),
        ("/versions/1/review", "to=live", "stage: 'live' is not one of"),
        ("/versions/99999999999", "", "version: must be a whole number from 1 to 2147483647"),
        ("/history", "at=soon", "at: 'soon' is not a time such as"),
        ("/history", "at=0001-01-01T00:00%2B23:59", "at: "),
        ("/history", "limit=1001", "limit: must be at most 1,000"),
    ],
)
def test_an_address_that_is_malformed_is_one_sentence(
    api: DeskApi, token: str, path: str, query: str, sentence: str
) -> None:
    """As a body that is."""
    answer = api.ask("GET", f"{DESK}{OF_MODEL}{path}?{query}", headers=bearer(token))
    assert problem(answer, 422, "InvalidInput").startswith(sentence)


def test_bodies_have_the_limits_of_predictions(api: DeskApi, token: str) -> None:
    """Size, type and time."""
    for content, kind, status, code in (
        (b" " * 2_000_000, "application/json", 413, "TooLarge"),
        (b"{}", "text/plain", 415, "WrongMediaType"),
        (b"\xff", "application/json", 422, "InvalidInput"),
    ):
        headers = {**bearer(token), "content-type": kind}
        problem(api.ask("POST", f"{DESK}{OF_MODEL}/promote", content=content, headers=headers), status, code)


def test_refusals_have_the_codes_of_the_error_table(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Those of the command line's exit codes: 3 is 403, 4 is 409, 5 is 404, 6 is 503, 7 is 409."""
    promote = f"{OF_MODEL}/promote"
    problem(api.post(promote, token, {**TO_STAGING, "version": 9}), 404, "NotFound")
    problem(api.post(f"{OF_MODEL}/promote", token, {**TO_STAGING, "stage": "None"}), 403, "NothingToDo")
    problem(api.post(promote, token, {**TO_STAGING, "evidence": "0" * 64}), 409, "StaleEvidence")
    desk.registry.version = failing(desk.registry, IntegrityFailure("version 1: is not what was recorded"))
    problem(api.get(f"{OF_MODEL}/versions/1", token), 409, "IntegrityFailure")
    desk.registry.version = failing(desk.registry, Unavailable("the registry: does not answer"))
    answer = api.get(f"{OF_MODEL}/versions/1", token)
    problem(answer, 503, "Unavailable")
    assert answer.headers["retry-after"]


def test_who_was_too_late_reads_who_was_faster(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Who changed what, when and why, as on a command line."""
    seen = api.get(f"{OF_MODEL}/versions/1/review", token, to="Staging").json()
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    answer = api.post(f"{OF_MODEL}/promote", token, {**TO_STAGING, "expect": seen["state"]})
    problem(answer, 409, "StateChanged")
    (note,) = answer.json()["notes"]
    assert "grace" in note
    assert REASON in note


def test_of_two_who_saw_the_same_state_one_wins(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """The other one is told that the state changed."""
    state = api.get(f"{OF_MODEL}/versions/1/review", token, to="Staging").json()["state"]
    body = {**TO_STAGING, "expect": state}
    found = api.together(*((f"{OF_MODEL}/promote", token, body) for _ in range(2)))
    assert sorted(each.status_code for each in found) == [200, 409]
    assert [each.event.type for each in desk.ledger.events()].count(EventType.APPLIED) == 1


def test_only_so_many_requests_at_once(api: DeskApi, token: str) -> None:
    """More are told to come again, and predictions have slots of their own."""
    assert api.state.desk is not None
    api.state.desk.concurrency.in_progress = AT_ONCE
    problem(api.get("/models", token), 503, "TooManyRequests")
    assert api.predict(ROW).status_code == 200
    api.state.desk.concurrency.in_progress = 0


def test_a_mistake_of_ours_shows_no_stack(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """The log has it."""
    desk.registry.models = failing(desk.registry, RuntimeError("secret"))
    answer = api.get("/models", token)
    problem(answer, 500, "Failed")
    assert "secret" not in answer.text


# One effect per key


def test_the_same_key_is_the_same_decision(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Sent again it changes nothing; with another body, or at another path, it is a conflict in one sentence."""
    key = {"Idempotency-Key": "deploy-7"}
    first = described("promote", api.post(f"{OF_MODEL}/promote", token, TO_STAGING, **key))
    again = described("promote", api.post(f"{OF_MODEL}/promote", token, TO_STAGING, **key))
    assert again == {**first, "replayed": True}
    for path, body in (
        ("promote", {**TO_STAGING, "accept_warnings": True}),
        ("promote", {**TO_STAGING, "version": 2}),
        ("comment", BODIES["comment"]),
    ):
        sentence = problem(api.post(f"{OF_MODEL}/{path}", token, body, **key), 409, "KeyReused")
        assert sentence == "key: it belongs to another request; take a new key for this one"
    assert [each.event.type for each in desk.ledger.events()].count(EventType.DECIDED) == 1


def test_a_key_belongs_to_a_person(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Somebody else may use the same word; another token of the same person is that person."""
    other = token_of(desk, Actor("ada", Established.SELF_DECLARED), Role.REVIEWER)
    same = token_of(desk, role=Role.APPROVER, name="second")
    key = {"Idempotency-Key": "1"}
    found = [api.post(f"{OF_MODEL}/comment", each, BODIES["comment"], **key) for each in (token, other, same)]
    assert [each.status_code for each in found] == [200, 200, 200]
    assert [each.json()["sequence"] for each in found] == [1, 2, 1]


def test_each_act_has_one_effect_per_key() -> None:
    """Requests, approvals, rejections and comments too."""
    desk = signing_desk(2)
    api = DeskApi(desk)
    rita, anna = token_of(desk, RITA, Role.REVIEWER), token_of(desk, ANNA, Role.APPROVER)
    asked = {"version": 1, "to": "Production", "reason": REASON, "accept_warnings": True}
    made = [api.post(f"{OF_MODEL}/request", rita, asked, **{"Idempotency-Key": "r"}).json()["id"] for _ in range(2)]
    waiting = api.get(f"/requests/{made[0]}", rita).json()
    seen = {"reason": REASON, "evidence": waiting["evidence"], "expect": waiting["expect"]}
    for path, token, body in (
        (f"/requests/{made[0]}/approve", anna, seen),
        (f"{OF_MODEL}/comment", anna, {**BODIES["comment"], "request": made[0]}),
        (f"/requests/{made[0]}/withdraw", rita, {"reason": REASON}),
    ):
        for _ in range(2):
            assert api.post(path, token, body, **{"Idempotency-Key": path}).status_code == 200
    types = [each.event.type for each in desk.ledger.events()]
    api.close()

    assert made[0] == made[1]
    for kind in (EventType.REQUESTED, EventType.APPROVED, EventType.COMMENTED, EventType.WITHDRAWN):
        assert types.count(kind) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "ä"])
def test_a_key_that_cannot_be_is_refused(api: DeskApi, token: str, key: str) -> None:
    """Before anything is decided."""
    headers = [*bearer(token).items(), ("Idempotency-Key", key.encode("latin-1"))]
    answer = api.ask("POST", f"{DESK}{OF_MODEL}/promote", json=TO_STAGING, headers=headers)
    assert problem(answer, 422, "InvalidInput").startswith("Idempotency-Key: must be there once, with 1 to 200")


def test_a_refusal_that_repeats_itself_is_recorded_once_a_minute(desk: OpenDesk, api: DeskApi, token: str) -> None:
    """Of the same person, move and reason; another one of these is another refusal."""
    path, body = f"{OF_MODEL}/promote", {**TO_STAGING, "evidence": "0" * 64}

    def denied() -> int:
        return [each.event.type for each in desk.ledger.events()].count(EventType.DENIED)

    for _ in range(3):
        problem(api.post(path, token, body), 409, "StaleEvidence")
    assert denied() == 1
    api.post(path, token, {**body, "version": 2})
    api.post(path, token, {**body, "reason": f"{REASON} Really."})
    api.post(path, token_of(desk, role=Role.APPROVER, name="other"), body)
    assert denied() == 4
    clock: TickingClock = desk.clock
    clock.time += timedelta(minutes=1)
    api.post(path, token, body)
    assert denied() == 5


# The description


def test_every_path_is_described(api: DeskApi, token: str) -> None:
    """In the one document of the server, and listed at its start."""
    content = api.ask("GET", "/openapi.json", headers=bearer(token)).json()
    listed = {each["path"] for each in api.ask("GET", "/").json()["endpoints"]}
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in content["paths"].items()
        for method, operation in methods.items()
        if path.startswith(DESK)
    }

    assert set(content["paths"]) == listed - {"/openapi.json"}
    assert set(operations) == {f"{route.method} {route.template}" for route in ROUTES}
    assert all(each["security"] == [{"identity": []}] for each in operations.values())
    assert len({each["operationId"] for methods in content["paths"].values() for each in methods.values()}) == len(
        content["paths"]
    )


MODELS = [
    each
    for each in vars(answers).values()
    if isinstance(each, type) and issubclass(each, BaseModel) and each.__module__ == answers.__name__
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_documented(model: type[BaseModel]) -> None:
    """With a sentence."""
    assert [name for name, field in model.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_the_counters_have_the_templates_of_paths(api: DeskApi, token: str) -> None:
    """And never what a caller wrote."""
    api.get("/models/some-name/versions", token)
    api.get("/nothing/some-name", token)
    counted = api.ask("GET", "/metrics").text
    assert 'route="/api/v1/models/{model}/versions",status="404"} 1.0' in counted
    assert "some-name" not in counted


def test_the_example_of_the_readme_works(api: DeskApi, token: str) -> None:
    """Its path, headers and body."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    path, key, body = re.findall(
        rf"curl http://127.0.0.1:8000{DESK}(\S+) .*?'Idempotency-Key: (.+?)'.*?-d '(.*?)'", readme, re.DOTALL
    )[0]
    answer = api.post(path, token, {**json.loads(body), "version": 1}, **{"Idempotency-Key": key})
    assert described("promote", answer)["to"] == "Staging"
