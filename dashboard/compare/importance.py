"""Which columns matter to each of two versions: shares from their own summaries, and the difference on one scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import computed, quality, session
from dashboard.address import in_address
from dashboard.compare import charts as compare_charts
from dashboard.compare import tables
from dashboard.components import charts, widgets, words
from dashboard.components.explanations import as_pairs, importance
from pipeline.comparison.rows import Rows
from pipeline.explanation.side_by_side import (
    ImportanceDifference,
    importance_differences,
    sizes_of,
    sizes_of_documents,
)
from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.compare import Comparison
from pipeline.governance.text import visible
from pipeline.serving.targets import input_schema

MOST_ROWS, ROWS_AT_ONCE = 20, 5
PROBABILITY = "probability"
Sizes = dict[str, Any]


def importances(comparison: Comparison) -> None:
    """From each version's summary, as it was stored at registration; then their difference where it has a unit."""
    sides = dict(zip(tables.heads(comparison), (comparison.a, comparison.b), strict=True))
    shares = {name: importance(evidence) for name, evidence in sides.items()}
    for name in (name for name, by_column in shares.items() if not by_column):
        st.caption(f"{name} came without an explanation summary.")
    if known := {name: by_column for name, by_column in shares.items() if by_column}:
        colours = quality.colours(comparison.a.model, tables.versions(comparison))
        figure = compare_charts.importances(known, comparison.b.feature_schema.labels, colours=colours)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Importance of the columns in each version")
        st.caption(
            "The mean absolute contribution of a column as a share of all columns of its version. Shares have no unit: "
            "they compare the order of the columns, whatever scale each summary is on."
        )
        with st.container(gap="xxsmall"):
            for name in known:
                st.text(f"{name}: {tables.explained_by(sides[name])}")
    _difference(comparison)


def _difference(comparison: Comparison) -> None:
    """On probability and by one method: from the summaries where both are, else computed when somebody asks."""
    st.header("Difference on probability", anchor=False)
    if comparison.paired is None:
        st.caption("The difference is known on the same rows only.")
        return
    if _alike(comparison.a, comparison.b):
        found, method = _stored(comparison), str(comparison.a.explanation.method)
    else:
        st.text(
            "The two summaries are not on probability by one method, so they have no difference. "
            f"The versions themselves can explain {MOST_ROWS} evaluation rows so; that takes a while."
        )
        if not st.toggle(f"Explain {MOST_ROWS} rows on probability", **in_address.flag("alike")):
            return
        found, method = _computed(comparison)
    _draw(comparison, found, method)


def _draw(comparison: Comparison, found: Sequence[ImportanceDifference], method: str) -> None:
    if not found:
        st.caption("The two have no explained rows in common, or no common scale.")
        return
    labels, names = comparison.b.feature_schema.labels, tables.heads(comparison)
    figure = compare_charts.importance_differences(found, labels, f"{names[1]} minus {names[0].lower()} (probability)")
    st.plotly_chart(figure, config=charts.PLAIN, alt="Difference of the mean absolute contribution of each column")
    table = pd.DataFrame(
        {
            "Column": [words.column(each.column, labels) for each in found],
            names[0]: [each.a for each in found],
            names[1]: [each.b for each in found],
            tables.DIFFERENCE: [each.difference for each in found],
            tables.INTERVAL: [words.signed_interval(each.low, each.high) for each in found],
            "n": [each.n for each in found],
        }
    )
    alt = "Mean absolute contribution of each column in both versions"
    widgets.frame(table, alt, digits=names, differences=[tables.DIFFERENCE])
    st.text(f"Both by one method: {visible(method, most=120)}.")
    st.caption(
        "How far a column moves the probability of a class, in the mean over rows and classes. That it matters more is "
        "neither better nor worse. Intervals are widened so that those of all columns hold together."
    )


def _alike(a: Evidence, b: Evidence) -> bool:
    """Whether both summaries are on probability and by one method, so that their difference has a unit."""
    first, second = a.explanation, b.explanation
    same = first.sampled == second.sampled and (first.sampled or first.method == second.method)
    return first.scale == second.scale == PROBABILITY and same


def _stored(comparison: Comparison) -> list[ImportanceDifference]:
    """Raises NotFound and InvalidInput where files are missing or cannot be read."""
    a, b = comparison.a, comparison.b
    common = sorted(set(a.explanation.rows) & set(b.explanation.rows))
    first, second = (_stored_sizes(each, common) for each in (a, b))
    return importance_differences(first, second, session.settings().evaluation.confidence)


def _stored_sizes(evidence: Evidence, rows: Sequence[int]) -> Sizes:
    """Of these evaluation rows. Raises InvalidInput where the file of values holds other rows than the summary says."""
    values, positions = session.stored_explanation(evidence.model, evidence.version), evidence.explanation.rows
    if len(values) != len(positions):
        raise InvalidInput(f"version {evidence.version}: its explanation holds other rows than its summary says")
    return sizes_of(values, [positions.index(row) for row in rows])


def _computed(comparison: Comparison) -> tuple[list[ImportanceDifference], str]:
    """The differences, and by which method both are explained.

    Raises Refused and IntegrityFailure for a version that is not loaded, and as the scorer does.
    """
    model, versions = comparison.a.model, (comparison.a.version, comparison.b.version)
    a, b = (session.scorer().targets.usable(session.target(model, each)) for each in versions)
    rows = session.evaluation_rows(model, versions[1])
    chosen = _spread(rows)
    sizes: tuple[list[Sizes], list[Sizes]] = ([], [])
    progress = st.progress(0.0, "Explaining rows with both versions")
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        some = chosen[start : start + ROWS_AT_ONCE]
        own = tuple(tuple(_row(rows, number, input_schema(each).names) for number in some) for each in (a, b))
        found = computed.explained_alike(
            model, ((versions[0], a.digest), (versions[1], b.digest)), rows=(own[0], own[1])
        )
        if not found[0].comparable_with(found[1]):
            progress.empty()
            return [], ""
        for side, each in zip(sizes, found, strict=True):
            side.append(sizes_of_documents(each.documents))
        done = min(len(chosen), start + ROWS_AT_ONCE)
        progress.progress(done / len(chosen), f"{done} of {len(chosen)} rows explained with both versions")
    progress.empty()
    first, second = (_joined(side) for side in sizes)
    differences = importance_differences(first, second, session.settings().evaluation.confidence)
    return differences, str(found[0].documents[0]["method"])


def _spread(rows: Rows) -> list[int]:
    """The numbers of at most 20 rows: evenly chosen from those in the order of their actual class or number."""
    order = np.argsort(rows.actual if rows.actual.dtype != object else rows.actual.astype(str), kind="stable")
    return [int(order[each]) for each in np.unique(np.linspace(0, len(order) - 1, MOST_ROWS).astype(int))]


def _row(rows: Rows, number: int, names: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """A row as the scorer takes it, None for a missing value."""
    values = {name: rows.inputs[name][number] for name in names if name in rows.inputs}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return as_pairs({name: value if value == value else None for name, value in plain.items()})  # noqa: PLR0124


def _joined(parts: Sequence[Mapping[str, Any]]) -> Sizes:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
