"""The gates of a move for a person: what does not pass first and in sentences, what passes folded."""

import streamlit as st

from dashboard.address import in_address
from dashboard.components import tables, words
from dashboard.components.widgets import RESULT_COLOURS
from pipeline.governance.rules.gates import GateResult
from pipeline.governance.rules.review import CHANGES_SOMETHING, Review

PASSED = "passed"  # in the address, whether the gates that pass are unfolded


def gates(review: Review) -> None:
    """Draws every gate that does not pass, those that block first, and one line for all that do."""
    st.header("Gates of this move", anchor=False)
    for gate in (*blocking(review), *review.warnings, *_noted(review)):
        with st.container(border=True, gap=None, key=f"gate_{gate.name}"):
            st.markdown(_title(gate), help=gate.description or None)
            st.text("\n".join(filter(None, (gate.why, _figures(gate)))))
    passed = [gate for gate in review.gates if gate.passed]
    folded = st.expander(count(review), icon=":material/checklist:", **in_address.flag(PASSED))
    if folded.open:
        with folded:
            for gate in passed:
                with st.container(gap=None):
                    st.markdown(_title(gate), help=gate.description or None)
                    st.text(_figures(gate))


def blocking(review: Review) -> list[GateResult]:
    """Without "nothing to do", which is no bad news: the form says it."""
    return [gate for gate in review.blocked_by if gate.name != CHANGES_SOMETHING]


def count(review: Review) -> str:
    """How many of the gates pass, as "13 of 13 passed"; what the others do stands above it."""
    passed = sum(gate.passed for gate in review.gates)
    return f"{passed:,} of {len(review.gates):,} passed"


def _noted(review: Review) -> list[GateResult]:
    return [gate for gate in review.gates if not (gate.passed or gate.blocks or gate.warns)]


def _title(gate: GateResult) -> str:
    """What the gate does and its label, as markdown of our own words."""
    result = words.verdict(gate)
    return f":{RESULT_COLOURS[result]}-badge[{result}] **{gate.label}**"


def _figures(gate: GateResult) -> str:
    observed = tables.cell(gate.observed)
    return f"Observed: {observed or 'nothing'}. Required: {tables.cell(gate.required)}."
