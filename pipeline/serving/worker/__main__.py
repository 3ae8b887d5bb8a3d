"""The process that loads models: `python -m pipeline.serving.worker`.

It answers one frame after the other until its stdin ends, and so never outlives whoever started it. A crash here costs
the caller one answer. With `--warm` it imports first what every model needs, and says `{"ready": true}`; with `--fork`
it does so for others, see launch.forking.

Operations: `ping`; `smoke` (folder); and with a digest and the folder of its private copy `describe`, `predict`,
`explain` (rows, sample), `strongest` (rows, most), `second_opinion` (one row, class_index, scale, contributions),
`compile` (columns, dtypes) and `install` (code); with a digest alone `answer` (values), by the compiled form.
"""

import atexit
import importlib
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pipeline.governance.errors import IntegrityFailure, InvalidInput, Refused
from pipeline.serving.worker.allow_list import NotHere, OutsidePolicy
from pipeline.serving.worker.launch.forking import FORK, fork_workers
from pipeline.serving.worker.load import ModelFailure, NoInputExample, import_skops, short
from pipeline.serving.worker.model_cache import CachedModel, ModelCache
from pipeline.serving.worker.protocol import (
    ARROW,
    BrokenFrame,
    Frame,
    framed,
    private_streams,
    read_frame,
    write_frame,
)

LESS_URGENT = 10  # nice, of a process that compiles: who is being answered meanwhile goes first
SURROGATE = b"\\ud"
WARM = (
    "pipeline.serving.compiled.in_worker",
    "pipeline.serving.worker.operations",
    "pipeline.serving.worker.structure",
    "sklearn.pipeline",
    "pyarrow.parquet",
)


def limit_resources(*, memory_megabytes: int, cpu_seconds: float) -> None:
    """Limits this process: address space for good, processor time for the next request, no core file."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_megabytes * 2**20,) * 2)
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(request: Frame, models: ModelCache | None = None) -> Frame:
    """The answer to a request, or `error`, the end of a sentence about the model, and its `kind`.

    Whatever the model raises, SystemExit and the like among it: the process stays for the next request.
    """
    try:
        with warnings.catch_warnings():  # a model may have turned them into errors, for itself only
            return _obey(request, models)
    except MemoryError:
        return {"error": "needs more memory", "kind": "memory"}
    except ImportError as error:
        # The loader of shared libraries says so where the address space is used up.
        kind = "memory" if "failed to map" in str(error) or "allocate" in str(error) else "not_here"
        return {"error": f"it cannot be loaded here ({error})", "kind": kind}
    except BaseException as error:  # noqa: BLE001 (there is nothing that a model might not raise)
        return {"error": f"cannot do what was asked ({short(error)})", "kind": "failed"}


def sendable(content: Frame) -> list[bytes]:
    """The bytes of a frame, or of one that says why it cannot be sent: too long, no JSON, or no text."""
    try:
        parts = framed(content)
        if SURROGATE in parts[1]:  # half of a pair is no text: it would fail wherever it is shown
            json.dumps(json.loads(parts[1]), ensure_ascii=False).encode()
    except (BrokenFrame, TypeError, ValueError, RecursionError) as error:
        return framed({"error": f"gives an answer that cannot be sent ({short(error)})", "kind": "failed"})
    return parts


def _obey(request: Frame, models: ModelCache | None) -> Frame:
    from pipeline.serving.compiled import in_worker  # noqa: PLC0415 (pandas: after the limits are set)

    name = request.get("op")
    if name == "answer":
        return in_worker.answer(models, request)
    from pipeline.serving.worker import operations  # noqa: PLC0415 (likewise)

    model_operations: dict[str, Callable[[CachedModel], Frame]] = {
        "describe": operations.describe,
        "predict": lambda cached: operations.predict(cached, request["rows"], request.get(ARROW)),
        "explain": lambda cached: operations.explain(cached, request["rows"], sample=request.get("sample", False)),
        "strongest": lambda cached: operations.strongest(cached, request),
        "second_opinion": lambda cached: operations.second_opinion(cached, request),
        "compile": lambda cached: in_worker.compile_version(cached, request),
        "install": lambda cached: in_worker.install(cached, request),
    }
    try:
        if name == "ping":
            if request.get("trust") == "producers":  # what only those models need takes seconds
                importlib.import_module("mlflow.pyfunc")
            return {"ready": True}
        if name == "smoke":
            trust, allowed = request.get("trust", "allow_list"), request["allowed_types"]
            return operations.smoke(Path(request["folder"]), allowed_types=allowed, trust=trust)
        if name not in model_operations:
            return {"error": f"has no operation {name!r}", "kind": "request"}
        return model_operations[name]((models or ModelCache()).get(request))
    except (ModelFailure, InvalidInput, IntegrityFailure, Refused) as error:
        return {"error": str(error), "kind": _kind(error)}


def _kind(error: Exception) -> str:
    kinds = {
        NoInputExample: "no_input_example",
        OutsidePolicy: "untrusted",
        NotHere: "not_here",
        Refused: "refused",
        InvalidInput: "invalid",
        IntegrityFailure: "integrity",
    }
    return next((kind for known, kind in kinds.items() if isinstance(error, known)), "failed")


def main() -> None:
    """Answers requests until whoever started the process says that there are no more, also after Ctrl-C and SIGTERM."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    requests, answers = _streams()
    models, here, deep = ModelCache(), os.getpid(), sys.getrecursionlimit()
    while (request := read_frame(requests)) is not None:
        limit_resources(memory_megabytes=request["memory_megabytes"], cpu_seconds=request["cpu_seconds"])
        if request.get("op") == "compile":
            os.nice(LESS_URGENT)
        parts = sendable(answer(request, models))
        if os.getpid() != here:
            os._exit(0)  # a model has split this process: a second answer would be taken for that to the next request
        answers.writelines(parts)
        answers.flush()
        sys.setrecursionlimit(deep)  # a model may have changed it, for itself only


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Where requests come from and answers go to, after the imports; with `--fork` in each worker."""
    fork = FORK in sys.argv
    if fork or "--warm" in sys.argv:
        import_skops()  # first: it looks for each of its functions in all modules that are there
        for module in WARM:
            importlib.import_module(module)
    if fork:
        fork_workers()
    requests, answers = private_streams()
    if fork or "--warm" in sys.argv:
        write_frame(answers, {"ready": True})
    return requests, answers


if __name__ == "__main__":
    main()
    atexit._run_exitfuncs()  # noqa: SLF001 (as multiprocessing ends a process)
    os._exit(0)  # to take the modules apart costs a tenth of a second, and in a fork copies of all that it shared
