"""A stream of bytes of which some are looked at before they are taken, and one that is unpacked while it is read."""

import gzip
import io
import re
import zlib
from typing import IO, Protocol

from pipeline.governance.errors import InvalidInput

READ_BYTES = 2 * 2**20
FIRST_LOOK = 2**16
MOST_LINE_CHARACTERS = 2**20
MOST_LINE_BYTES = 4 * MOST_LINE_CHARACTERS
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?")


class Bytes(Protocol):
    """What is needed of a stream."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, place: int, /) -> int: ...


class Unpacked:
    """What a gzip file holds. It only goes forward: whoever goes on in its middle unpacks what lies before.

    taken: how many bytes of the file itself were read. most: refuse a file that holds more bytes.
    """

    def __init__(self, stream: IO[bytes], *, name: str, most: int | None = None) -> None:
        self._stream, self._name, self._left = stream, name, most
        self.taken = 0
        self._content = gzip.GzipFile(fileobj=_Told(self), mode="rb")

    def read(self, size: int, /) -> bytes:
        """Raises InvalidInput where it cannot be unpacked."""
        try:
            found = self._content.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidInput(f"{self._name}: is not a whole gzip file ({error})") from error
        if self._left is not None:
            self._left -= len(found)
            if self._left < 0:
                raise InvalidInput(f"{self._name}: unpacks to more than may be uploaded")
        return found

    def seek(self, _place: int, /) -> int:
        raise io.UnsupportedOperation

    def read_packed(self, size: int) -> bytes:
        found = self._stream.read(size)
        self.taken += len(found)
        return found


class _Told(io.RawIOBase):
    """The file as gzip reads it."""

    def __init__(self, whole: Unpacked) -> None:
        self._whole = whole

    def read(self, size: int = -1, /) -> bytes:
        return self._whole.read_packed(size)


class ReadAhead:
    """at: how many bytes were taken."""

    def __init__(self, stream: Bytes) -> None:
        self._stream, self._held, self._from = stream, b"", 0
        self.at, self._ended = 0, False

    def look(self, size: int) -> memoryview:
        """The next bytes, `size` of them or fewer at the end; they stay."""
        self._hold(size + 1)
        return memoryview(self._held)[self._from : self._from + size]

    def is_rest(self, size: int) -> bool:
        """Whether the stream ends after so many bytes."""
        return self._ended and len(self._held) - self._from <= size

    def skip(self, count: int) -> None:
        self._from += count
        self.at += count

    def go_to(self, at: int) -> None:
        """Forward; streams over a network often know no other way than to read on."""
        try:
            self._stream.seek(at)
        except (OSError, ValueError):
            while self.at < at and (seen := len(self.look(min(READ_BYTES, at - self.at)))):
                self.skip(seen)
        else:
            self._held, self._from, self.at, self._ended = b"", 0, at, False

    def line(self) -> bytes:
        """Taken, with its end; what is left at the end of the stream; cut where it is longer than a line may be."""
        size = FIRST_LOOK
        while True:
            self._hold(size + 1)
            match = LINE.match(self._held, self._from)
            end = match.end() if match else self._from
            # A carriage return that is the last byte held may be half of a line's end.
            whole = self._held[end - 1 : end] in {b"\n", b"\r"} and end < len(self._held)
            if whole or self._ended or end - self._from > MOST_LINE_BYTES:
                line = self._held[self._from : end]
                self.skip(len(line))
                return line
            size = 2 * (len(self._held) - self._from)

    def _hold(self, size: int) -> None:
        if self._ended or len(self._held) - self._from >= size:
            return
        parts, held = [self._held[self._from :]], len(self._held) - self._from
        while held < size and not self._ended:
            more = self._stream.read(max(READ_BYTES, size - held))
            self._ended = not more
            parts.append(more)
            held += len(more)
        self._held, self._from = b"".join(parts), 0
