"""Which version should serve: the order of those that wait, and the sentences that say why."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.lifecycle import MoveKind, Stage, parse_target
from pipeline.governance.policy import GateRule, Mode, MoveRules
from pipeline.governance.ports import Gap, MetricDifference
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.merit import ALIKE, BETTER, WORSE, Cost, Merit, warning_sentence
from support.decisions import champion, promote
from support.desks import (
    MODEL,
    KnownDifferences,
    KnownSmoke,
    OpenDesk,
    add_good_version,
    build_desk,
    default_policy,
    refused,
    worse,
)
from support.in_memory import InMemoryRegistry


def better(metric: str, by: float = 0.05) -> MetricDifference:
    """Distinguishably, of a metric of which more is better."""
    return MetricDifference(metric, by, by / 2, 2 * by, 627)


def alike(metric: str, by: float = 0.0) -> MetricDifference:
    return MetricDifference(metric, by, by - 0.1, by + 0.1, 627)


def beside(*differences: MetricDifference, latency: Cost | None = None, gap: Gap | None = None) -> Merit:
    """Version 4 beside version 1; the first metric is the primary one."""
    return Merit(4, 1, differences, differences[0] if differences else None, gap, latency)


class ByFile(KnownDifferences):
    """A comparer whose answer hangs on the candidate's file: its text is the difference in accuracy."""

    def compare(self, candidate: bytes, incumbent: bytes) -> list[MetricDifference]:
        by = float(candidate) - float(incumbent)
        found = MetricDifference("accuracy", by, by - 0.015, by + 0.015, 627)
        return [replace(found, metric=name) for name in ("f1_macro", "accuracy")]


def waiting_desk(*accuracies: float, serves: float | None = 0.9, **parts: Any) -> OpenDesk:
    """A champion, version 1, unless none serves; then a version in Staging for each accuracy."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for accuracy in (serves or 0.9, *accuracies):
        version = add_good_version(registry, accuracy=accuracy)
        registry.write_file(MODEL, version, "signoff/evaluation_rows.parquet", content=f"{accuracy}".encode())
        registry.set_stage(MODEL, version, Stage.STAGING)
    if serves is None:
        registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    else:
        registry.set_stage(MODEL, 1, Stage.PRODUCTION)
        registry.set_alias(MODEL, "champion", 1)
    return build_desk(registry, comparer=parts.pop("comparer", ByFile()), **parts)


@pytest.mark.parametrize(
    ("merit", "phrase", "overall"),
    [
        (beside(better("f1_macro"), better("accuracy")), "better than the champion in 2 of 2 metrics", BETTER),
        (
            beside(better("f1_macro"), worse("accuracy"), latency=Cost(51, 10)),
            "better than the champion in 1 of 2 metrics, but worse in accuracy and 5.1 times slower",
            BETTER,
        ),
        (
            beside(better("f1_macro"), better("r2"), latency=Cost(10, 51)),
            "better than the champion in 2 of 2 metrics and 5.1 times faster",
            BETTER,
        ),
        (
            beside(better("f1_macro"), worse("accuracy"), worse("f1_weighted"), worse("r2")),
            "better than the champion in 1 of 4 metrics, but worse in 3",
            BETTER,
        ),
        (beside(worse("f1_macro")), "worse than the champion in 1 of 1 metric and better in none", WORSE),
        (
            beside(alike("f1_macro"), worse("accuracy")),
            "worse than the champion in 1 of 2 metrics and better in none",
            WORSE,
        ),
        (beside(alike("f1_macro"), better("accuracy")), "better than the champion in 1 of 2 metrics", BETTER),
        (
            beside(alike("f1_macro"), latency=Cost(1, 30)),
            "not distinguishable from the champion in 1 metric and 30 times faster",
            ALIKE,
        ),
        (beside(alike("f1_macro"), latency=Cost(1.1, 1)), "not distinguishable from the champion in 1 metric", ALIKE),
        (beside(gap=Gap("not_compared", "Other rows.")), "not comparable with the champion", None),
    ],
)
def test_a_merit_in_words(merit: Merit, phrase: str, overall: str | None) -> None:
    """What speaks against a version is said as what speaks for it; the primary metric decides, then the number."""
    assert (merit.phrase(), merit.overall) == (phrase, overall)


def test_those_that_wait_are_in_order_of_merit() -> None:
    """Better than the champion, not told apart, worse; the best one is named with its reason."""
    found = waiting_desk(0.95, 0.89, 0.86, 0.97).waiting(MODEL, "accuracy")

    assert [each.version for each in found.contenders] == [5, 2, 3, 4]
    assert found.best is not None
    assert (found.best.version, found.best.model_type, found.left_out) == (5, "random_forest", 0)
    assert found.sentence == "Version 5 is better than the champion in 2 of 2 metrics; all gates pass."


def test_a_version_that_is_blocked_is_not_the_best() -> None:
    """It stands behind those that may be promoted, and says what blocks it."""
    desk = waiting_desk(0.84, 0.8, serves=0.7)
    promising = desk.waiting(MODEL, "accuracy")

    assert promising.best is None
    assert promising.sentence == (
        "No version that waits and passes its gates is better than the champion. "
        'Version 2 is better than the champion in 2 of 2 metrics; blocked by "Accuracy", not passed.'
    )
    add_good_version(desk.registry, accuracy=0.86)
    desk.registry.write_file(MODEL, 4, "signoff/evaluation_rows.parquet", content=b"0.69")
    desk.registry.set_stage(MODEL, 4, Stage.STAGING)
    assert [each.version for each in desk.waiting(MODEL, "accuracy").contenders] == [4, 2, 3]


def test_without_a_champion_the_best_by_the_primary_metric() -> None:
    """Nothing to compare with: the order is that of the metric as each version has it."""
    desk = waiting_desk(0.95, 0.97, 0.91, serves=None)
    found = desk.waiting(MODEL, "accuracy")
    unknown = desk.waiting(MODEL, "f1_macro")

    assert [each.version for each in found.contenders] == [3, 2, 4]
    assert found.sentence == (
        "No version serves. Version 3 has the best accuracy of those that wait, 0.9700; all gates pass."
    )
    assert unknown.best is None
    assert unknown.sentence == "No version serves. Version 4 waits; all gates pass."


def test_nothing_waits() -> None:
    """No sentence and no best one."""
    found = waiting_desk().waiting(MODEL, "accuracy")

    assert (found.contenders, found.best, found.sentence) == ((), None, "")


def test_of_a_loss_the_lowest_comes_first() -> None:
    """Which end is better follows the name; of many, those with the best logged metric are compared."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for loss in (0.5, 0.1, 0.9, 0.3, None, 0.7, 0.2):
        metrics = {} if loss is None else {"log_loss": loss}
        version = registry.add_version(MODEL, metrics=metrics, files={"MLmodel": b"x"})
        registry.set_stage(MODEL, version, Stage.STAGING)
    found = build_desk(registry).waiting(MODEL, "log_loss")

    assert [each.version for each in found.contenders] == [2, 7, 4, 1, 6]
    assert found.left_out == 2


@pytest.mark.parametrize("refusal", [InvalidInput("other rows"), NotFound("no rows")])
def test_a_version_that_cannot_be_compared_says_so(refusal: Exception) -> None:
    """It is not the best one, and the gap says why."""
    found = waiting_desk(0.95, comparer=KnownDifferences(refusal=refusal)).waiting(MODEL, "accuracy")
    (contender,) = found.contenders

    assert contender.merit is not None
    assert contender.merit.gap == Gap("not_compared", f"Not comparable on the same rows: {refusal}")
    assert (contender.merit.n, found.best) == (None, None)
    assert found.sentence.startswith("Version 2 is not comparable with the champion; 2 gates warn: ")


def test_a_champion_that_has_gone_is_not_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a version that has gone since it was listed."""
    desk = waiting_desk(0.95, 0.96)
    version = desk.registry.version

    def gone(model: str, number: int) -> object:
        if number in (1, 3):
            raise NotFound("gone")
        return version(model, number)

    monkeypatch.setattr(desk.registry, "version", gone)
    found = desk.waiting(MODEL, "accuracy")

    assert [(each.version, each.merit) for each in found.contenders] == [(2, None)]
    assert found.sentence == "Version 2 is not comparable with the champion; all gates pass."


def test_gates_that_load_a_model_are_left_to_the_review() -> None:
    """A look at many versions loads nothing and says which checks are still to be tried."""
    policy = default_policy()
    rules = policy.moves[MoveKind.PRODUCTION]
    gates = {**rules.gates, "smoke_prediction": GateRule(Mode.PREVENT)}
    strict = replace(policy, moves={**policy.moves, MoveKind.PRODUCTION: MoveRules(gates, rules.roles)})
    smoke = KnownSmoke(refusal=refused("never loaded"))
    found = waiting_desk(0.95, policy=strict, smoke=smoke).waiting(MODEL, "accuracy")

    assert smoke.asked == []
    assert found.sentence.endswith(f"all gates pass, still to be tried: {label_of('smoke_prediction')}.")


def test_a_policy_that_compares_nothing_keeps_its_order() -> None:
    """The differences are then asked for by themselves."""
    policy = default_policy()
    rules = replace(policy.moves[MoveKind.PRODUCTION], gates={})
    found = waiting_desk(0.95, policy=replace(policy, moves={**policy.moves, MoveKind.PRODUCTION: rules})).waiting(
        MODEL, "accuracy"
    )

    assert found.sentence == "Version 2 is better than the champion in 2 of 2 metrics; all gates pass."


def test_latency_and_size_are_those_of_both_or_of_none() -> None:
    """From the evaluation file or our pipeline's metric; measured on other processors, that is known."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for milliseconds, platform in [(5.0, "x"), (25.0, "x"), (10.0, "y")]:
        documents = {
            "evaluation": {"latency_ms": {"median": milliseconds}},
            "lineage": {"environment": {"platform": platform}},
        }
        registry.add_version(MODEL, files={"MLmodel": b"x"}, documents=documents)
    registry.add_version(MODEL, metrics={"latency_ms_median": 1.0}, files={})
    desk = build_desk(registry)

    def latency(version: int) -> Cost | None:
        return desk.merit(MODEL, version, 1, metric="accuracy").latency

    assert latency(2) == Cost(25.0, 5.0, same_machine=True)
    assert latency(3) == Cost(10.0, 5.0, same_machine=False)
    assert latency(4) == Cost(1.0, 5.0, same_machine=None)
    assert desk.merit(MODEL, 4, 1, metric="accuracy").size is None
    assert build_desk().merit(MODEL, 2, 1, metric="accuracy").latency is None


def test_rows_of_other_fingerprints_are_not_compared() -> None:
    """The fingerprints differ: there is no need to read the rows."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for letter in "ab":
        registry.add_version(
            MODEL, files={"MLmodel": b"x"}, documents={"evaluation": {"rows_fingerprint": letter * 64}}
        )
    found = build_desk(registry).merit(MODEL, 2, 1, metric="accuracy")

    assert found.gap is not None
    assert found.gap.name == "different_rows"


def test_a_move_that_only_makes_things_worse_says_so() -> None:
    """All gates pass, some metrics are worse and none is better; a blocked review and another move say nothing."""
    desk = build_desk(comparer=KnownDifferences([alike("f1_macro"), worse("accuracy")]))
    champion(desk, 1)
    promote(desk, 2, Stage.STAGING)
    review = desk.review(parse_target(MODEL, 2, "Production"))
    found = desk.merit(MODEL, 2, 1, metric="f1_macro")

    assert warning_sentence(review, found) == (
        "All gates pass, but no metric gets better: version 2 is worse than the champion in 1 of 2 metrics and better "
        "in none."
    )
    assert warning_sentence(review, None) is None
    assert warning_sentence(review, beside(better("accuracy"))) is None
    assert warning_sentence(desk.review(parse_target(MODEL, 2, "Archived")), found) is None
    assert warning_sentence(desk.review(parse_target(MODEL, 3, "Production")), found) is None


def test_a_warning_is_not_called_a_pass() -> None:
    """Where a check warns, none blocks."""
    desk = build_desk(comparer=KnownDifferences([worse("f1_macro")]))
    champion(desk, 1)
    promote(desk, 2, Stage.STAGING)
    sentence = warning_sentence(
        desk.review(parse_target(MODEL, 2, "Production")), desk.merit(MODEL, 2, 1, metric="f1_macro")
    )

    assert sentence is not None
    assert sentence.startswith("No gate blocks this, but no metric gets better: ")


def test_the_order_of_merit_is_json_for_other_tools() -> None:
    """With null for what is not known: no champion, nothing to compare with."""
    found = waiting_desk(0.95, 0.85).waiting(MODEL, "accuracy").as_json()
    alone = waiting_desk(0.95, serves=None).waiting(MODEL, "accuracy").as_json()
    first, second = found["waiting"]

    assert (found["champion"], found["metric"], found["best"], found["left_out"]) == (1, "accuracy", 2, 0)
    assert found["sentence"].startswith("Version 2 is better than the champion in 2 of 2 metrics")
    assert (first["version"], first["value"], first["open"], first["blocked_by"]) == (2, 0.95, True, [])
    assert first["merit"]["better"] == ["f1_macro", "accuracy"]
    assert first["merit"]["difference"]["metric"] == "accuracy"
    assert (first["merit"]["latency_ms"], first["merit"]["gap"]) == (None, None)
    assert first["merit"]["bytes"]["times"] > 0
    assert second["merit"]["overall"] == WORSE
    assert (alone["champion"], alone["waiting"][0]["merit"]) == (None, None)
