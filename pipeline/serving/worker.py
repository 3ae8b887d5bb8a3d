"""The process that loads models: `python -m pipeline.serving.worker`.

It speaks frames of JSON on stdin and stdout, four bytes of length (big-endian) and then UTF-8; never pickle. A crash
here costs the caller one answer.
"""

import json
import os
import resource
import struct
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.governance.errors import Refused
from pipeline.serving.loader import UNUSABLE, NoInputExample, input_example, load_model

Frame = dict[str, Any]
LENGTH = struct.Struct(">I")
MOST_FRAME_BYTES = 64 * 2**20


class BrokenFrame(ValueError):
    """The stream ended inside a frame, or the frame is too long or no JSON object."""


def read_frame(stream: BinaryIO) -> Frame | None:
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


def write_frame(stream: BinaryIO, content: Frame) -> None:
    """Raises BrokenFrame for content that is too long, ValueError for NaN and infinity, which JSON does not have."""
    body = json.dumps(content, allow_nan=False).encode()
    if len(body) > MOST_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {len(body):,} bytes is too long")
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def private_stdout() -> BinaryIO:
    """The real stdout; from now on whatever libraries print goes to stderr and cannot end up between frames."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def limit_resources(*, memory_megabytes: int, cpu_seconds: float) -> None:
    """For this process, for good: address space, processor time, no core file."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_megabytes * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds) + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(request: Frame) -> Frame:
    """What the request asks for, or `error`, the end of a sentence about the model, and its `kind`."""
    try:
        if request.get("op") != "smoke":
            return {"error": f"has no operation {request.get('op')!r}", "kind": "request"}
        return _smoke(Path(request["folder"]), request["allowed_types"])
    except NoInputExample as error:
        return {"error": str(error), "kind": "no_input_example"}
    except Refused as error:
        return {"error": str(error), "kind": "refused"}
    except MemoryError:
        return {"error": "needs more memory", "kind": "memory"}
    except ImportError as error:
        # The loader of shared libraries says so where the address space is used up.
        kind = "memory" if "failed to map" in str(error) or "allocate" in str(error) else "failed"
        return {"error": f"cannot be loaded here ({error})", "kind": kind}


def _smoke(folder: Path, allowed_types: Collection[str]) -> Frame:
    loaded = load_model(folder, allowed_types=allowed_types)
    rows = input_example(loaded)
    try:
        prediction = loaded.model.predict(rows).tolist()
        json.dumps(prediction, allow_nan=False)
    except UNUSABLE as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0][:200]
        return {"error": f"cannot predict its input example ({type(error).__name__}: {reason})", "kind": "failed"}
    return {"prediction": prediction, "model_type": loaded.model_type}


def main() -> None:
    """One request, one answer."""
    answers = private_stdout()
    request = read_frame(sys.stdin.buffer)
    if request is None:
        return
    limit_resources(memory_megabytes=request["memory_megabytes"], cpu_seconds=request["cpu_seconds"])
    write_frame(answers, answer(request))


if __name__ == "__main__":
    main()
