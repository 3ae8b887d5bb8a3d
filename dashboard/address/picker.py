"""Which model and version a page is about: the address says it, and fields of the page change the address."""

from collections.abc import Iterable, Mapping

import streamlit as st

from dashboard import session
from dashboard.address import in_address
from dashboard.components import words
from pipeline.governance.errors import NotFound
from pipeline.governance.text import visible

MODEL, VERSION = "model", "version"
LAST_MODEL, LAST_VERSION = "last_model", "last_version"


def models_with_versions() -> list[str]:
    """The names that a field can offer."""
    return [record.name for record in session.models() if record.versions]


def version_numbers(model: str) -> list[int]:
    """The numbers of a model's versions, newest first."""
    return list(session.version_table(model).numbers)


def picked_version() -> tuple[str, int] | None:
    """As `asked_version` for the address of this page, which then names it."""
    picked = asked_version(st.query_params)
    if picked is not None:
        _remember(*picked)
    return picked


def asked_version(address: Mapping[str, str]) -> tuple[str, int] | None:
    """The model and version that an address names, else the last one of this visitor, else the newest that waits.

    None where the registry holds no version. Raises NotFound for an address that names one that is not there.
    """
    names = models_with_versions()
    if not names:
        return None
    model = _model(names, address)
    numbers = version_numbers(model)
    text = address.get(VERSION) or str(_last_version(model) or _newest_waiting(model) or numbers[0])
    if text not in map(str, numbers):
        raise NotFound(f"version: {model!r} has no version {visible(text, most=20)!r}")
    return model, int(text)


def fields(model: str) -> None:
    """Draws the two fields that go to another version. Their options are plain text, not markdown.

    The name of an option must not change with the state of its version: the browser sends the option back by its name,
    and the second of two clicks still sends the old one.
    """
    names = models_with_versions()
    st.selectbox("Model", names, key="pick_model", on_change=_go_to_model, format_func=words.name, width=240)
    st.selectbox("Version", version_numbers(model), key="pick_version", on_change=_go_to_version, width=120)


def picked_model(names: list[str]) -> str:
    """The model that the address names, else the last one of this visitor, else the first.

    Raises NotFound for an address that names none of them.
    """
    return _model(names, st.query_params)


def _model(names: list[str], address: Mapping[str, str]) -> str:
    model = address.get(MODEL) or st.session_state.get(LAST_MODEL)
    if model not in names and MODEL in address:
        raise NotFound(f"model: the registry has no versions of {model!r}")
    return model if model in names else names[0]


def reference_first(model: str, versions: Iterable[int]) -> list[int]:
    """The order in which versions are compared: the champion is the reference, without one the oldest version."""
    champion = session.champion_of(model)
    return sorted(versions, key=lambda version: (version != champion, version))


def _remember(model: str, version: int) -> None:
    """Writes the choice to the address, which can be shared, to the session for the next page, and to the fields."""
    in_address.write(model=model, version=str(version))
    st.session_state[LAST_MODEL], st.session_state[LAST_VERSION] = model, version
    st.session_state["pick_model"], st.session_state["pick_version"] = model, version


def _last_version(model: str) -> int | None:
    """The version that this visitor looked at before, if it belongs to this model and still exists."""
    last: int | None = st.session_state.get(LAST_VERSION)
    return last if st.session_state.get(LAST_MODEL) == model and last in version_numbers(model) else None


def _newest_waiting(model: str) -> int | None:
    return next((each.waiting[0] for each in session.overview() if each.record.name == model and each.waiting), None)


def _go_to_model() -> None:
    st.query_params.from_dict({MODEL: st.session_state["pick_model"]})
    st.session_state.pop(LAST_VERSION, None)


def _go_to_version() -> None:
    row = {name: st.query_params[name] for name in (session.ROW_VALUES,) if name in st.query_params}
    chosen = {MODEL: st.session_state["pick_model"], VERSION: str(st.session_state["pick_version"])}
    st.query_params.from_dict({**in_address.kept(), **chosen, **row})
