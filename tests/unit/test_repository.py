"""What the repository promises about itself: who imports whom, exact pins, chart colours."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"[a-z0-9][a-z0-9-]*==[0-9][^ ;]*( ; .+)?")


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """File and module of each import; a relative one keeps its dots."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((str(file.relative_to(ROOT)), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(file.relative_to(ROOT)), "." * node.level + (node.module or "")


def test_rules_import_only_the_standard_library():
    """The rules need nothing but Python: pipeline.governance imports the standard library and itself."""
    foreign = [
        (file, module)
        for file, module in imports("pipeline/governance")
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith("pipeline.governance")
    ]

    assert foreign == []


def test_the_pipeline_knows_no_screens():
    """No file of pipeline imports Streamlit, so that the command line and the API run without it."""
    assert [file for file, module in imports("pipeline") if module.split(".")[0] == "streamlit"] == []


@pytest.mark.parametrize(
    ("name", "first"), [("requirements.txt", "-e ."), ("requirements-dev.txt", "-r requirements.txt")]
)
def test_requirements_are_exact(name, first):
    """After the line that names the project or the other file, every requirement is pinned to one version."""
    head, *pins = (ROOT / name).read_text(encoding="utf-8").splitlines()

    assert head == first
    assert pins
    assert [line for line in pins if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_have_ten_chart_colours(theme):
    """With fewer than ten different colours the charts would fall back to Plotly's own."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))

    assert len(set(config["theme"][theme]["chartCategoricalColors"])) == 10
