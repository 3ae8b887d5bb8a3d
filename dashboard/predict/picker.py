"""Which version predicts, and which one beside it: the address says it; without one it is the champion."""

from dataclasses import dataclass

import streamlit as st

from dashboard import session
from dashboard.address import in_address
from dashboard.address.picker import (
    LAST_MODEL,
    MODEL,
    VERSION,
    models_with_versions,
    picked_model,
    version_numbers,
)
from dashboard.components import words
from pipeline.governance.errors import NotFound

BESIDE = "beside"
PICK_MODEL, PICK_VERSION, PICK_BESIDE = "predict_model", "predict_version", "predict_beside"
CHAMPION_OPTION = "Champion"


@dataclass(frozen=True)
class PredictingVersion:
    """The version that predicts, and one that predicts beside it."""

    model: str
    asked: str  # what the field says: the number of a version, or CHAMPION_OPTION
    version: int  # the version that this stands for now
    beside: int | None  # a second version whose prediction is shown beside the first


def picked() -> PredictingVersion | None:
    """The versions that the address names; without any it is the champion, else the newest version.

    None where the registry holds no version. Raises NotFound for an address that names one that is not there.
    """
    names = models_with_versions()
    if not names:
        return None
    model = picked_model(names)
    numbers, champion = version_numbers(model), session.champion_of(model)
    asked = st.query_params.get(VERSION) or (CHAMPION_OPTION if champion else str(numbers[0]))
    beside = _number(model, st.query_params[BESIDE]) if BESIDE in st.query_params else None
    version = champion if asked == CHAMPION_OPTION and champion else _number(model, asked)
    choice = PredictingVersion(model, asked, version, beside if beside != version else None)
    _remember(choice)
    return choice


def fields(choice: PredictingVersion) -> None:
    """Draws the three fields that choose other versions. Their options are plain text, not markdown."""
    numbers, champion = version_numbers(choice.model), session.champion_of(choice.model)
    options = [*([CHAMPION_OPTION] if champion else []), *map(str, numbers)]
    st.selectbox(
        "Model", models_with_versions(), key=PICK_MODEL, on_change=_go_to_model, format_func=words.name, width=240
    )
    st.selectbox("Version", options, key=PICK_VERSION, on_change=_go_to_version, width=140)
    others = [each for each in numbers if each != choice.version]
    st.selectbox("Beside", others, key=PICK_BESIDE, on_change=_go_to_beside, placeholder="None", width=120)


def _number(model: str, text: str) -> int:
    known = {str(number): number for number in version_numbers(model)}
    if text not in known:
        raise NotFound(f"version: {model!r} has no version {text[:40]!r}")
    return known[text]


def _remember(choice: PredictingVersion) -> None:
    in_address.write(model=choice.model)
    st.session_state[LAST_MODEL] = st.session_state[PICK_MODEL] = choice.model
    st.session_state[PICK_VERSION], st.session_state[PICK_BESIDE] = choice.asked, choice.beside


def _go_to_model() -> None:
    st.query_params.from_dict({MODEL: st.session_state[PICK_MODEL]})


def _go_to_version() -> None:
    asked = st.session_state[PICK_VERSION]
    in_address.write(**{VERSION: None if asked == CHAMPION_OPTION else asked})


def _go_to_beside() -> None:
    beside = st.session_state[PICK_BESIDE]
    in_address.write(**{BESIDE: None if beside is None else str(beside)})
