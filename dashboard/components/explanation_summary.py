"""The explanation summary that came with a version: what it says of each column, and how it was made."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import tables, words
from dashboard.components.one_explanation import sum_check
from pipeline.governance.documents import ExplanationSummary
from pipeline.governance.evidence import Evidence
from pipeline.governance.text import visible


def classes_of(classes: Sequence[str], evidence: Evidence) -> list[str]:
    """In the order of the evaluation, if it names the same ones."""
    named = [str(each) for each in evidence.evaluation.classes or ()]
    return named if sorted(named) == sorted(classes) else list(classes)


def importance(evidence: Evidence) -> dict[str, float]:
    """The share of each column in the sum of all: versions may be explained on different scales."""
    found = {tables.cell(column): value for column, value in evidence.explanation.importance}
    known = {name: abs(value) for name, value in found.items() if value is not None}
    total = sum(known.values())
    return {name: value / total for name, value in known.items()} if total else {}


def explained_by(summary: ExplanationSummary) -> None:
    """On how many rows, by which method, and whether it adds up, as the file says."""
    rows = words.count(summary.n or 0, "evaluation row")
    st.caption(f"Mean over {rows}, drawn so that each class has its share.")
    if summary.sum_error is None or summary.tolerance is None:
        st.text(f"Method: {visible(str(summary.method), most=120)}. Whether it adds up is not said.")
    else:
        document = {"method": summary.method, "sum_error": summary.sum_error}
        sum_check(document, summary.tolerance, adds_up=summary.sum_error <= summary.tolerance)
