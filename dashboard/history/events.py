"""The table of the ledger's events, page by page.

The address names the page (`before`: only events below this number) and the event that is open (`event`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import caching, session
from dashboard.address import in_address
from dashboard.address.in_address import number_in
from dashboard.components import history_lines, widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.history.filters import BEFORE, EVENT, NEWEST, Narrowed
from pipeline.governance.record.history import Entry
from pipeline.governance.record.telling import change_or_wish
from pipeline.governance.service.reading import HistoryPage

LONG_CHANGE, SHORT_CHANGE, CHARACTER = 235, 150, 6  # pixels of the column of changes, and of a character in it


def events_page(chosen: Narrowed) -> HistoryPage:
    """The page that the address names; where it names only an event, and an older one, the page of that event."""
    before = number_in_address(BEFORE)
    page = chosen.page(before)
    line = line_of_the_address()
    event = line.entry.sequence if line else None
    if before is None and event is not None and page.older is not None and event < page.older:
        st.query_params[BEFORE] = str(event + 1)
        return chosen.page(event + 1)
    return page


def line_of_the_address() -> HistoryLine | None:
    """The event that the address names, by the number of its decision or its own; None where there is none."""
    number = number_in_address(EVENT)
    found = None if number is None else line_of(number)
    return HistoryLine(*found) if found else None


@caching.fresh()
def line_of(number: int) -> tuple[Entry, Entry | None] | None:
    """See service.line."""
    return session.desk().line(number)


@caching.fresh(most=20)
def given_out_again(model: str | None) -> tuple[str, ...]:
    """See service.given_out_again."""
    return tuple(session.desk().given_out_again(model))


def number_in_address(name: str) -> int | None:
    """None where the address has no number there that an event could have."""
    return number_in(st.query_params.get(name, ""))


def links_to_other_pages(page: HistoryPage) -> None:
    if page.searched is not None:
        st.caption(
            f"{page.searched:,} events were searched, down to number {page.older}; Older searches those before it."
        )
    with st.container(horizontal=True):
        if BEFORE in st.query_params:
            st.button("Newest", icon=":material/first_page:", on_click=open_newest)
        if page.older is not None:
            st.button("Older", icon=":material/chevron_right:", on_click=_open_older, args=(page.older,))


def open_newest() -> None:
    in_address.write(**NEWEST)


def _open_older(before: int) -> None:
    in_address.write(**NEWEST | {BEFORE: str(before)})


def _change_width(found: Sequence[HistoryLine]) -> int:
    """As wide as the longest, so that the reasons get the room that is left."""
    longest = max((len(change_or_wish(each.entry)) for each in found), default=0)
    return min(LONG_CHANGE, max(SHORT_CHANGE, CHARACTER * longest))


def _when(found: Sequence[HistoryLine]) -> Any:  # noqa: ANN401 (Streamlit's column)
    """The column of times to the second. Without the year where all are of this one: a phone shows the person too."""
    this_year = datetime.now(UTC).year
    if any(line.entry.at and line.entry.at.astimezone(UTC).year != this_year for line in found):
        return widgets.times_to_the_second("When")["When"]
    return st.column_config.DatetimeColumn("When (UTC)", format="D MMM HH:mm:ss", width=114)


def events_table(found: Sequence[HistoryLine], chosen: Narrowed) -> HistoryLine | None:
    """Draws the events and returns the one that is open: the selected row, or the one that the address names."""
    named = line_of_the_address()
    asked = next((row for row, line in enumerate(found) if named and line.entry.number == named.entry.number), None)
    colours = history_lines.event_colours()
    table = st.dataframe(
        history_lines.table(found, models=chosen.model is None),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=f"history/{chosen.key}/{st.query_params.get(BEFORE, '')}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if asked is None else {"selection": {"rows": [asked]}},
        column_config={
            "No.": st.column_config.NumberColumn(format="%d", width=38),
            "When": _when(found),
            "Who": st.column_config.TextColumn(width=128),
            "Event": st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), width=132),
            "Change": st.column_config.TextColumn(width=_change_width(found)),
        },
        placeholder=words.NOTHING,
        alt="Events, newest first",
    )
    st.caption(
        "Select a row to see everything that it changed, the gates and the evidence of that time. A decision takes two "
        "numbers, one for what was decided and one for how it ended, and is called by the first."
    )
    rows = table.selection.rows
    if rows and rows[0] < len(found):
        selected = found[rows[0]]
        st.query_params[EVENT] = str(selected.entry.number)
        return selected
    if named and asked is None:  # a link to what the filters leave out opens it all the same
        return named
    if st.query_params.pop(EVENT, None) is not None and named is None:
        st.info("The record has no event with the number of the address.")
    return None
