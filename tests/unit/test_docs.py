"""The documents are tested against the code."""

import ast
import inspect
import re

import pytest
import yaml

from pipeline.cli import app
from pipeline.governance import errors
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.record.ledger import EventType
from pipeline.governance.rules.gate_words import DESCRIPTIONS, LABELS
from pipeline.governance.rules.gates import GATES
from pipeline.settings import ROOT
from support.story import TEAM, TOUR, WATCH

TOUR_PAGE = ROOT / "docs" / "tour.md"
GOVERNANCE = (ROOT / "docs" / "governance.md").read_text()
README = (ROOT / "README.md").read_text()
ERRORS = {name: error for name, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, Exception)}


@pytest.mark.parametrize("name", [*GATES, *EventType, *MoveKind, *sorted(set(ERRORS) - {"SignoffError"})])
def test_gates_events_moves_and_errors_are_documented(name: str) -> None:
    """docs/governance.md names every one of them as code."""
    assert f"`{name}`" in GOVERNANCE


def test_every_picture_is_made_by_a_test() -> None:
    """README and documents show the pictures of test_story, test_team and test_production, and no others are kept."""
    readme = re.findall(r"docs/screenshots/([\w-]+)\.png", README)
    documents = TOUR_PAGE.read_text(encoding="utf-8")
    shown = {*readme, *re.findall(r"\(screenshots/([\w-]+)\.png\)", documents)}
    series = {"tour": TOUR, "team": TEAM, "watch": WATCH}
    made = {f"{series_name}-{name}" for series_name, names in series.items() for name in names}

    assert shown == made
    assert {each.stem for each in (ROOT / "docs" / "screenshots").iterdir()} == made


@pytest.mark.parametrize("name", LABELS)
def test_the_words_of_a_gate_are_documented(name: str) -> None:
    """Under its name stand the label and the sentence that screens show."""
    assert f"| `{name}` | {LABELS[name]} | {DESCRIPTIONS[name]} |" in GOVERNANCE


@pytest.mark.parametrize("row", re.findall(r"^\| (.*) \| (\d) \| (\d{3}) \|$", GOVERNANCE, re.MULTILINE))
def test_the_error_table_is_true(row: tuple[str, str, str]) -> None:
    """Exit code and HTTP status are those of the code."""
    names, exit_code, status = row
    for name in re.findall(r"`(\w+)`", names):
        assert (ERRORS[name].exit_code, ERRORS[name].http_status) == (int(exit_code), int(status))  # type: ignore[attr-defined]


def test_every_error_has_a_place_in_the_drawn_tree() -> None:
    """The tree at the top of errors.py is complete."""
    assert all(re.search(rf"\b{name}\b", str(errors.__doc__)) for name in ERRORS)


VERBS = [
    *(str(command.name or command.callback.__name__) for command in app.registered_commands),
    *(
        f"{group.typer_instance.info.name} {command.name or command.callback.__name__}"
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    ),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    """With the word that a user types."""
    assert re.search(rf"`(signoff )?{verb}\b", README)


@pytest.mark.parametrize("section", list(yaml.safe_load((ROOT / "params.yaml").read_text())))
def test_every_section_of_the_settings_is_in_the_readme(section: str) -> None:
    """So that nobody has to guess what params.yaml holds."""
    assert f"`{section}`" in README


AISVS = re.findall(
    r"^\| ((?:3\.\d\.\d(?:, )?)+) \| (\d(?: to \d)?) \| ([^|]+) \| ([^|]+) \| ([^|]*) ?\|$", GOVERNANCE, re.MULTILINE
)
CHAPTER_C3 = {1: 5, 2: 7, 3: 3, 4: 3, 5: 4, 6: 5}  # requirements per section of the chapter


def test_every_requirement_of_aisvs_c3_has_one_row() -> None:
    """Also those that are not met, and a row that claims something names a test."""
    numbers = [number for row in AISVS for number in row[0].split(", ")]
    claimed = [row for row in AISVS if row[3] in {"met", "partly"}]

    assert sorted(numbers) == [f"3.{section}.{each + 1}" for section, n in CHAPTER_C3.items() for each in range(n)]
    assert {row[3] for row in AISVS} == {"met", "partly", "not met", "outside"}
    assert [row[0] for row in claimed if "`tests/" not in row[4]] == []


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)+)`", GOVERNANCE))))
def test_every_test_that_the_documentation_names_exists(named: str) -> None:
    """Under its file, class and name."""
    file, *path = named.split("::")
    found: list[ast.stmt] = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for name in path:
        place = next((each for each in found if getattr(each, "name", None) == name), None)
        assert place is not None, f"{named}: there is no {name}"
        found = place.body if isinstance(place, ast.ClassDef) else []


VARIABLES = [
    "MLFLOW_TRACKING_URI", "SIGNOFF_LEDGER_URL", "SIGNOFF_PARAMS", "SIGNOFF_ACTOR", "SIGNOFF_MODEL", "SIGNOFF_TOKEN",
    "SIGNOFF_TOKEN_FILE", "SIGNOFF_CHECKPOINT_FILE", "SIGNOFF_SIGNING_KEY_FILE", "SIGNOFF_NOTIFY_URLS",
    "SIGNOFF_NOTIFY_FILE", "SIGNOFF_LOG_URL", "SIGNOFF_LOG_KEY", "SIGNOFF_LOG_KEY_FILE",
]  # fmt: skip


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_environment_variable_is_in_the_readme(variable: str) -> None:
    """Addresses and names come from there."""
    assert f"`{variable}`" in README


def test_each_record_has_a_number_of_its_own():
    """Files and headings of docs/adr count from 1 without a gap, so that "record 23" names one of them."""
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    headings = [int(file.read_text(encoding="utf-8").removeprefix("# ").partition(".")[0]) for file in records]

    assert [int(file.name[:4]) for file in records] == headings == list(range(1, len(records) + 1))
