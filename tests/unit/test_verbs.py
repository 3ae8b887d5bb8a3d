"""Three doors: what the command line can do, screens and HTTP can, or the table says why not.

Who may come in by each is walked in test_doors.py.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from pipeline.cli import app
from pipeline.governance.roles import Action
from pipeline.governance.service import GovernanceService
from pipeline.http_api.desk import asking
from pipeline.http_api.desk.routes import DESK_ENDPOINTS, ROUTES
from pipeline.http_api.desk.verbs import HEAD, VERBS, WHAT, LeftOut, VerbDoors, rows
from pipeline.http_api.openapi import ENDPOINTS
from pipeline.settings import ROOT

COMMANDS = [
    *(str(command.name or command.callback.__name__) for command in app.registered_commands),
    *(
        f"{group.typer_instance.info.name} {command.name or command.callback.__name__}"
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    ),
]
PATHS = {f"{method.upper()} {path}" for path, (method, _) in {**ENDPOINTS, **DESK_ENDPOINTS}.items()}
# What the command line asks of the service beside the rows, and by which method the screens ask for the same.
ON_SCREENS = {
    **dict.fromkeys(("promote", "set_alias", "remove_alias", "rollback"), "decide"),
    "request_rollback": "request",
}
ALONE = {"GET /api/v1/requests/{id}"}  # of no verb: a program looks again at what it asked for
DOORS = [pytest.param(verb, doors, id=verb) for verb, doors in VERBS.items()]


def attributes(source: str) -> set[str]:
    """What is read of objects there, such as the methods of a service; the paths of imports are none of it."""
    return {node.attr for node in ast.walk(ast.parse(textwrap.dedent(source))) if isinstance(node, ast.Attribute)}


def attributes_of(folder: Path) -> set[str]:
    return {name for file in folder.rglob("*.py") for name in attributes(file.read_text(encoding="utf-8"))}


ON_ALL_SCREENS, IN_ALL_VERBS = attributes_of(ROOT / "dashboard"), attributes_of(ROOT / "pipeline" / "cli")


def test_every_verb_has_a_row() -> None:
    """And no row is of a verb that is gone, or of a way that it does not have."""
    ways = [verb.split(" --") for verb in VERBS if " --" in verb]

    assert {verb.partition(" --")[0].partition(",")[0] for verb in VERBS} == set(COMMANDS)
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for verb, option in ways:
        assert f"--{option}" in {name for each in group.commands[verb].params for name in each.opts}


def test_every_path_of_the_desk_is_of_a_verb() -> None:
    """HTTP can do nothing that the command line cannot."""
    named = {doors.route for doors in VERBS.values()}

    assert {f"{route.method} {route.template}" for route in ROUTES} - named == ALONE
    assert {route for route in named if not isinstance(route, LeftOut)} <= PATHS


@pytest.mark.parametrize(("verb", "doors"), DOORS)
def test_the_screens_do_it_or_say_why_not(verb: str, doors: VerbDoors) -> None:
    """The page is there, and it or what pages share asks the service for the same."""
    if isinstance(doors.screen, LeftOut):
        assert len(doors.screen) > 20
        return
    assert (ROOT / "dashboard" / doors.screen / "page.py").is_file()
    assert not doors.asks or ON_ALL_SCREENS & {*doors.asks}


def test_whatever_the_command_line_has_done_the_screens_can_have_done() -> None:
    """Every method of the service by which the command line acts for somebody, also the rarer ways of a verb."""
    signed = ("approve", "reject", "withdraw")
    methods = inspect.getmembers(GovernanceService, inspect.isfunction)
    acting = {name for name, method in methods if "actor" in inspect.signature(method).parameters} | {*signed}
    asked = acting & IN_ALL_VERBS
    missing = {name for name in asked if ON_SCREENS.get(name, name) not in ON_ALL_SCREENS}

    assert {"request_adoption", "adopt", "approve"} <= asked
    assert missing == set()


@pytest.mark.parametrize(("verb", "doors"), DOORS)
def test_http_does_it_or_says_why_not(verb: str, doors: VerbDoors) -> None:
    """By a method of the service that the command line asks too."""
    if isinstance(doors.route, LeftOut):
        assert len(doors.route) > 20
    elif doors.asks:
        (route,) = (each for each in ROUTES if f"{each.method} {each.template}" == doors.route)
        assert attributes(inspect.getsource(route.ask)) & {*doors.asks}
    assert not doors.asks or IN_ALL_VERBS & {*doors.asks}


def test_every_answer_is_asked_of_the_service() -> None:
    """No path does anything by itself: an `if` about stages, gates or roles would be in the wrong place."""
    source = inspect.getsource(asking)

    assert not re.search(r"\bStage\.[A-Z]|Role\b|\bgates\b", source)


def test_the_documents_have_the_same_table() -> None:
    """docs/governance.md, row by row."""
    text = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8")
    table = text.partition(f"{HEAD}\n|---|---|---|---|---|\n")[2].partition("\n\n")[0]

    assert table.splitlines() == rows()
    assert list(WHAT) == [*Action, None]
