"""The explanation summary that came with a version: what it says of each column, and how it was made."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import tables, words
from dashboard.components.one_explanation import sum_check
from pipeline.governance.evidence import Evidence, number
from pipeline.governance.text import visible


def classes_of(classes: Sequence[str], evidence: Evidence) -> list[str]:
    """In the order of the evaluation, if it names the same ones."""
    told = evidence.document("evaluation").get("classes")
    named = [str(each) for each in told] if isinstance(told, list) else []
    return named if sorted(named) == sorted(classes) else list(classes)


def mean_abs(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Per class and column, from the summary; empty where it does not say."""
    told = document.get("mean_abs")
    held = {str(name): each for name, each in told.items() if isinstance(each, dict)} if isinstance(told, dict) else {}
    found = {name: {str(k): abs(value) for k, v in each.items() if (value := number(v)) is not None}
             for name, each in held.items()}  # fmt: skip
    alike = {frozenset(each) for each in found.values()}
    return found if len(alike) == 1 and all(found.values()) else {}


def importance(evidence: Evidence) -> dict[str, float]:
    """The share of each column in the sum of all: versions may be explained on different scales."""
    entries = evidence.document("explanation").get("importance")
    held = [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    found = {tables.cell(each.get("column")): number(each.get("mean_abs")) for each in held}
    known = {name: abs(value) for name, value in found.items() if value is not None}
    total = sum(known.values())
    return {name: value / total for name, value in known.items()} if total else {}


def explained_by(summary: Mapping[str, Any]) -> None:
    """On how many rows, by which method, and whether it adds up, as the file says."""
    n, error, tolerance = (number(summary.get(name)) for name in ("n", "sum_error", "tolerance"))
    rows = words.count(int(n or 0), "evaluation row")
    st.caption(f"Mean over {rows}, drawn so that each class has its share.")
    if error is None or tolerance is None:
        st.text(f"Method: {visible(str(summary.get('method')), most=120)}. Whether it adds up is not said.")
    else:
        sum_check(summary, tolerance, adds_up=error <= tolerance)
