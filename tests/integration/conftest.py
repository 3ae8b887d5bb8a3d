"""What several of these modules start from: an empty store, a registry of oddities, and verbs that answer in JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import run
from support.registries import copy_store, fill_oddities

Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def odd(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    uri = copy_store(template, tmp_path_factory.mktemp("odd"))
    return uri, fill_oddities(uri)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb with --json; gives (exit code, parsed output or None, standard error)."""

    def call_verb(*arguments: Any) -> tuple[int, Any, str]:
        code = run([*(str(each) for each in arguments), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return call_verb
