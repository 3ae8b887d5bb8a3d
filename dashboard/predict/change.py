"""The smallest change of a row that gives another class, with columns that the policy lets a person change."""

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.components import words
from dashboard.components.one_explanation import as_pairs
from dashboard.predict.panels import classes_of, in_words
from pipeline.governance.text import visible
from pipeline.serving.predictions import Target
from pipeline.serving.what_if import Counterfactual
from pipeline.validation.rows import CheckedRow
from pipeline.validation.values import unit

ANY = "Any other class"


def smallest_change(row: CheckedRow, target: Target) -> None:
    allowed = session.settings().policy.may_change.get(target.resolved.model, [])
    may_change = [name for name in allowed if target.schema and target.schema.column(name)]
    if not target.classes:
        st.caption("The version answers with a number: there is no other class to reach.")
    elif not may_change:
        st.caption("The policy (policy.may_change) names no column of this model that a person could change.")
    else:
        _searched(row, target, may_change)


def _searched(row: CheckedRow, target: Target, may_change: list[str]) -> None:
    present = str(session.scorer().predict_checked(target, [row]).rows[0].value)
    options = [ANY, *(name for name in classes_of(target.classes, target.evidence) if name != present)]
    wanted = st.selectbox(
        "To the class", options, key="to_class", bind="query-params", format_func=words.name, width=320
    )
    model, version = target.resolved.model, target.resolved.version
    to_class, pairs = None if wanted == ANY else str(wanted), as_pairs(row.values)
    with st.spinner("Searching"):
        found = session.smallest_change(model, version, target.digest, row=pairs, wanted=to_class)
    if found is None:
        st.text("No change of up to three of these columns was found that gives it.")
    else:
        _found(found, row, target)
    st.caption(f"May change, by the policy: {', '.join(map(words.label, may_change))}. All others stay as they are.")


def _found(found: Counterfactual, row: CheckedRow, target: Target) -> None:
    chance = found.prediction.probabilities.get(str(found.prediction.value))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"Gives {in_words(found.prediction.value)}" + ("" if chance is None else f", probability {chance:.3f}"))
        st.badge("Confirmed by the version", icon=":material/check_circle:", color="green")
    lines = [[visible(name), _value(target, name, row.values[name]), _value(target, name, value)]
             for name, value in found.values.items()]  # fmt: skip
    frame = pd.DataFrame(lines, columns=["Column", "Now", "Then"])
    st.dataframe(frame, hide_index=True, width=480, key="smallest_change")


def _value(target: Target, name: str, value: object) -> str:
    rule = target.schema.column(name) if target.schema else None
    if value is None:
        return "missing"
    return f"{in_words(value)}{unit(rule) if rule and not isinstance(value, str) else ''}"
