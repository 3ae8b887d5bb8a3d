"""What is told of models and versions where nothing is decided."""

import dataclasses

import pytest

from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Stage
from pipeline.governance.listing import model_json, version_json
from pipeline.governance.metrics import MetricRules
from pipeline.governance.record.documents import parse_data_report, parse_explanation
from pipeline.governance.rules.paired import CalibrationPoint, drawn_calibration_error
from support.decisions import champion, promote
from support.desks import MODEL, build_desk, default_policy


def test_a_model_is_told_with_its_champion() -> None:
    """And whether anybody approved it at this desk."""
    desk = build_desk()
    champion(desk, 2)
    (record,) = desk.models()

    assert model_json(record, None) == {
        "name": MODEL,
        "description": "Obesity level from a survey",
        "versions": 3,
        "champion": 2,
        "latest": 3,
        "not_approved_here": None,
    }


def test_a_version_is_told_with_its_stage_and_aliases() -> None:
    """As the table of versions has it."""
    desk = build_desk()
    champion(desk, 2)
    told = {row.version: version_json(row) for row in desk.versions(MODEL)}

    assert (told[2]["stage"], told[2]["aliases"]) == ("Production", ["champion"])
    assert told[1]["stage"] == "None"


def test_the_newest_event_of_a_model() -> None:
    """0 where the ledger has none of it; the count is of all models."""
    desk = build_desk()
    assert (desk.newest_event(MODEL), desk.event_count()) == (0, 0)
    promote(desk, 1, Stage.STAGING)

    assert desk.newest_event(MODEL) == desk.event_count() > 0
    assert desk.newest_event("nobody") == 0


def test_the_champion_that_the_ledger_records() -> None:
    """Without asking the registry; a model that it has never seen is not known."""
    desk = build_desk()
    champion(desk, 2)

    assert (desk.recorded(MODEL).known, desk.recorded(MODEL).champion) == (True, 2)
    assert (desk.recorded("nobody").known, desk.recorded("nobody").champion) == (False, None)


def test_files_of_a_version() -> None:
    """The same when they are taken anew; one that is not there is not found."""
    desk = build_desk()
    record = desk.version(MODEL, 1)
    files = desk.files(record)

    assert files == desk.files(record, fresh=True)
    with pytest.raises(NotFound):
        desk.read_file(record, "no such file")


def test_rules_of_metrics_of_ones_own_are_part_of_the_policy() -> None:
    """Where they are other ones than everybody has."""
    policy = default_policy()
    own = dataclasses.replace(policy, metrics=MetricRules(higher=frozenset({"uplift"})))

    assert own.digest != policy.digest


def test_what_training_dropped_is_counted_by_reason() -> None:
    """Whatever is no count is none."""
    report = parse_data_report({"rows_read": 10, "rows_used": 8, "dropped": {"twice": 2, "odd": "many"}, "columns": {}})

    assert report is not None
    assert (report.rows_read, report.rows_used, dict(report.dropped)) == (10, 8, {"twice": 2, "odd": 0})


def test_an_explanation_that_does_not_say_whether_it_adds_up() -> None:
    """Nothing is claimed in its place."""
    explanation = parse_explanation({"sum_error": 1e-15})
    assert explanation is not None
    assert explanation.adds_up is None


def test_the_calibration_error_of_what_is_drawn() -> None:
    """The mean distance of the bins that are drawn, by their rows; 0 where none is."""
    near, far = (CalibrationPoint(0.4, 0.6, 0.5, right, n, 0.0, 1.0) for n, right in ((30, 0.6), (10, 0.9)))

    assert drawn_calibration_error([near, far]) == pytest.approx((30 * 0.1 + 10 * 0.4) / 40)
    assert drawn_calibration_error([]) == 0
