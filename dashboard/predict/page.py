"""What a version says about a row, why, and what would change it; a file of rows; champion beside challenger."""

from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address.section import chosen_section
from dashboard.components import widgets
from dashboard.components.row_form import outside, typed_row
from dashboard.components.trust import state_line
from dashboard.predict import picker as predict_picker
from dashboard.predict.answers import answers, smallest_change, what_if
from dashboard.predict.file_of_rows import file_of_rows
from dashboard.predict.picker import CHAMPION_OPTION, PredictingVersion
from pipeline.serving.predictions import Target
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import CheckedRow

ONE_ROW, FILE = "One row", "File of rows"


def predict_page() -> None:
    choice = predict_picker.picked()
    if choice is None:
        widgets.nothing_yet("Predict", "no version to ask")
        return
    header(choice)
    widgets.changed_outside(choice.model)
    widgets.guarded(partial(ask, choice), "ask")


def header(choice: PredictingVersion) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        widgets.title(f"Predict with version {choice.version}", choice.model, width="content")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            predict_picker.fields(choice)
            pages.link_explain("Explain", choice.model, choice.version)
            pages.link_review("Review", choice.model, choice.version)


def ask(choice: PredictingVersion) -> None:
    if choice.asked == CHAMPION_OPTION:
        session.scorer().targets.resolve(choice.model)  # refuses a champion that the ledger does not know
    targets = [session.target(choice.model, version) for version in (choice.version, choice.beside) if version]
    for target in targets:
        state_line(target, f"Version {target.resolved.version}")
    if targets[0].state.usable:
        sections(targets)


def sections(targets: list[Target]) -> None:
    if chosen_section([ONE_ROW, FILE]) == ONE_ROW:
        one_row(targets)
    else:
        widgets.guarded(partial(file_of_rows, targets), "file")


def one_row(targets: list[Target]) -> None:
    left, right = st.columns([11, 9], gap="medium")
    with left:
        row = typed_row(targets[0].resolved.model, input_schema(targets[0]), "Predict")
    with right:
        if row is None:
            st.caption("A prediction takes a valid value in each field of the form.")
            return
        outside(row, input_schema(targets[0]))
        answers(row, targets)
    st.header("What if", anchor=False)
    moved(row, targets[0])
    st.header("Smallest change to another class", anchor=False)
    changed(row, targets[0])


@st.fragment
def moved(row: CheckedRow, target: Target) -> None:
    widgets.guarded(partial(what_if, row, target), "what_if")


@st.fragment
def changed(row: CheckedRow, target: Target) -> None:
    widgets.guarded(partial(smallest_change, row, target), "smallest_change")


predict_page()
