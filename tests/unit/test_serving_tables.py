"""Files of rows: what pandas would let pass in silence is refused with one sentence; formulas are neutralised."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.governance.errors import InvalidInput
from pipeline.serving.layout import ColumnRule, Layout
from pipeline.serving.sinks import CsvSink, ParquetSink, neutral
from pipeline.serving.table_files import MOST_LINE_CHARACTERS, open_table


def lines(content: bytes, name: str = "rows.csv", *, chunk: int = 2):
    table = open_table(io.BytesIO(content), name=name)
    return table.header, [line for part in table.chunks(chunk) for line in part]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n", b"\xef\xbb\xbfa,b\r\n1,2\r\n", b"a,b\r1,2", b'"a","b"\n\n"1",2\n\n'],
    ids=["plain", "byte order mark", "old line ends", "quotes and empty lines"],
)
def test_csv_in_several_hands(content):
    """All text, with the number of the line."""
    header, found = lines(content)
    assert header == ("a", "b")
    assert [list(line.cells) for line in found] == [["1", "2"]]


def test_missing_words_stay_words():
    """NA, None and null are categories, not missing values."""
    assert lines(b"a,b,c,d\nNA,None,null,\n")[1][0].cells == ["NA", "None", "null", ""]


def test_line_numbers_are_those_of_an_editor():
    """Also after a cell of two lines."""
    assert [line.number for line in lines(b'a,b\n"x\ny",1\n2,3\n4,5\n', chunk=1)[1]] == [2, 4, 5]


def test_rows_of_another_length_are_bad_one_by_one():
    """Else pandas would take the first column for row names and move all others."""
    _, found = lines(b"a,b\n1,2,3\n4\n5,6\n")
    assert [line.problem for line in found] == ["has 3 fields, the header has 2", "has 1 fields, the header has 2", ""]


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "rows.csv", "rows.csv: is empty"),
        (b"\n\n", "rows.csv", "rows.csv: is empty"),
        (b"\xff\xfea\0", "rows.csv", "rows.csv: is UTF-16; save it as UTF-8"),
        (b"a,b\n1,2\ncaf\xe9,2\n", "rows.csv", "rows.csv: is not UTF-8 after line 0; save it as UTF-8"),
        (b"a,b\n1,\x00\n", "rows.csv", "rows.csv: line 2 has a NUL character; it is no CSV file"),
        (b"a;b\n1;2\n", "rows.csv", "rows.csv: looks like ';' separates the columns; it must be a comma"),
        (b"a\tb\n", "rows.csv", "rows.csv: looks like a tab separates the columns; it must be a comma"),
        (b"a,a\n1,2\n", "rows.csv", "rows.csv: the header names the column a more than once"),
        (b"a,\n1,2\n", "rows.csv", "rows.csv: column 2 of the header has no name"),
        (b"a,b\n1,2\n3,'\"x\n", "rows.csv", None),
        (b'a,b\n1,2\n3,"x\n4,5\n', "rows.csv", "rows.csv: a quote in the row that begins in line 3 is not closed"),
        (b'a,b\n"x"y,2\n', "rows.csv", "rows.csv: a quote in the row that begins in line 2 is not closed"),
        (
            b"a,b\n" + b"1" * (MOST_LINE_CHARACTERS + 5),
            "rows.csv",
            "rows.csv: line 2 has more than 1,048,576 character",
        ),
        (",".join(f"c{n}" for n in range(201)).encode(), "rows.csv", "rows.csv: has 201 columns; at most 200 are read"),
        (b"a,b\n", "rows.xlsx", "rows.xlsx: must end in .csv or .parquet"),
        (b"PAR1 no", "rows.parquet", "rows.parquet: is not a Parquet file that can be read"),
        (b"", "rows.parquet", "rows.parquet: is empty"),
    ],
)
def test_files_that_cannot_be_read(content, name, sentence):
    """One sentence, no traceback."""
    if sentence is None:
        assert lines(content, name)[1]
        return
    with pytest.raises(InvalidInput) as caught:
        lines(content, name)
    assert str(caught.value).startswith(sentence)


def parquet(columns: dict[str, list[object]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def test_parquet_has_typed_cells():
    """Null is a missing value; rows are numbered from 1."""
    header, found = lines(parquet({"a": [1.5, None, 2.0], "b": ["x", "y", None]}), "rows.parquet")
    assert header == ("a", "b")
    assert [(line.number, line.cells) for line in found] == [(1, (1.5, "x")), (2, (None, "y")), (3, (2.0, None))]


def test_a_cut_parquet_file():
    """Is noticed when it is opened or when it is read."""
    with pytest.raises(InvalidInput, match=r"rows\.parquet: "):
        lines(parquet({"a": list(range(10_000))})[:-20], "rows.parquet")


def test_the_share_that_was_read():
    """Ends at 1, for both kinds."""
    for content, name in ((b"a\n1\n2\n", "x.csv"), (parquet({"a": [1, 2]}), "x.parquet")):
        table = open_table(io.BytesIO(content), name=name)
        assert [len(chunk) for chunk in table.chunks(5)] == [2]
        assert table.share_read() == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
    ],
)
def test_formulas_are_neutralised(text):
    """A spreadsheet then shows the text."""
    assert neutral(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["-5", "+1.5e3", "plain", "", "a=b", -5, 1.5, None, True])
def test_everything_else_stays(cell):
    """Numbers too, also where they are written as text."""
    assert neutral(cell) == cell


def test_csv_output():
    """Header and cells are neutralised, the stream stays open."""
    stream = io.BytesIO()
    sink = CsvSink(stream, ["=a", "b"])
    sink.write([["@x", -1.5], ["y,z", None]])
    sink.finish()
    assert stream.getvalue() == b"'=a,b\n'@x,-1.5\n\"y,z\",\n"


def test_parquet_output_has_the_types_of_the_layout():
    """For a CSV input, which has none; what the layout does not name is text. Nothing is neutralised."""
    stream = io.BytesIO()
    layout = Layout((ColumnRule("n", "number"), ColumnRule("i", "integer"), ColumnRule("b", "boolean")), "signature")
    sink = ParquetSink(stream, ["id", "n", "i", "b", "prediction"], layout=layout)
    sink.write([])
    sink.write([["=1", 1.0, 2, True, "x"], ["2", None, None, None, "y"]])
    sink.write([["3", 3.0, 4, False, "z"]])
    sink.finish()
    table = pq.read_table(stream)
    assert [str(kind) for kind in table.schema.types] == ["string", "double", "int64", "bool", "string"]
    assert table.column("id").to_pylist() == ["=1", "2", "3"]


def test_parquet_output_keeps_the_types_of_a_parquet_input():
    """Also those that Python's values do not tell apart."""
    stream, schema = io.BytesIO(), pa.schema({"a": pa.float32()})
    sink = ParquetSink(stream, ["a", "prediction"], layout=Layout((), "model"), schema=schema)
    sink.write([[1.5, 2.0]])
    sink.finish()
    assert [str(kind) for kind in pq.read_table(stream).schema.types] == ["float", "double"]
