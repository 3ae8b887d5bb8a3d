"""What somebody must look at: the open findings with the form that closes one, and those that are closed."""

from collections.abc import Sequence
from contextlib import nullcontext, suppress

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import widgets, words
from dashboard.components.signing import draft_name, drawn_key, once, reason_field, typed_reason
from pipeline.governance.errors import Conflict, SignoffError
from pipeline.governance.record.findings import Finding, Severity, by_matter
from pipeline.governance.roles import Action
from pipeline.governance.text import visible

LONGEST_TEXT = 300
MOST_IN_SIGHT, MOST_LINES = 2, 30
COLOURS: dict[Severity, widgets.Colour] = {Severity.HIGH: "red", Severity.MEDIUM: "orange"}
TITLES = {Severity.HIGH: "Review again", Severity.MEDIUM: "To be looked at"}
HIGH = "The version gets no further role until somebody has closed what is high."


def open_ones(found: Sequence[Finding]) -> None:
    """One box per version, with a line for each finding, the urgent first."""
    waiting = sorted((each for each in found if each.is_open), key=_urgency)
    for version in dict.fromkeys(each.version for each in waiting):
        _box([each for each in waiting if each.version == version])


def _urgency(found: Finding) -> tuple[int, float]:
    """The high ones first, then what differs most; an accuracy below the approved one before all of its severity."""
    effect = found.content.get("effect")
    return -found.severity.rank, -effect if isinstance(effect, int | float) else -1.0


def _box(waiting: Sequence[Finding]) -> None:
    """Of one version; the first ones in sight, the others folded away."""
    first, may_close = waiting[0], session.desk().may(Action.CLOSE)
    about = [HIGH] if first.severity is Severity.HIGH else []
    about += [f"Owner: {first.owner}."] if first.owner else []
    title, lines = f"{TITLES[first.severity]}: version {first.version}", by_matter(waiting)
    with widgets.message(title, " ".join(about), colour=COLOURS[first.severity]):
        for each in lines[:MOST_IN_SIGHT]:
            _line(each, may_close=may_close)
        if more := lines[MOST_IN_SIGHT:MOST_LINES]:
            with st.expander(f"{len(more)} more about version {first.version}"):
                for each in more:
                    _line(each, may_close=may_close)
        if len(lines) > MOST_LINES:
            st.caption(f"And {len(lines) - MOST_LINES:,} more: signoff findings lists them all.")
        if may_close and len(lines) > 1:
            _closing("Close all", waiting, f"all/{first.sequence}")


def _line(same: Sequence[Finding], *, may_close: bool) -> None:
    """What was found and when, and the way to close it, with those that said so before it became urgent."""
    each = same[0]
    window = each.window
    seen = f"seen from {words.when(window.since)} to {words.when(window.until)}, opened {words.when(each.opened_at)}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(gap=None, width="stretch"):
            st.text(visible(each.what, most=LONGEST_TEXT))
            st.caption(f"{each.severity.value.capitalize()}, {seen}.")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            if may_close:
                _closing("Close", same, str(each.sequence))
            pages.link_event(f"No. {each.sequence} in History", each.model, each.sequence)


def _closing(label: str, found: Sequence[Finding], name: str) -> None:
    """The form, behind a small button: looking comes first. name: of the form, among those of the version."""
    numbers = tuple(each.sequence for each in found)
    key = f"close/{name}"
    with st.popover(label, icon=":material/task_alt:"):
        if not widgets.allowed(session.signer):
            return
        reason_field(draft_name(key), f"reason/{key}")
        if refused := st.session_state.pop(f"refused/{key}", None):
            widgets.message("Not closed", refused, colour="red")
        button = "I have looked at it" if len(numbers) == 1 else f"I have looked at all {len(numbers)}"
        st.button(button, key=key, type="primary", on_click=_close, args=(numbers, key))


def _close(numbers: Sequence[int], key: str) -> None:
    """Runs before the page is drawn again. Each is an event of its own with the same sentence."""
    reason = typed_reason(f"reason/{key}")

    def sign() -> None:
        try:
            for number in numbers:
                # Of several, one that a colleague has closed meanwhile is no reason to leave the others open.
                with suppress(Conflict) if len(numbers) > 1 else nullcontext():
                    session.desk().close_finding(number, reason=reason, actor=session.actor())
        finally:
            caching.forget_reads()

    try:
        once(drawn_key(f"key/{key}"), sign)
    except SignoffError as error:
        st.session_state[f"refused/{key}"] = str(error)
        return
    what = f"Finding {numbers[0]} is" if len(numbers) == 1 else f"{len(numbers)} findings are"
    session.flash(f"{what} closed")


def closed_ones(found: Sequence[Finding]) -> None:
    """What was looked at before, and what came of it."""
    closed = [each for each in found if not each.is_open]
    if not closed:
        return
    with st.expander(f"Closed findings ({len(closed):,})"):
        frame = pd.DataFrame(
            {
                "No.": [each.sequence for each in closed],
                "Severity": [each.severity.value for each in closed],
                "Version": [each.version for each in closed],
                "What": [visible(each.what, most=LONGEST_TEXT) for each in closed],
                "Closed by": [each.closed_by or "" for each in closed],
                "Reason": [visible(each.closed_because or "", most=LONGEST_TEXT) for each in closed],
            }
        )
        widgets.frame(frame, "Closed findings", height=widgets.height_of(len(frame)))
