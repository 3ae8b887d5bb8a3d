"""Which version a page is about: the address says it, and two fields change the address."""

from collections.abc import Iterable

import streamlit as st

from dashboard import session
from dashboard.components import words
from pipeline.governance.errors import NotFound
from pipeline.governance.text import visible

MODEL, VERSION = "model", "version"
LAST_MODEL, LAST_VERSION = "last_model", "last_version"


def picked_version() -> tuple[str, int] | None:
    """None where the registry holds no version. Raises NotFound for an address that names none."""
    names = [record.name for record in session.models() if record.versions]
    if not names:
        return None
    model = picked_model(names)
    frame = session.versions(model)
    numbers = frame["Version"].tolist()
    text = st.query_params.get(VERSION) or str(_last_version(model) or _newest_waiting(model) or numbers[0])
    if text not in map(str, numbers):
        raise NotFound(f"version: {model!r} has no version {visible(text, most=20)!r}")
    version = int(text)
    _remember(model, version)
    return model, version


def fields(model: str) -> None:
    """To go to another version. Lists hold plain text, not markdown.

    What an option is called must not change with its state: the browser sends it back by that name, and of two clicks
    the second still has the old one.
    """
    names = [record.name for record in session.models() if record.versions]
    st.selectbox("Model", names, key="pick_model", on_change=_go_to_model, format_func=words.name, width=240)
    numbers = session.versions(model)["Version"].tolist()
    st.selectbox("Version", numbers, key="pick_version", on_change=_go_to_version, width=120)


def picked_model(names: list[str]) -> str:
    """Raises NotFound for an address that names none of them."""
    model = st.query_params.get(MODEL) or st.session_state.get(LAST_MODEL)
    if model not in names and MODEL in st.query_params:
        raise NotFound(f"model: the registry has no versions of {model!r}")
    return model if model in names else names[0]


def reference_first(model: str, versions: Iterable[int]) -> list[int]:
    """The champion is the reference; without it the oldest."""
    champion = session.champion_of(model)
    return sorted(versions, key=lambda version: (version != champion, version))


def _remember(model: str, version: int) -> None:
    """In the address, so that it can be shared; in the session, so that the page reopens on it; in the fields."""
    st.query_params[MODEL], st.query_params[VERSION] = model, str(version)
    st.session_state[LAST_MODEL], st.session_state[LAST_VERSION] = model, version
    st.session_state["pick_model"], st.session_state["pick_version"] = model, version


def _last_version(model: str) -> int | None:
    """The one looked at before, if it still exists and belongs to this model."""
    last: int | None = st.session_state.get(LAST_VERSION)
    known = st.session_state.get(LAST_MODEL) == model and last in session.versions(model)["Version"].to_numpy()
    return last if known else None


def _newest_waiting(model: str) -> int | None:
    return next((each.waiting[0] for each in session.overview() if each.record.name == model and each.waiting), None)


def _go_to_model() -> None:
    st.query_params.from_dict({MODEL: st.session_state["pick_model"]})
    st.session_state.pop(LAST_VERSION, None)


def _go_to_version() -> None:
    st.query_params.from_dict({MODEL: st.session_state["pick_model"], VERSION: str(st.session_state["pick_version"])})
