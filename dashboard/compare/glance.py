"""Several versions against one reference: all in a table, and which of them is shown in detail."""

import streamlit as st

from dashboard import session
from dashboard.compare import tables
from dashboard.compare.panels import VERDICT_COLOURS, badge_column
from dashboard.compare.picker import Choice
from dashboard.components import widgets, words


def in_detail(choice: Choice) -> int:
    """The version that the rest of the page is about."""
    if len(choice.others) == 1:
        return choice.others[0]
    _table(choice)
    return st.segmented_control(
        f"In detail, against version {choice.reference}",
        list(choice.others),
        default=choice.others[0],
        format_func=lambda version: f"Version {version}",
        required=True,
        key="with",
        bind="query-params",
    )


def _table(choice: Choice) -> None:
    found = [session.comparison(choice.model, choice.reference, each) for each in choice.others]
    names = session.metric_names(choice.model)
    verdict = badge_column({tables.REFERENCE: "blue", **VERDICT_COLOURS}, 150)
    st.dataframe(
        tables.at_a_glance(found, names),
        hide_index=True,
        column_config={
            "Version": st.column_config.NumberColumn(format="%d", pinned=True, width=75),
            **dict.fromkeys(names, st.column_config.NumberColumn(format=widgets.FOUR_DIGITS)),
            **{f"{name}, verdict": verdict for name in names},
        },
        placeholder=words.NOTHING,
        alt=f"Each version against version {choice.reference}",
    )
