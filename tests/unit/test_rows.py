"""One validation of rows for form, file and command line: what is refused, in which words, and what only warns."""

import datetime as dt
import json
import math
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import parse_feature_schema
from pipeline.validation.rows import InvalidRows, check_columns, check_row, check_rows, columnar, parse_row
from pipeline.validation.schema import ColumnSchema, InputSchema, schema_of, schema_of_model, started_with
from pipeline.validation.values import Unfit, check_value

SCHEMA = {
    "columns": {
        "Weight": {
            "type": "number",
            "unit": "kg",
            "minimum": 25,
            "maximum": 260,
            "default": 80,
            "description": "Weight",
            "training": {"minimum": 39, "maximum": 173, "median": 80},
        },
        "FCVC": {"type": "number", "unit": "1 never to 3 always", "minimum": 1, "maximum": 3, "default": 2},
        "CAEC": {
            "type": "category",
            "categories": ["no", "Sometimes", "Frequently", "Always"],
            "default": "Sometimes",
            "training": {"counts": {"no": 4, "Sometimes": 100, "Frequently": 0, "Always": 3}},
        },
    }
}
SIGNATURE = {
    "inputs": [
        {"type": "double", "name": "price", "required": True},
        {"type": "float", "name": "weight", "required": True},
        {"type": "long", "name": "visits", "required": True},
        {"type": "integer", "name": "small", "required": False},
        {"type": "string", "name": "city", "required": True},
        {"type": "boolean", "name": "member", "required": True},
        {"type": "datetime", "name": "since", "required": False},
    ]
}
ISO = "ISO 8601, such as 2024-03-05 or 2024-03-05T14:30:00"
GOOD = {"Weight": 80, "FCVC": 2.5, "CAEC": "no"}
SIGNED = {"price": 1, "weight": 2.5, "visits": 3, "small": None, "city": "Rome", "member": True, "since": None}


def read_schema(document: object, signature: dict | None) -> InputSchema | None:
    return schema_of(parse_feature_schema(document), signature)


@pytest.fixture(scope="module")
def survey() -> InputSchema:
    found = read_schema(SCHEMA, None)
    assert found
    return found


@pytest.fixture(scope="module")
def signed() -> InputSchema:
    found = read_schema({}, SIGNATURE)
    assert found
    return found


def sentences(row, schema, **options) -> list[str]:
    return [problem.sentence for problem in check_row(row, schema, **options).problems]


def test_a_good_row_comes_back_typed(survey):
    """In the order of the columns; a whole number is taken for a number."""
    checked = check_row({"CAEC": "no", "Weight": 80, "FCVC": 2.5}, survey)
    assert (list(checked.values.items()), checked.problems, checked.warnings) == (
        [("Weight", 80.0), ("FCVC", 2.5), ("CAEC", "no")],
        (),
        (),
    )
    assert isinstance(checked.values["Weight"], float)


def test_text_of_a_form_or_file_is_read_as_what_the_column_holds(survey, signed):
    """Numbers with spaces around and exponents, true and false in any case."""
    assert check_row({"Weight": " 8e1 ", "FCVC": "+2.5", "CAEC": "no"}, survey, from_text=True).values == {
        "Weight": 80.0,
        "FCVC": 2.5,
        "CAEC": "no",
    }
    text = {
        **{name: str(value) for name, value in SIGNED.items()},
        "small": "",
        "since": " 2026-01-01 ",
        "visits": "3.0",
    }
    assert check_row(text, signed, from_text=True).values == {**SIGNED, "since": "2026-01-01T00:00:00"}


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("Weight", 500, "Weight: 500 is above 260 kg (allowed 25 to 260)"),
        ("Weight", -5, "Weight: -5 is below 25 kg (allowed 25 to 260)"),
        ("Weight", 24.999999, "Weight: 24.999999 is below 25 kg (allowed 25 to 260)"),
        ("FCVC", 5, "FCVC: 5 is above 3 (allowed 1 to 3)"),
        ("Weight", math.nan, "Weight: NaN is not a number (allowed 25 to 260)"),
        ("Weight", math.inf, "Weight: infinity is not a finite number (allowed 25 to 260)"),
        ("Weight", 10**400, "Weight: has more digits than a number can have here (allowed 25 to 260)"),
        ("Weight", "80", "Weight: '80' is text, not a number (allowed 25 to 260)"),
        ("Weight", "80.5", "Weight: '80.5' is text, not a number (allowed 25 to 260)"),
        ("Weight", True, "Weight: true is not a number (allowed 25 to 260)"),
        ("Weight", [80], "Weight: [80] is not a number (allowed 25 to 260)"),
        ("Weight", None, "Weight: is missing (allowed 25 to 260)"),
        ("Weight", "", "Weight: is missing (allowed 25 to 260)"),
        (
            "CAEC",
            "sometimes",
            "CAEC: 'sometimes' is not allowed; did you mean 'Sometimes'? (allowed no, Sometimes, Frequently, Always)",
        ),
        (
            "CAEC",
            "Always ",
            "CAEC: 'Always ' is not allowed; did you mean 'Always'? (allowed no, Sometimes, Frequently, Always)",
        ),
        ("CAEC", "xyz", "CAEC: 'xyz' is not allowed (allowed no, Sometimes, Frequently, Always)"),
        ("CAEC", False, "CAEC: false is not allowed (allowed no, Sometimes, Frequently, Always)"),
        ("CAEC", None, "CAEC: is missing (allowed no, Sometimes, Frequently, Always)"),
        ("CAEC", "a\nb\u202e", "CAEC: 'a\\nb\\u202e' is not allowed (allowed no, Sometimes, Frequently, Always)"),
    ],
)
def test_one_sentence_names_the_column_and_what_is_allowed(survey, column, value, sentence):
    """The same wherever the row came from."""
    assert sentences({**GOOD, column: value}, survey) == [sentence]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("80 kg", "Weight: '80 kg' is text, not a number (allowed 25 to 260)"),
        ("80,5", "Weight: '80,5' is text, not a number; write 80.5 (allowed 25 to 260)"),
        ("1_00", "Weight: '1_00' is text, not a number (allowed 25 to 260)"),
        ("٨٠", "Weight: '٨٠' is text, not a number (allowed 25 to 260)"),
        ("nan", "Weight: NaN is not a number (allowed 25 to 260)"),
        ("-Infinity", "Weight: infinity is not a finite number (allowed 25 to 260)"),
        ("1e400", "Weight: infinity is not a finite number (allowed 25 to 260)"),
        ("true", "Weight: 'true' is text, not a number (allowed 25 to 260)"),
        ("  ", "Weight: is missing (allowed 25 to 260)"),
    ],
)
def test_text_that_is_no_number(survey, value, sentence):
    """Python's own float() would take some of it."""
    assert sentences({"Weight": value, "FCVC": "2", "CAEC": "no"}, survey, from_text=True) == [sentence]


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("visits", 30.7, "visits: 30.7 is not a whole number"),
        (
            "visits",
            2.0**63,
            "visits: 9.223372037e+18 is too large (allowed -9223372036854775808 to 9223372036854775807)",
        ),
        ("small", 3e9, "small: 3000000000 is too large (allowed -2147483648 to 2147483647)"),
        ("weight", 1e39, "weight: 1e+39 is too large (allowed -3.4028235e+38 to 3.4028235e+38)"),
        ("city", 5, "city: 5 is not text"),
        ("city", "x" * 4001, "city: has more than 4,000 characters"),
        ("city", "\ud800", "city: has characters that are no text"),
        ("member", 1, "member: 1 is neither true nor false"),
        ("member", "yes", "member: 'yes' is neither true nor false"),
        ("since", 1709596800, f"since: 1709596800 is no date or time (allowed is text in {ISO})"),
        ("since", "3/5/2024", f"since: '3/5/2024' is neither a date nor a time in {ISO}"),
        ("since", "2024-02-30", "since: '2024-02-30' names no day or time that there is"),
        (
            "since",
            "9999-12-31",
            "since: '9999-12-31' lies outside of what a model can be given, 1677-09-22 to 2262-04-11",
        ),
        ("since", "NaT", f"since: 'NaT' is neither a date nor a time in {ISO}; for a missing value write null"),
        ("small", math.nan, "small: NaN is not a number; for a missing value write null"),
        ("price", None, "price: is missing"),
    ],
)
def test_without_a_schema_the_signature_decides(signed, column, value, sentence):
    """Its types only: it knows no ranges and no categories."""
    assert sentences({**SIGNED, column: value}, signed) == [sentence]


def test_missing_is_allowed_where_the_signature_says_so(signed):
    """And stays missing: nothing is filled in. Whole numbers with a gap travel as floats."""
    checked = check_row(SIGNED, signed)
    assert (checked.problems, checked.values["since"], checked.values["small"]) == ((), None, None)
    frame = columnar([checked.values], signed)
    assert dict(zip(frame["columns"], frame["dtypes"], strict=True)) == {
        "price": "float64",
        "weight": "float32",
        "visits": "int64",
        "small": "float64",
        "city": "str",
        "member": "bool",
        "since": "datetime64[ns]",
    }


def test_optional_columns_may_be_left_out(signed):
    """What the row then holds is what it holds with null; a column that is required is missing."""
    shorter = {name: value for name, value in SIGNED.items() if name not in {"small", "since"}}
    assert check_row(shorter, signed) == check_row(SIGNED, signed)
    assert check_rows([shorter, SIGNED], signed)[0].values == SIGNED
    assert not check_columns(shorter, signed)
    assert [each.sentence for each in check_columns([*shorter][1:], signed)] == ["price: is missing"]


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("2024-03-05", "2024-03-05T00:00:00"),
        ("2024-03-05 14:30", "2024-03-05T14:30:00"),
        ("2024-03-05T14:30:00.123456789", "2024-03-05T14:30:00.123456789"),
        ("2024-03-05T14:30:00.2500Z", "2024-03-05T14:30:00.25"),
        ("2024-03-05T01:30:00+02:00", "2024-03-04T23:30:00"),
        ("1969-12-31T23:59:59.5-0530", "1970-01-01T05:29:59.5"),
    ],
)
def test_times_are_iso_8601(signed, given_text, kept):
    """With an offset the same moment in UTC, without one as it is written, to the nanosecond."""
    for from_text in (True, False):
        assert check_value(given_text, signed.column("since"), from_text=from_text) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (dt.date(2024, 3, 5), "2024-03-05T00:00:00"),
        (dt.datetime.fromisoformat("2024-03-05T01:02:03.000004"), "2024-03-05T01:02:03.000004"),
        (dt.datetime(2024, 3, 5, 1, tzinfo=ZoneInfo("Europe/Berlin")), "2024-03-05T00:00:00"),
        (pd.Timestamp("2024-03-05T01:02:03.000000001"), "2024-03-05T01:02:03.000000001"),
    ],
)
def test_times_of_a_parquet_file(signed, value, kept):
    """As the same moment in text."""
    assert check_value(value, signed.column("since"), from_text=False) == kept


WHOLE, NUMBER = ColumnSchema("n", "integer", "int64"), ColumnSchema("n", "number", "float64")


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 1_700_000_000_123_456_789])
def test_whole_numbers_are_exact(number):
    """All of 64 bits, from JSON and from text, with or without a decimal point."""
    taken = [check_value(number, WHOLE, from_text=False)]
    taken += [check_value(text, WHOLE, from_text=True) for text in (str(number), f" {number}.0", f"{number}e0")]
    assert taken == [number] * 4
    schema = InputSchema((WHOLE,), "signature")
    assert json.loads(json.dumps(columnar([{"n": number}], schema)))["values"] == [[number]]


@pytest.mark.parametrize(
    ("value", "rule", "sentence"),
    [
        (2**53 + 1, NUMBER, "9007199254740993 has more digits than the column holds, whose nearest number is {near}"),
        ("9007199254740993", NUMBER, "9007199254740993 has more digits than the column holds, whose nearest number is"),
        (2**53 + 1, ColumnSchema("n", "any"), "9007199254740993 has more digits than the column holds"),
        (2**53 + 1, replace(WHOLE, required=False), "9007199254740993 has more digits than the column holds"),
        (2.0**60, WHOLE, "1.152921505e+18 is no whole number to its last digit; beyond 9007199254740992 write it"),
        ("9007199254740993.5", WHOLE, "9007199254740993.5 is not a whole number"),
        (2**63, WHOLE, "9223372036854775808 is too large (allowed -9223372036854775808 to 9223372036854775807)"),
    ],
)
def test_numbers_that_would_lose_digits_are_refused(value, rule, sentence):
    """One sentence; nothing is rounded in silence."""
    with pytest.raises(Unfit) as refused:
        check_value(value, rule, from_text=isinstance(value, str))
    assert str(refused.value).startswith(sentence.format(near=2**53))


@pytest.mark.parametrize("number", [2**53, 10**22, 1_700_000_000_123_456_800, 2**60])
def test_whole_numbers_that_a_double_holds_are_numbers(number):
    """Also as JavaScript writes a double: its shortest digits, filled up with zeros."""
    assert check_value(number, NUMBER, from_text=False) == float(number)


@pytest.mark.parametrize("text", ["1,234", "1,234,567", "12,345.67", "1.234,56", "0,125", "1 234", "1'234", "-1,000"])
def test_thousands_are_not_advised_away(text):
    """1,234 is more often a thousand than a bit more than one: nobody is told to write 1.234."""
    with pytest.raises(Unfit) as refused:
        check_value(text, NUMBER, from_text=True)
    assert str(refused.value) == (
        f"'{text}' is text, not a number; write a point before decimals and nothing between thousands"
    )


@pytest.mark.parametrize("word", ["NA", "n/a", "null", "None", "#N/A", "<NA>"])
def test_words_for_nothing(word):
    """In a text column they are words, such as a country's code; elsewhere one sentence says how nothing is given."""
    assert check_value(word, ColumnSchema("c", "text"), from_text=True) == word
    assert check_value(word, ColumnSchema("c", "category", categories=("NA", word)), from_text=True) == word
    with pytest.raises(Unfit, match="is text, not a number; for a missing value leave it empty"):
        check_value(word, replace(NUMBER, required=False), from_text=True)


@pytest.mark.parametrize(
    ("column", "takes"),
    [
        ({"type": "array", "items": {"type": "double"}}, "an array"),
        ({"type": "binary"}, "bytes"),
        ({"type": "map", "values": {"type": "string"}}, "a map"),
        ({"type": "object", "properties": {}}, "an object"),
        ({"type": "sparse_vector"}, "a sparse vector"),
        (
            {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 28, 28]}},
            "an array of shape (-1, 28, 28)",
        ),
    ],
)
def test_columns_that_cannot_be_given(column, takes):
    """Are told by column, whatever is sent for them; an optional one is left out."""
    schema = read_schema({}, {"inputs": [{**column, "name": "x"}]})
    why = f"x: takes {takes}, which cannot be given here"
    assert schema.refusals == (why,)
    assert sentences({"x": "1"}, schema) == sentences({"x": None}, schema) == sentences({}, schema) == [why]
    if column["type"] != "tensor":
        optional = read_schema({}, {"inputs": [{**column, "name": "x", "required": False}]})
        assert (optional.refusals, sentences({}, optional)) == ((why,), [])


def test_numbers_of_a_parquet_file(signed):
    """Decimals are numbers."""
    assert check_row({**SIGNED, "price": Decimal("1.5"), "since": Decimal(2)}, signed).values["price"] == 1.5


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"Wieght": 80, "FCVC": 2, "CAEC": "no"},
            [
                "Weight: is missing; is it the column 'Wieght'?",
                "Wieght: is not a column of this model; did you mean Weight?",
            ],
        ),
        ({**GOOD, "extra": 1}, ["extra: is not a column of this model"]),
        ({"Weight": 80, "CAEC": "no"}, ["FCVC: is missing"]),
    ],
)
def test_columns(survey, row, expected):
    """Missing and unknown ones, with the one that was probably meant."""
    assert sentences(row, survey) == expected


def test_columns_that_are_there_twice(survey):
    """In the header of a file."""
    found = check_columns(["Weight", "FCVC", "CAEC", "Weight"], survey)
    assert [each.sentence for each in found] == ["Weight: is there more than once"]


def test_values_that_the_training_did_not_hold_warn(survey):
    """And stop nothing."""
    checked = check_row({"Weight": 200, "FCVC": 3, "CAEC": "Frequently"}, survey)
    assert checked.problems == ()
    assert [each.sentence for each in checked.warnings] == [
        "Weight: 200 kg lies outside the training data (39 to 173)",
        "CAEC: 'Frequently' did not occur in the training data",
    ]


def test_several_rows_are_numbered_and_all_problems_told(survey):
    """The sentence of the error is the first one; `problems` has all."""
    with pytest.raises(InvalidRows) as caught:
        check_rows([GOOD, {**GOOD, "Weight": 1}, {**GOOD, "FCVC": 9}], survey)
    assert str(caught.value) == "row 2, Weight: 1 is below 25 kg (allowed 25 to 260) (and 1 more)"
    assert [(each.column, each.row) for each in caught.value.problems] == [("Weight", 2), ("FCVC", 3)]
    with pytest.raises(InvalidInput, match="there are none"):
        check_rows([], survey)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "row: is not valid JSON"),
        ("[1]", 'row: must be a JSON object such as {"Age": 24}'),
        ("[" * 100_000, "row: is not valid JSON"),
        ("1" * 5_000, "row: is not valid JSON"),
        (f'"{"x" * 2**20}"', "row: has more than 1,048,576 characters"),
        ('{"Weight": 1, "Weight": 2}', "Weight: is there more than once"),
    ],
)
def test_a_row_on_the_command_line(text, sentence):
    """Anything else than an object with different names is refused with one sentence."""
    with pytest.raises(InvalidInput) as caught:
        parse_row(text)
    assert str(caught.value).startswith(sentence)
    assert parse_row('{"Weight": 80}') == {"Weight": 80}


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.decimals()


@given(
    value=VALUES,
    kind=st.sampled_from(["number", "integer", "category", "text", "boolean", "datetime", "any", "unfit"]),
    text=st.booleans(),
)
def test_whatever_comes_is_taken_or_refused(value, kind, text):
    """What is taken can be sent as JSON; what is refused has a sentence."""
    rule = ColumnSchema("c", kind, categories=("a", "b") if kind == "category" else (), required=False)
    sentence = taken = None
    try:
        taken = check_value(value, rule, from_text=text)
    except Unfit as unfit:
        sentence = str(unfit)
    assert sentence is None or (sentence and "\n" not in sentence)
    json.dumps(taken, allow_nan=False)


# Where the rules come from


def test_a_schema_with_a_signature_takes_its_number_types():
    """A whole number stays one within the schema's range; columns that only the signature has are added."""
    signature = {"inputs": [{"type": "long", "name": "Weight", "required": True}, {"type": "string", "name": "more"}]}
    found = read_schema(SCHEMA, signature)
    assert found
    assert (found.source, found.names) == ("feature schema", ("Weight", "FCVC", "CAEC", "more"))
    weight = found.column("Weight")
    assert weight
    assert (weight.kind, weight.dtype, weight.maximum, weight.unit) == ("integer", "int64", 260, "kg")


@pytest.mark.parametrize(
    ("schema", "signature"),
    [
        ({}, None),
        ({"columns": []}, {}),
        ({"columns": {"a": 3}}, {"inputs": None}),
        ({"columns": None}, {"inputs": [3, {"type": "tensor"}]}),
    ],
)
def test_documents_that_say_nothing(schema, signature):
    """Are as if they were not there."""
    assert read_schema(schema, signature) is None


def test_a_broken_schema_says_what_it_can():
    """A column with unusable entries keeps its name."""
    found = read_schema(
        {"columns": {"a": {"type": "number", "minimum": "x", "unit": 5}, "b": {"type": "category"}}}, None
    )
    assert found
    assert [(each.kind, each.minimum, each.unit) for each in found.columns] == [("number", None, ""), ("any", None, "")]


def test_arrays_have_numbered_columns():
    """As a signature of a model that was fitted with an array has none."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}
    named = {"type": "tensor", "name": "x", "tensor-spec": {"dtype": "int64", "shape": [-1]}}
    assert [each.names for each in map(lambda s: read_schema({}, {"inputs": [s]}), (spec, named)) if each] == [  # noqa: C417
        ("0", "1", "2"),
        ("x",),
    ]


def test_columns_without_names_are_numbered():
    """As a frame that had none gives; a number as a name is that number."""
    unnamed = read_schema({}, {"inputs": [{"type": "double"}, {"type": "long", "required": False}]})
    numbered = read_schema({}, {"inputs": [{"type": "double", "name": 0}, {"type": "long", "name": 1}]})
    assert unnamed.names == numbered.names == ("0", "1")
    assert [rule.kind for rule in unnamed.columns] == ["number", "integer"]


def test_too_many_columns():
    """Are refused before anything is made of them."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 10**9]}}
    with pytest.raises(InvalidInput, match="columns; at most 2,000"):
        read_schema({}, {"inputs": [spec]})


def test_without_schema_and_signature_the_example_or_the_names_decide():
    """What the worker tells of the model; an example of whole numbers does not refuse others."""
    example = {"Age": [31], "Gender": ["Male"], "member": [True], "since": [None], "odd": 3}
    found = schema_of_model({"example": example, "columns": ["x"]})
    assert found
    assert [(each.name, each.kind, each.default) for each in found.columns] == [
        ("Age", "number", 31),
        ("Gender", "text", "Male"),
        ("member", "boolean", True),
        ("since", "any", None),
    ]
    names = schema_of_model({"example": {}, "columns": ["a", "b"]})
    assert names
    assert (names.names, names.source) == (("a", "b"), "model")
    assert schema_of_model({"example": {}, "columns": []}) is None


def test_an_example_gives_the_defaults_that_a_signature_has_not():
    """Its first row; a default of the schema stays."""
    columns = {"inputs": [{"name": "age", "type": "double"}, {"name": "note", "type": "string"}]}
    found = started_with(read_schema({}, columns), {"age": [31, 40], "note": [None, "x"], "other": [1]})  # type: ignore[arg-type]

    assert [(rule.name, rule.kind, rule.default) for rule in found.columns] == [
        ("age", "number", 31),
        ("note", "text", "x"),
    ]
    assert started_with(found, {"age": [7]}).columns[0].default == 31
    assert started_with(read_schema({}, columns), {"age": [5.31034068361703]}).columns[0].default == 5.31034  # type: ignore[arg-type]
