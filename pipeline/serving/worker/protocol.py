"""The frames between worker and callers: four bytes of length (big-endian), then JSON in UTF-8.

Many rows go as an Arrow stream right behind the JSON, whose `arrow` is then the number of its bytes. Never pickle: what
reads a frame cannot be made to run anything.
"""

import json
import struct
from typing import IO, Any

Frame = dict[str, Any]
LENGTH = struct.Struct(">I")
MOST_FRAME_BYTES = 64 * 2**20
ARROW = "arrow"  # of a frame in memory: the bytes themselves


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
    if ARROW in content:
        content[ARROW] = _read(stream, content[ARROW])
    return content


def _read(stream: IO[bytes], length: object) -> bytes:
    if not isinstance(length, int) or length < 0:
        raise BrokenFrame("a frame has a length that is no number of bytes")
    if length > MOST_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {length:,} bytes is too long")
    body = stream.read(length)
    if len(body) < length:
        raise BrokenFrame("the stream ended inside a frame")
    return body


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
    behind = [content[ARROW]] if ARROW in content else []
    lengths = {ARROW: len(behind[0])} if behind else {}
    body = json.dumps({**content, **lengths}, allow_nan=False).encode()
    for part in (body, *behind):
        if len(part) > MOST_FRAME_BYTES:
            raise BrokenFrame(f"a frame of {len(part):,} bytes is too long")
    return [LENGTH.pack(len(body)), body, *behind]
