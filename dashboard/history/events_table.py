"""The table of events, and which of them is open: the address says it."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import history_lines, widgets, words
from dashboard.components.history_lines import Line

EVENT = "event"


def events_table(found: Sequence[Line], model: str | None, kinds: Sequence[str]) -> Line | None:
    """The selected line; the address may name it by its number."""
    by_number = {str(line.entry.sequence): index for index, line in enumerate(found)}
    asked = by_number.get(st.query_params.get(EVENT, ""))
    colours = history_lines.event_colours()
    event = st.dataframe(
        history_lines.table(found, models=model is None),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=f"history/{model}/{'/'.join(kinds)}/{st.query_params.get('before', '')}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if asked is None else {"selection": {"rows": [asked]}},
        column_config={
            "No.": st.column_config.NumberColumn(format="%d", width=55),
            "Event": st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), width=125),
            "Version": st.column_config.NumberColumn(format="%d", width=70),
            **widgets.times("When"),
        },
        placeholder=words.NOTHING,
        alt="Events, newest first",
    )
    return _opened(found, event.selection.rows)


def _opened(found: Sequence[Line], rows: Sequence[int]) -> Line | None:
    if not rows or rows[0] >= len(found):
        st.query_params.pop(EVENT, None)
        st.caption("Select a row to see the gates and the evidence of that time.")
        return None
    st.query_params[EVENT] = str(found[rows[0]].entry.sequence)
    return found[rows[0]]
