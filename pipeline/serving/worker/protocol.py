"""The frames between worker and callers, and what else both ends of their pipes need.

A frame is four bytes of length (big-endian), then JSON in UTF-8. Many rows go as an Arrow stream right behind the JSON,
whose `arrow` is then the number of its bytes; so do `doubles`, numbers of eight bytes each, and `code`, a compiled
model on its way to other workers. Never pickle: what reads a frame cannot be made to run anything.
"""

import contextlib
import json
import os
import struct
import sys
from typing import IO, Any, BinaryIO

Frame = dict[str, Any]
LENGTH = struct.Struct(">I")
MOST_FRAME_BYTES = 64 * 2**20
SMALLEST_PIPE = 4096  # bytes
# Of a frame in memory: the bytes themselves. One of them at most.
ARROW, DOUBLES, CODE = "arrow", "doubles", "code"
BEHIND = (ARROW, DOUBLES, CODE)
encode = json.JSONEncoder(allow_nan=False).encode  # json.dumps would make an encoder for each frame


class BrokenFrame(ValueError):
    """The stream ended inside a frame, or the frame is too long or no JSON object."""


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next frame, None at the end of the stream. Raises BrokenFrame."""
    head = stream.read(LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size:
        raise BrokenFrame("the stream ended inside a length")
    content = _parsed(_read(stream, LENGTH.unpack(head)[0]))
    if name := _behind(content):
        content[name] = _read(stream, content[name])
    return content


def frame_in(received: bytes | bytearray) -> Frame | None:
    """The frame that these bytes are; None while some of it is still to come. Raises BrokenFrame, also for more."""
    start = LENGTH.size
    if len(received) < start:
        return None
    end = start + _checked_length(LENGTH.unpack_from(received)[0])
    if len(received) < end:
        return None
    content = _parsed(bytes(received[start:end]))
    start, name = end, _behind(content)
    end += _checked_length(content[name]) if name else 0
    if len(received) > end:
        raise BrokenFrame("there is more than a frame")
    if len(received) < end:
        return None
    if name:
        content[name] = bytes(received[start:end])
    return content


def _behind(content: Frame) -> str | None:
    """Which bytes follow the JSON."""
    return next((name for name in BEHIND if name in content), None)


def _read(stream: IO[bytes], length: object) -> bytes:
    expected = _checked_length(length)
    body = stream.read(expected)
    if len(body) < expected:
        raise BrokenFrame("the stream ended inside a frame")
    return body


def _checked_length(length: object) -> int:
    if not isinstance(length, int) or length < 0:
        raise BrokenFrame("a frame has a length that is no number of bytes")
    if length > MOST_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {length:,} bytes is too long")
    return length


def _parsed(body: bytes) -> Frame:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenFrame("a frame is not JSON") from error
    if not isinstance(content, dict):
        raise BrokenFrame("a frame is not a JSON object")
    return content


def write_frame(stream: IO[bytes], content: Frame) -> None:
    """Writes a frame. Raises BrokenFrame for one that is too long, ValueError for NaN and infinity."""
    for part in framed(content):
        stream.write(part)
    stream.flush()


def framed(content: Frame) -> list[bytes]:
    """The bytes of a frame in two or three parts. Raises as write_frame does."""
    name = _behind(content)
    behind = [content[name]] if name else []
    lengths = {name: len(behind[0])} if name else {}
    body = encode({**content, **lengths}).encode()
    for part in (body, *behind):
        if len(part) > MOST_FRAME_BYTES:
            raise BrokenFrame(f"a frame of {len(part):,} bytes is too long")
    return [LENGTH.pack(len(body)), body, *behind]


def room_of(pipe: int) -> int:
    """How many bytes an empty pipe takes before its writer has to wait; a page where the system does not say."""
    with contextlib.suppress(AttributeError, ImportError, OSError):
        import fcntl  # noqa: PLC0415 (not on every system)

        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    return SMALLEST_PIPE


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """The real stdin and stdout, for frames alone.

    From now on whatever libraries print goes to stderr, and whatever reads the standard input finds its end.
    """
    sys.stdout.flush()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers
