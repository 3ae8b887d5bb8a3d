"""Which versions the Compare page is about: the address says it, the reference first; three fields change it."""

from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st

from dashboard import session
from dashboard.components import words
from dashboard.components.picker import LAST_MODEL, MODEL, picked_model
from pipeline.governance.errors import NotFound

VERSIONS = "versions"
LAST_COMPARED = "last_compared"
PICK_MODEL, PICK_REFERENCE, PICK_OTHERS = "compare_model", "compare_reference", "compare_others"
MOST_OTHERS = 6


@dataclass(frozen=True)
class ComparedVersions:
    """Each of `others` is compared with `reference`; `left_out` says how many the address names beyond the limit."""

    model: str
    reference: int
    others: tuple[int, ...]
    left_out: int = 0


def picked_versions() -> ComparedVersions | None:
    """None where the registry holds no version. Raises NotFound for an address that names one that is not there."""
    names = _models()
    if not names:
        return None
    model = picked_model(names)
    asked = st.query_params.get(VERSIONS) or _last(model)
    reference, *others = _named(model, asked) if asked else _offered(model)
    choice = ComparedVersions(model, reference, tuple(others[:MOST_OTHERS]), len(others[MOST_OTHERS:]))
    _remember(choice)
    return choice


def fields(choice: ComparedVersions) -> None:
    """To compare others. Lists hold plain text, not markdown."""
    numbers = _numbers(choice.model)
    st.selectbox("Model", _models(), key=PICK_MODEL, on_change=_go_to_model, format_func=words.name, width=240)
    st.selectbox("Reference", numbers, key=PICK_REFERENCE, on_change=_go_to_reference, args=(choice,), width=120)
    st.multiselect(
        "Compared with it",
        [each for each in numbers if each != choice.reference],
        key=PICK_OTHERS,
        on_change=_go_to_others,
        args=(choice,),
        max_selections=MOST_OTHERS,
        select_all=False,
        placeholder="Choose versions",
        width=260,
    )


def in_address(versions: Iterable[int]) -> str:
    return ",".join(map(str, versions))


def _models() -> list[str]:
    return [record.name for record in session.models() if record.versions]


def _numbers(model: str) -> list[int]:
    """Newest first."""
    numbers: list[int] = session.versions(model)["Version"].tolist()
    return numbers


def _named(model: str, asked: str) -> list[int]:
    """Looked up as text: what is no number of a version is never converted."""
    known = {str(number): number for number in _numbers(model)}
    words_of_address = [each.strip() for each in asked.split(",") if each.strip()]
    if unknown := [each for each in words_of_address if each not in known]:
        raise NotFound(f"version: {model!r} has no version {unknown[0][:40]!r}")
    return list(dict.fromkeys(known[each] for each in words_of_address)) or _offered(model)


def _offered(model: str) -> list[int]:
    """The champion, else the oldest, and the newest of the others."""
    numbers, champion = _numbers(model), session.champion_of(model)
    reference = champion if champion in numbers else numbers[-1]
    return [reference, *[each for each in numbers if each != reference][:1]]


def _last(model: str) -> str:
    """What this visitor compared before, as long as all of it is there."""
    last_model, versions = st.session_state.get(LAST_COMPARED, ("", ()))
    return in_address(versions) if last_model == model and set(versions) <= set(_numbers(model)) else ""


def _remember(choice: ComparedVersions) -> None:
    """In the address, so that it can be shared; in the session, so that the page reopens on it; in the fields."""
    versions = (choice.reference, *choice.others)
    st.query_params[MODEL], st.query_params[VERSIONS] = choice.model, in_address(versions)
    st.session_state[LAST_MODEL], st.session_state[LAST_COMPARED] = choice.model, (choice.model, versions)
    st.session_state[PICK_MODEL], st.session_state[PICK_REFERENCE] = choice.model, choice.reference
    st.session_state[PICK_OTHERS] = list(choice.others)


def _go_to_model() -> None:
    st.query_params.from_dict({MODEL: st.session_state[PICK_MODEL]})


def _go_to_reference(before: ComparedVersions) -> None:
    """If it was one of the others, the two change places."""
    reference = st.session_state[PICK_REFERENCE]
    others = [before.reference if each == reference else each for each in before.others]
    st.query_params[VERSIONS] = in_address([reference, *others])


def _go_to_others(before: ComparedVersions) -> None:
    st.query_params[VERSIONS] = in_address([before.reference, *st.session_state[PICK_OTHERS]])
