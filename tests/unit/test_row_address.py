"""A row in the address: short, exact, and checked as every other row is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.governance.errors import InvalidInput
from pipeline.validation.row_address import MOST_CHARACTERS, row_of_text, row_text
from pipeline.validation.rows import Row, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema

SCHEMA = InputSchema(
    (
        ColumnSchema("Weight", "number", "float64", minimum=25, maximum=260, default=80.0),
        ColumnSchema("Visits", "integer", "int64", default=1),
        ColumnSchema("CAEC", "category", "str", categories=("no", "Always"), default="no"),
        ColumnSchema("Smokes", "boolean", "bool", default=True),
        ColumnSchema("Note", "text", "str", required=False),
    ),
    "feature schema",
)
DEFAULTS: Row = {"Weight": 80.0, "Visits": 1, "CAEC": "no", "Smokes": True, "Note": None}


def test_only_what_differs_is_named():
    """The defaults are an address without a row; a whole number needs no point."""
    assert row_text(DEFAULTS, SCHEMA) == ""
    assert row_text({**DEFAULTS, "Weight": 95.0, "CAEC": "Always"}, SCHEMA) == '{"Weight":95,"CAEC":"Always"}'


@given(
    st.floats(25, 260),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
)
def test_what_was_written_is_read_again(weight, visits, smokes, note):
    """To the last digit; a text that is nothing but space is a missing value in a form."""
    row = check_row({**DEFAULTS, "Weight": weight, "Visits": visits, "Smokes": smokes, "Note": note}, SCHEMA).values
    text = row_text(row, SCHEMA)
    again = check_row({**DEFAULTS, **(row_of_text(text, SCHEMA) if text else {})}, SCHEMA)

    assert again.values == row


def test_a_row_that_is_too_long_is_left_out():
    """Nothing is cut: half a row would be another row."""
    assert row_text({**DEFAULTS, "Note": "x" * MOST_CHARACTERS}, SCHEMA) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "row: is not valid JSON"),
        ("[1]", "row: must be a JSON object"),
        ('{"Weight":900}', "Weight: 900 is above 260 (allowed 25 to 260)"),
        ('{"Weight":"<script>"}', "Weight: '<script>' is text, not a number"),
        ('{"Wieght":90}', "Wieght: is not a column of this model; did you mean Weight?"),
        ('{"Weight":90,"Weight":91}', "Weight: is there more than once"),
        ('{"CAEC":{"a":[1]}}', "CAEC: "),
        ('{"Weight":null}', "Weight: is missing"),
        (json.dumps({"Note": "x" * MOST_CHARACTERS}), "the row: has more than 1,500 characters"),
        ("[" * 1_400, "row: is not valid JSON"),
    ],
)
def test_an_address_may_be_anything(text, sentence):
    """The first thing that is wrong is said in one sentence."""
    with pytest.raises(InvalidInput) as refused:
        row_of_text(text, SCHEMA)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
