"""Evidence: complete, finite, with a digest that tells any change."""

import json
from dataclasses import replace

import pytest

from pipeline.adapters.mlflow.logged_models import Link, Logged, LoggedMetric, Own
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import File, Gap, ModelFiles
from pipeline.governance.record.documents import entry_of, number
from pipeline.governance.record.evidence import Evidence, Metric, assemble, finite, manifest_digest
from support.desks import MODEL, add_good_version, build_desk, small_registry
from support.in_memory import InMemoryRegistry


def evidence_of(registry: InMemoryRegistry, version: int = 1) -> Evidence:
    return build_desk(registry).show(MODEL, version)


def test_the_text_is_canonical_json_and_the_digest_its_sha256() -> None:
    """The same content gives the same digest."""
    first, second = evidence_of(small_registry()), evidence_of(small_registry())

    assert first.digest == second.digest
    assert json.loads(first.text) == first.content


@pytest.mark.parametrize(
    "change",
    [
        lambda registry: registry.write_file(MODEL, 1, "model.skops", content=b"other"),
        lambda registry: registry.set_alias(MODEL, "shadow", 1),
        lambda registry: registry.set_tags(MODEL, 1, {"owner": "mallory"}),
        lambda registry: registry.set_stage(MODEL, 1, Stage.STAGING),
    ],
    ids=["a file", "an alias", "a tag", "the stage"],
)
def test_any_change_of_what_is_shown_changes_the_digest(change) -> None:
    """Stale evidence can be told from fresh."""
    registry = small_registry()
    before = evidence_of(registry).digest
    change(registry)

    assert before != evidence_of(registry).digest


def test_mirror_tags_do_not_change_the_digest() -> None:
    """A decision writes them, and must not make its own evidence stale."""
    registry = small_registry()
    before = evidence_of(registry).digest
    registry.set_tags(MODEL, 1, {"signoff.sequence": "7"})

    assert before == evidence_of(registry).digest


def test_lost_files_are_a_gap() -> None:
    """The page says so; nothing is invented."""
    registry = small_registry(versions=0)
    registry.add_version(MODEL, metrics={"accuracy": 0.9})
    found = evidence_of(registry)

    assert found.file_digest is None
    assert found.gaps == (Gap("files", "files: those of version 1 are gone"),)


def test_a_metric_comes_from_the_evaluation_file_with_its_interval() -> None:
    """The file digest covers that file; the run can be written again."""
    assert evidence_of(small_registry()).metric("accuracy") == Metric("accuracy", 0.91, 0.89, 0.93, 627)


def test_a_metric_of_a_foreign_version_comes_from_its_run() -> None:
    """Bounds where the run has them, None where it has not, and bounds are no metrics of their own."""
    registry = small_registry(versions=0)
    registry.add_version(MODEL, metrics={"accuracy": 0.9, "accuracy_low": 0.88, "loss": 0.3}, files={"MLmodel": b"x"})
    found = evidence_of(registry)

    assert found.metrics() == [Metric("accuracy", 0.9, 0.88), Metric("loss", 0.3)]
    assert found.metric("recall") is None


def test_a_run_that_contradicts_the_evaluation_file_is_a_gap() -> None:
    """Somebody wrote the metric again after registration."""
    registry = small_registry(versions=0)
    add_good_version(registry, accuracy=0.91)
    record = registry.version(MODEL, 1)
    forged = replace(record, row=replace(record.row, metrics={"accuracy": 0.99}))
    found = assemble(forged, registry.files(record))

    text = "accuracy: the run says 0.9900, the model's evaluation file says 0.9100."
    assert Gap("metrics_differ", text) in found.gaps


def test_documents_of_a_wrong_shape_are_treated_as_missing() -> None:
    """A stranger's file may hold anything."""
    registry = small_registry(versions=0)
    documents = {"evaluation": ["no object"], "feature_schema": "text"}
    registry.add_version(MODEL, files={"MLmodel": b"x"}, documents=documents)
    found = evidence_of(registry)

    assert (found.document("evaluation"), found.document("feature_schema")) == ({}, {})
    assert found.metrics() == []


def test_what_is_not_finite_or_too_deep_becomes_null_and_a_gap() -> None:
    """Canonical JSON has no NaN, and a screen nothing to show for it."""
    deep: list = []
    for _ in range(60):
        deep = [deep]
    content, gaps = finite({"a": {"b": float("nan")}, "c": [1.0, float("inf")], "d": deep, "e": "text"})

    assert (content["a"], content["c"], content["e"]) == ({"b": None}, [1.0, None], "text")
    assert [gap.name for gap in gaps] == ["not_finite", "not_finite", "too_deep"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (0.5, 0.5), (True, None), ("1", None), (float("nan"), None), (None, None), (10**400, None)],
)
def test_only_finite_numbers_are_numbers(value: object, expected: float | None) -> None:
    """True is no 1."""
    assert expected == number(value)


def test_a_path_through_what_is_no_object_is_empty() -> None:
    """No KeyError, no TypeError."""
    assert entry_of({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}
    assert entry_of({"a": [1]}, "a", "b") == {}


def test_the_manifest_digest_covers_names_and_bytes() -> None:
    """Renaming, adding or changing a file changes it; the order does not."""
    a, b = File("a", 1, "1" * 64), File("b", 1, "2" * 64)

    assert manifest_digest([a, b]) == manifest_digest([b, a])
    assert (
        len({manifest_digest(files) for files in ([a], [a, b], [replace(a, path="c")], [replace(a, sha256="3" * 64)])})
        == 4
    )


def test_no_files_at_all_have_no_digest() -> None:
    """An empty folder proves nothing."""
    registry = small_registry()
    found = assemble(registry.version(MODEL, 1), ModelFiles(files=()))

    assert found.file_digest is None


def test_the_subject_identifies_a_version_for_good() -> None:
    """Numbers are given out again after a deletion; bytes and times are not."""
    subject = evidence_of(small_registry()).subject()

    assert set(subject) == {"model", "version", "model_id", "created_at", "run_id", "source", "file_digest"}


def test_the_dataset_of_a_metric_is_evidence():
    """Where one was named it is kept and shown; evidence without any has the content, and the digest, of before."""
    registry = InMemoryRegistry()
    registry.add_model("m")
    link = Link("m-1", "1", "model")
    logged = Logged([LoggedMetric("accuracy", 1, 0, 0.7, "test (d1)"), LoggedMetric("loss", 1, 0, 0.2)])
    registry.add_version("m", run_id="1", own=Own(link, logged, [link]))
    registry.add_version("m", run_id="1", metrics={"accuracy": 0.7})

    with_dataset, without = (assemble(registry.version("m", number), None) for number in (1, 2))

    assert with_dataset.content["datasets"] == {"accuracy": "test (d1)"}
    assert [(each.name, each.dataset) for each in with_dataset.metrics()] == [("accuracy", "test (d1)"), ("loss", "")]
    assert "datasets" not in without.content
    assert without.metric("accuracy") == Metric("accuracy", 0.7)
