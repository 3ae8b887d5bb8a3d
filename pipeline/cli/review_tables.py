"""Reviews and comparisons, as the verbs print them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.cli.printing import digits, json_cell, line, signed, table

if TYPE_CHECKING:
    from pipeline.governance.compare import Comparison, Differences, Line
    from pipeline.governance.review import Review


def review(found: "Review") -> None:
    rows = [
        [gate.name, _verdict(gate.passed, gate.mode.value), gate.observed, gate.required, gate.why]
        for gate in found.gates
    ]
    table(["Gate", "Verdict", "Observed", "Required", "Why"], rows)
    if found.recomputation is not None:
        claims = [
            [each.name, each.source, f"{each.claimed:.10f}", f"{each.recomputed:.10f}", "" if each.holds else "DIFFERS"]
            for each in found.recomputation.claims
        ]
        table(["Claim", "Made by", "Claimed", "Recomputed", ""], claims, empty="No claim could be recomputed.")
    answer = "open" if found.open else "blocked"
    line(f"{found.move.target}: {answer}")
    line(f"evidence {found.evidence.digest}")
    line(f"state {found.state}")


def _verdict(passed: bool, mode: str) -> str:
    return "passed" if passed else {"prevent": "BLOCKS", "warn": "warns", "allow": "noted"}[mode]


def comparison(found: "Comparison") -> None:
    names = [f"Version {each.version}" for each in (found.a, found.b)]
    if found.warning:
        line(found.warning.text)
    _lines("Metric", names, found.metrics)
    if found.paired and (agreed := found.paired.agreement):
        line(
            f"Of {agreed.n:,} rows: both right {agreed.both_right:,}, only version {found.a.version} right "
            f"{agreed.only_a_right:,}, only version {found.b.version} right {agreed.only_b_right:,}; "
            f"predicted differently {agreed.flipped:,}. McNemar's exact test of the accuracy: p = {agreed.p_value:.4g}."
        )
        _lines("Recall of class", names, found.classes)
    if found.paired:
        _lines("Accuracy in slice" if found.paired.agreement else "Mean absolute error in slice", names, found.slices)
    parts = {"Parameter": found.params, "Tag": found.tags, "Schema": found.schema, "Data": found.data}
    for head, differences in {**parts, "Environment": found.environment}.items():
        _different(head, names, differences)


def _lines(head: str, names: Sequence[str], lines: "Sequence[Line]") -> None:
    rows = [
        [
            each.name,
            digits(each.a),
            digits(each.b),
            signed(each.difference),
            each.interval and " to ".join(f"{end:+.4f}" for end in each.interval),
            each.n,
            each.verdict,
        ]
        for each in lines
    ]
    table([head, *names, "Difference", "Interval", "n", "Verdict"], rows, empty=f"{head}: nothing to compare.")


def _different(head: str, names: Sequence[str], differences: "Differences") -> None:
    rows = [[each.name, json_cell(each.a), json_cell(each.b)] for each in differences.different]
    table([head, *names], rows, empty=f"{head}: no differences, {differences.equal:,} equal.")
