"""Who looks at the page, asked anew in each run: what the policy lets them do may have changed since they came."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import streamlit as st

from pipeline import bootstrap
from pipeline.governance.actor import Actor, Established
from pipeline.governance.service import DESK
from pipeline.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
NOBODY = Actor("", Established.SELF_DECLARED)  # has no role where people log in
_ACTING: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def by_itself() -> Iterator[None]:
    """The dashboard reads by itself, for no visitor: before it reports that it is healthy."""
    token = _ACTING.set(DESK)
    try:
        yield
    finally:
        _ACTING.reset(token)


def visitor(settings: Settings) -> Actor:
    """Raises InvalidInput where the settings do not say by what a proxy is known.

    Only a server that listens on this machine alone is sure that people sit at it.
    """
    if acting := _ACTING.get():
        return acting
    found = bootstrap.visitor(
        settings,
        claims=st.user.to_dict,
        headers=_headers,
        loopback=st.get_option("server.address") in LOOPBACK,
    )
    return found or NOBODY


def _headers(name: str) -> Sequence[str]:
    """Of the request that opened the page, a name that was sent twice with both values."""
    return st.context.headers.get_all(name)
