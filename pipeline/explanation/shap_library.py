"""shap, imported when it is first needed and without matplotlib."""

import sys
import threading
from typing import Any

Module = Any  # of a library without types
_importing = threading.Lock()


def load_shap() -> Module:
    """The module. With matplotlib masked the import takes a quarter of the time and a fifth of the memory.

    shap 0.51 and 0.54 import matplotlib for charts that nobody draws here and do without where it is missing; loading
    it lazily is asked for in shap#4835. Afterwards matplotlib can be imported as before. The lock holds back a second
    thread that comes for shap; one that imports matplotlib itself in this moment would fail.
    """
    with _importing:
        if "shap" in sys.modules or "matplotlib" in sys.modules:
            return _import()
        sys.modules["matplotlib"] = None  # type: ignore[assignment]  # the documented way to make an import fail
        try:
            return _import()
        finally:
            del sys.modules["matplotlib"]


def _import() -> Module:
    import shap

    return shap
