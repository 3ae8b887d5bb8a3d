"""A double click is one command: a form carries an idempotency key, and a command runs once per key."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

Result = TypeVar("Result")


@dataclass
class _Run:
    """A command under one key."""

    lock: threading.Lock = field(default_factory=threading.Lock)  # held while the command runs
    results: list[Any] = field(default_factory=list)  # empty until it has returned


@st.cache_resource(max_entries=500, show_spinner=False)
def _run(key: str) -> _Run:  # noqa: ARG001 (the cache keeps it under this key)
    return _Run()


def once(key: str, command: Callable[[], Result]) -> Result:
    """Runs the command, or returns what it returned before under the same key; one that raised may run again.

    Streamlit handles the second of two clicks in a thread of its own while the callback of the first still runs, and
    stops the first when it next reads the session: so the second click has to be able to show the result.
    """
    run = _run(key)
    with run.lock:
        if not run.results:
            run.results.append(command())
        result: Result = run.results[0]
        return result


def drawn_key(form: str) -> str:
    """The key of a form of this session, the same until `renew`. form: under which name the session keeps it."""
    key: str = st.session_state.setdefault(form, uuid.uuid4().hex)
    return key


def renew(form: str) -> str:
    """Gives the form a new key, after its command has succeeded: the next click is another command."""
    key: str = uuid.uuid4().hex
    st.session_state[form] = key
    return key
