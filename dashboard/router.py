"""The script that runs for each visitor: the frame of the page, then the page that the address asks for."""

from contextlib import suppress

import streamlit as st

from dashboard import filling, pages, session
from dashboard.components import widgets, words
from dashboard.login import door
from pipeline.governance.errors import SignoffError

ICON = pages.icon()

st.set_page_config(page_icon=ICON, layout="wide")  # before the navigation, whose own icon is on another host
st.logo(ICON, size="large")
page = st.navigation(pages.navigation())
pages.begin(page)


def sidebar(*, admitted: bool) -> None:
    """Which registry, for who may know it, and who looks at the page."""
    with st.sidebar, st.container(gap=None):
        if admitted:
            st.caption("Registry")
            st.text(words.address(session.settings().environment.tracking_uri))
            st.space("small")
        door.sidebar()


session.arrive(page.url_path)
session.show_flash()
admitted = door.admits()
with suppress(SignoffError):  # the page says it
    sidebar(admitted=admitted)
    if admitted:
        filling.show_progress()
if admitted:
    widgets.guarded(page.run, "page")
