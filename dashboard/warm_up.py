"""What the first visitor would wait for, done before the server reports health."""

import gc
import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio.to_thread
import streamlit as st

from dashboard import session
from pipeline.governance.errors import SignoffError

MODULES = ("pandas", "plotly.graph_objects", "pyarrow", "dashboard.evidence_panels", "dashboard.history_panels")
LOG = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    await anyio.to_thread.run_sync(warm_up)
    yield
    await anyio.to_thread.run_sync(stop_worker)


def warm_up() -> None:
    """Import, read the registry once, and freeze the heap: a collection walks over MLflow's objects otherwise."""
    for module in MODULES:
        importlib.import_module(module)
    try:
        session.scorer().start()
        session.desk().take_over()
        session.overview()
    except SignoffError as error:
        # Every page says so itself and offers to try again.
        LOG.warning("The desk starts although the registry was not read: %s", error)
    gc.collect()
    gc.freeze()


def stop_worker() -> None:
    with suppress(SignoffError):  # without settings none was started
        session.scorer().abandon()  # whoever is still waiting goes away with the server
