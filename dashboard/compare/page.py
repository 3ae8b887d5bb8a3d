"""Two or more versions of a model: which is better on the same rows, and what else differs."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address.section import chosen_section
from dashboard.compare import performance, sections
from dashboard.compare import picker as compare_picker
from dashboard.compare.flips import flipped_rows
from dashboard.compare.importance import importances
from dashboard.compare.picker import ComparedVersions
from dashboard.compare.sections import in_detail
from dashboard.components import widgets
from pipeline.governance.rules.compare import Comparison


def classes(comparison: Comparison) -> None:
    sections.classes(comparison)
    performance.by_kind(comparison)


SECTIONS: Mapping[str, Callable[[Comparison], None]] = {
    "Metrics": sections.metrics,
    "Classes and slices": classes,
    "Calibration": sections.calibration,
    "Flipped rows": flipped_rows,
    "Importance": importances,
    "What differs": sections.different,
}


def compare_page() -> None:
    choice = compare_picker.picked_versions()
    if choice is None:
        widgets.nothing_yet("Compare", "nothing to compare")
        return
    header(choice)
    widgets.changed_outside(choice.model)
    if not choice.others:
        alone(choice)
        return
    comparison = session.comparison(choice.model, choice.reference, in_detail(choice))
    sections.sides(comparison)
    sections.verdicts(comparison)
    draw = SECTIONS[chosen_section(list(SECTIONS))]
    widgets.guarded(partial(draw, comparison), "section")


def header(choice: ComparedVersions) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        widgets.title(_compared(choice), choice.model, width="content")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            compare_picker.fields(choice)
            pages.link_versions("All versions", choice.model)
    if choice.left_out:
        st.caption(f"The address names {choice.left_out:,} more; {compare_picker.MOST_OTHERS} are compared at once.")


def _compared(choice: ComparedVersions) -> str:
    *others, last = map(str, (choice.reference, *choice.others))
    return f"Compare versions {', '.join(others)} and {last}" if others else f"Compare version {last}"


def alone(choice: ComparedVersions) -> None:
    champion = session.champion_of(choice.model)
    st.header("One version is not enough", anchor=False)
    if len(session.versions(choice.model)) == 1:
        st.caption(f"The model has only version {choice.reference}. A comparison needs two.")
        return
    st.caption(f"Choose above what version {choice.reference} is to be compared with.")
    if champion not in (None, choice.reference):
        label = f"Compare with the champion, version {champion}"
        pages.link_compare(label, choice.model, [champion, choice.reference])


compare_page()
