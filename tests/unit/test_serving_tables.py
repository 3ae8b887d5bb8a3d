"""Files of rows: what pandas would let pass in silence is refused with one sentence; formulas are neutralised."""

import csv
import datetime as dt
import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.governance.errors import InvalidInput, Refused
from pipeline.serving.batch.formulas import neutral
from pipeline.serving.batch.read import open_table
from pipeline.serving.batch.read_csv import MOST_LINE_CHARACTERS, CsvFile
from pipeline.serving.batch.upload import score_upload
from pipeline.serving.batch.write import ArrowWriter, CsvWriter, output_schema, to_parquet
from pipeline.serving.scorer import Scorer
from pipeline.validation.schema import ColumnSchema, InputSchema
from support.desks import MODEL, build_desk
from support.served import POLICY, KnownWorker, registry_with_columns
from support.soak import amount


def read(content: bytes, name: str = "rows.csv", *, chunk: int = 2):
    """Header, cells with the number of their row, and rows that fit no columns."""
    table = open_table(io.BytesIO(content), name=name, size=len(content))
    chunks = list(table.chunks(chunk))
    cells = [row for part in chunks for row in zip(*(each.to_pylist() for each in part.rows.columns), strict=True)]
    numbers = [int(number) for part in chunks for number in part.numbers]
    return table.header, dict(zip(numbers, cells, strict=True)), [line for part in chunks for line in part.broken]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n", b"\xef\xbb\xbfa,b\r\n1,2\r\n", b"a,b\r1,2", b'"a","b"\n\n"1",2\n\n'],
    ids=["plain", "byte order mark", "old line ends", "quotes and empty lines"],
)
def test_csv_in_several_hands(content):
    """All text, with the number of the line."""
    header, found, _ = read(content)
    assert header == ("a", "b")
    assert list(found.values()) == [("1", "2")]


@pytest.mark.parametrize("start", [b"sep=,\n", b"SEP=,\r\n", b'"sep=,"\n', b"\xef\xbb\xbfsep=,\r"])
def test_a_line_that_names_the_separator_is_no_header(start):
    """It is passed over, and lines keep the numbers that an editor shows."""
    assert read(start + b"a,b\n1,2\n")[:2] == (("a", "b"), {3: ("1", "2")})


def test_columns_without_a_name_are_there():
    """As pandas writes an index and a spreadsheet a comma at each line's end; the others are read as ever."""
    header, found, _ = read(b",a, ,b,\n0,1,,2,\n1,3,,4,\n")
    assert header == ("", "a", " ", "b", "")
    assert list(found.values()) == [("0", "1", "", "2", ""), ("1", "3", "", "4", "")]


@pytest.mark.parametrize("name", ["rows.tsv", "rows.TSV.GZ", "rows.csv.gz"])
def test_text_with_tabs_and_compressed_text(name):
    """Cells, quotes and line numbers as in a plain CSV file; in the middle of a line a tab may stand in quotes."""
    plain = b'a,b\r\n"x\ny",1\r\n2,3\r\n'
    text = plain.replace(b",", b"\t") if "tsv" in name.casefold() else plain
    content = gzip.compress(text[:9]) + gzip.compress(text[9:]) if name.casefold().endswith("gz") else text
    assert read(content, name)[:2] == (("a", "b"), {2: ("x\ny", "1"), 4: ("2", "3")})


def test_a_small_file_that_unpacks_to_a_large_one():
    """Is not read to its end where an upload has a limit."""
    content = gzip.compress(b"a,b\n" + b"\n" * 10**7)
    with pytest.raises(InvalidInput, match=r"rows\.csv\.gz: unpacks to more than may be uploaded"):
        list(open_table(io.BytesIO(content), name="rows.csv.gz", size=len(content), most_unpacked=5 * 2**20).chunks(5))


def test_missing_words_stay_words():
    """NA, None and null are categories, not missing values."""
    assert read(b"a,b,c,d\nNA,None,null,\n")[1] == {2: ("NA", "None", "null", "")}


def test_line_numbers_are_those_of_an_editor():
    """Also after a cell of two lines."""
    assert list(read(b'a,b\n"x\ny",1\n2,3\n\n4,5\n', chunk=1)[1]) == [2, 4, 6]


def test_rows_of_another_length_are_bad_one_by_one():
    """Else pandas would take the first column for row names and move all others."""
    _, found, broken = read(b"a,b\n1,2,3\n4\n5,6\n")
    assert found == {4: ("5", "6")}
    assert [(line.number, line.problem) for line in broken] == [
        (2, "has 3 fields, the header has 2"),
        (3, "has 1 fields, the header has 2"),
    ]


PIECES = st.sampled_from(
    [",", "\n", "\r\n", "\r", '"', '""', "a", "1", " ", "caf\u00e9", "x,y\n", '"q,r",1\n', "\n\n", "\0"]
)


@settings(max_examples=amount(150, soak=500), deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join), st.integers(1, 4))
def test_the_fast_way_reads_what_the_strict_way_reads(text, chunk):
    """Cells, numbers of rows, rows that do not fit, and the sentence of a file that is no CSV."""
    content = ("x,y\n" + text).encode()

    def found(strict: bool):
        table = CsvFile(io.BytesIO(content), name="rows.csv", size=len(content))
        if strict:
            table._fast = lambda *_, **__: None
        seen = []
        try:
            for part in table.chunks(chunk):
                cells = [tuple(row.values()) for row in part.rows.to_pylist()]
                seen += sorted(
                    [*zip(part.numbers.tolist(), cells, strict=True), *((x.number, x.problem) for x in part.broken)]
                )
        except InvalidInput as error:
            return seen, str(error)
        return seen, ""

    assert found(strict=False) == found(strict=True)


@pytest.mark.parametrize("text", ["1,2\n3,4", "1,2\r\n3,4\r\n", '"a, b","c ""d"""\n,\n', "\u0436,x\n"])
def test_plain_files_are_read_the_fast_way(text, monkeypatch):
    """No row of them becomes a Python object, quotes or not."""
    content = ("x,y\n" + text).encode()
    table = CsvFile(io.BytesIO(content), name="rows.csv", size=len(content))
    monkeypatch.setattr(table, "_strict", None)
    assert sum(len(part) for part in table.chunks(1)) == text.count("\n") + (not text.endswith("\n"))


@given(st.integers(1, 9), st.integers(0, 8), st.sampled_from(["rows.csv", "rows.csv.gz", "rows.tsv", "rows.parquet"]))
def test_reading_goes_on_where_a_chunk_ended(chunk, after, name):
    """As if it had never stopped, also through a stream that cannot go back."""
    rows = [f"{number}" if number % 7 else f'"{number}\n"' for number in range(30)]
    content = ("sep=,\nx\n" if "csv" in name else "x\n").encode() + "\n".join(rows).encode()
    content = parquet({"x": rows}, row_group_size=8) if name == "rows.parquet" else content  # type: ignore[dict-item]
    content = gzip.compress(content) if name == "rows.csv.gz" else content
    table = open_table(io.BytesIO(content), name=name, size=len(content))
    chunks = list(table.chunks(chunk))
    after = min(after, len(chunks) - 1)

    class Forward(io.BytesIO):
        def seek(self, *_):
            raise io.UnsupportedOperation

    again = open_table((io.BytesIO if name == "rows.parquet" else Forward)(content), name=name, size=None)
    again.go_to(chunks[after].after)
    rest = list(again.chunks(chunk))
    assert [(part.rows.to_pydict(), part.numbers.tolist(), part.after) for part in rest] == [
        (part.rows.to_pydict(), part.numbers.tolist(), part.after) for part in chunks[after + 1 :]
    ]


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "rows.csv", "rows.csv: is empty"),
        (b"\n\n", "rows.csv", "rows.csv: is empty"),
        (b"\xff\xfea\0", "rows.csv", "rows.csv: is UTF-16; save it as UTF-8"),
        (b"a,b\n1,2\ncaf\xe9,2\n", "rows.csv", "rows.csv: is not UTF-8 after line 2; save it as UTF-8"),
        (b"a,b\n1,\x00\n", "rows.csv", "rows.csv: line 2 has a NUL character; it is no CSV file"),
        (b"a;b\n1;2\n", "rows.csv", "rows.csv: looks like ';' separates the columns; it must be a comma"),
        (b"a\tb\n", "rows.csv", "rows.csv: looks like a tab separates the columns; it must be a comma"),
        (b"a,a\n1,2\n", "rows.csv", "rows.csv: the header names the column a more than once"),
        (b",\n1,2\n", "rows.csv", "rows.csv: no column of the header has a name"),
        (b"a\0,\0b\0\n\0", "rows.csv", "rows.csv: is UTF-16; save it as UTF-8"),
        (
            b"PK\x03\x04\x14",
            "rows.csv",
            "rows.csv: is an Excel workbook or another ZIP archive; save it as CSV in UTF-8",
        ),
        (b"\xd0\xcf\x11\xe0\xa1", "rows.csv", "rows.csv: is an Excel workbook; save it as CSV in UTF-8"),
        (
            gzip.compress(b"a,b\n", mtime=0),
            "rows.csv",
            "rows.csv: is compressed with gzip; its name must end in .csv.gz",
        ),
        (b"PAR1", "rows.tsv", "rows.tsv: is a Parquet file; its name must end in .parquet"),
        (b"a,b\n1,2\n", "rows.csv.gz", "rows.csv.gz: is not a whole gzip file (Not a gzipped file (b'a,'))"),
        (
            gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-9],
            "rows.csv.gz",
            "rows.csv.gz: is not a whole gzip file (Compressed file",
        ),
        (gzip.compress(b"", mtime=0), "rows.csv.gz", "rows.csv.gz: is empty"),
        (
            b"sep=;\na;b\n",
            "rows.csv",
            "rows.csv: its first line says that ';' separates the columns; it must be a comma",
        ),
        (b'"SEP=\t"\r\na', "rows.csv", "rows.csv: its first line says that a tab separates the columns"),
        (b"a,b\n1,2\n", "rows.tsv", "rows.tsv: looks like a comma separates the columns; it must be a tab"),
        (b"a,b\n1,2\n3,'\"x\n", "rows.csv", None),
        (b'a,b\n1,2\n3,"x\n4,5\n', "rows.csv", "rows.csv: a quote in the row that begins in line 3 is not closed"),
        (b'a,b\n"x"y,2\n', "rows.csv", "rows.csv: a quote in the row that begins in line 2 is not closed"),
        (
            b"a,b\n" + b"1" * (MOST_LINE_CHARACTERS + 5),
            "rows.csv",
            "rows.csv: line 2 has more than 1,048,576 character",
        ),
        (",".join(f"c{n}" for n in range(201)).encode(), "rows.csv", "rows.csv: has 201 columns; at most 200 are read"),
        (b"a,b\n", "rows.xlsx", "rows.xlsx: must end in .csv, .csv.gz, .tsv, .tsv.gz or .parquet; save an Excel"),
        (b"a,b\n", "rows.csv.zip", "rows.csv.zip: must end in .csv, .csv.gz, .tsv, .tsv.gz or .parquet"),
        (b"PAR1 no", "rows.parquet", "rows.parquet: is not a Parquet file that can be read"),
        (b"", "rows.parquet", "rows.parquet: is empty"),
    ],
)
def test_files_that_cannot_be_read(content, name, sentence):
    """One sentence, no traceback."""
    if sentence is None:
        assert read(content, name)[1]
        return
    with pytest.raises(InvalidInput) as caught:
        read(content, name)
    assert str(caught.value).startswith(sentence)


def parquet(columns: dict[str, list[object]], **options: int) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def test_parquet_has_typed_cells():
    """Null is a missing value; rows are numbered from 1."""
    header, found, _ = read(parquet({"a": [1.5, None, 2.0], "b": ["x", "y", None]}), "rows.parquet")
    assert header == ("a", "b")
    assert found == {1: (1.5, "x"), 2: (None, "y"), 3: (2.0, None)}


def test_a_cut_parquet_file():
    """Is noticed when it is opened or when it is read."""
    with pytest.raises(InvalidInput, match=r"rows\.parquet: "):
        read(parquet({"a": list(range(10_000))})[:-20], "rows.parquet")


def test_the_share_that_was_read():
    """Ends at 1, for both kinds."""
    text = b"a\n1\n2\n"
    for content, name in ((text, "x.csv"), (gzip.compress(text), "x.csv.gz"), (parquet({"a": [1, 2]}), "x.parquet")):
        table = open_table(io.BytesIO(content), name=name, size=len(content))
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


def written(*rows: dict[str, object], header: list[str]) -> bytes:
    stream = io.BytesIO()
    sink = CsvWriter(stream, header)
    sink.begin()
    for each in rows:
        sink.write(pa.table(each))
    return stream.getvalue()


def test_csv_output():
    """Header and cells are neutralised, what needs quotes has them, null is nothing."""
    found = written(
        {"=a": ["@x", "y,z"], "b": [-1.5, None]}, {"=a": ['q"r', "-5"], "b": [1.0, 2.5]}, header=["=a", "b"]
    )
    assert found == b'\'=a,b\n\'@x,-1.5\n"y,z",\n"q""r",1\n-5,2.5\n'


CELLS = st.text(max_size=6) | st.sampled_from(
    ["=1", "-5", "+1e3", " \u2003@x", "\uff1d1", "\ta", "a\r", '"', "\x00=", "\u200b=1"]
)


@settings(max_examples=amount(100, soak=300), deadline=None)
@given(st.lists(st.tuples(CELLS, st.none() | CELLS), max_size=8), st.integers(0, 3))
def test_csv_output_is_what_one_cell_after_the_other_gives(cells, skipped):
    """Read back, every text is as `neutral` leaves it, also of a part of a larger table."""
    table = pa.table({"a": [row[0] for row in cells], "b": pa.array([row[1] for row in cells], type=pa.string())})
    stream = io.BytesIO()
    CsvWriter(stream, []).write(table.slice(skipped))
    found = list(csv.reader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert found == [[neutral(cell or "") for cell in row] for row in cells[skipped:]]


LINES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5)


@settings(max_examples=amount(100, soak=300), deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(",\t"))
def test_lines_that_are_written_as_they_stand(cells, end, separator):
    """Give the same bytes as their cells do."""
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator=end).writerows([("x", "y", "z"), *cells])
    content = stream.getvalue().replace("\0", "").encode()
    for chunk in CsvFile(io.BytesIO(content), name="rows", size=len(content), separator=separator).chunks(2):
        table = pa.table([*chunk.rows.columns, pa.array(["=p"] * chunk.rows.num_rows)], names=list("xyzp"))
        found = []
        for lines in (None, chunk.lines):
            target = io.BytesIO()
            CsvWriter(target, [], input_columns=3, separator=separator).write(table, lines)
            found.append(target.getvalue())
        assert found[0] == found[1]


@given(st.lists(st.floats(), min_size=1))
def test_numbers_read_back_are_the_same(numbers):
    """To the last bit, written in the shortest way."""
    stream = io.BytesIO()
    CsvWriter(stream, []).write(pa.table({"a": numbers, "b": ["x"] * len(numbers)}))
    found = [float(line.split(",")[0]) for line in stream.getvalue().decode().splitlines()]
    assert list(map(repr, found)) == list(map(repr, numbers))


def test_other_types_are_written_as_python_does():
    """Truth values, dates and lists."""
    row = {"a": [True, None], "b": [dt.date(2026, 1, 2)] * 2, "c": [[1], None], "d": [2**40, 1]}
    assert written(row, header=["a", "b", "c", "d"]).splitlines()[1:] == [
        b"True,2026-01-02,[1],1099511627776",
        b",2026-01-02,,1",
    ]


SCHEMA = InputSchema(
    (ColumnSchema("n", "number"), ColumnSchema("i", "integer"), ColumnSchema("b", "boolean")), "signature"
)


def by_way_of_arrow(schema: pa.Schema, *tables: pa.Table) -> pa.Table:
    staged, target = io.BytesIO(), io.BytesIO()
    sink = ArrowWriter(staged, schema)
    sink.begin()
    for table in tables:
        sink.write(table)
    staged.seek(0)
    to_parquet(staged, target)
    return pq.read_table(target)


def test_a_time_that_python_has_not_is_written_too():
    """As its type and number, where it is a column that is only kept."""
    stream = io.BytesIO()
    CsvWriter(stream, []).write(pa.table({"a": pa.array([10**18, None], pa.timestamp("us"))}))

    assert stream.getvalue().decode().split() == ["timestamp[us]", "1000000000000000000"]


def test_parquet_output_has_the_types_of_the_schema():
    """For a CSV input, which has none; what the schema does not name is text. Nothing is neutralised."""
    schema = output_schema(["id", "n", "i", "b"], pa.schema({"prediction": pa.string()}), schema=SCHEMA, arrow=None)
    first = {"id": ["=1", "2"], "n": [1.0, None], "i": [2, None], "b": [True, None], "prediction": ["x", "y"]}
    missing = {"id": ["3"], "n": [3.0], "i": pa.nulls(1), "b": pa.nulls(1), "prediction": ["z"]}
    found = by_way_of_arrow(schema, pa.table(first), pa.table(first).slice(0, 0), pa.table(missing))
    assert [str(kind) for kind in found.schema.types] == ["string", "double", "int64", "bool", "string"]
    assert found.column("id").to_pylist() == ["=1", "2", "3"]


def test_parquet_output_keeps_the_types_of_a_parquet_input():
    """Also those that Python's values do not tell apart."""
    added, given = pa.schema({"prediction": pa.float64()}), pa.schema({"a": pa.float32()})
    schema = output_schema(["a"], added, schema=SCHEMA, arrow=given)
    found = by_way_of_arrow(schema, pa.table({"a": pa.array([1.5], pa.float32()), "prediction": [2.0]}))
    assert [str(kind) for kind in found.schema.types] == ["float", "double"]


def test_parquet_output_does_not_show_how_it_was_written():
    """The same bytes whatever came at once."""
    schema, whole = pa.schema({"a": pa.int64()}), pa.table({"a": range(150_000)})

    def file(step: int) -> bytes:
        staged, target = io.BytesIO(), io.BytesIO()
        sink = ArrowWriter(staged, schema)
        sink.begin()
        for first in range(0, whole.num_rows, step):
            sink.write(whole.slice(first, step))
        staged.seek(0)
        to_parquet(staged, target)
        return target.getvalue()

    assert file(7_000) == file(140_000) == file(150_000)


ROWS = b"Age,Gender,Visits,note\n30,Male,1,a\n31,Male,1,b\n5,Male,1,c\n40,Female,2,d\n"


def upload(worker: KnownWorker, content: bytes = ROWS, *, chunk_rows: int = 2):
    service = build_desk(registry_with_columns())
    service.take_over()
    scorer = Scorer(service, worker, POLICY)
    limits: dict[str, Any] = {"most_bytes": 10_000, "most_rows": 100, "chunk_rows": chunk_rows}
    try:
        return score_upload(scorer, MODEL, content, name="rows.csv", **limits)
    finally:
        scorer.close()


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_a_row_without_a_finite_answer_goes_to_the_bad_rows(chunk_rows):
    """With its line and the reason, beside rows that do not fit; every other row is scored."""
    done = upload(KnownWorker(silent=(31.0,)), chunk_rows=chunk_rows)
    scored = list(csv.DictReader(io.StringIO(done.output.decode())))
    bad = list(csv.DictReader(io.StringIO(done.bad.decode())))

    assert [(row["Age"], row["note"], row["prediction"]) for row in scored] == [("30", "a", "yes"), ("40", "d", "yes")]
    assert [(row["line"], row["Age"]) for row in bad] == [("3", "31"), ("4", "5")]
    assert bad[0]["reason"] == "row 3: the model gives no finite answer"
    assert (done.result.rows, done.result.scored, done.result.bad) == (4, 2, 2)


def test_a_file_whose_rows_all_lack_an_answer_has_bad_rows_only():
    """No row is scored, none is lost."""
    done = upload(KnownWorker(silent=(30.0, 31.0, 40.0)))

    assert (done.result.scored, done.result.bad) == (0, 4)
    assert done.output.decode().count("\n") == 1


def test_a_table_has_a_column_each_in_a_file():
    """In the order of the model's answer, before what else is added."""
    done = upload(KnownWorker(table=True))
    scored = list(csv.DictReader(io.StringIO(done.output.decode())))

    assert list(scored[0])[4:6] == ["prediction_score", "prediction_label"]
    assert (scored[0]["prediction_score"], scored[0]["prediction_label"]) == ("0.3", "a")


def test_a_table_that_was_not_foretold_is_refused():
    """The header is written before the first answer comes."""
    with pytest.raises(Refused, match="has the columns score, label, which its input example does"):
        upload(Untold(table=True))


class Untold(KnownWorker):
    """Describes a version that came without an example."""

    def ask(self, request, **more):
        said = super().ask(request, **more)
        said.pop("names", None)
        return said
