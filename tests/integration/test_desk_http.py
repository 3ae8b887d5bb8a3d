"""The desk over HTTP on a real registry and ledger: what it answers is what the command line prints."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.bootstrap import own_desk
from pipeline.governance.actor import Role
from pipeline.settings import read_settings
from support.desk_api import DeskApi, described
from support.desks import GRACE
from support.small_desk import copy_desk

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
OF_MODEL = f"/models/{MODEL}"
Verb = Callable[..., Any]


@pytest.fixture(scope="module")
def environment(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `signoff demo` leaves behind."""
    return dict(copy_desk(demo_desk, tmp_path_factory.mktemp("filled")))


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[DeskApi]:
    found = DeskApi(own_desk(read_settings(environ=environment)))
    yield found
    found.close()


@pytest.fixture(scope="module")
def token(api: DeskApi) -> str:
    return api.service.as_(GRACE).issue_token("ci", Role.APPROVER, 1).secret


@pytest.fixture
def verb(environment: dict[str, str], call: Verb, monkeypatch: pytest.MonkeyPatch) -> Verb:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return call


SAME: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "list_models": ("/models", {}, ("models",)),
    "list_versions": (f"{OF_MODEL}/versions", {}, ("versions", MODEL)),
    "show": (f"{OF_MODEL}/versions/1", {}, ("show", MODEL, "1")),
    "review": (f"{OF_MODEL}/versions/2/review", {"to": "Production"}, ("review", MODEL, "2", "--to", "Production")),
    "compare": (f"{OF_MODEL}/compare", {"a": 1, "b": 2}, ("compare", MODEL, "1", "2")),
    "history": (f"{OF_MODEL}/history", {}, ("history", MODEL)),
    "list_requests": ("/requests", {}, ("requests",)),
}


@pytest.mark.parametrize("name", SAME)
def test_both_doors_answer_the_same(api: DeskApi, token: str, verb: Verb, name: str) -> None:
    """To the value, and every field is described."""
    path, params, words = SAME[name]
    answered = described(name, api.get(path, token, **params))
    code, printed, _ = verb(*words)

    assert code in {0, 3}
    assert answered == printed


def test_a_refusal_is_the_same_at_both_doors(api: DeskApi, token: str, verb: Verb) -> None:
    """Code and sentence, and the status is that of the exit code."""
    code, _, error = verb("review", MODEL, "99", "--to", "Staging")
    answer = api.get(f"{OF_MODEL}/versions/99/review", token, to="Staging")

    assert (code, answer.status_code) == (5, 404)
    assert error == f"{answer.json()['code']}: {answer.json()['detail']}\n"


def test_of_two_who_saw_the_same_state_one_decides(api: DeskApi, token: str, verb: Verb) -> None:
    """The other one is told that it changed, or is changing; the command line tells of it as of any decision."""
    state = api.get(f"{OF_MODEL}/versions/1/review", token, to="@shadow").json()["state"]
    body = {"alias": "shadow", "reason": REASON, "expect": state}
    found = api.together(*((f"{OF_MODEL}/alias", token, {**body, "version": version}) for version in (1, 2)))
    won, lost = sorted(found, key=lambda each: each.status_code)

    assert (won.status_code, lost.status_code) == (200, 409)
    assert lost.json()["code"] in {"StateChanged", "DecisionPending"}
    _, history, _ = verb("history", MODEL)
    last = next(each for each in reversed(history) if each["type"] == "applied")
    assert (last["number"], last["established"]) == (won.json()["sequence"], "token")


def test_a_key_holds_over_processes(api: DeskApi, token: str, environment: dict[str, str]) -> None:
    """It is the ledger's: another server gives the first answer."""
    body, key = {"version": 1, "text": "Looks good."}, {"Idempotency-Key": "seen-1"}
    first = described("comment", api.post(f"{OF_MODEL}/comment", token, body, **key))
    other = DeskApi(own_desk(read_settings(environ=environment)))
    again = described("comment", other.post(f"{OF_MODEL}/comment", token, body, **key))
    other.close()

    assert json.dumps(first) == json.dumps(again)
