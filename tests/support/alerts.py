"""The description of alerts and dashboard, docs/monitoring/make.py, which is a program and in no package."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pipeline.settings import ROOT


def _loaded() -> ModuleType:
    name = "monitoring_make"
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "monitoring" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


MAKE: Any = _loaded()


def dashboard_queries(*, model: str = ".*", window: str = "20s") -> Iterator[tuple[str, str]]:
    """Title of the panel and query, as Grafana would send it for all models and panels that show a short time."""
    for panel in json.loads(MAKE.DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$model", model).replace("$__rate_interval", window)
