"""Whether a version may be used, in words; the same on every page that loads one."""

import streamlit as st

from dashboard import session, widgets, words
from pipeline.governance.errors import SignoffError
from pipeline.serving.predictions import Target
from pipeline.serving.trust import Trust

BADGES: dict[Trust, tuple[str, str, widgets.Colour]] = {
    Trust.TRUSTED: ("Trusted", "verified_user", "green"),
    Trust.IN_REVIEW: ("In review, not approved", "pending", "orange"),
    Trust.UNTRUSTED: ("Untrusted", "block", "gray"),
    Trust.TAMPERED: ("Tampered", "gpp_bad", "red"),
}
SAYS = {
    Trust.TRUSTED: "Its files are those that were approved.",
    Trust.IN_REVIEW: "It loads under the policy, but nobody has approved it yet.",
}
FOREIGN = "It was loaded by MLflow, because serving.trust is producers: code that came with it has run in the worker."


def state_line(target: Target, head: str = "") -> None:
    """A badge and a sentence; a version that is not used gets a box with the reason."""
    title, icon, colour = BADGES[target.state.state]
    if not target.state.usable:
        title = f"{head}: {title.lower()}" if head else title
        with widgets.message(title, _sentence(target.state.reason), colour="red" if _tampered(target) else "orange"):
            st.caption("It is not loaded. What is shown came with it and is only data.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if head:
            st.text(head, width="content")
        st.badge(title, icon=f":material/{icon}:", color=colour)
        if target.state.foreign:
            st.badge("Loaded by MLflow", icon=":material/warning:", color="orange")
        st.caption(f"{SAYS[target.state.state]} Digest {words.digest(target.digest)}.", width="content")
    if target.state.foreign:
        st.caption(FOREIGN)


def trust_badge(model: str, version: int) -> None:
    """For pages that load nothing: the state as it is recorded, its reason behind the badge."""
    try:
        state = session.recorded_trust(model, version)
    except SignoffError:
        return  # the page itself says that the registry does not answer
    title, icon, colour = BADGES[state.state]
    reason = words.code(_sentence(state.reason)) if state.reason else SAYS[state.state]
    st.badge(title, icon=f":material/{icon}:", color=colour, help=reason)


def _tampered(target: Target) -> bool:
    return target.state.state is Trust.TAMPERED


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."
