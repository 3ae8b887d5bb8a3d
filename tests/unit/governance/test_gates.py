"""Each gate as a decision table: what it observes, and whether that passes."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.governance.lifecycle import ModelState, Move, MoveKind, Stage, stage_move
from pipeline.governance.metrics import MetricRules
from pipeline.governance.policy import GateRule, Mode
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import Claim, Evidence, Recomputation, RecomputedMetrics
from pipeline.governance.record.findings import Finding
from pipeline.governance.rules.gate_words import DESCRIPTIONS, LABELS, description_of, label_of, worst_slices
from pipeline.governance.rules.gates import GATES, Facts, Missing, check_gates
from pipeline.governance.text import minus
from support.desks import MODEL, build_desk, equal, good_documents, small_registry, worse
from support.in_memory import EPOCH

RULE = GateRule(Mode.PREVENT)


def evidence(**options: Any) -> Evidence:
    registry = small_registry(versions=0)
    registry.add_version(MODEL, **{"files": {"MLmodel": b"x"}, **options})
    return build_desk(registry).show(MODEL, 1)


GOOD = evidence(documents=good_documents(0.9298), signature={"inputs": []})
BARE = evidence()
LOST = evidence(files={})
FOREIGN = evidence(metrics={"accuracy": 0.2, "baseline_accuracy": 0.3})
MLFLOW = evidence(metrics={"accuracy_score": 0.91, "training_accuracy_score": 0.99})
KERAS = evidence(metrics={"accuracy": 0.99, "val_accuracy": 0.6, "val_loss": 0.4})
TRAINED = evidence(metrics={"training_accuracy_score": 0.99, "auc": 0.9})
PERCENT = evidence(metrics={"accuracy": 62.0, "baseline_accuracy": 30.0})
TWICE = evidence(metrics={"accuracy": 62.0, "accuracy_score": 0.62, "baseline_accuracy": 30.0})
WRONG = evidence(documents={"evaluation": {"metrics": {"accuracy": {"value": 93.0}}, "baseline": {"accuracy": 0.2}}})
WRONG_BASELINE = evidence(metrics={"accuracy": 0.9}, documents={"evaluation": {"baseline": {"accuracy": 17}}})
REGRESSION = evidence(metrics={"root_mean_squared_error": 3.5, "rmse_low": 3.1, "training_rmse": 0.1, "r2": -0.5})
BOUNDED = evidence(metrics={"rmse": 3.5, "rmse_low": 3.1, "rmse_high": 3.9})
ERROR = GateRule(Mode.PREVENT, metric="rmse", maximum=4.0)
FACTS = Facts(stage_move(MODEL, 1, Stage.PRODUCTION), GOOD, ModelState())
TRUE = Recomputation(RecomputedMetrics(627, {}, 0), (Claim("accuracy", "run", 0.93, 0.93 + 5e-10),))
FALSE = Recomputation(RecomputedMetrics(627, {}, 2), (Claim("accuracy", "run", 0.99, 0.93),))
COMPILED = replace(TRUE, measured=replace(TRUE.measured, compiled="compiled, equal"))
ON_ROWS = "claims differ, n = 627"
OWN = Finding(7, MODEL, EPOCH, {"version": 1, "created_at": GOOD.content["created_at"]}, {"severity": "high"})
ELSEWHERE = replace(OWN, subject={"version": 2, "created_at": "2026-01-02T00:00:00.000000Z"})
EARLIER = replace(OWN, subject={"version": 1, "created_at": "2020-01-02T00:00:00.000000Z"})  # that had the number
AGAINST = replace(FACTS, incumbent=BARE, differences=[equal("f1_macro")])


@pytest.mark.parametrize(
    ("name", "facts", "rule", "observed", "passed"),
    [
        ("version_ready", FACTS, RULE, "READY", True),
        ("version_ready", replace(FACTS, evidence=evidence(status="PENDING")), RULE, "PENDING", False),
        ("files_present", FACTS, RULE, "1 files", True),
        ("files_present", replace(FACTS, evidence=LOST), RULE, "0 files", False),
        ("signature", FACTS, RULE, "there", True),
        ("signature", replace(FACTS, evidence=BARE), RULE, "missing", False),
        ("feature_schema", FACTS, RULE, "there", True),
        ("feature_schema", replace(FACTS, evidence=BARE), RULE, "missing", False),
        ("accuracy", FACTS, replace(RULE, minimum=0.85), "0.9298 (lower bound 0.9098)", True),
        ("accuracy", FACTS, replace(RULE, minimum=0.9298), "0.9298 (lower bound 0.9098)", True),
        ("accuracy", FACTS, replace(RULE, minimum=0.93), "0.9298 (lower bound 0.9098)", False),
        ("accuracy", replace(FACTS, evidence=FOREIGN), replace(RULE, minimum=0.1), "0.2000", True),
        ("accuracy", replace(FACTS, evidence=BARE), RULE, None, False),
        ("better_than_baseline", FACTS, RULE, "0.9298", True),
        ("better_than_baseline", replace(FACTS, evidence=FOREIGN), RULE, "0.2000", False),
        ("better_than_baseline", replace(FACTS, evidence=BARE), RULE, None, False),
        ("accuracy", replace(FACTS, evidence=MLFLOW), replace(RULE, minimum=0.85), "accuracy_score 0.9100", True),
        ("accuracy", replace(FACTS, evidence=KERAS), replace(RULE, minimum=0.85), "val_accuracy 0.6000", False),
        ("accuracy", replace(FACTS, evidence=TRAINED), replace(RULE, minimum=0.85), None, False),
        ("accuracy", replace(FACTS, evidence=PERCENT), replace(RULE, minimum=0.85), "accuracy is 62", False),
        ("accuracy", replace(FACTS, evidence=TWICE), replace(RULE, minimum=0.5), "accuracy_score 0.6200", True),
        ("accuracy", replace(FACTS, evidence=WRONG), replace(RULE, minimum=0.85), "accuracy is 93", False),
        ("better_than_baseline", replace(FACTS, evidence=PERCENT), RULE, "accuracy is 62", False),
        ("better_than_baseline", replace(FACTS, evidence=TWICE), RULE, "baseline_accuracy is 30", False),
        ("better_than_baseline", replace(FACTS, evidence=WRONG_BASELINE), RULE, "baseline_accuracy is 17", False),
        ("better_than_baseline", replace(FACTS, evidence=MLFLOW), RULE, None, False),
        ("error", replace(FACTS, evidence=REGRESSION), ERROR, "root_mean_squared_error 3.5000", True),
        ("error", replace(FACTS, evidence=BOUNDED), ERROR, "3.5000 (upper bound 3.9000)", True),
        ("error", replace(FACTS, evidence=BOUNDED), replace(ERROR, maximum=3.5), "3.5000 (upper bound 3.9000)", True),
        ("error", replace(FACTS, evidence=BOUNDED), replace(ERROR, maximum=3.4), "3.5000 (upper bound 3.9000)", False),
        ("error", replace(FACTS, evidence=evidence(metrics={"rmse": -3.5})), ERROR, minus("-3.5000"), False),
        ("error", FACTS, ERROR, None, False),
        ("stage_is_staging", FACTS, RULE, "None", False),
        ("not_champion", FACTS, RULE, "not champion", True),
        ("not_champion", replace(FACTS, state=ModelState({"champion": 1})), RULE, "champion", False),
        ("not_champion", replace(FACTS, move=Move(MODEL, MoveKind.UNALIAS, None, "champion")), RULE, "champion", False),
        ("not_champion", replace(FACTS, move=Move(MODEL, MoveKind.UNALIAS, None, "old")), RULE, "not champion", True),
        ("not_worse_than_incumbent", FACTS, RULE, "no other champion", True),
        ("not_worse_than_incumbent", AGAINST, RULE, minus("0.0000 (-0.0100 to +0.0100, n = 627)"), True),
        (
            "not_worse_than_incumbent",
            replace(AGAINST, differences=[worse("f1_macro")]),
            RULE,
            minus("-0.0500 (-0.0800 to -0.0200, n = 627)"),
            False,
        ),
        ("not_worse_than_incumbent", replace(AGAINST, differences=Missing("Not compared.")), RULE, None, False),
        ("not_worse_than_incumbent", AGAINST, replace(RULE, metric="recall_macro"), None, False),
        (
            "not_worse_than_incumbent",
            replace(AGAINST, differences=[MetricDifference("rmse", 0.5, 0.2, 0.8, 100)]),
            replace(RULE, metric="root_mean_squared_error"),
            "+0.5000 (+0.2000 to +0.8000, n = 100)",
            False,
        ),
        (
            "not_worse_than_incumbent",
            replace(AGAINST, differences=[MetricDifference("rmse", -0.5, -0.8, -0.2, 100)]),
            replace(RULE, metric="rmse"),
            minus("-0.5000 (-0.8000 to -0.2000, n = 100)"),
            True,
        ),
        (
            "not_worse_than_incumbent",
            replace(AGAINST, differences=[MetricDifference("profit", -0.5, -0.8, -0.2, 100)]),
            replace(RULE, metric="profit"),
            minus("-0.5000 (-0.8000 to -0.2000, n = 100)"),
            False,
        ),
        (
            "no_slice_worse",
            replace(AGAINST, differences=[MetricDifference("mae", 0.5, 0.2, 0.8, 100, "a")]),
            replace(RULE, metric="mae"),
            "1 of 1 slices worse",
            False,
        ),
        (
            "no_slice_worse",
            replace(AGAINST, differences=[MetricDifference("mae", 0.5, 0.2, 0.8, 100, "a")]),
            RULE,
            None,
            False,
        ),
        ("no_slice_worse", FACTS, RULE, "no other champion", True),
        ("no_slice_worse", AGAINST, RULE, "0 of 0 slices worse", True),
        (
            "no_slice_worse",
            replace(AGAINST, differences=[worse("accuracy", slice="Gender = Female"), equal("accuracy", slice="a")]),
            RULE,
            "1 of 2 slices worse",
            False,
        ),
        (
            "no_slice_worse",
            replace(AGAINST, differences=[worse("accuracy", n=29, slice="SMOKE = yes")]),
            replace(RULE, minimum_rows=30),
            "0 of 0 slices worse",
            True,
        ),
        ("no_slice_worse", replace(AGAINST, differences=Missing("Not compared.")), RULE, None, False),
        ("no_open_finding", FACTS, RULE, "none open", True),
        ("no_open_finding", replace(FACTS, findings=[OWN, ELSEWHERE]), RULE, "1 open", False),
        ("no_open_finding", replace(FACTS, findings=[ELSEWHERE]), RULE, "none open", True),
        ("no_finding_elsewhere", replace(FACTS, findings=[OWN]), RULE, "none open", True),
        ("no_finding_elsewhere", replace(FACTS, findings=[OWN, ELSEWHERE, EARLIER]), RULE, "2 open", False),
        ("explanation_adds_up", FACTS, RULE, "off by 1.0e-15", True),
        (
            "explanation_adds_up",
            replace(FACTS, evidence=evidence(documents={"explanation": {"sum_error": 0.1, "tolerance": 1e-9}})),
            RULE,
            "off by 1.0e-01",
            False,
        ),
        ("explanation_adds_up", replace(FACTS, evidence=BARE), RULE, None, False),
        ("digest_recorded", replace(FACTS, recorded_digest=GOOD.file_digest), RULE, str(GOOD.file_digest)[:12], True),
        ("digest_recorded", replace(FACTS, recorded_digest="0" * 64), RULE, str(GOOD.file_digest)[:12], False),
        ("digest_recorded", FACTS, RULE, str(GOOD.file_digest)[:12], False),
        ("digest_recorded", replace(FACTS, evidence=LOST), RULE, "no files", False),
        ("smoke_prediction", replace(FACTS, smoke="predicts x"), RULE, "predicts x", True),
        ("smoke_prediction", replace(FACTS, smoke=Missing("It crashed.")), RULE, None, False),
        ("smoke_prediction", replace(FACTS, smoke=Missing("No example.", tried=False)), RULE, None, False),
        ("claims_recomputed", replace(FACTS, recomputation=TRUE), RULE, "0 of 1 claims differ, n = 627", True),
        ("claims_recomputed", replace(FACTS, recomputation=COMPILED), RULE, f"0 of 1 {ON_ROWS}; compiled, equal", True),
        ("claims_recomputed", replace(FACTS, recomputation=FALSE), RULE, "1 of 1 claims differ, n = 627", False),
        ("claims_recomputed", replace(FACTS, recomputation=Missing("It crashed.")), RULE, None, False),
    ],
)
def test_a_gate_passes_or_says_why(name: str, facts: Facts, rule: GateRule, observed: object, passed: bool) -> None:
    """A gate that fails has a sentence, one that passes needs none."""
    result = check_gates(facts, {name: rule})[0]

    assert (observed, passed) == (result.observed, result.passed)
    assert bool(result.why) != passed
    assert result.required


@pytest.mark.parametrize(
    ("name", "facts", "why"),
    [
        (
            "accuracy",
            replace(FACTS, evidence=TRAINED),
            "The version has no accuracy; its metrics: 'auc', 'training_accuracy_score'.",
        ),
        ("accuracy", replace(FACTS, evidence=BARE), "The version has no accuracy; its metrics: none."),
        (
            "accuracy",
            replace(FACTS, evidence=PERCENT),
            "accuracy is 62, and a share lies between 0 and 1: it is no accuracy.",
        ),
        (
            "better_than_baseline",
            replace(FACTS, evidence=WRONG_BASELINE),
            "baseline_accuracy is 17, and a share lies between 0 and 1.",
        ),
        ("error", replace(FACTS, evidence=BARE), "The version has no error (rmse); its metrics: none."),
        (
            "error",
            replace(FACTS, evidence=evidence(metrics={"rmse": -2.0})),
            minus("rmse is -2, below 0: it is no error."),
        ),
        (
            "not_worse_than_incumbent",
            replace(AGAINST, differences=[equal("rmse")]),
            "f1_macro was not compared; compared were 'rmse'.",
        ),
        (
            "not_worse_than_incumbent",
            replace(FACTS, evidence=BOUNDED, incumbent=REGRESSION, differences=Missing("No rows.")),
            "No rows. As logged it is 3.5000, the champion's root_mean_squared_error 3.5000.",
        ),
        (
            "no_slice_worse",
            replace(AGAINST, differences=[equal("mae", slice="a")]),
            "Slices are compared in 'mae', not in accuracy.",
        ),
    ],
)
def test_a_metric_that_is_not_there_is_told_with_what_is(name: str, facts: Facts, why: str) -> None:
    """Whoever reads it can map a name in the settings."""
    rule = RULE if name == "no_slice_worse" or facts.incumbent is BARE else replace(ERROR, maximum=1.0)

    assert check_gates(facts, {name: rule})[0].why == why


def test_the_settings_map_our_name_to_theirs() -> None:
    """In order, also to a name that would never be taken by itself."""
    rules = MetricRules(names={"accuracy": ("auc", "training_accuracy_score")})
    found = check_gates(replace(FACTS, evidence=TRAINED, metrics=rules), {"accuracy": replace(RULE, minimum=0.85)})[0]

    assert (found.observed, found.passed) == ("auc 0.9000", True)


@pytest.mark.parametrize(
    ("dataset", "passed"),
    [("train (5f1c)", False), ("training", False), ("test (5f1c)", True), ("holdout", True), ("", True)],
)
def test_a_figure_on_training_rows_is_not_taken_by_itself(dataset: str, passed: bool) -> None:
    """As one that says so by its name; the settings may ask for it."""
    content = {**evidence(metrics={"accuracy": 0.99}).content, "datasets": {"accuracy": dataset} if dataset else {}}
    facts, rule = replace(FACTS, evidence=Evidence(content, "", "")), replace(RULE, minimum=0.85)
    found = check_gates(facts, {"accuracy": rule})[0]
    asked = replace(facts, metrics=MetricRules(names={"accuracy": ("accuracy",)}))

    assert found.passed is passed
    assert passed or found.why == f"The version has no accuracy; its metrics: 'accuracy on {dataset}'."
    assert check_gates(asked, {"accuracy": rule})[0].passed


def test_a_figure_that_cannot_be_one_blocks_where_a_missing_one_warns() -> None:
    """62 is not "no accuracy": it is a wrong one."""
    rule = replace(RULE, minimum=0.85, missing=Mode.WARN)

    assert check_gates(replace(FACTS, evidence=PERCENT), {"accuracy": rule})[0].blocks
    assert check_gates(replace(FACTS, evidence=TRAINED), {"accuracy": rule})[0].warns


def test_of_many_worse_slices_the_worst_are_named() -> None:
    """And how many more there are."""
    slices = [replace(worse("accuracy", slice=f"s{size}"), difference=-size / 100) for size in range(1, 7)]
    result = check_gates(replace(AGAINST, differences=slices), {"no_slice_worse": RULE})[0]

    assert result.observed == "6 of 6 slices worse"
    assert result.why.startswith(minus("Worse in s6 -0.0600, n = 627; s5 "))
    assert result.why.endswith("; and 2 more.")


def test_a_worse_slice_is_called_what_people_call_its_column() -> None:
    """The name of the column stands behind; a slice of which nothing is known stays as it is."""
    found = [worse("accuracy", slice="FCVC = 3"), worse("accuracy", slice="all of them")]

    told = worst_slices(found, {"FCVC": "Eats vegetables with meals"})

    assert told.startswith("Eats vegetables with meals (FCVC) = 3 ")
    assert "; all of them " in told


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
def test_a_reviewed_version_may_go_to_production(stage: Stage) -> None:
    """Staging is where a version is reviewed; one in Production already only gets the alias."""
    registry = small_registry()
    registry.set_stage(MODEL, 1, stage)
    facts = replace(FACTS, evidence=build_desk(registry).show(MODEL, 1))

    assert GATES["stage_is_staging"](facts, RULE).passed


@pytest.mark.parametrize(
    ("ours", "present", "mode"),
    [(True, True, Mode.PREVENT), (False, True, Mode.WARN), (True, False, Mode.ALLOW), (False, False, Mode.ALLOW)],
)
def test_the_mode_depends_on_who_made_the_version_and_on_what_there_is(ours: bool, present: bool, mode: Mode) -> None:
    """Missing goes before foreign."""
    rule = GateRule(Mode.PREVENT, foreign=Mode.WARN, missing=Mode.ALLOW)

    assert mode is rule.mode_for(ours=ours, present=present)


TRIED = replace(FACTS, smoke=Missing("It crashed."))
UNTRIED = replace(FACTS, smoke=Missing("It has no input example.", tried=False))


@pytest.mark.parametrize(
    ("facts", "rule", "mode"),
    [
        (TRIED, GateRule(Mode.PREVENT), Mode.PREVENT),
        (TRIED, GateRule(Mode.PREVENT, missing=Mode.ALLOW), Mode.PREVENT),
        (TRIED, GateRule(Mode.WARN), Mode.WARN),
        (UNTRIED, GateRule(Mode.PREVENT), Mode.WARN),
        (UNTRIED, GateRule(Mode.PREVENT, foreign=Mode.PREVENT), Mode.WARN),
        (UNTRIED, GateRule(Mode.PREVENT, missing=Mode.PREVENT), Mode.PREVENT),
        (UNTRIED, GateRule(Mode.PREVENT, missing=Mode.ALLOW), Mode.ALLOW),
        (UNTRIED, GateRule(Mode.WARN), Mode.WARN),
        (UNTRIED, GateRule(Mode.ALLOW), Mode.ALLOW),
    ],
)
def test_who_cannot_try_a_version_is_warned(facts: Facts, rule: GateRule, mode: Mode) -> None:
    """Going back must be possible also to a version that cannot be tried here; one that was tried and failed is not."""
    result = check_gates(facts, {"smoke_prediction": rule})[0]

    assert (result.passed, result.mode) == (False, mode)
    assert isinstance(facts.smoke, Missing)
    assert result.why == facts.smoke.why


def test_a_failed_gate_blocks_warns_or_only_records() -> None:
    """By its mode."""
    results = [check_gates(FACTS, {"stage_is_staging": GateRule(mode)})[0] for mode in Mode]

    assert [(each.blocks, each.warns) for each in results] == [(True, False), (False, True), (False, False)]


def test_claims_are_a_gate_only_where_somebody_asked() -> None:
    """Then in mode warn, unless the policy says otherwise; what does not hold is named."""
    rules = {"claims_recomputed": RULE}
    asked = replace(FACTS, recomputation=FALSE)
    found = check_gates(asked, {})[0]

    assert check_gates(FACTS, {}) == []
    assert (found.name, found.mode) == ("claims_recomputed", Mode.WARN)
    assert found.why == (
        "accuracy is claimed as 0.99 by MLflow and is 0.93; "
        "2 of 627 stored predictions are not what the version predicts."
    )
    assert [each.mode for each in check_gates(asked, rules)] == [Mode.PREVENT]
    assert check_gates(replace(FACTS, recomputation=Missing("It crashed.")), {})[0].warns


def test_every_gate_has_a_sentence_in_its_docstring() -> None:
    """The documents and screens quote it."""
    assert all(gate.__doc__ for gate in GATES.values())


def test_every_gate_has_a_label_and_a_sentence_of_its_own() -> None:
    """People read a label and what it is for, programs the name; a gate of a later version is shown by its name."""
    review = build_desk().review(stage_move(MODEL, 1, Stage.STAGING))
    assert {*GATES, *(gate.name for gate in review.gates)} <= set(LABELS)
    assert set(DESCRIPTIONS) == set(LABELS)
    assert len({*LABELS.values(), *DESCRIPTIONS.values()}) == 2 * len(LABELS)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in DESCRIPTIONS.values())
    assert (review.gates[0].label, review.gates[0].description) == (
        "Something changes",
        "The registry is not already the way the move would leave it.",
    )
    assert review.gates[0].as_json()["name"] == "changes_something"
    assert (label_of("of_tomorrow"), description_of("of_tomorrow")) == ("of_tomorrow", "")
