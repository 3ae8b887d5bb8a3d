"""Pieces that several pages draw."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import words
from dashboard.login.starting import AGAIN
from dashboard.metrics import counters
from pipeline.governance.errors import (
    Conflict,
    IntegrityFailure,
    InvalidInput,
    NotFound,
    Refused,
    SignoffError,
    StaleLogin,
    Unavailable,
)
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage
from pipeline.governance.record.evidence import LATENCY_METRIC, Metric
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.rules.merit import ALIKE, BETTER, WORSE, Merit
from pipeline.governance.text import minus, signed, visible
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
LAST_ADDRESS = "last_address"  # in the session, by timer: what its last look has met
VERDICTS: tuple[tuple[str, str, Colour], ...] = (
    (BETTER, "Better in", "green"),
    (WORSE, "Worse in", "red"),
    (ALIKE, "Not distinguishable in", "gray"),
)


def title(text: str, model: str = "", *, width: Literal["stretch", "content"] = "stretch") -> None:
    """The heading of a page, which is also what the tab of the browser says. text: our own words, before the model."""
    of = " of " if model else ""
    pages.name_tab(f"{text}{of}{words.name(model)}")
    shown = f"{text}{of}{words.label(model) if model else ''}"
    if width == "content":
        st.title(shown, width=width, anchor=False)
    else:  # in a row too, where Streamlit leaves out the space above it: on each page it stands equally high
        st.container(horizontal=True).title(shown, anchor=False)


def nothing_yet(page: str, missing: str) -> None:
    """A page that has nothing to show. missing: what is not there, such as "no version to review"."""
    title(page)
    st.info(f"There is {missing} yet. The overview says how to fill the registry.")
    pages.link_overview()


def place() -> Any:  # noqa: ANN401 (Streamlit's container)
    """Where something may come and go above a form.

    Without it what comes moves the form one place down, and Streamlit's browser side, which knows containers by their
    place, makes the form anew: what is being typed there is lost.
    """
    return st.container()


def guarded(draw: Callable[[], None], name: str) -> None:
    """Draws; a refusal or a failure becomes one sentence on the page, never a traceback. name: of this part of it."""
    try:
        session.admit()  # here for the parts that are drawn anew by themselves: the page itself was not drawn otherwise
        draw()
    except SignoffError as error:
        failure(error, name)


def failure(error: SignoffError, name: str) -> None:
    counters.metrics().refused("page", error)
    if untitled := st.session_state.get(pages.UNTITLED):
        title(untitled)
    text = "\n".join(error.sentences) if isinstance(error, InvalidRows) else words.sentence(str(error))
    with message(title_of(error), text, colour="red" if isinstance(error, IntegrityFailure) else "orange"):
        if isinstance(error, NotFound):
            pages.link_versions("All versions", _model_of_the_address())
        elif not isinstance(error, InvalidInput):  # the same input would be refused again
            try_again(name)
        if isinstance(error, Unavailable):
            _what_is_left()


def _what_is_left() -> None:
    """The record is our own: it can be read while the registry does not answer."""
    with suppress(SignoffError):  # or it is the ledger that does not answer
        if session.silence() and session.recorded_models():
            pages.link_history("History is there all the same", st.query_params.get("model", ""))


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


def frame(
    data: pd.DataFrame,
    alt: str,
    *,
    digits: Sequence[str] = (),
    differences: Sequence[str] = (),
    height: int | Literal["content"] = "content",
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Draws a small table. digits: the columns that have four digits. differences: those that have a sign as well.

    columns: how Streamlit is to draw the others.
    """
    shown, written = dict(columns), bool(differences) or any((data[name] < 0).any() for name in digits if name in data)
    written = written or bool(_times_of_a_row(data).any())
    if not written:  # to write figures takes some milliseconds
        shown = {
            **{name: st.column_config.NumberColumn(format=FOUR_DIGITS) for name in digits if name in data},
            **shown,
        }
    st.dataframe(
        figures(data, digits, differences) if written else data,
        hide_index=True,
        height=height,
        column_config=shown,
        placeholder=words.NOTHING,
        alt=alt,
    )


def figures(data: pd.DataFrame, digits: Sequence[str], differences: Sequence[str] = ()) -> Any:  # noqa: ANN401 (a Styler)
    """The table with its figures as text writes them, and numbers below that sort.

    The number format of Streamlit's columns has a hyphen for a minus; it takes figures that pandas has written where a
    column has no format of its own. Not for thousands of rows: each cell is written here.
    """
    written: dict[str, Any] = {**dict.fromkeys(digits, words.number), **dict.fromkeys(differences, signed)}
    others = dict.fromkeys(set(data.columns) - written.keys(), _as_it_is)
    known = {name: write for name, write in {**others, **written}.items() if name in data}
    styler, timed = data.style.format(known, na_rep=words.NOTHING), _times_of_a_row(data)
    for names, sign in ((digits, ""), (differences, "+")):
        if timed.any() and (there := [name for name in names if name in data]):
            tenths = partial(_tenths, sign=sign)
            styler = styler.format(dict.fromkeys(there, tenths), subset=(timed, there), na_rep=words.NOTHING)
    return styler


def _times_of_a_row(data: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows of a table of metrics are milliseconds, which are measured to a tenth at best."""
    return data.iloc[:, 0] == words.metric(LATENCY_METRIC)


def _tenths(value: float, *, sign: str) -> str:
    return minus(f"{value:{sign}.1f}")


def _as_it_is(value: object) -> str:
    return minus(f"{value:.15g}") if isinstance(value, float) else str(value)


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


def metric(found: Metric) -> None:
    """A metric with its interval and sample size, without which it is never shown."""
    st.metric(
        words.metric_markdown(found.name),
        words.number(found.value),
        words.spread(found) or None,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=words.metric_help(found.name) or None,
    )


def verdict_badges(found: Merit) -> list[str]:
    """How many metrics have each verdict that any has, as markdown of our own words."""
    if found.primary is None:
        return [":orange-badge[Not comparable]"]
    counts = ((word, colour, len(found.metrics(verdict))) for verdict, word, colour in VERDICTS)
    return [f":{colour}-badge[{word} {n} of {len(found.differences)}]" for word, colour, n in counts if n]


def cost_badges(found: Merit, *, short: bool = False) -> list[str]:
    """Latency and size beside the other version's, as markdown; what one of the two does not record is left out.

    short: without milliseconds and bytes.
    """
    shown = []
    if latency := found.latency:
        colour = "gray" if not latency.differs else "red" if latency.times > 1 else "green"
        figures = "" if short else f": {latency.own:.1f} ms a row beside {latency.other:.1f} ms"
        shown.append(f":{colour}-badge[{latency.phrase('slower', 'faster') or 'about as fast'}{figures}]")
    if (size := found.size) and (phrase := size.phrase("larger", "smaller")):
        figures = "" if short else f": {words.size(size.own)} beside {words.size(size.other)}"
        shown.append(f":gray-badge[{phrase}{figures}]")
    return shown


def named_metrics(found: Merit) -> str:
    """Which metrics have each verdict, as markdown for the tooltip of their counts."""
    named = ((word, found.metrics(verdict)) for verdict, word, _ in VERDICTS)
    said = [f"{word} {', '.join(map(words.metric_in_markdown, names))}." for word, names in named if names]
    return " ".join(said) or "Nothing was compared."


def costs(found: Merit, other: str) -> str:
    """Latency and size of both versions, as a tooltip. other: whose the second figure is, such as "the champion's"."""
    said = []
    if latency := found.latency:
        where = {True: "", False: " on different processors", None: ""}[latency.same_machine]
        pair = f"{latency.own:.1f} ms, {other} {latency.other:.1f} ms"
        said.append(f"Median time for one row alone, measured{where} when each was trained: {pair}.")
    else:
        said.append("The time for a row is not recorded for both versions.")
    if size := found.size:
        said.append(f"Files: {words.size(size.own)}, {other} {words.size(size.other)}.")
    return " ".join(said)


@st.fragment(run_every=1)
def redraw_when_done(looks: Sequence["Future[Any]"]) -> None:
    """Draws the page anew when all of these have ended. To be called while they have not: it looks every second."""
    if address_is_settled("looks") and all(look.done() for look in looks):
        st.rerun()


def address_is_settled(timer: str) -> bool:
    """Whether the last look by this timer has met the same address; to be asked at each.

    What a timer asked just before a click changed the address comes with the old one. Drawn anew with that, the page
    would forget what the click has led to, such as the receipt of a decision.
    """
    key, now = f"{LAST_ADDRESS}/{timer}", st.query_params.to_dict()
    before = st.session_state.get(key)
    st.session_state[key] = now
    return bool(before == now)


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


def digests(found: Mapping[str, str | None]) -> None:
    """Each by its beginning, which opens all of it to be copied; what is missing is left out."""
    shown = {name: digest for name, digest in found.items() if digest}
    if shown:
        with st.container(horizontal=True):
            for name, digest in shown.items():
                with st.popover(f"{name} {words.label(words.digest(digest))}", icon=":material/fingerprint:"):
                    st.code(visible(digest), language=None, wrap_lines=True)


def changed_outside(model: str) -> None:
    """Says on a page about a model that it was changed outside of this desk; nothing where it was not."""
    with place(), suppress(SignoffError):  # the page itself says what does not answer
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


def writes_notice(kind: MoveKind | None = None) -> bool:
    """Says before a form that it would be refused, and why. Returns whether this visitor may write.

    kind: of the move that the form decides; None for one that is about something else, or about several.
    """
    return allowed(lambda: session.signer(kind))


def allowed(check: Callable[[], object]) -> bool:
    """Says why a check refuses, with the way to a new login where that would help. Returns whether it did not."""
    with place():
        try:
            check()
        except StaleLogin as error:
            with message("Log in again", str(error), colour="blue"):
                if st.button("Log in again", icon=":material/login:", key="log_in_again"):
                    st.login(AGAIN)
            return False
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
