"""Whether a version may be used: its trust state as badges, boxes and sentences, the same on every page."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import widgets, words
from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.lifecycle import IN_USE
from pipeline.serving.predictions import Target
from pipeline.serving.trust import Trust, TrustState

BADGES: dict[Trust, tuple[str, str, widgets.Colour]] = {
    Trust.TRUSTED: ("Files as approved", "verified_user", "green"),
    Trust.OUTSIDE: ("Champion set outside", "gpp_maybe", "red"),
    Trust.IN_REVIEW: ("Not approved yet", "pending", "orange"),
    Trust.UNTRUSTED: ("Not safe to load", "block", "gray"),
    Trust.TAMPERED: ("Files changed", "gpp_bad", "red"),
}
# The word of tables and documents behind the plain one.
MEANS = {
    Trust.TRUSTED: "In short: trusted. It loads under the policy, and its files are, byte for byte, the approved ones.",
    Trust.OUTSIDE: "It loads under the policy, but it was made champion by another way than a decision.",
    Trust.IN_REVIEW: "In short: in review. It can be tried out here; what answers over HTTP has to be approved.",
}
FINGERPRINT = "The digest (sha256) of the names and bytes of all its files: another file is another fingerprint."
SAYS = {
    Trust.TRUSTED: "Nothing has changed since a decision approved it.",
    Trust.OUTSIDE: "Nobody decided here that it should serve.",
    Trust.IN_REVIEW: "It loads under the policy, but nobody has approved it yet.",
}
Named = tuple[str, int]  # a model and a version of it
COLUMN = "Trust"
NOT_LOOKED_AT = "Not looked at"
MOST_LOOKED_AT, LOOK_SECONDS = 25, 1.0  # of a table's versions: their files may lie on the other side of a network
GLANCE_SECONDS = 0.3  # for a list that is drawn without them
FOREIGN = "It was loaded by MLflow, because serving.trust is producers: code that came with it has run in the worker."


def state_line(target: Target, head: str = "") -> None:
    """Draws a badge and a sentence; a version that may not be used gets a box with the reason. head: its name."""
    title, icon, colour = BADGES[target.state.state]
    if not target.state.usable:
        title = f"{head}: {title.lower()}" if head else title
        if target.state.state is Trust.TAMPERED:
            changed_box(title, target.resolved.model, target.resolved.version, reason=target.state.reason)
            return
        with widgets.message(title, words.sentence(target.state.reason), colour="orange"):
            st.caption("It is not loaded. What is shown came with it and is only data.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if head:
            st.text(head, width="content")
        st.badge(title, icon=f":material/{icon}:", color=colour, help=MEANS.get(target.state.state))
        if target.state.mlflow_flavor:
            st.badge("Loaded by MLflow", icon=":material/warning:", color="orange")
        fingerprint = f"Fingerprint of its files {words.digest(target.digest)}."
        st.caption(f"{SAYS[target.state.state]} {fingerprint}", width="content", help=FINGERPRINT)
    if target.state.mlflow_flavor:
        st.caption(FOREIGN)


def changed_box(title: str, model: str, version: int, *, reason: str) -> None:
    """The alarm that a version's files are not those recorded: what differs, and where that is recorded."""
    with widgets.message(title, f"{words.name(model)}, version {version}: {reason}.", colour="red"):
        st.caption("Nothing of it is loaded or explained, and no decision gives it a role.", help=FINGERPRINT)
        pages.link_history("The alarm in the history", model)


def changed_files(model: str, version: int) -> str:
    """Why a version's files are not those recorded; "" where they are, or where that cannot be known now."""
    try:
        state = session.recorded_trust(model, version)
    except SignoffError:
        return ""
    return state.reason if state.state is Trust.TAMPERED else ""


@caching.fresh()
def to_review_again(model: str) -> frozenset[tuple[int, str]]:
    """See service.review_again."""
    return session.desk().review_again(model)


def review_again_badge(model: str, version: int, created_at: str) -> None:
    """Says of a version that somebody must look at it again before it gets another role; nothing of any other one."""
    if (version, created_at) in to_review_again(model):
        tip = "A high finding about it is open: it gets no further role until somebody has closed it."
        st.badge("Review again", icon=":material/visibility:", color="red", help=tip)


def trust_badge(model: str, version: int) -> None:
    """For pages that load nothing: a badge of the state by the record and the files, with the reason as its help."""
    try:
        state = session.recorded_trust(model, version)
    except NotFound:
        st.badge("Gone", icon=":material/delete:", color="gray", help="The registry no longer has this version.")
        return
    except SignoffError:
        return  # the page itself says that the registry does not answer
    word, icon, colour = BADGES[state.state]
    reason = words.code(words.sentence(state.reason)) if state.reason else SAYS[state.state]
    st.badge(word, icon=f":material/{icon}:", color=colour, help=reason)


def looked_at(found: pd.DataFrame) -> tuple[int, ...]:
    """The versions of the versions table whose trust is asked for: of a long one those in use, then the newest."""
    used = (found["Stage"].isin(IN_USE) | found["Aliases"].map(bool)).sort_values(ascending=False, kind="stable")
    return tuple(found["Version"].loc[used.index[:MOST_LOOKED_AT]].tolist())


def known_words(model: str, versions: Iterable[int]) -> tuple[tuple[int, str], ...]:
    """Version and word for each trust state known within LOOK_SECONDS; what is late is drawn when it is known."""
    states, late = _looked_at([(model, version) for version in versions], LOOK_SECONDS)
    with widgets.place():
        if late:
            widgets.redraw_when_done(late)
    return tuple((version, BADGES[state.state][0]) for (_, version), state in states.items() if state)


def column() -> Mapping[str, Any]:
    """How a table shows the column of trust states."""
    config = st.column_config.MultiselectColumn(
        options=[*(BADGES[state][0] for state in Trust), NOT_LOOKED_AT],
        color=[*(BADGES[state][2] for state in Trust), "gray"],
        width=150,
        help="What the ledger and the files say; nothing is loaded. Files that take long to read are not looked at yet",
    )
    return {COLUMN: config}


def unusable(versions: Iterable[Named]) -> tuple[set[Named], list[Future[TrustState]]]:
    """The versions that are untrusted or tampered, and the looks that take longer than GLANCE_SECONDS."""
    states, late = _looked_at(versions, GLANCE_SECONDS)
    return {named for named, state in states.items() if state and not state.usable}, late


def _looked_at(
    versions: Iterable[Named], seconds: float
) -> tuple[dict[Named, TrustState | None], list[Future[TrustState]]]:
    """The states that are known within some seconds for all of them together, None for the others, and their looks.

    Looking goes on in other threads: the next run of the page finds what they have found.
    """
    looks = {named: session.look(*named) for named in versions}
    done, late = wait(looks.values(), timeout=seconds)  # asked once: what ends from now on was not known to the page
    known = {named: look.result() if look in done and not look.exception() else None for named, look in looks.items()}
    return known, list(late)
