"""Rows against the feature schema."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import parse_feature_schema
from pipeline.settings import read_settings
from pipeline.training.clean import clean_rows, feature_schema
from pipeline.training.data import generate_sample
from pipeline.validation.columns import Input, check_many
from pipeline.validation.schema import schema_of

SCHEMA = read_settings(environ={}).schema_


@pytest.fixture
def rows() -> pd.DataFrame:
    return generate_sample(40, seed=3)


def test_clean_rows_pass_unchanged(rows):
    """Rows that meet the schema come back equal, and the report names no column."""
    cleaned, report = clean_rows(rows, SCHEMA)

    pd.testing.assert_frame_equal(cleaned, rows, check_dtype=False)
    assert report["columns"] == {}
    assert report["rows_used"] == 40


def test_numbers_outside_the_range_are_clipped_and_counted(rows):
    """A number below the minimum or above the maximum becomes the end of the range."""
    rows.loc[0, "Age"], rows.loc[1, "Age"], rows.loc[2, "Age"] = 3, 150, np.inf

    cleaned, report = clean_rows(rows, SCHEMA)

    assert cleaned["Age"].head(3).tolist() == [10, 100, 100]
    assert report["columns"]["Age"]["below_minimum"] == 1
    assert report["columns"]["Age"]["above_maximum"] == 2


def test_unknown_categories_become_the_default(rows):
    """An unknown category is replaced by the default, and the report quotes it."""
    rows.loc[0, "MTRANS"] = "Rocket"

    cleaned, report = clean_rows(rows, SCHEMA)

    assert cleaned.loc[0, "MTRANS"] == "Public_Transportation"
    assert report["columns"]["MTRANS"] == {"unknown": {"Rocket": 1}, "default": "Public_Transportation"}


def test_what_training_uses_is_what_the_version_accepts(rows):
    """Repaired rows pass the check of rows that a form, a file and HTTP share, as the version's own schema has it."""
    rows.loc[0, "Age"], rows.loc[1, "MTRANS"], rows.loc[2, "Height"] = 3, "Rocket", None
    cleaned, _ = clean_rows(rows, SCHEMA)
    schema = schema_of(parse_feature_schema(feature_schema(SCHEMA, cleaned)), None)

    checked = check_many(Input.of_table(pa.Table.from_pandas(cleaned), schema), schema)  # type: ignore[arg-type]

    assert checked.usable.all()
    assert not checked.out_of_range.any()


@pytest.mark.parametrize(("column", "default"), [("Height", 1.70), ("CALC", "Sometimes")])
def test_missing_values_become_the_default(rows, column, default):
    """A missing value is replaced by the column's default and counted."""
    rows.loc[5, column] = None

    cleaned, report = clean_rows(rows, SCHEMA)

    assert cleaned.loc[5, column] == default
    assert report["columns"][column]["missing"] == 1


def test_rows_without_a_valid_target_are_dropped(rows):
    """A missing or unknown class cannot be learned from: the row goes, and the report says how many went."""
    rows["NObeyesdad"] = rows["NObeyesdad"].astype(object)
    rows.loc[0, "NObeyesdad"], rows.loc[1, "NObeyesdad"] = None, "Giant"

    cleaned, report = clean_rows(rows, SCHEMA)

    assert len(cleaned) == 38
    assert report["dropped"] == {"missing_target": 1, "unknown_target": 1, "duplicates": 0}


def test_exact_duplicates_are_dropped(rows):
    """The same answers twice count once, also when they differ in a column that is ignored."""
    doubled = pd.concat([rows, rows.head(3)], ignore_index=True).assign(row_number=range(43))

    cleaned, report = clean_rows(doubled, SCHEMA)

    assert len(cleaned) == 40
    assert report["dropped"]["duplicates"] == 3
    assert report["extra_columns"] == ["row_number"]


def test_whole_numbers_become_floats(rows):
    """A column of whole numbers, also as text, is read as numbers: MLflow's signature asks for doubles."""
    rows["Age"] = rows["Age"].round().astype(int).astype(str)

    cleaned, _ = clean_rows(rows, SCHEMA)

    assert cleaned["Age"].dtype == np.float64


def test_missing_column_stops(rows):
    """A missing column is refused with its name, what was found and what is allowed."""
    with pytest.raises(InvalidInput, match=r"column SMOKE: is missing; found Gender, .*; allowed are Gender, "):
        clean_rows(rows.drop(columns="SMOKE"), SCHEMA)


def test_text_for_numbers_stops(rows):
    """Text in a number column is refused with the column, the text and the range."""
    rows["Weight"] = rows["Weight"].astype(object)
    rows.loc[4, "Weight"] = "heavy"

    with pytest.raises(
        InvalidInput, match=r"column Weight: found 'heavy' in 1 rows; allowed are numbers from 25 to 260"
    ):
        clean_rows(rows, SCHEMA)


def test_categories_that_are_all_unknown_stop(rows):
    """A category column of another code book is refused instead of being replaced whole."""
    rows["SMOKE"] = [0, 1] * 20

    with pytest.raises(InvalidInput, match=r"column SMOKE: found only 0, 1; allowed are no, yes"):
        clean_rows(rows, SCHEMA)


def test_no_known_class_stops(rows):
    """A file of another problem is refused with its classes and the known ones."""
    rows["NObeyesdad"] = "cat"

    with pytest.raises(InvalidInput, match=r"column NObeyesdad: no row has a known class; found 'cat'; allowed are"):
        clean_rows(rows, SCHEMA)


def test_feature_schema_document(rows):
    """The document has each column with its settings and what the training rows hold."""
    document = feature_schema(SCHEMA, rows)

    assert list(document["columns"]) == list(SCHEMA.columns)
    assert document["columns"]["Age"]["unit"] == "years"
    assert document["columns"]["Age"]["training"]["maximum"] == rows["Age"].max()
    assert document["columns"]["SMOKE"]["training"]["counts"]["yes"] == (rows["SMOKE"] == "yes").sum()
    assert document["target"]["classes"] == SCHEMA.target.classes


def test_repaired_rows_meet_the_schema(rows):
    """Whatever was found in them, the rows that come out are complete, inside their ranges and of known categories."""
    rows.loc[0, ["Age", "Height"]] = [np.inf, None]
    rows.loc[1, ["MTRANS", "CALC"]] = ["Rocket", None]
    rows.loc[2, "Weight"] = -1

    cleaned, _ = clean_rows(rows, SCHEMA)

    assert list(cleaned.columns) == [*SCHEMA.columns, SCHEMA.target.name]
    assert all(cleaned[name].between(column.minimum, column.maximum).all() for name, column in SCHEMA.numbers.items())
    assert all(cleaned[name].isin(column.categories).all() for name, column in SCHEMA.categories.items())
    assert {str(cleaned[name].dtype) for name in SCHEMA.numbers} == {"float64"}
    assert {str(cleaned[name].dtype) for name in [*SCHEMA.categories, SCHEMA.target.name]} == {"str"}
