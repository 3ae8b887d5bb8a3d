"""An explanation as plain data, and the forms in which it is stored and sent."""

import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.validation.documents import members_of, read_json

Numbers = NDArray[np.float64]
Scale = Literal["probability", "log-odds", "value"]
SCALES = ("probability", "log-odds", "value")
ARRAYS = ("values", "base_values", "output")
DESCRIPTION: dict[str, type | tuple[type, ...]] = {
    "columns": list,
    "classes": list,
    "scale": str,
    "method": str,
    "sampled": bool,
    "sum_error": (int, float),
    "tolerance": (int, float),
    "fallback": str,
}
MOST_BYTES = 200 * 2**20
MOST_HEADER = 10_000
MEMBERS = {"about.npy", *(f"{name}.npy" for name in ARRAYS)}
UNREADABLE = (
    ArithmeticError, EOFError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each original column adds to the model's output, per row and class: base value + sum over the columns."""

    # The original columns, before any encoding.
    columns: tuple[str, ...]
    # As text; the one entry "output" where a number is predicted.
    classes: tuple[str, ...]
    # The contributions, shape (rows, columns, classes), on `scale`.
    values: Numbers
    # The output with nothing known, shape (classes,).
    base_values: Numbers
    # The model's own output, shape (rows, classes).
    output: Numbers
    # "probability" in [0, 1], "log-odds" from the decision function, or "value" in the unit of what is predicted.
    scale: Scale
    # How the contributions were computed, for people.
    method: str
    # Whether they are estimates.
    sampled: bool
    # The largest |base value + sum - output| over these rows.
    sum_error: float
    # The largest such difference that may be rounding.
    tolerance: float
    # Why no exact method was used; empty where one was.
    fallback: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def adds_up(self) -> bool:
        """Whether base value and contributions give the output up to rounding; False also where the error is NaN."""
        return self.sum_error <= self.tolerance


def to_json(explanation: Explanation, row_index: int) -> dict[str, Any]:
    """One row as the command `explain` prints it; every number is finite."""
    contributions, output = explanation.values[row_index], explanation.output[row_index]
    return {
        "classes": list(explanation.classes),
        "scale": explanation.scale,
        "method": explanation.method,
        "sum_error": explanation.sum_error,
        "base_values": dict(zip(explanation.classes, explanation.base_values.tolist(), strict=True)),
        "contributions": {
            name: dict(zip(explanation.columns, contributions[:, position].tolist(), strict=True))
            for position, name in enumerate(explanation.classes)
        },
        "output": dict(zip(explanation.classes, output.tolist(), strict=True)),
    }


def to_npz(explanation: Explanation) -> bytes:
    """The stored form, equal bytes for equal explanations. `values` as float32 move a probability by up to 6e-8; plain,
    because SHAP values hardly compress. sum_error is the one from before the rounding.
    """
    about = {name: getattr(explanation, name) for name in DESCRIPTION}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        values=explanation.values.astype(np.float32),
        base_values=explanation.base_values,
        output=explanation.output,
        about=np.array(json.dumps(about, allow_nan=False)),
        allow_pickle=False,
    )
    return buffer.getvalue()


def from_npz(data: bytes) -> Explanation:
    """The stored explanation. Raises InvalidInput for anything that to_npz has not written: a stranger may have."""
    try:
        return _read(data)
    except UNREADABLE as error:
        raise InvalidInput(f"the explanation file cannot be read ({first_line(error)})") from error


def _read(data: bytes) -> Explanation:
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 2**20} MB")
    members = members_of(data, most_members=len(MEMBERS), most_bytes=MOST_BYTES)
    if {member.filename for member in members} != MEMBERS:
        raise ValueError(f"it must hold {', '.join(sorted(MEMBERS))} and nothing else")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in members:
            with archive.open(member) as stream:
                _require_size(stream, member.file_size)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        about = read_json(str(arrays["about"]))
        numbers = {name: arrays[name].astype(np.float64, casting="same_kind") for name in ARRAYS}
    _require_description(about)
    _require_shapes(about, **numbers)
    names = {name: tuple(about[name]) for name in ("columns", "classes")}
    return Explanation(**{**about, **names, **numbers})


def _require_size(stream: IO[bytes], size: int) -> None:
    """Refuses an array that is larger than its member: numpy allocates what its header says before reading."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=MOST_HEADER)
    if dtype.hasobject or min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError("an array is larger than its file")


def _require_description(about: object) -> None:
    if not isinstance(about, dict) or set(about) != set(DESCRIPTION):
        raise ValueError(f"it must say {', '.join(DESCRIPTION)}")
    wrong = [name for name, kind in DESCRIPTION.items() if not isinstance(about[name], kind)]
    names = [*about["columns"], *about["classes"]] if not wrong else []
    finite = not wrong and math.isfinite(about["sum_error"]) and math.isfinite(about["tolerance"])
    if not finite or about["scale"] not in SCALES or not all(isinstance(name, str) for name in names):
        raise ValueError("what it says about itself is of another kind")


def _require_shapes(about: dict[str, Any], *, values: Numbers, base_values: Numbers, output: Numbers) -> None:
    columns, classes = len(about["columns"]), len(about["classes"])
    rows = len(output) if output.ndim else 0
    expected = ((rows, columns, classes), (classes,), (rows, classes))
    arrays = (values, base_values, output)
    if tuple(array.shape for array in arrays) != expected:
        raise ValueError("the arrays do not fit the columns and classes")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a value is not a finite number")
