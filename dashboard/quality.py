"""How good versions are by their kind, as several pages draw it: calibration, and slices that nobody listed."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import session
from dashboard.components import charts, tables, widgets, words
from pipeline.comparison.search import FEWEST_ROWS, SliceSearch
from pipeline.governance.rules.paired import CalibrationPoint, drawn_calibration_error


def colours(model: str, versions: Mapping[str, int]) -> dict[str, str]:
    """Of versions in a chart. versions: numbers by what each is called there, the reference first."""
    dark = st.context.theme.type == "dark"
    return charts.version_colours(versions, session.champion_of(model), dark=dark)


def calibration(
    model: str,
    versions: Mapping[str, int],
    *,
    curves: Mapping[str, Sequence[CalibrationPoint]],
    errors: Mapping[str, float | None],
) -> None:
    """The reliability diagram of one or two versions, its points in figures, and how it agrees with `errors`.

    versions: numbers by what each is called, the reference first. curves: per version one point per bin. errors: the
    calibration error of each version, over ten bins.
    """
    figure = charts.calibration(curves, colours=colours(model, versions))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Share predicted right by probability")
    lines = []
    for name, points in curves.items():
        known = errors.get(name)
        over_ten = "" if known is None else f"{words.number(known)} over ten bins of equal width, "
        lines.append(f"{name}: calibration error {over_ten}{drawn_calibration_error(points):.4f} over the bins drawn.")
    st.text("\n".join(lines))
    st.caption(
        "Above the dotted line a version is right more often than its probability says, below it less often. Bars are "
        f"intervals at {session.settings().evaluation.confidence:.0%}, larger dots stand for more rows. Bins of fewer "
        "than 20 rows are drawn together with their neighbours."
    )
    with st.expander("The points in figures"):
        widgets.frame(tables.calibration(curves), "Calibration by bin", digits=("Mean probability", "Share right"))


def weak_slices(found: SliceSearch, labels: Mapping[str, str]) -> None:
    """Where a version is weaker than over all rows. labels: of the columns."""
    st.header("Where this version is weaker than overall", anchor=False)
    _found_slices(found, (f"{_measure(found)} there", f"{_measure(found)} overall"), labels)


def worse_slices(found: SliceSearch, names: tuple[str, str], labels: Mapping[str, str]) -> None:
    """Where a version is worse than another one. names: of the reference and of the version. labels: of the columns."""
    a, b = names
    st.header(f"Where {b.lower()} is worse than {a.lower()}", anchor=False)
    measure = _measure(found).lower()
    _found_slices(found, (f"{b}, {measure}", f"{a}, {measure}"), labels)


def _measure(found: SliceSearch) -> str:
    return "Accuracy" if found.metric == "accuracy" else "Mean absolute error"


def _found_slices(found: SliceSearch, names: tuple[str, str], labels: Mapping[str, str]) -> None:
    """What a search for weak slices found, and how much it tried. names, labels: see tables.found_slices."""
    searched = (
        f"Searched: {words.count(found.tried, 'slice')} of at least {FEWEST_ROWS} rows, from "
        f"{words.count(found.columns, 'column')} and every two of them"
        + (f"; {words.count(found.left_out, 'column')} not searched" if found.left_out else "")
        + "."
    )
    if not found.tried:
        st.text(f"Nothing to search: no column has two groups of at least {FEWEST_ROWS} rows.")
        return
    if not found.found:
        st.text("None stands out.")
        st.caption(f"{searched} Differences that chance explains among so many are not shown.")
        return
    table = tables.found_slices(found, names, labels)
    widgets.frame(
        table,
        "Slices where it does worse, with n, value and interval",
        digits=names,
        differences=["Difference"],
        height=widgets.height_of(len(table)),
        columns={"Rows where": st.column_config.TextColumn(pinned=True, width=330)},
    )
    more = found.significant - len(found.found)
    kept = f" {more:,} more of them add nothing to those that are listed." if more else ""
    st.caption(
        f"{searched} Corrected for their number (Bonferroni): the chance that any of these is an accident is at most "
        f"{1 - session.settings().evaluation.confidence:.0%}, and the intervals are widened to match.{kept}"
    )
