"""The dashboard's server: warm before it answers, and with security headers. `streamlit run dashboard/app.py`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from dashboard.login.starting import prepared
from dashboard.metrics import endpoint
from dashboard.server import InOneBurst, SecurityHeaders, StaticFromMemory, lifespan

LOGIN = prepared()

# `streamlit run` looks for this assignment in the source text, without running it.
app = st.App(
    Path(__file__).parent / "router.py",
    lifespan=lifespan,
    routes=[Route(endpoint.PATH, endpoint.answer)],
    middleware=[
        Middleware(SecurityHeaders),
        *LOGIN.middleware,
        Middleware(StaticFromMemory),
        Middleware(InOneBurst),
    ],
    secrets=LOGIN.secrets,
)
