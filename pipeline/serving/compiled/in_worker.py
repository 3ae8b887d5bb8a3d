"""What a worker process does about compiled forms: compile and compare, install what another has compiled, answer."""

import contextlib
from typing import Any

import numpy as np
import pandas as pd

from pipeline.comparison.rows import read_rows
from pipeline.governance.errors import InvalidInput, Refused
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.serving.compiled.code import Code, Compiled, NotThisRow
from pipeline.serving.compiled.compare import Original, Proven, Version, prove
from pipeline.serving.compiled.form import NO_ROWS, Equality
from pipeline.serving.worker.load import UNUSABLE, LoadedModel, input_example, short, whole
from pipeline.serving.worker.model_cache import CachedModel, ModelCache
from pipeline.serving.worker.operations import as_fitted, failing
from pipeline.serving.worker.outputs import output_of
from pipeline.serving.worker.protocol import CODE, DOUBLES, Frame

MOST_CATEGORIES = 1_000  # that get a row of their own


def compile_version(cached: CachedModel, request: Frame) -> Frame:
    """Compiles a version and compares it with the original; the code only where the two are equal.

    For a process of its own: it grows by the compiler's libraries. Raises ModelFailure.
    """
    with failing("cannot be compiled"):
        found = _proven(cached, request)
    if isinstance(found, Equality):
        return {"comparison": found.as_json()}
    return {
        "comparison": found.comparison.as_json(),
        "classes": [str(each) for each in found.labels],
        "labels": list(found.labels),
        "known_texts": [None if each is None else list(each) for each in found.texts],
        "sample": [_plain(each) for each in found.sample],
        **found.code.as_frame(),
    }


def _plain(values: tuple[Any, ...]) -> list[Any]:
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _proven(cached: CachedModel, request: Frame) -> Proven | Equality:
    try:
        rows = _stored_rows(cached.loaded, request)
    except (InvalidInput, *UNUSABLE) as error:
        return Equality(equal=False, why_not=f"its evaluation rows cannot be compared on ({short(error)})")
    if rows is None:
        return Equality(equal=False, why_not=NO_ROWS)
    rows = as_fitted(cached, rows)

    def original(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        found = output_of(cached, frame)
        return np.asarray(found.values), np.asarray(found.probabilities)

    return prove(Version(cached.loaded.model, original, _with_every_category(rows, request, original)))


def _with_every_category(rows: pd.DataFrame, request: Frame, original: Original) -> pd.DataFrame:
    """The rows, and one more for each category of the schema that none of them holds, where the original takes it."""
    columns = zip(request["columns"], request.get("categories", ()), strict=False)
    missing = [(name, each) for name, known in columns for each in known if not (rows[name] == each).any()]
    if not missing or not len(rows):
        return rows
    more = pd.concat([rows.head(1).assign(**{name: each}) for name, each in missing[:MOST_CATEGORIES]])
    try:
        original(more.astype(rows.dtypes.to_dict()))
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 (a model may raise anything; who sends such a row gets it from the original)
        return rows
    return pd.concat([rows, more], ignore_index=True).astype(rows.dtypes.to_dict())


def _stored_rows(loaded: LoadedModel, request: Frame) -> pd.DataFrame | None:
    """Evaluation rows and input example in the columns and dtypes of requests; None without evaluation rows.

    Raises InvalidInput, and UNUSABLE for values that the columns do not hold.
    """
    if EVALUATION_ROWS not in loaded.names:
        return None
    frames = [pd.DataFrame(read_rows(whole(loaded, EVALUATION_ROWS).read_bytes(), "rows").inputs)]
    with contextlib.suppress(Refused):  # without an example the evaluation rows are enough
        frames.append(pd.DataFrame(input_example(loaded)))
    columns = list(zip(request["columns"], request["dtypes"], strict=True))
    return pd.concat([_typed(frame, columns) for frame in frames], ignore_index=True)


def _typed(frame: pd.DataFrame, columns: list[tuple[str, str]]) -> pd.DataFrame:
    """The rows without gaps, in these columns and dtypes."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)[[name for name, _ in columns]].dropna()
    return frame.astype({name: dtype for name, dtype in columns if dtype})


def install(cached: CachedModel, request: Frame) -> Frame:
    """Makes a compiled form ready to answer and has it answer once. Without code it says whether one is ready."""
    if CODE in request:
        with failing("cannot be compiled"):
            found = Compiled.of_code(Code.of_frame(request))
            found.probabilities(request["sample"])
        cached.compiled = found
    return {"installed": cached.compiled is not None}


def answer(models: ModelCache | None, request: Frame) -> Frame:
    """The probabilities of rows given by column, as doubles in the order of rows and classes.

    An error of the kind "not_compiled" where the original has to answer.
    """
    cached = models.known(request["digest"]) if models else None
    if cached is None or cached.compiled is None:
        return {"error": "is not compiled here", "kind": "not_compiled"}
    try:
        return {DOUBLES: cached.compiled.probabilities(request["values"]).tobytes()}
    except NotThisRow as reason:
        return {"error": f"has no compiled answer ({reason})", "kind": "not_compiled"}
