"""The answer to many rows over HTTP, for models that say several things about each row."""

import json

import pyarrow as pa

from pipeline.governance.record.evidence import assemble
from pipeline.http_api import answers
from pipeline.http_api.answers import batch_text, counts
from pipeline.serving.predictions import PredictedColumns, Prediction, Resolved, Target
from pipeline.serving.trust import Trust, TrustState
from pipeline.validation.columns import Input, check_many
from pipeline.validation.schema import ColumnSchema, InputSchema
from support.desks import MODEL
from support.in_memory import InMemoryRegistry

LAYOUT = InputSchema((ColumnSchema("a", "number", "float64"),), "signature")
LABELS = ("0", "1")


def test_several_labels_of_each_row() -> None:
    """Each with its probability; there is no one class to count, or to be sure of."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    registry.add_version(MODEL, files={"MLmodel": b"flavors: {}"})
    record = registry.version(MODEL, 1)
    target = Target(
        Resolved(MODEL, 1),
        record,
        assemble(record, registry.files(record)),
        TrustState(Trust.TRUSTED, "d"),
        LAYOUT,
        classes=LABELS,
        names=LABELS,
    )
    checked = check_many(Input.of_rows([{"a": 1.0}, {"a": 2.0}], LAYOUT), LAYOUT)
    said = [{"0": 1, "1": 1}, {"0": 0, "1": 1}]
    table = pa.table({"prediction": pa.array(said), "0": [0.9, 0.2], "1": [0.8, 0.7]})
    found = PredictedColumns(target, LABELS, table, checked)

    rows = json.loads(batch_text(target, checked, found, ids=["first", "second"]))["rows"]

    assert [row["prediction_id"] for row in rows] == ["first", "second"]
    assert [row["prediction"] for row in rows] == said
    assert [row["probabilities"] for row in rows] == [{"0": 0.9, "1": 0.8}, {"0": 0.2, "1": 0.7}]
    assert [row["confidence"] for row in rows] == [None, None]
    assert counts(target, found) == {}
    prediction = Prediction(said[0], {"0": 0.9, "1": 0.8})
    assert answers.prediction(target, prediction, None, prediction_id="first").confidence is None
