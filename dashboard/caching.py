"""Answers that all visitors share, handed out as they are: frozen values, since a copy of 10,000 versions takes 0.1 s.

Not `st.cache_resource`: at every hit it asks for the signature of the function and hashes each argument by its content,
0.1 ms together, which was a quarter of what a rerun of Review or History cost.
"""

import dataclasses
import json
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from datetime import datetime
from hashlib import sha256
from threading import Condition
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from cachetools import LRUCache, TTLCache, cached
from cachetools.keys import hashkey

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
FRESH_SECONDS = 15
MOST_DRAWN = 300


class SharedAnswers(Generic[Arguments, Result]):
    """A function whose answers are kept by its arguments. Who asks what somebody else is asking waits for that answer.

    What raises is not kept.
    """

    def __init__(
        self,
        function: Callable[Arguments, Result],
        answers: MutableMapping[Hashable, Result],
        key: Callable[..., Hashable] = hashkey,  # of the arguments
    ) -> None:
        self._answers, self._turn, self._of = answers, 0, key
        self._lock = Condition()
        self._asked = cached(answers, key=self._key, lock=self._lock, condition=self._lock)(function)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        found: Result = self._asked(*args, **kwargs)
        return found

    def clear(self) -> None:
        """Also the answer that is being looked for now: whoever asks after this gets one that was read after it."""
        with self._lock:
            self._turn += 1
            self._answers.clear()

    def _key(self, *args: Any, **kwargs: Any) -> Hashable:  # noqa: ANN401 (the arguments of any function)
        return self._turn, self._of(*args, **kwargs)


READS: list[SharedAnswers[..., Any]] = []  # of the registry and the ledger, which change
MADE: list[SharedAnswers[..., Any]] = []  # once for as long as the server runs


def fresh(
    *, most: int = 50, seconds: float = FRESH_SECONDS
) -> Callable[[Callable[Arguments, Result]], SharedAnswers[Arguments, Result]]:
    """Keeps `most` answers of a read for some seconds, or until `forget_reads`."""

    def shared(read: Callable[Arguments, Result]) -> SharedAnswers[Arguments, Result]:
        found = SharedAnswers(read, TTLCache(most, seconds))
        READS.append(found)
        return found

    return shared


def made_once(make: Callable[[], Result]) -> SharedAnswers[[], Result]:
    """Keeps what a function makes for as long as the server runs."""
    found = SharedAnswers(make, {})
    MADE.append(found)
    return found


def forget_reads() -> None:
    """After a write, and when somebody asks to try again."""
    for read in READS:
        read.clear()


# Figures. Plotly checks every property that is set, 5 to 10 ms a figure; to know that it is the same takes a tenth.


def drawn_once(draw: Callable[Arguments, Result]) -> SharedAnswers[Arguments, Result]:
    """Keeps the figures of a pure function by the content of its arguments. Nobody may change one that it returns."""
    found = SharedAnswers(draw, LRUCache(MOST_DRAWN), _by_content)
    MADE.append(found)
    return found


def _by_content(*args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401 (whatever a figure is drawn from)
    return sha256(json.dumps([args, kwargs], default=_parts).encode()).digest()


def _parts(value: object) -> object:
    """What a value is made of, for those that JSON has no words for."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [value.dtype.str, value.shape, value.tobytes().hex()]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return [type(value).__name__, {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}]
    raise TypeError(f"figures are drawn from plain values, not from {type(value).__name__}")
