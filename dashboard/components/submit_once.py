"""A click is one command, also a double click."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

Result = TypeVar("Result")


@dataclass
class _Command:
    lock: threading.Lock = field(default_factory=threading.Lock)
    results: list[Any] = field(default_factory=list)


@st.cache_resource(max_entries=500, show_spinner=False)
def _command(key: str) -> _Command:  # noqa: ARG001 (what it is kept under)
    return _Command()


def once(key: str, act: Callable[[], Result]) -> Result:
    """Act, or give what the same key gave before; what raised may be tried again.

    Streamlit answers the second of two clicks in a thread of its own while the first one's callback still runs, and
    cuts the first one off at its next look at the session: so the second has to be able to tell how it went.
    """
    command = _command(key)
    with command.lock:
        if not command.results:
            command.results.append(act())
        result: Result = command.results[0]
        return result


def drawn_key(place: str) -> str:
    """The key of the form at this place of the session, the same until `renew`."""
    key: str = st.session_state.setdefault(place, uuid.uuid4().hex)
    return key


def renew(place: str) -> str:
    key: str = uuid.uuid4().hex
    st.session_state[place] = key
    return key
