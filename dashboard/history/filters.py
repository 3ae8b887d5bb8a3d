"""What a visitor narrows the history to. All of it is in the address, so that a link shows the same lines again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import caching, session
from dashboard.address import in_address
from dashboard.address.in_address import number_in
from dashboard.components import history_lines
from pipeline.governance.service.reading import EVERYTHING, HistoryFilter, HistoryPage

EVENT, BEFORE = "event", "before"  # in the address, see events.py
NEWEST: dict[str, str | None] = {EVENT: None, BEFORE: None}  # where the choice changes: it has other pages
FIELDS = ("who", "concerns", "since", "until", "text")  # keys of the fields, and names in the address


@dataclass(frozen=True)
class Narrowed:
    """What is asked for; pages are read by it."""

    model: str | None  # None: all models
    kinds: tuple[str, ...]  # names from history_lines.KINDS; none: every kind
    asked: HistoryFilter

    @property
    def everything(self) -> bool:
        return not self.kinds and self.asked == EVERYTHING

    @property
    def key(self) -> str:
        """Another one for each choice, so that a selected row does not stay for other rows."""
        return f"{self.model}/{'/'.join(self.kinds)}/{hash(self.asked)}"

    def page(self, before: int | None) -> HistoryPage:
        only, without = history_lines.types_of(self.kinds)
        return history_page(self.model, before=before, only=only, without=without, asked=self.asked)


@caching.fresh(most=20)
def history_page(
    model: str | None,
    *,
    before: int | None,
    only: frozenset[str] | None,
    without: frozenset[str],
    asked: HistoryFilter,
) -> HistoryPage:
    """See service.history_page."""
    return session.desk().history_page(model, before=before, only=only, without=without, asked=asked)


def narrowed(model: str | None, bar: DeltaGenerator) -> Narrowed:
    """Draws the fields, that of the kinds in the bar beside the model."""
    active = any(name in st.query_params for name in FIELDS)
    kinds: Sequence[str] = bar.pills(
        "Show",
        list(history_lines.KINDS),
        selection_mode="multi",
        wrap=True,
        **in_address.some_of("kind", list(history_lines.KINDS), also=NEWEST),
    )
    with st.expander("Filter", expanded=active, icon=":material/filter_list:"), st.grid("auto", min_column_width=150):
        who = _text("Who", "who", tip="A part of the name")
        version = _text("Version", "concerns", tip="Also where another one's decision moved it")
        since = _day("From (UTC)", "since")
        until = _day("To (UTC)", "until")
        text = _text("Text", "text", tip="Words of the reason, the change, the time such as 10:47")
    begin, end = (None if day is None else datetime.combine(day, time(), UTC) for day in (since, until))
    asked = HistoryFilter(
        person=who.strip(),
        version=_number(version.strip()),
        text=text,
        since=begin,
        until=end and end + timedelta(days=1),
    )
    return Narrowed(model, tuple(kinds), asked)


def _text(label: str, key: str, *, tip: str) -> str:
    named = in_address.text(key, also=NEWEST)
    return st.text_input(label, type="search", max_chars=in_address.MOST_CHARACTERS, help=tip, **named) or ""


def _day(label: str, key: str) -> date | None:
    found: date | None = st.date_input(label, None, format="YYYY-MM-DD", **in_address.day(key, also=NEWEST))
    return found


def _number(text: str) -> int | None:
    """No version has the number 0: a text that is no number finds nothing rather than everything."""
    return (number_in(text) or 0) if text else None
