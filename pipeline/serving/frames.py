"""What the worker and its callers say to each other: four bytes of length (big-endian), then JSON in UTF-8.

Never pickle: what reads a frame cannot be made to run anything.
"""

import json
import struct
from typing import IO, Any

Frame = dict[str, Any]
LENGTH = struct.Struct(">I")
MOST_FRAME_BYTES = 64 * 2**20


class BrokenFrame(ValueError):
    """The stream ended inside a frame, or the frame is too long or no JSON object."""


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next frame, None at the end of the stream. Raises BrokenFrame."""
    head = stream.read(LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size:
        raise BrokenFrame("the stream ended inside a length")
    (length,) = LENGTH.unpack(head)
    if length > MOST_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {length:,} bytes is too long")
    body = stream.read(length)
    if len(body) < length:
        raise BrokenFrame("the stream ended inside a frame")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenFrame("a frame is not JSON") from error
    if not isinstance(content, dict):
        raise BrokenFrame("a frame is not a JSON object")
    return content


def write_frame(stream: IO[bytes], content: Frame) -> None:
    """Raises BrokenFrame for content that is too long, ValueError for NaN and infinity, which JSON does not have."""
    stream.write(framed(content))
    stream.flush()


def framed(content: Frame) -> bytes:
    """Length and body. Raises as write_frame does."""
    body = json.dumps(content, allow_nan=False).encode()
    if len(body) > MOST_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {len(body):,} bytes is too long")
    return LENGTH.pack(len(body)) + body
