"""Reading and reviewing: nothing is written."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.governance.errors import (
    Blocked,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import Move, MoveKind, Stage, parse_target
from pipeline.governance.metrics import Direction, MetricRules
from pipeline.governance.policy import GateRule, Mode
from support.decisions import STAGING, champion, promote
from support.desks import (
    MODEL,
    PIPELINE,
    REASON,
    KnownClaims,
    KnownDifferences,
    build_desk,
    default_policy,
    failing,
    refused,
    registered_again,
    small_registry,
)


@pytest.mark.parametrize("refusal", [InvalidInput("other rows"), NotFound("no rows")])
def test_versions_that_cannot_be_compared_say_why(refusal: Exception) -> None:
    """The gate warns and quotes the reason."""
    desk = build_desk(comparer=KnownDifferences(refusal=refusal))
    champion(desk, 1)
    review = desk.review(parse_target(MODEL, 2, "Production"))
    whys = [gate.why for gate in review.warnings]

    assert whys == [f"Not comparable on the same rows: {refusal}"] * 2


class TestReading:
    """Lists and overviews."""

    def test_the_overview_says_what_serves_and_what_waits(self) -> None:
        """One entry per model."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 3, Stage.STAGING)
        (model,) = desk.overview()

        assert (model.champion, model.waiting, model.differences) == (1, (3,), ())
        assert model.unstaged == (2,)
        assert model.stages[Stage.NONE] == 1
        assert model.last is not None
        assert [record.name for record in desk.models()] == [MODEL]

    def test_a_model_without_events_has_no_last_one(self) -> None:
        """Reading writes nothing."""
        desk = build_desk()

        assert desk.overview()[0].last is None
        assert desk.history() == []
        assert desk.history(MODEL) == []

    def test_the_best_version_has_the_highest_metric(self) -> None:
        """Of equal ones the newest."""
        desk = build_desk()

        assert desk.best(MODEL, "accuracy").version == 3
        assert [row.version for row in desk.versions(MODEL, ["accuracy"])] == [3, 2, 1]

    def test_the_best_by_a_loss_is_the_lowest(self) -> None:
        """As the words better and worse have it on every page."""
        registry = small_registry(versions=0)
        for loss in (0.3, 0.2, 0.4):
            registry.add_version(MODEL, metrics={"log_loss": loss})

        assert build_desk(registry).best(MODEL, "log_loss").version == 2

    @pytest.mark.parametrize("metric", ["rmse", "val_loss", "validation_0-mlogloss"])
    def test_the_best_by_an_error_is_the_lowest(self, metric: str) -> None:
        """And whoever asks is told so."""
        registry = small_registry(versions=0)
        for error in (1.0, 50.0):
            registry.add_version(MODEL, metrics={metric: error})
        found = build_desk(registry).best(MODEL, metric)

        assert (found.version, found.metric, found.direction) == (1, metric, Direction.LOWEST)
        assert build_desk(registry).best(MODEL, metric, Direction.HIGHEST).version == 2

    def test_the_best_by_a_name_that_says_nothing_is_not_guessed(self) -> None:
        """The caller says which end, or the settings do."""
        registry = small_registry(versions=0)
        for profit in (1.0, 50.0):
            registry.add_version(MODEL, metrics={"profit": profit})
        policy = replace(default_policy(), metrics=MetricRules(higher=frozenset({"profit"})))

        with pytest.raises(InvalidInput, match="say --highest or --lowest"):
            build_desk(registry).best(MODEL, "profit")
        assert build_desk(registry).best(MODEL, "profit", Direction.LOWEST).version == 1
        assert build_desk(registry, policy=policy).best(MODEL, "profit").version == 2

    def test_the_best_has_a_figure_that_can_be_one(self) -> None:
        """An accuracy in percent is left out, and that is told; where no other is there, it is not found."""
        registry = small_registry(versions=0)
        for share in (0.8, 62.0):
            registry.add_version(MODEL, metrics={"accuracy": share, "auc": 90.0})
        found = build_desk(registry).best(MODEL, "accuracy")

        assert (found.version, found.left_out) == (1, (2,))
        with pytest.raises(NotFound, match="no version of 'obesity_classifier' has a 'auc' between 0 and 1"):
            build_desk(registry).best(MODEL, "auc")

    def test_the_best_is_found_under_an_accepted_name(self) -> None:
        """The exact name first; what none has is told with what there is."""
        registry = small_registry(versions=0)
        for error in (3.0, 2.0):
            registry.add_version(MODEL, metrics={"root_mean_squared_error": error})
        found = build_desk(registry).best(MODEL, "rmse")

        assert (found.version, found.metric) == (2, "root_mean_squared_error")
        with pytest.raises(NotFound, match="has a metric 'f1_macro'; ask for one of 'root_mean_squared_error'"):
            build_desk(registry).best(MODEL, "f1_macro")

    def test_a_table_of_versions_has_the_metrics_of_the_model(self) -> None:
        """Those that were asked for where there are any, else what there is; a name that none has is told."""
        registry = small_registry(versions=0)
        registry.add_version(MODEL, metrics={"rmse": 3.0, "r2": 0.5})
        desk = build_desk(registry)

        assert desk.telling_versions(MODEL, ["accuracy"])[0] == ["r2", "rmse"]
        assert desk.telling_versions(MODEL, ["r2", "accuracy"])[0] == ["r2"]
        assert desk.telling_versions(MODEL, ["accuracy"], last="latency_ms_median")[0] == ["r2", "rmse"]
        assert [row.metrics for row in desk.versions_with(MODEL, ["rmse"])] == [{"rmse": 3.0}]
        with pytest.raises(NotFound, match="has a metric 'mae'; ask for one of 'r2', 'rmse'"):
            desk.versions_with(MODEL, ["rmse", "mae"])

    def test_a_figure_that_stands_last_is_in_place_of_no_metric(self) -> None:
        """One version that logs its latency leaves a table of errors as it is."""
        registry = small_registry(versions=0)
        registry.add_version(MODEL, metrics={"rmse": 3.0, "latency_ms_median": 2.0})
        desk = build_desk(registry)

        assert desk.telling_versions(MODEL, ["accuracy"], last="latency_ms_median")[0] == ["rmse", "latency_ms_median"]

    def test_a_program_asks_once_about_a_version(self) -> None:
        """Whatever the answer was; one in a stage needs no asking."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage(MODEL, 3, Stage.ARCHIVED)
        before = [desk.unasked(MODEL, version, PIPELINE) for version in (1, 2, 3)]
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)

        assert before == [True, True, False]
        assert [desk.unasked(MODEL, version, PIPELINE) for version in (1, 2)] == [False, True]

    def test_a_program_asks_about_the_version_that_has_a_number_now(self) -> None:
        """What it asked about a deleted one of the same number does not count, its refusals neither."""
        desk = build_desk()
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=PIPELINE)
        registered_again(desk)

        assert desk.unasked(MODEL, 1, PIPELINE)
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)
        assert not desk.unasked(MODEL, 1, PIPELINE)

    def test_a_review_reads_only(self) -> None:
        """No event, no change."""
        desk = build_desk()
        desk.review(Move(MODEL, MoveKind.STAGING, 1))

        assert list(desk.ledger.events()) == []

    def test_a_champion_that_cannot_be_read_is_no_incumbent(self) -> None:
        """The alias may point to what was deleted a moment ago."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        version = registry.version
        registry.version = lambda model, number: (  # type: ignore[assignment]
            version(model, number) if number != 1 else failing(registry, NotFound("gone"))()
        )

        assert desk.review(parse_target(MODEL, 2, "Staging")).incumbent is None


def test_the_outcome_is_plain_json() -> None:
    """With the slots that changed."""
    outcome = promote(build_desk(), 1, Stage.STAGING).as_json()

    assert outcome["to"] == "Staging"
    assert outcome["changes"] == [
        {"kind": "stage", "name": "1", "expected": "None", "to": "Staging", "observed": "Staging"}
    ]


class TestRecomputation:
    """Claims held against what the version's own bytes give."""

    def test_shows_claimed_beside_recomputed(self) -> None:
        """By source; a metric that nobody claimed is no claim."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.91, "f1_macro": 0.9}))
        found = desk.recompute(MODEL, 1)

        assert [(each.source, each.claimed, each.recomputed) for each in found.claims] == [
            ("evaluation", 0.91, 0.91),
            ("run", 0.91, 0.91),
        ]
        assert found.holds
        assert found.as_json()["claims"][0]["holds"]

    def test_a_false_claim_fails_the_gate(self) -> None:
        """A warning names it; the review hands out the figures."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.8}))
        review = desk.review(STAGING, recompute=True)

        assert [gate.name for gate in review.warnings] == ["claims_recomputed"]
        assert "accuracy is claimed as 0.91 by the evaluation file and is 0.8" in review.warnings[0].why
        assert review.as_json()["recomputed"]["holds"] is False
        assert desk.review(STAGING, recomputed=review.recomputation).gates == review.gates

    def test_counts_in_a_decision_that_asks_for_it(self) -> None:
        """As a warning to accept; without asking, nothing is loaded."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.8}))
        with pytest.raises(WarningsNotAccepted, match="Claims hold when recomputed"):
            promote(desk, 1, Stage.STAGING, recompute=True)
        promote(desk, 1, Stage.STAGING)

    def test_nobody_asked(self) -> None:
        """No gate, no figures, no second that it takes."""
        review = build_desk(recomputer=KnownClaims(refusal=refused("It was asked."))).review(STAGING)

        assert "claims_recomputed" not in [gate.name for gate in review.gates]
        assert "recomputed" not in review.as_json()

    def test_a_policy_may_ask_every_time(self) -> None:
        """Then the gate binds decisions too, in the policy's mode."""
        policy = default_policy()
        rules = policy.moves[MoveKind.STAGING]
        gates = {**rules.gates, "claims_recomputed": GateRule(Mode.PREVENT)}
        strict = replace(policy, moves={**policy.moves, MoveKind.STAGING: replace(rules, gates=gates)})

        with pytest.raises(Blocked, match="1 of 627 stored predictions"):
            promote(build_desk(policy=strict, recomputer=KnownClaims(changed_rows=1)), 1, Stage.STAGING)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({}, "this desk loads no models"),
            ({"recomputer": KnownClaims(refusal=refused("It crashed"))}, "Not recomputed: It crashed."),
        ],
        ids=["no worker", "refused"],
    )
    def test_what_cannot_be_recomputed_says_why(self, options: dict[str, Any], sentence: str) -> None:
        """As a gate of the review; asked for by itself, it is the refusal."""
        desk = build_desk(**options)

        assert sentence in desk.review(STAGING, recompute=True).warnings[0].why
        with pytest.raises(Refused):
            desk.recompute(MODEL, 1)

    def test_files_that_are_gone(self) -> None:
        """Nothing to recompute with."""
        registry = small_registry(versions=0)
        registry.add_version(MODEL, files={})

        with pytest.raises(NotFound, match="files cannot be read"):
            build_desk(registry, recomputer=KnownClaims()).recompute(MODEL, 1)

    def test_a_registry_that_is_down_is_no_verdict(self) -> None:
        """Unavailable, not a failed gate."""
        desk = build_desk(recomputer=KnownClaims(refusal=Unavailable("gone")))

        with pytest.raises(Unavailable):
            desk.review(STAGING, recompute=True)
