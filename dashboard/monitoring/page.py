"""Whether what serves is still what was approved: traffic, accuracy, drift, the shadow, and what must be looked at."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import streamlit as st

from dashboard import caching, pages, session
from dashboard.address import in_address
from dashboard.address.picker import LAST_MODEL, models_with_versions, picked_model
from dashboard.address.section import chosen_section
from dashboard.components import widgets, words
from dashboard.monitoring import drift, findings, log, sections, shadow
from pipeline.governance.record.findings import Finding
from pipeline.governance.rules.watching import LOG_IS_OFF, WatchReport

SECTIONS: Mapping[str, Callable[[WatchReport], None]] = {
    "At a glance": sections.at_a_glance,
    "Columns": drift.columns,
    "Shadow": shadow.shadow,
    "Log": log.log,
}
WINDOWS = {"Last 24 hours": 24, "Last 7 days": 7 * 24, "Last 30 days": 30 * 24}


@caching.fresh(most=20)
def report(model: str, hours: int) -> WatchReport:
    """Of the champion, see service.monitor."""
    return session.desk().monitor(model, length=timedelta(hours=hours))


@caching.fresh(most=20)
def every_finding(model: str) -> tuple[Finding, ...]:
    """Open and closed ones, the newest first."""
    return tuple(session.desk().findings(model, closed=True))


def monitoring_page() -> None:
    names = models_with_versions()
    if not names:
        widgets.nothing_yet("Monitoring", "no version to watch")
        return
    model = picked_model(names)
    widgets.title("Monitoring", model)
    st.session_state["watched_model"] = st.session_state[LAST_MODEL] = model
    in_address.write(model=model)
    champion = session.champion_of(model)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Model", names, key="watched_model", on_change=open_model, format_func=words.name, width=240)
        window = st.selectbox("Window", list(WINDOWS), width=160, **in_address.one_of("window", list(WINDOWS)))
        if champion is not None:
            pages.link_review(f"Review version {champion}", model, champion)
        pages.link_history("History", model)
    widgets.changed_outside(model)
    known = every_finding(model)
    findings.open_ones(known)
    if champion is None:
        st.info("No champion: nothing serves, so there is nothing to watch.")
    else:
        widgets.guarded(lambda: watched(model, window or next(iter(WINDOWS))), "watched")
    findings.closed_ones(known)


def watched(model: str, window: str) -> None:
    """The champion in the chosen time, which ends with the present hour."""
    found = report(model, WINDOWS[window])
    if found.gap == LOG_IS_OFF:
        sections.off(found)
        return
    sections.figures(found)
    draw = SECTIONS[chosen_section(list(SECTIONS))]
    widgets.guarded(partial(draw, found), "section")


def open_model() -> None:
    st.query_params.from_dict({"model": st.session_state["watched_model"]})


monitoring_page()
