"""The dashboard's server: warm before it answers, and with security headers. `streamlit run dashboard/app.py`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard.login.starting import prepared
from dashboard.server import SecurityHeaders, lifespan

LOGIN = prepared()

# `streamlit run` looks for this assignment in the source text, without running it.
app = st.App(
    Path(__file__).parent / "router.py",
    lifespan=lifespan,
    middleware=[Middleware(SecurityHeaders), *LOGIN.middleware],
    secrets=LOGIN.secrets,
)
