"""What somebody must look at: the open findings with the form that closes one, and those that are closed."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import widgets, words
from dashboard.components.signing import draft_name, drawn_key, once, reason_field, typed_reason
from pipeline.governance.errors import SignoffError
from pipeline.governance.record.findings import Finding, Severity
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.roles import Action
from pipeline.governance.text import visible

LONGEST_TEXT = 300
MOST_BOXES = 20
COLOURS: dict[Severity, widgets.Colour] = {Severity.HIGH: "red", Severity.MEDIUM: "orange"}
TITLES = {Severity.HIGH: "Review again", Severity.MEDIUM: "To be looked at"}
HIGH = "The version gets no further role until somebody has closed this."


def open_ones(found: Sequence[Finding]) -> None:
    """A box for each, the urgent first."""
    waiting = sorted((each for each in found if each.is_open), key=lambda each: -each.severity.rank)
    may_close = session.desk().may(Action.CLOSE)
    for each in waiting[:MOST_BOXES]:
        title = f"{TITLES[each.severity]}: version {each.version}"
        with (
            widgets.message(title, _told(each), colour=COLOURS[each.severity]),
            st.container(horizontal=True, vertical_alignment="center"),
        ):
            if may_close:
                _closing(each.sequence)
            pages.link_event(f"No. {each.sequence} in History", each.model, each.sequence)
    if len(waiting) > MOST_BOXES:
        st.caption(f"And {len(waiting) - MOST_BOXES:,} more: signoff findings lists them all.")


def _told(each: Finding) -> str:
    window = each.window
    lines = [
        visible(each.what, most=LONGEST_TEXT),
        f"Seen from {words.when(window.since)} to {words.when(window.until)}, opened {words.when(each.opened_at)}.",
    ]
    if each.severity is Severity.HIGH:
        lines.append(HIGH)
    if each.owner:
        lines.append(f"Owner: {each.owner}")
    return "\n".join(lines)


def _closing(number: int) -> None:
    """The form, behind a small button: looking comes first."""
    key = f"close/{number}"
    with st.popover("Close", icon=":material/task_alt:"):
        if not widgets.allowed(session.signer):
            return
        reason_field(draft_name("close", number), f"reason/{key}")
        if refused := st.session_state.pop(f"refused/{key}", None):
            widgets.message("Not closed", refused, colour="red")
        st.button("I have looked at it", key=key, on_click=_close, args=(number, key))


def _close(number: int, key: str) -> None:
    """Runs before the page is drawn again."""
    reason = typed_reason(f"reason/{key}")

    def sign() -> StoredEvent:
        try:
            return session.desk().close_finding(number, reason=reason, actor=session.actor())
        finally:
            caching.forget_reads()

    try:
        once(drawn_key(f"key/{key}"), sign)
    except SignoffError as error:
        st.session_state[f"refused/{key}"] = str(error)
        return
    session.flash(f"Finding {number} is closed")


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
