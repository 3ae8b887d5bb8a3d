"""Pieces that several pages draw."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import charts, tables, words
from pipeline.comparison.search import FEWEST_ROWS, SliceSearch
from pipeline.governance.errors import (
    Conflict,
    IntegrityFailure,
    InvalidInput,
    NotFound,
    Refused,
    SignoffError,
    Unavailable,
)
from pipeline.governance.lifecycle import CHAMPION, Stage
from pipeline.governance.record.evidence import Metric
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.rules.merit import ALIKE, BETTER, WORSE, Merit
from pipeline.governance.rules.paired import CalibrationPoint, drawn_calibration_error
from pipeline.governance.text import visible
from pipeline.validation.rows import InvalidRows

Colour = Literal["red", "orange", "green", "blue", "gray"]
STAGE_COLOURS: Mapping[str, Colour] = {
    Stage.NONE: "gray",
    Stage.STAGING: "orange",
    Stage.PRODUCTION: "green",
    Stage.ARCHIVED: "gray",
}
RESULT_COLOURS: Mapping[str, Colour] = {
    words.PASSED: "green",
    words.BLOCKS: "red",
    words.WARNS: "orange",
    words.NOTED: "gray",
}
TITLES = (
    (Unavailable, "Not available"),
    (NotFound, "Not found"),
    (Refused, "Refused"),
    (Conflict, "Something has changed"),
    (InvalidInput, "Not valid"),
    (IntegrityFailure, "Not what was recorded"),
)
MOST_ROWS, TABLE_PIXELS = 14, 500
ROW_PIXELS, BORDER_PIXELS = 33, 3  # of Streamlit's tables at the font size of config.toml
FACT_PIXELS, LONG_FACT = 230, 26
FOUR_DIGITS, SIGNED = "%.4f", "%+.4f"
MOST_CHANGES = 5
VERDICTS: tuple[tuple[str, str, Colour], ...] = (
    (BETTER, "Better in", "green"),
    (WORSE, "Worse in", "red"),
    (ALIKE, "Not distinguishable in", "gray"),
)


def title(text: str, model: str = "", *, width: Literal["stretch", "content"] = "stretch") -> None:
    """The heading of a page, which is also what the tab of the browser says. text: our own words, before the model."""
    of = " of " if model else ""
    pages.name_tab(f"{text}{of}{words.name(model)}")
    st.title(f"{text}{of}{words.label(model) if model else ''}", width=width, anchor=False)


def guarded(draw: Callable[[], None], name: str) -> None:
    """Draws; a refusal or a failure becomes one sentence on the page, never a traceback. name: of this part of it."""
    try:
        draw()
    except SignoffError as error:
        failure(error, name)


def failure(error: SignoffError, name: str) -> None:
    if untitled := st.session_state.get(pages.UNTITLED):
        title(untitled)
    text = "\n".join(error.sentences) if isinstance(error, InvalidRows) else str(error)
    with message(title_of(error), text, colour="red" if isinstance(error, IntegrityFailure) else "orange"):
        if isinstance(error, NotFound):
            pages.link_versions("All versions", _model_of_the_address())
        elif not isinstance(error, InvalidInput):  # the same input would be refused again
            try_again(name)


def try_again(name: str) -> None:
    """A button that reads everything again. name: of the part of the page that failed."""
    st.button("Try again", icon=":material/refresh:", on_click=caching.forget_reads, key=f"try_again/{name}")


def _model_of_the_address() -> str:
    """The model that the address names, or "" where the registry has no such model."""
    asked = st.query_params.get("model", "")
    with suppress(SignoffError):
        return asked if any(record.name == asked for record in session.models()) else ""
    return ""


def title_of(error: SignoffError) -> str:
    return next((title for kind, title in TITLES if isinstance(error, kind)), "Failed")


def message(title: str, text: str, *, colour: Colour) -> Any:  # noqa: ANN401 (Streamlit's container)
    """A box with our title and anybody's text, which st.error and its like would read as markdown."""
    icons = {"red": "error", "orange": "warning", "green": "check_circle", "blue": "info", "gray": "info"}
    box = st.container(border=True)
    with box:
        st.badge(title, icon=f":material/{icons[colour]}:", color=colour)
        st.text(text)
    return box


def state_badges(stage: str, aliases: list[str]) -> None:
    """Badges of a version's stage and aliases; an alias may be anybody's text, so only `champion` has a cup."""
    st.badge(words.stage(stage), color=STAGE_COLOURS.get(stage, "gray"))
    for alias in aliases:
        is_champion = alias == CHAMPION
        st.badge(words.label(alias), icon=":material/trophy:" if is_champion else ":material/label:", color="blue")


def gates_table(frame: pd.DataFrame, key: str) -> None:
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        key=key,
        column_config={
            "Result": st.column_config.MultiselectColumn(
                options=list(RESULT_COLOURS), color=list(RESULT_COLOURS.values()), width=88
            ),
            "Gate": st.column_config.TextColumn(width=235),
            "Observed": st.column_config.TextColumn(width=215),
            "Required": st.column_config.TextColumn(width=180),
            "Mode": st.column_config.TextColumn(width=70, help="What the gate does when it is not passed"),
        },
        alt="Gates with result, observed and required value",
    )


def frame(data: pd.DataFrame, alt: str, *, digits: tuple[str, ...] = (), height: int | None = None) -> None:
    """Draws a small table. digits: the columns that have four digits."""
    config = {name: st.column_config.NumberColumn(format=FOUR_DIGITS) for name in digits if name in data}
    st.dataframe(
        data,
        hide_index=True,
        height=height or "content",
        column_config=config,
        placeholder=words.NOTHING,
        alt=alt,
    )


def times(*names: str) -> dict[str, Any]:
    """Columns of times to the minute, with the zone in the heading."""
    return {
        name: st.column_config.DatetimeColumn(f"{name} (UTC)", format="YYYY-MM-DD HH:mm", width=140) for name in names
    }


def times_to_the_second(*names: str) -> dict[str, Any]:
    """As `times`, for events, of which several may be in one minute."""
    return {
        name: st.column_config.DatetimeColumn(f"{name} (UTC)", format="YYYY-MM-DD HH:mm:ss", width=145)
        for name in names
    }


def metric(found: Metric, *, of: str = "", border: bool = False) -> None:
    """A metric with its interval and sample size, without which it is never shown. of: whose it is."""
    st.metric(
        f"{words.label(found.name)} {of}".rstrip(),
        words.number(found.value),
        words.spread(found) or None,
        delta_color="off",
        delta_arrow="off",
        border=border,
        height="stretch",
    )


def verdict_badges(found: Merit, *, short: bool = False) -> list[str]:
    """How many metrics have each verdict, as markdown of our own words. short: without verdicts that none has."""
    if found.primary is None:
        return [":orange-badge[Not comparable]"]
    counts = ((word, colour, len(found.metrics(verdict))) for verdict, word, colour in VERDICTS)
    of = f" of {len(found.differences)}" if short else ""
    return [f":{colour if n else 'gray'}-badge[{word} {n}{of}]" for word, colour, n in counts if n or not short]


def cost_badges(found: Merit, *, short: bool = False) -> list[str]:
    """Latency and size beside the other version's, as markdown; what one of the two does not record is left out.

    short: without milliseconds and bytes.
    """
    shown = []
    if latency := found.latency:
        colour = "gray" if not latency.differs else "red" if latency.times > 1 else "green"
        figures = "" if short else f": {latency.own:.1f} ms a row, not {latency.other:.1f} ms"
        shown.append(f":{colour}-badge[{latency.phrase('slower', 'faster') or 'about as fast'}{figures}]")
    if (size := found.size) and (phrase := size.phrase("larger", "smaller")):
        figures = "" if short else f": {words.size(size.own)}, not {words.size(size.other)}"
        shown.append(f":gray-badge[{phrase}{figures}]")
    return shown


@st.fragment(run_every=1)
def redraw_when_done(looks: Sequence["Future[Any]"]) -> None:
    """Draws the page anew when all of these have ended. To be called while they have not: it looks every second."""
    if all(look.done() for look in looks):
        st.rerun()


def facts(pairs: Mapping[str, object]) -> None:
    """Names and values in a grid, long values below on lines of their own. Values may be anybody's text."""
    grid = st.grid("auto", min_column_width=FACT_PIXELS)
    shown = {name: visible(str(value)) for name, value in pairs.items() if value not in (None, "")}
    for name, text in sorted(shown.items(), key=lambda pair: len(pair[1]) > LONG_FACT):
        with grid.cell(column_span="all" if len(text) > LONG_FACT else 1), st.container(gap=None):
            st.caption(name)
            st.text(text)


OUT_OF_BAND = (
    "Out-of-band: somebody used MLflow itself, or another tool, so that no rule was checked and no reason kept."
)


def changed_outside(model: str) -> None:
    """Says on a page about a model that it was changed outside of this desk; nothing where it was not."""
    with suppress(SignoffError):  # the page itself says what does not answer
        if found := session.differences(model):
            out_of_band(model, found)


def out_of_band(model: str, differences: Sequence[OutOfBandChange]) -> None:
    """A box that says what was changed outside of this desk, with a link to where that ends. The champion is red."""
    with st.container(border=True, gap="small"):
        changed_sentences(differences, model)
        pages.link_history("See what moved, accept or undo it", model)


def changed_sentences(differences: Sequence[OutOfBandChange], model: str | None = None) -> None:
    """What was changed outside of the desk, the champion first and in red. model: named where a page has several."""
    found = sorted(differences, key=lambda each: not each.of_champion)
    more = len(found) - MOST_CHANGES
    lines = [each.plain for each in found[:MOST_CHANGES]] + ([f"And {more:,} more changes."] if more > 0 else [])
    colour: Colour = "red" if found and found[0].of_champion else "orange"
    title = "Changed outside of this desk" + (f": {words.label(model)}" if model else "")
    st.badge(title, icon=":material/gpp_maybe:", color=colour, help=OUT_OF_BAND)
    st.text("\n".join(lines))


def writes_notice() -> bool:
    """Says before a form that it would be refused, and why. Returns whether this visitor may write."""
    try:
        session.signer()
    except Refused as error:
        message("Read only", str(error), colour="orange")
        return False
    return True


def stage_column() -> Any:  # noqa: ANN401 (Streamlit's column)
    return st.column_config.MultiselectColumn(
        options=list(STAGE_COLOURS), color=list(STAGE_COLOURS.values()), width=110
    )


def height_of(rows: int) -> int | Literal["content"]:
    """The height of a table: as high as its rows, up to a height that fits on a page.

    In pixels, so that its place is kept while the browser loads the code that draws it.
    """
    if not rows:
        return "content"
    return (rows + 1) * ROW_PIXELS + BORDER_PIXELS if rows <= MOST_ROWS else TABLE_PIXELS


# How good versions are by their kind.


def calibration(curves: Mapping[str, Sequence[CalibrationPoint]], errors: Mapping[str, float | None]) -> None:
    """The reliability diagram of one or two versions, its points in figures, and how it agrees with `errors`.

    curves: per version one point per bin. errors: the calibration error of each version, over ten bins.
    """
    st.plotly_chart(charts.calibration(curves), config=charts.PLAIN, alt="Share predicted right by probability")
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
        frame(tables.calibration(curves), "Calibration by bin", digits=("Mean probability", "Share right"))


def found_slices(found: SliceSearch, names: tuple[str, str], labels: Mapping[str, str]) -> None:
    """What a search for weak slices found, and how much it tried. names, labels: see tables.found_slices."""
    searched = (
        f"Searched: {words.count(found.tried, 'slice')} of at least {FEWEST_ROWS} rows, from "
        f"{words.count(found.columns, 'column')} and every two of them"
        + (f"; {words.count(found.left_out, 'column')} not searched" if found.left_out else "")
        + "."
    )
    if not found.found:
        st.text("None stands out.")
        st.caption(f"{searched} Differences that chance explains among so many are not shown.")
        return
    table = tables.found_slices(found, names, labels)
    st.dataframe(
        table,
        hide_index=True,
        height=height_of(len(table)),
        column_config={
            "Rows where": st.column_config.TextColumn(pinned=True, width=330),
            **dict.fromkeys(names, st.column_config.NumberColumn(format=FOUR_DIGITS)),
            "Difference": st.column_config.NumberColumn(format=SIGNED),
        },
        alt="Slices where it does worse, with n, value and interval",
    )
    more = found.significant - len(found.found)
    kept = f" {more:,} more of them add nothing to those that are listed." if more else ""
    st.caption(
        f"{searched} Corrected for their number (Bonferroni): the chance that any of these is an accident is at most "
        f"{1 - session.settings().evaluation.confidence:.0%}, and the intervals are widened to match.{kept}"
    )
