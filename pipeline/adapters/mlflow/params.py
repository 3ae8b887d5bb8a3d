"""Parameters that are read when somebody looks at them: a table of 10,000 versions has hundreds of thousands."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Grouped = Mapping[Any, Mapping[str, str]]


class Late:
    """The parameters of all versions of one table, read when the first of them is looked at.

    Nobody sees the delay as a difference: MLflow's parameters are written once.
    """

    def __init__(self, read: Callable[[], Grouped]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._params: Grouped | None = None

    def of(self, run: str | None) -> Mapping[str, str]:
        with self._lock:
            if self._params is None:
                self._params = self._read()
        return self._params.get(run, {})


class LateParams(Mapping[str, str]):
    """The parameters of one version; copies and pickles are plain dictionaries."""

    __slots__ = ("_late", "_run")

    def __init__(self, late: Late, run: str | None) -> None:
        self._late = late
        self._run = run

    def __getitem__(self, key: str) -> str:
        return self._late.of(self._run)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._late.of(self._run))

    def __len__(self) -> int:
        return len(self._late.of(self._run))

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(self),)
