"""CSV and text with tabs, read a chunk at a time by column: fast where a chunk is plainly well formed, else row by row.

Where a chunk ends depends on where it begins and on the bytes alone, so that reading can go on anywhere.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.chunks import CHUNK_BYTES, BadLine, Chunk, Position
from pipeline.serving.batch.formulas import may_hold_formula
from pipeline.validation.columns import Arrow, Mask

# A peekable byte stream, and one that is unpacked while it is read.

READ_BYTES = 2 * 2**20
FIRST_PEEK = 2**16
MOST_LINE_CHARACTERS = 2**20
MOST_LINE_BYTES = 4 * MOST_LINE_CHARACTERS
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?")


class Bytes(Protocol):
    """The methods of a byte stream that reading needs."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, position: int, /) -> int: ...


class Unpacked:
    """What a gzip file holds. It only goes forward: whoever goes on in its middle unpacks what lies before.

    taken: how many bytes of the file itself were read. most: refuse a file that holds more bytes.
    """

    def __init__(self, stream: IO[bytes], *, name: str, most: int | None = None) -> None:
        self._stream, self._name, self._left = stream, name, most
        self.taken = 0
        self._content = gzip.GzipFile(fileobj=_PackedBytes(self), mode="rb")

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises InvalidInput where the file cannot be unpacked."""
        try:
            found = self._content.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidInput(f"{self._name}: is not a whole gzip file ({error})") from error
        if self._left is not None:
            self._left -= len(found)
            if self._left < 0:
                raise InvalidInput(f"{self._name}: unpacks to more than may be uploaded")
        return found

    def seek(self, _position: int, /) -> int:
        raise io.UnsupportedOperation

    def read_packed(self, size: int) -> bytes:
        found = self._stream.read(size)
        self.taken += len(found)
        return found


class _PackedBytes(io.RawIOBase):
    """The packed bytes, as gzip reads them."""

    def __init__(self, whole: Unpacked) -> None:
        self._whole = whole

    def read(self, size: int = -1, /) -> bytes:
        return self._whole.read_packed(size)


class ReadAhead:
    """A peekable byte stream: the next bytes can be seen before they are taken."""

    def __init__(self, stream: Bytes) -> None:
        self._stream, self._buffer, self._start = stream, b"", 0
        self.at = 0  # how many bytes were taken
        self._ended = False

    def peek(self, size: int) -> memoryview:
        """The next bytes, at most `size`, which stay in the stream."""
        self._fill(size + 1)
        return memoryview(self._buffer)[self._start : self._start + size]

    def is_rest(self, size: int) -> bool:
        """Whether the stream ends after so many bytes."""
        return self._ended and len(self._buffer) - self._start <= size

    def skip(self, count: int) -> None:
        self._start += count
        self.at += count

    def go_to(self, at: int) -> None:
        """Moves forward by reading: streams over a network often know no other way."""
        try:
            self._stream.seek(at)
        except (OSError, ValueError):
            while self.at < at and (seen := len(self.peek(min(READ_BYTES, at - self.at)))):
                self.skip(seen)
        else:
            self._buffer, self._start, self.at, self._ended = b"", 0, at, False

    def line(self) -> bytes:
        """Takes the next line with its end, or the rest of the stream; cut where it is longer than a line may be."""
        size = FIRST_PEEK
        while True:
            self._fill(size + 1)
            match = LINE.match(self._buffer, self._start)
            end = match.end() if match else self._start
            # A carriage return that is the last byte of the buffer may be half of a line's end.
            whole = self._buffer[end - 1 : end] in {b"\n", b"\r"} and end < len(self._buffer)
            if whole or self._ended or end - self._start > MOST_LINE_BYTES:
                line = self._buffer[self._start : end]
                self.skip(len(line))
                return line
            size = 2 * (len(self._buffer) - self._start)

    def _fill(self, size: int) -> None:
        if self._ended or len(self._buffer) - self._start >= size:
            return
        parts, count = [self._buffer[self._start :]], len(self._buffer) - self._start
        while count < size and not self._ended:
            more = self._stream.read(max(READ_BYTES, size - count))
            self._ended = not more
            parts.append(more)
            count += len(more)
        self._buffer, self._start = b"".join(parts), 0


PARSED_BYTES = 2**18  # at once: more would not stay in the processor's cache
LONGEST_PLAIN_LINE = 2**17  # bytes; csv.reader refuses longer fields
SEPARATORS = {",": "a comma", ";": "';'", "\t": "a tab", "|": "'|'"}
UTF8_MARK = b"\xef\xbb\xbf"
# How files begin that are called .csv and are something else. Text in UTF-16 without a mark has a NUL in its first two.
OTHERS = {
    rb"\xff\xfe|\xfe\xff|.\0|\0": "is UTF-16; save it as UTF-8",
    rb"PK\x03\x04": "is an Excel workbook or another ZIP archive; save it as CSV in UTF-8",
    rb"\xd0\xcf\x11\xe0": "is an Excel workbook; save it as CSV in UTF-8",
    rb"\x1f\x8b": "is compressed with gzip; its name must end in .csv.gz or .tsv.gz",
    rb"PAR1": "is a Parquet file; its name must end in .parquet",
}
# A first line by which a spreadsheet knows the separator.
SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?(?=[\r\n]|$)', re.IGNORECASE)
LONGEST_SEPARATOR_LINE = 8
QUOTE, LINE_FEED, RETURN = b'"\n\r'


class CsvFile:
    """UTF-8 with or without a byte order mark, the first line naming the columns. Every value is text.

    size: of the file in bytes, None where nobody knows. separator: a comma or a tab.
    """

    from_text, arrow_schema = True, None

    def __init__(self, stream: Bytes, *, name: str, size: int | None, separator: str = ",") -> None:
        self._name, self._size, self.separator = name, size, separator
        self._packed = stream if isinstance(stream, Unpacked) else None
        self._bytes = ReadAhead(stream)
        self._line = 0
        self._check_start()
        self.header = next(((*values,) for _, values in self._rows()), ())
        self._check_separator()

    @property
    def position(self) -> Position:
        return Position(self._bytes.at, self._line)

    def go_to(self, position: Position) -> None:
        """Moves forward to the end of a chunk."""
        self._bytes.go_to(position.at)
        self._line = position.row

    def share_read(self) -> float:
        taken = self._packed.taken if self._packed else self._bytes.at
        return min(1.0, taken / self._size) if self._size else 0.0

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """At most `rows` rows and CHUNK_BYTES per chunk. Raises InvalidInput where the rest cannot be read."""
        size = min(CHUNK_BYTES, FIRST_PEEK * 4)
        while self._bytes.peek(1):
            before = self._bytes.at
            chunk = self._fast(size, rows) or self._fast(CHUNK_BYTES, rows, whole=True) or self._strict(rows)
            size = min(CHUNK_BYTES, 2 * (self._bytes.at - before))
            if len(chunk):
                yield chunk

    def _fast(self, size: int, rows: int, *, whole: bool = False) -> Chunk | None:
        """A chunk by Arrow's reader; None where the strict reader must decide, or it has more than `size` bytes."""
        start = self._bytes.peek(size)
        data = np.frombuffer(start, dtype=np.uint8)
        ends, quotes = np.flatnonzero(data == LINE_FEED), np.flatnonzero(data == QUOTE)
        rest = self._bytes.is_rest(len(start))
        if rest and data[-1] != LINE_FEED:
            ends = np.append(ends, len(start))
        if not len(ends) or (len(ends) < rows and not rest and not whole):
            return None
        ends = ends[:rows]
        cut = min(int(ends[-1]) + 1, len(start))
        quotes = quotes[quotes < cut]
        if not _plain(data[:cut], ends, quotes, separator=ord(self.separator)):
            return None
        values = self._parsed(start[:cut], quoted=bool(len(quotes)))
        if values is None or values.num_rows != len(ends):
            return None
        numbers = np.arange(self._line + 1, self._line + 1 + len(ends))
        self._line += len(ends)
        self._bytes.skip(cut)
        lines = None if len(quotes) else _lines(data[:cut], ends, separator=ord(self.separator))
        return Chunk(values, numbers, (), self.position, lines)

    def _parsed(self, block: memoryview, *, quoted: bool) -> Arrow:
        names = [str(position) for position in range(len(self.header))]
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)),
                read_options=pa.csv.ReadOptions(column_names=names, use_threads=False, block_size=PARSED_BYTES),
                parse_options=pa.csv.ParseOptions(delimiter=self.separator, quote_char='"' if quoted else False),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return None
        return table.combine_chunks().rename_columns(self.header)

    def _strict(self, rows: int) -> Chunk:
        good: list[list[str]] = []
        numbers, broken, began = [], [], self._bytes.at
        for number, values in self._rows():
            # Rows that are all one field too long would be moved by one column, the first taken for row names.
            if len(values) == len(self.header):
                good.append(values)
                numbers.append(number)
            else:
                problem = f"has {len(values)} fields, the header has {len(self.header)}"
                broken.append(BadLine(number, values, problem))
            if len(good) + len(broken) >= rows or self._bytes.at - began >= CHUNK_BYTES:
                break
        columns = zip(*good, strict=True) if good else [()] * len(self.header)
        table = pa.table([pa.array(column, type=pa.string()) for column in columns], names=list(self.header))
        return Chunk(table, np.array(numbers, dtype=np.int64), broken, self.position)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows by the strict reader, without empty lines."""
        rows = csv.reader(self._lines(), delimiter=self.separator, strict=True)
        while True:
            first = self._line + 1
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                text = f"a quote in the row that begins in line {first} is not closed, or closed too early"
                raise InvalidInput(f"{self._name}: {text} ({error})") from error
            if values:
                yield first, values

    def _lines(self) -> Iterator[str]:
        while line := self._bytes.line():
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise InvalidInput(f"{self._name}: is not UTF-8 after line {self._line}; save it as UTF-8") from error
            self._line += 1
            if "\0" in text:
                raise InvalidInput(f"{self._name}: line {self._line} has a NUL character; it is no CSV file")
            if len(text) >= MOST_LINE_CHARACTERS:
                raise InvalidInput(f"{self._name}: line {self._line} has more than {MOST_LINE_CHARACTERS:,} characters")
            yield text

    def _check_start(self) -> None:
        """Passes over a byte order mark and a separator line. Raises InvalidInput for a file that is no text."""
        start = bytes(self._bytes.peek(LONGEST_SEPARATOR_LINE))
        for pattern, what in OTHERS.items():
            if re.match(pattern, start, re.DOTALL):
                raise InvalidInput(f"{self._name}: {what}")
        self._bytes.skip(len(UTF8_MARK) if start.startswith(UTF8_MARK) else 0)
        line = SEPARATOR_LINE.match(bytes(self._bytes.peek(LONGEST_SEPARATOR_LINE)))
        if line is None:
            return
        if line[1] != self.separator.encode():
            found = line[1].decode(errors="replace")
            self._refuse_separator(
                f"its first line says that {SEPARATORS.get(found, repr(found))} separates the columns"
            )
        self._bytes.line()
        self._line = 1

    def _check_separator(self) -> None:
        if len(self.header) == 1:
            for separator, shown in SEPARATORS.items():
                if separator in self.header[0]:
                    self._refuse_separator(f"looks like {shown} separates the columns")

    def _refuse_separator(self, why: str) -> None:
        wanted = SEPARATORS[self.separator] + (
            ", or a tab where the name ends in .tsv" if self.separator == "," else ""
        )
        raise InvalidInput(f"{self._name}: {why}; it must be {wanted}")


def _lines(block: Mask, ends: Mask, *, separator: int) -> Arrow:
    """The lines as they stand; None where a value could be a formula, or a line is not ended by a line feed alone."""
    starts = np.concatenate(([0], np.flatnonzero(block == separator) + 1, ends[:-1] + 1))
    if block[-1] != LINE_FEED or may_hold_formula(block[starts]) or RETURN in block[ends - 1]:
        return None
    text = block.copy()
    text[ends] = separator
    offsets = np.concatenate(([0], ends + 1)).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text))


def _plain(block: Mask, ends: Mask, quotes: Mask, *, separator: int) -> bool:
    """Whether every line is one row, not empty, and every quote where a quote may be."""
    lengths = np.diff(ends, prepend=-1)
    before = block[np.maximum(ends - 1, 0)]
    empty = (lengths == 1) | ((lengths == 2) & (before == RETURN))  # noqa: PLR2004
    if empty.any() or lengths.max() > LONGEST_PLAIN_LINE or not block.all():
        return False
    returns = np.flatnonzero(block == RETURN)
    if len(returns) and (returns[-1] + 1 == len(block) or (block[returns + 1] != LINE_FEED).any()):
        return False
    if not len(quotes):
        return True
    if len(quotes) % 2 or (np.searchsorted(quotes, ends) % 2).any():
        return False  # a value of several lines, or a quote that is not closed
    opening, closing = quotes[::2], quotes[1::2]
    around = np.concatenate(([LINE_FEED], block, [LINE_FEED]))
    opens = np.isin(around[opening], (separator, QUOTE, LINE_FEED))
    closes = np.isin(around[closing + 2], (separator, QUOTE, LINE_FEED, RETURN))
    return bool(opens.all() and closes.all())
