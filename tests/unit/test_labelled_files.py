"""A file with the truth in a column, and the template of a file."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison.comparer import PairedBootstrap
from pipeline.comparison.rows import Rows
from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.labelled import LabelledRows, labelled, labels, on_the_same_rows, truth_column
from pipeline.serving.batch.upload import score_upload, template
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.validation.schema import ColumnSchema, InputSchema
from support.desks import MODEL, build_desk
from support.served import POLICY, KnownWorker, registry_with_columns

COMPARER = PairedBootstrap(samples=200, seed=1, confidence=0.95)
ROWS = b"""Age,Gender,Visits,note,actual
30,Male,1,a,yes
31,Male,1,b,no
5,Male,1,c,yes
40,Female,2,d,maybe
99,Male,1,e,yes
"""


def upload(content: bytes = ROWS, *, name: str = "rows.csv", chunk_rows: int = 2) -> tuple[Target, Any]:
    service = build_desk(registry_with_columns())
    service.take_over()
    scorer = Scorer(service, KnownWorker(), POLICY)
    try:
        target = scorer.targets.target(MODEL)
        return target, score_upload(
            scorer, target, content, name=name, most_bytes=10_000, most_rows=100, chunk_rows=chunk_rows
        )
    finally:
        scorer.close()


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_a_file_with_the_truth_is_evaluated(chunk_rows: int) -> None:
    """On the rows that were predicted and have a known class; what is left out is counted and named."""
    target, done = upload(chunk_rows=chunk_rows)
    found = labelled(target, done.rows, "actual")
    evaluation: Any = COMPARER.evaluate(found.rows)

    assert done.rows.others == ("note", "actual")
    assert truth_column(target, done.rows.others) == "actual"
    assert found.lines.tolist() == [2, 3, 6]
    assert (found.left_out, found.first_left_out) == (1, "row 5, actual: 'maybe' is not allowed (allowed no, yes)")
    assert evaluation.n == 3
    assert evaluation.metrics["accuracy"].value == pytest.approx(2 / 3)
    assert evaluation.metrics["accuracy"].low < 2 / 3 < evaluation.metrics["accuracy"].high
    assert evaluation.metrics["log_loss"].value == pytest.approx(-(2 * np.log(0.8) + np.log(0.2)) / 3)
    assert evaluation.confusion.counts == ((0, 1), (0, 2))
    assert [each.name for each in evaluation.per_class] == ["no", "yes"]


def test_the_rows_outside_the_training_data_are_named() -> None:
    """By the line of the file and the column; the first rows and the predicted classes are there too."""
    _, done = upload()

    assert [(each.row, each.column) for each in done.rows.outside] == [(6, "Age")]
    assert done.rows.head.column_names == [
        "Age", "Gender", "Visits", "note", "actual", "prediction", "probability_no", "probability_yes",
    ]  # fmt: skip
    assert done.rows.head.num_rows == 4
    assert done.rows.prediction_counts == {"yes": 4}


def test_a_truth_of_another_kind_is_one_sentence() -> None:
    """It names the column, the first row and what is allowed."""
    target, done = upload()

    with pytest.raises(InvalidInput, match=r"note: no row has a truth that can be used \(row 2, note: 'a' is not"):
        labelled(target, done.rows, "note")


def test_parquet_keeps_its_types() -> None:
    """A truth in another type than text is read all the same, and rows go by their number."""
    frame = pd.read_csv(io.BytesIO(ROWS)).astype({"actual": "category"})
    target, done = upload(parquet(frame), name="rows.parquet")

    assert labelled(target, done.rows, "actual").lines.tolist() == [1, 2, 5]


def test_two_versions_are_compared_on_the_rows_that_both_predicted() -> None:
    """A row that one of them refused counts for neither."""
    actual, predicted = (np.array(each, dtype=object) for each in (["a", "b", "a"], ["a", "a", "a"]))
    rows = Rows({}, actual, predicted, (), np.empty((3, 0)))
    first, second = LabelledRows(rows, np.array([2, 3, 4]), 0, ""), LabelledRows(rows, np.array([3, 4, 9]), 0, "")
    ours, theirs = on_the_same_rows(first, second)

    assert ours.actual.tolist() == ["b", "a"]
    assert theirs.actual.tolist() == ["a", "b"]
    with pytest.raises(InvalidInput, match="no row was predicted by both versions"):
        on_the_same_rows(first, LabelledRows(rows, np.array([7, 8, 9]), 0, ""))


def test_numbers_have_errors_with_intervals() -> None:
    """The mean absolute error first of all, on as many rows as there are."""
    actual = np.linspace(0, 1, 50)
    found: Any = COMPARER.evaluate(Rows({}, actual, actual + 0.25, (), np.empty((50, 0))))

    assert found.n == 50
    assert found.metrics["mae"].value == pytest.approx(0.25)
    assert found.metrics["mae"].low <= 0.25 <= found.metrics["mae"].high
    assert found.confusion is None


@pytest.mark.parametrize(
    ("values", "shown"),
    [([1.0, 2.0], ["1", "2"]), ([0.5], ["0.5"]), ([True, False], ["True", "False"]), ([3, None], ["3", None])],
)
def test_classes_are_text(values: list[Any], shown: list[str | None]) -> None:
    """As a model names them, whatever the type of the column that holds them."""
    import pyarrow as pa

    assert labels(pa.array(values)).to_pylist() == shown


def test_the_template_is_a_file_that_is_taken() -> None:
    """Its one row has the defaults; of a version that says less, the example; what nobody knows stays empty."""
    target, _ = upload()
    content = template(input_schema(target), target.example)
    _, done = upload(content)

    assert content.decode().splitlines()[0] == "Age,Gender,Visits"
    assert done.result.scored == 1
    bare = InputSchema((ColumnSchema("a", "any"), ColumnSchema("b", "any"), ColumnSchema("c", "text")), "signature")
    assert template(bare, {"a": [4], "b": ["=x"], "c": ["y"]}) == b"a,b,c\n4,'=x,y\n"
    assert template(bare, None) == b"a,b,c\n,,\n"


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()
