"""The gates for somebody else's pipeline: reviews of several versions in the form that the pipeline reads."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import typer

from pipeline.bootstrap import desk
from pipeline.cli import tables
from pipeline.cli.app import Json, app, line, say
from pipeline.governance.rules.gates import GateResult
from pipeline.governance.rules.review import Review, worst
from pipeline.governance.text import visible
from pipeline.model_card.content import Table
from pipeline.model_card.render import markdown_table, plain
from pipeline.settings import params_file, read_settings


class CheckFormat(StrEnum):
    """How `check` prints."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"
    JUNIT = "junit"


@app.command()
def check(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="MODEL (its newest version), MODEL/VERSION or MODEL@ALIAS; several are checked in turn.",
            show_default=False,
        ),
    ],
    to: Annotated[str, typer.Option(help="Staging, Production, Archived, None or @ALIAS.", show_default=False)],
    form: Annotated[CheckFormat, typer.Option("--format", help="What is printed.")] = CheckFormat.TEXT,
    as_json: Json = False,
) -> None:
    """Check whether moves are open, for a pipeline; writes nothing. Exit code 0 open, 3 blocked, 7 files changed."""
    settings = read_settings()
    service = desk(settings)
    reviews = [service.check(reference, to) for reference in references]
    chosen = CheckFormat.JSON if as_json else form
    if chosen is CheckFormat.TEXT:
        draw(reviews)
    elif chosen is CheckFormat.SARIF:
        say(sarif(reviews, policy=_policy_address()))
    else:
        say(WRITTEN[chosen.value](reviews))
    if refusal := worst(reviews):
        raise typer.Exit(refusal.exit_code)


def _policy_address() -> str:
    """The settings' file, relative to the current folder as code scanning wants it; its name where it is elsewhere."""
    file = params_file().resolve()
    here = Path.cwd()
    return quote((file.relative_to(here) if file.is_relative_to(here) else Path(file.name)).as_posix())


# Reviews as other programs read them: JSON, Markdown for summaries, SARIF for code scanning, JUnit for tests.

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
VERDICTS = {"prevent": "blocks", "warn": "warns", "allow": "noted"}
LEVELS = {"prevent": "error", "warn": "warning", "allow": "note"}  # SARIF 2.1.0, section 3.27.10


def draw(reviews: Sequence[Review]) -> None:
    """For people, on standard output: the gates of each version."""
    for index, review in enumerate(reviews):
        if index:
            line("")
        line(_subject(review))
        tables.review(review)


def as_json(reviews: Sequence[Review]) -> str:
    """A list with one object per review: `model`, `version`, and what `review --json` prints."""
    content = [{"model": each.move.model, "version": each.move.version, **each.as_json()} for each in reviews]
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def markdown(reviews: Sequence[Review]) -> str:
    """One heading per review, then the gates that did not pass, then how many did."""
    return "\n".join(_markdown(review) for review in reviews)


def _markdown(review: Review) -> str:
    failed = [gate for gate in review.gates if not gate.passed]
    passed = len(review.gates) - len(failed)
    rows = tuple(
        (gate.label, VERDICTS[gate.mode.value], _cell(gate.observed), _cell(gate.required), visible(gate.why))
        for gate in failed
    )
    blocks = [f"### {plain(_subject(review))}: {'open' if review.open else 'blocked'}"]
    if rows:
        blocks.append(markdown_table(Table(("Gate", "Verdict", "Observed", "Required", "Why"), rows)))
    blocks.append(f"{passed} of {len(review.gates)} gates passed. Evidence `{review.evidence.digest}`.")
    return "\n\n".join(blocks) + "\n"


def sarif(reviews: Sequence[Review], *, policy: str) -> str:
    """SARIF 2.1.0 (OASIS): one result per gate that did not pass; policy: the file whose rule asks for the gate.

    Code scanning shows a result only beside a file. A version is no file of a checkout, so that its name is the logical
    location, and the policy the physical one.
    """
    failed = [(review, gate) for review in reviews for gate in review.gates if not gate.passed]
    names = list(dict.fromkeys(gate.name for _, gate in failed))
    rules = [{"id": name, "shortDescription": {"text": _label(failed, name)}} for name in names]
    driver = {"name": "Signoff", "version": installed_version("signoff"), "rules": rules}
    results = [_result(review, gate, names.index(gate.name), policy) for review, gate in failed]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    content = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _label(failed: Sequence[tuple[Review, GateResult]], name: str) -> str:
    return next(gate.label for _, gate in failed if gate.name == name)


def _result(review: Review, gate: GateResult, rule: int, policy: str) -> Mapping[str, Any]:
    model, version = visible(review.move.model), review.move.version
    return {
        "ruleId": gate.name,
        "ruleIndex": rule,
        "level": LEVELS[gate.mode.value],
        "message": {"text": f"{_subject(review)}: {gate.label}: {_sentences(gate)}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": policy}},
                "logicalLocations": [{"fullyQualifiedName": f"models:/{model}/{version}", "kind": "resource"}],
            }
        ],
        # Without it GitHub cannot tell that the next run's result about the same version is the same one.
        "partialFingerprints": {"gateOfVersion/v1": f"{model}/{version}/{review.move.target}/{gate.name}"},
    }


def junit(reviews: Sequence[Review]) -> str:
    """JUnit XML: one suite per review, one case per gate; a gate that only warns passes, and says so on its output."""
    root = ET.Element("testsuites", name="signoff check")
    for review in reviews:
        suite = ET.SubElement(root, "testsuite", name=_subject(review), errors="0")
        suite.set("tests", str(len(review.gates)))
        suite.set("failures", str(len(review.blocked_by)))
        for gate in review.gates:
            case = ET.SubElement(suite, "testcase", classname=_subject(review), name=gate.name)
            text = _sentences(gate)
            if gate.blocks:
                ET.SubElement(case, "failure", message=text, type=gate.mode.value).text = text
            elif not gate.passed:
                ET.SubElement(case, "system-out").text = f"{VERDICTS[gate.mode.value]}: {text}"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _subject(review: Review) -> str:
    return f"{visible(review.move.model)} version {review.move.version} to {visible(review.move.target)}"


def _sentences(gate: GateResult) -> str:
    return f"{visible(gate.why)} Observed {_cell(gate.observed)}, required {visible(gate.required)}."


def _cell(value: object) -> str:
    return "nothing" if value is None else visible(str(value))


WRITTEN: Mapping[str, Callable[[Sequence[Review]], str]] = {"json": as_json, "markdown": markdown, "junit": junit}
