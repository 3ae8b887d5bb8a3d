"""Many rows checked at once: the verdict, the values and the warnings are those of one row after the other."""

import datetime as dt
import json
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.validation.columns import JSON, Input, check_many
from pipeline.validation.rows import check_row, columnar
from pipeline.validation.schema import ColumnSchema, InputSchema
from pipeline.validation.values import written_moment
from support.soak import amount

NUMBERS = [
    "80",
    "-5",
    "+2.5",
    "8e1",
    " 80 ",
    "5.",
    ".5",
    "1e39",
    "1e400",
    "nan",
    "-Infinity",
    "1_0",
    "\u0668\u0660",
    "80,5",
    "0x10",
    "9007199254740993",
    "-9007199254740993",
    "9007199254740992",
    "9007199254740993.0",
    "9.007199254740993e15",
    "1700000000123456800",
    "9223372036854775807",
    "9223372036854775808",
    "1,234",
]
MOMENTS = [
    "2024-03-05",
    "2024-03-05T14:30",
    "2024-03-05 14:30:00.123456789",
    "2024-03-05T14:30:00+02:00",
    "2024-03-05T14:30:00Z",
    "2024-02-30",
    "9999-12-31",
    "1677-09-21",
    "1700-01-01T00:00:00.5",
    "2024-03-05T14:30:00.1234567890",
    "3/5/2024",
]
BLANKS = ["", " ", "\t", "\u00a0", "\u2003", "\x1c", "\u200b"]
WORDS = ["no", "NO", "Sometimes", "true", "FALSE", "True", "Trüe", "x" * 4_001, "\u0416", "=1", "a\nb"]
TEXT = st.sampled_from(NUMBERS + MOMENTS + BLANKS + WORDS) | st.floats(allow_nan=False).map(repr) | st.text(max_size=5)
PLAIN = st.none() | st.floats() | st.integers() | st.booleans() | TEXT
LARGE = [2**53, 2**53 + 1, -(2**53) - 1, 1_700_000_000_123_456_800, 2**63 - 1, 2**63, float(2**53), 2.0**60]
ODD = st.sampled_from(
    [
        Decimal("1.5"),
        [1],
        {"a": 1},
        "\ud800",
        10**400,
        dt.date(2024, 3, 5),
        dt.datetime(2024, 3, 5, tzinfo=dt.UTC),
        *LARGE,
    ]
)
CLOSE_TO = st.sampled_from(
    [10.0, 10.000000001, 10.0000000000001, 9.999999999999, 100.00000001, 100.0 + 1e-9, 30.5, 500.0]
)
RULES = [
    ColumnSchema("limited", "number", "float64", minimum=1, maximum=400, lowest=10, highest=100),
    ColumnSchema("free", "number", "float32", required=False),
    ColumnSchema("whole", "integer", "int64", lowest=-3, highest=3),
    ColumnSchema("small", "integer", "int32", required=False),
    ColumnSchema("kind", "category", "str", categories=("no", "Sometimes", "", " "), unseen=("Sometimes",)),
    ColumnSchema("other", "category", "str", categories=("no", "5"), required=False),
    ColumnSchema("words", "text", "str"),
    ColumnSchema("remark", "text", "str", required=False),
    ColumnSchema("yes", "boolean", "bool"),
    ColumnSchema("maybe", "boolean", "bool", required=False),
    ColumnSchema("some", "any"),
    ColumnSchema("thing", "any", required=False),
    ColumnSchema("id", "integer", "int64"),
    ColumnSchema("other id", "integer", "int64", required=False),
    ColumnSchema("when", "datetime", "datetime64[ns]"),
    ColumnSchema("until", "datetime", "datetime64[ns]", required=False),
    ColumnSchema("list", "unfit", required=False, takes="an array"),
]
LAYOUT = InputSchema(tuple(RULES), "signature")
GOOD = {
    "limited": 30.5, "free": 1.0, "whole": 2, "small": 5, "kind": "no", "other": "5", "words": "Rome", "remark": "x",
    "yes": True, "maybe": False, "some": 2.5, "thing": "y", "id": 7, "other id": 8, "when": "2024-03-05", "until": None,
    "list": None,
}  # fmt: skip


def same(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other


def agrees(found, rows, *, from_text: bool) -> None:
    """The promise of this file."""
    expected = [check_row(row, LAYOUT, from_text=from_text, row=number) for number, row in enumerate(rows, start=7)]
    assert found.usable.tolist() == [not each.problems for each in expected]
    assert found.problems == {place: each.problems for place, each in enumerate(expected) if each.problems}
    fine = [each for each in expected if not each.problems]
    assert [found.warnings(place) for place, each in enumerate(expected) if not each.problems] == [
        each.warnings for each in fine
    ]
    assert found.out_of_range.sum() == sum(bool(each.warnings) for each in fine)
    wanted = columnar([each.values for each in fine], LAYOUT)
    for position, (name, dtype) in enumerate(zip(wanted["columns"], wanted["dtypes"], strict=True)):
        values = found.values.column(position).to_pylist()
        if found.dtypes[position] == JSON:
            values = [json.loads(value) for value in values]
        else:
            assert found.dtypes[position] == dtype
        assert found.values.schema.names[position] == name
        if dtype == "datetime64[ns]":
            values = [None if value is None else written_moment(value) for value in values]
        assert all(map(same, values, wanted["values"][position])), (name, values, wanted["values"][position])


def rows_of(cells) -> st.SearchStrategy:
    """Mostly good rows with one or two other cells, so that each kind of column decides."""
    changed = st.dictionaries(st.sampled_from(LAYOUT.names), cells, max_size=2)
    return st.lists(changed, min_size=1, max_size=12)


@settings(max_examples=amount(100, soak=300), deadline=None)
@given(rows_of(TEXT))
def test_text_from_a_file(changes):
    """As in CSV, every cell is text."""
    good = {name: "" if value is None else str(value) for name, value in GOOD.items()}
    rows = [{**good, **change} for change in changes]
    table = pa.table({name: pa.array([row[name] for row in rows], type=pa.string()) for name in LAYOUT.names})
    found = check_many(Input.of_table(table, LAYOUT), LAYOUT, from_text=True, numbers=range(7, 7 + len(rows)))
    agrees(found, rows, from_text=True)


@settings(max_examples=amount(100, soak=300), deadline=None)
@given(rows_of(PLAIN | ODD | CLOSE_TO), st.booleans())
def test_values_of_any_type(changes, from_text):
    """As JSON has them, columns missing or unknown in some rows included."""
    rows = [{**GOOD, **change} for change in changes]
    if changes[0] and len(rows) > 1:
        rows[0] = {name: value for name, value in rows[0].items() if name not in changes[0]} | {"unknown": 1}
    found = check_many(Input.of_rows(rows, LAYOUT), LAYOUT, from_text=from_text, numbers=range(7, 7 + len(rows)))
    agrees(found, rows, from_text=from_text)


FLOATS = st.none() | st.floats() | CLOSE_TO
COLUMNS = {
    pa.float64(): FLOATS,
    pa.float32(): st.none() | st.floats(width=32),
    pa.int64(): st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 200),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int8(): st.none() | st.integers(-128, 127),
    pa.bool_(): st.none() | st.booleans(),
    pa.string(): st.none() | TEXT,
    pa.large_string(): TEXT,
    pa.string_view(): st.none() | TEXT,
    pa.dictionary(pa.int8(), pa.string()): st.none() | st.sampled_from(["no", "Sometimes", "80", ""]),
    pa.decimal128(5, 1): st.none() | st.sampled_from([Decimal("1.5"), Decimal(3)]),
    pa.null(): st.none(),
    pa.list_(pa.int8()): st.just([1]),
    pa.dictionary(pa.int8(), pa.int64()): st.none() | st.sampled_from([5, 80, 2**53 + 1]),
    pa.date32(): st.none() | st.dates(),
    pa.date64(): st.dates(),
    pa.timestamp("s"): st.none() | st.integers(-62_135_596_800, 10**11),  # from the year 1, where Python's times begin
    pa.timestamp("us", tz="Europe/Berlin"): st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    pa.timestamp("ns"): st.integers(-(2**63) + 1, 2**63 - 1),
    pa.time64("us"): st.times(),
    pa.duration("s"): st.just(dt.timedelta(seconds=1)),
}


@settings(max_examples=amount(100, soak=200), deadline=None)
@given(st.data())
def test_typed_columns(data):
    """As Parquet has them, one column after the other of every type."""
    count = data.draw(st.integers(1, 6))
    name, kind = data.draw(st.sampled_from(LAYOUT.names)), data.draw(st.sampled_from(list(COLUMNS)))
    cells = data.draw(st.lists(COLUMNS[kind], min_size=count, max_size=count))
    columns = {each: pa.array([value] * count) for each, value in GOOD.items()}
    columns[name] = pa.array(cells, type=kind)
    table = pa.table(columns)
    found = check_many(Input.of_table(table, LAYOUT), LAYOUT, numbers=range(7, 7 + count))
    agrees(found, table.to_pylist(), from_text=False)


def test_columns_that_need_not_be_there():
    """A table without an optional column has the values that it would have with nulls in it."""
    schema = InputSchema(
        (ColumnSchema("a", "number", "float64"), ColumnSchema("b", "text", "str", required=False)), "signature"
    )
    without, nulls = pa.table({"a": [1.0, 2.0]}), pa.table({"a": [1.0, 2.0], "b": pa.nulls(2, pa.string())})
    found = [check_many(Input.of_table(table, schema), schema) for table in (without, nulls)]
    rows = check_many(Input.of_rows([{"a": 1.0}, {"a": 2.0, "b": None}], schema), schema)
    assert found[0].values.equals(found[1].values)
    assert found[0].values.equals(rows.values)
    assert (found[0].dtypes, rows.usable.all()) == (found[1].dtypes, True)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.string()])
def test_identifiers_are_exact_and_cost_no_row(kind):
    """A whole column beyond 2**53 is read at once, to its last digit."""
    schema = InputSchema((ColumnSchema("id", "integer", "int64"),), "signature")
    numbers = [2**53 + 1, 2**62 + 3, 5]
    table = pa.table({"id": pa.array([str(each) for each in numbers] if kind == pa.string() else numbers, type=kind)})

    def never(_position):
        raise AssertionError

    given_cells = Input({"id": table.column("id").combine_chunks()}, 3, never)
    found = check_many(given_cells, schema, from_text=kind == pa.string())
    assert found.values.column("id").to_pylist() == numbers


def test_columns_in_pieces_and_other_columns():
    """Chunked as they come from a file, in another order, with one that is nobody's."""
    column = pa.chunked_array([["2", "3"], ["x"]])
    table = pa.table({"id": column, "b": column, "a": column})
    schema = InputSchema((ColumnSchema("a", "number", "float64"), ColumnSchema("b", "text", "str")), "signature")
    found = check_many(Input.of_table(table, schema), schema, from_text=True)
    assert found.values.to_pydict() == {"a": [2.0, 3.0], "b": ["2", "3"]}
    assert [problem.sentence for problem in found.problems[2]] == ["a: 'x' is text, not a number"]


def test_good_rows_are_never_looked_at_one_by_one():
    """What is surely fine costs no Python object."""
    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    schema = InputSchema((ColumnSchema("a", "number", "float64"), ColumnSchema("b", "text", "str")), "signature")

    def never(_position):
        raise AssertionError

    found = check_many(Input({name: table.column(name).combine_chunks() for name in "ab"}, 2, never), schema)
    assert found.usable.all()


def test_a_time_that_python_has_not():
    """A timestamp of the year 33,658 is a bad row, written as its type and number; the rows beside it are fine."""
    schema = InputSchema((ColumnSchema("when", "datetime", "datetime64[ns]"),), "signature")
    late = pa.array([0, 10**18], pa.timestamp("us"))

    found = check_many(Input.of_table(pa.table({"when": late}), schema), schema, numbers=[1, 2])

    assert found.usable.tolist() == [True, False]
    assert found.problems[1][0].sentence.startswith(
        "row 2, when: 'timestamp[us] 1000000000000000000' is neither a date"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, None, ""])
def test_no_rows_and_no_good_rows(value):
    """An empty batch with the right columns."""
    schema = InputSchema((ColumnSchema("a", "number", "float64"),), "signature")
    for rows in ([], [{"a": value}]):
        found = check_many(Input.of_rows(rows, schema), schema)
        assert (found.values.num_rows, found.values.schema.names) == (0, ["a"])
