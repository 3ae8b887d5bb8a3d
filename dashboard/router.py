"""The script that runs for each visitor: the frame of the page, then the page that the address asks for."""

from contextlib import suppress

import streamlit as st

from dashboard import filling, pages, session, sidebar
from dashboard.address import in_address
from dashboard.components import widgets
from dashboard.login import door
from dashboard.metrics import counters
from pipeline.governance.errors import SignoffError

ICON = pages.icon()

st.set_page_config(page_icon=ICON, layout="wide")  # before the navigation, whose own icon is on another host
st.logo(ICON, size="large")
page = st.navigation(pages.navigation(), position="hidden")
pages.begin(page)
in_address.begin(page.url_path)
st.set_page_config(initial_sidebar_state=pages.sidebar_state(page))  # before anything is drawn in it

session.arrive(page.url_path)
counters.count_opened(page)
session.show_flash()
admitted = door.admits()
sidebar.draw(admitted=admitted)
if admitted:
    with suppress(SignoffError):  # the page says it
        filling.show_progress()
    widgets.guarded(page.run, "page")
in_address.end()
