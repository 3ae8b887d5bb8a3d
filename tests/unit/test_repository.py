"""What the repository promises about itself: who imports whom, the tree, exact pins, chart colours."""

import ast
import colorsys
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

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


def test_no_verb_picks_who_acts():
    """A verb signs as bootstrap.signer or acting say: with `person`, a token would be passed over."""
    files = (ROOT / "pipeline" / "cli").glob("*.py")
    passed_over = re.compile(r"\b(person|whoever)\(settings")

    assert [file.name for file in files if passed_over.search(file.read_text(encoding="utf-8"))] == []


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
    """With fewer than ten the charts would fall back to Plotly's own; green and red are for better and worse only."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))

    colours = config["theme"][theme]["chartCategoricalColors"]
    assert len(set(colours)) == 10
    assert [each for each in colours if not (0.05 < hue(each) < 0.15 or 0.5 < hue(each) < 0.9)] == []


def hue(colour: str) -> float:
    """0 and 1 are red, a third is green. colour: such as #1D4ED8."""
    return colorsys.rgb_to_hls(*(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)))[0]


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAYERS = [contract["layers"] for contract in PROJECT["tool"]["importlinter"]["contracts"] if contract["id"] == "layers"]


FILES = sorted(file for folder in ("pipeline", "dashboard") for file in (ROOT / folder).rglob("*.py"))


def test_a_folder_holds_at_most_twelve_modules():
    """So that a folder is read at a glance (record 23)."""
    modules = Counter(file.parent for file in FILES if file.name != "__init__.py")
    crowded = {str(folder.relative_to(ROOT)): count for folder, count in modules.items() if count > 12}

    assert crowded == {}


def test_a_file_has_at_most_420_lines():
    """A file holds one whole idea."""
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}

    assert {name: count for name, count in lines.items() if count > 420} == {}


def test_a_class_name_has_one_home():
    """Whoever searches for a class finds one."""
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in FILES)
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))

    assert [name for name, count in names.items() if count > 1] == []


def test_the_architecture_names_every_floor_in_order():
    """The table of docs/architecture.md is the contract that lint-imports checks."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert [re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)] == LAYERS


def test_pre_commit_calls_what_make_check_calls():
    """The same commands, from the same environment."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    commands = [hook["entry"].removeprefix(".venv/bin/") for repository in hooks for hook in repository["hooks"]]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    checks = re.findall(r"^\t\$\(BIN\)/(.+)$", recipe, re.MULTILINE)

    assert {repository["repo"] for repository in hooks} == {"local"}
    assert commands == [check.removesuffix(" Dockerfile") for check in checks]


@pytest.mark.parametrize("package", ["pipeline", "dashboard"])
def test_types_are_for_others_too(package):
    """Each package says that it is typed, in an installation as well."""
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_the_version_is_a_dated_section_of_the_changelog():
    """The newest release that the CHANGELOG tells of is the one of pyproject.toml; what comes next is above it."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert sections[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(PROJECT['project']['version'])}\] - \d{{4}}-\d\d-\d\d", sections[1])
