"""The script that runs for each visitor: the frame of the page, then the page that the address asks for."""

from contextlib import suppress

import streamlit as st

from dashboard import filling, pages, session
from dashboard.components import widgets, words
from pipeline.governance.actor import signature
from pipeline.governance.errors import SignoffError

ICON = pages.icon()

st.set_page_config(page_icon=ICON, layout="wide")  # before the navigation, whose own icon is on another host
st.logo(ICON, size="large")
page = st.navigation(pages.navigation())
pages.begin(page)


def sidebar() -> None:
    """Which registry, and in whose name decisions are signed."""
    settings, actor = session.settings(), session.actor()
    with st.sidebar, st.container(gap=None):
        st.caption("Registry")
        st.text(words.address(settings.environment.tracking_uri))
        st.space("small")
        st.caption("Decisions are signed by")
        st.text(signature(actor.subject, actor.established))


session.arrive(page.url_path)
session.show_flash()
with suppress(SignoffError):  # the page says it
    sidebar()
    filling.show_progress()
widgets.guarded(page.run, "page")
