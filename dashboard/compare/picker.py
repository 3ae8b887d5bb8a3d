"""Which versions the Compare page is about: the address says it, the reference first; three fields change it."""

from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st

from dashboard import session
from dashboard.address import in_address
from dashboard.address.picker import LAST_MODEL, MODEL, models_with_versions, picked_model, version_numbers
from dashboard.components import words
from pipeline.governance.errors import NotFound

VERSIONS = "versions"
LAST_COMPARED = "last_compared"
PICK_MODEL, PICK_REFERENCE, PICK_OTHERS = "compare_model", "compare_reference", "compare_others"
MOST_OTHERS = 6


@dataclass(frozen=True)
class ComparedVersions:
    """The versions of one model that the page compares."""

    model: str
    reference: int  # the version that each of the others is compared with
    others: tuple[int, ...]
    left_out: int = 0  # how many more versions the address names, beyond MOST_OTHERS


def picked_versions() -> ComparedVersions | None:
    """None where the registry holds no version. Raises NotFound for an address that names one that is not there."""
    names = models_with_versions()
    if not names:
        return None
    model = picked_model(names)
    asked = st.query_params.get(VERSIONS) or _last(model)
    reference, *others = _named(model, asked) if asked else _offered(model)
    choice = ComparedVersions(model, reference, tuple(others[:MOST_OTHERS]), len(others[MOST_OTHERS:]))
    _remember(choice)
    return choice


def fields(choice: ComparedVersions) -> None:
    """Draws the three fields that choose other versions. Their options are plain text, not markdown."""
    numbers = version_numbers(choice.model)
    st.selectbox(
        "Model", models_with_versions(), key=PICK_MODEL, on_change=_go_to_model, format_func=words.name, width=240
    )
    st.selectbox("Reference", numbers, key=PICK_REFERENCE, on_change=_go_to_reference, args=(choice,), width=120)
    st.multiselect(
        "Compared with",
        [each for each in numbers if each != choice.reference],
        key=PICK_OTHERS,
        on_change=_go_to_others,
        args=(choice,),
        max_selections=MOST_OTHERS,
        select_all=False,
        placeholder="Choose versions",
        width=260,
    )


def as_text(versions: Iterable[int]) -> str:
    return ",".join(map(str, versions))


def _named(model: str, asked: str) -> list[int]:
    """The versions of a list such as "3,1". They are looked up as text, so that no other text is read as a number."""
    known = {str(number): number for number in version_numbers(model)}
    items = [each.strip() for each in asked.split(",") if each.strip()]
    if unknown := [each for each in items if each not in known]:
        raise NotFound(f"version: {model!r} has no version {unknown[0][:40]!r}")
    return list(dict.fromkeys(known[each] for each in items)) or _offered(model)


def _offered(model: str) -> list[int]:
    """What is compared at first: the champion, else the oldest version, with the newest of the others."""
    numbers, champion = version_numbers(model), session.champion_of(model)
    reference = champion if champion in numbers else numbers[-1]
    return [reference, *[each for each in numbers if each != reference][:1]]


def usual(model: str) -> str:
    """What an address of the page would name for this visitor."""
    return _last(model) or as_text(_offered(model))


def _last(model: str) -> str:
    """The versions that this visitor compared before, as long as all of them exist."""
    last_model, versions = st.session_state.get(LAST_COMPARED, ("", ()))
    return as_text(versions) if last_model == model and set(versions) <= set(version_numbers(model)) else ""


def _remember(choice: ComparedVersions) -> None:
    """Writes the choice to the address, which can be shared, to the session for the next visit, and to the fields."""
    versions = (choice.reference, *choice.others)
    in_address.write(model=choice.model, versions=as_text(versions))
    st.session_state[LAST_MODEL], st.session_state[LAST_COMPARED] = choice.model, (choice.model, versions)
    st.session_state[PICK_MODEL], st.session_state[PICK_REFERENCE] = choice.model, choice.reference
    st.session_state[PICK_OTHERS] = list(choice.others)


def _go_to_model() -> None:
    st.query_params.from_dict({MODEL: st.session_state[PICK_MODEL]})


def _go_to_reference(before: ComparedVersions) -> None:
    """A version that becomes the reference and was one of the others changes places with the reference before."""
    reference = st.session_state[PICK_REFERENCE]
    others = [before.reference if each == reference else each for each in before.others]
    st.query_params[VERSIONS] = as_text([reference, *others])


def _go_to_others(before: ComparedVersions) -> None:
    st.query_params[VERSIONS] = as_text([before.reference, *st.session_state[PICK_OTHERS]])
