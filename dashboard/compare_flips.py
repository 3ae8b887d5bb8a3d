"""The rows that two versions predict differently, with filters that the address keeps."""

import streamlit as st

from dashboard import compare_tables as tables
from dashboard import session, widgets, words
from dashboard.compare_panels import badge_column
from pipeline.governance.compare import Comparison
from pipeline.governance.paired import FlipKind, Flips

KIND_COLOURS = {FlipKind.GAINED: "green", FlipKind.LOST: "red", FlipKind.CHANGED: "gray"}


def flipped_rows(comparison: Comparison) -> None:
    if comparison.paired is None:
        st.caption("Flipped rows are known on the same rows only.")
        return
    flips = session.flips(comparison.a.model, comparison.a.version, comparison.b.version)
    if not flips.rows:
        st.caption(f"The two predict all {flips.agreement.n:,} rows alike.")
        return
    _table(comparison, flips)


def _table(comparison: Comparison, flips: Flips) -> None:
    names = tables.heads(comparison)
    right = tables.right_words(names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.pills(
            "Who is right", list(right.values()), selection_mode="multi", key="right", bind="query-params"
        )
        actual = st.multiselect(
            "Actual class",
            tables.actual_classes(flips.rows),
            key="actual",
            bind="query-params",
            placeholder="All",
            width=320,
        )
    found = tables.filtered(flips.rows, [kind for kind, text in right.items() if text in chosen], actual)
    held = f" Only the first {len(flips.rows):,} are held." if len(flips.rows) < flips.agreement.flipped else ""
    st.caption(
        f"{len(found):,} of {words.count(flips.agreement.flipped, 'row')} that the two predict differently."
        f" {names[0]} is the reference.{held}"
    )
    chance = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(
        tables.flips(found, names),
        hide_index=True,
        height=widgets.height_of(len(found)),
        column_config={
            "Row": st.column_config.NumberColumn(format="%d", pinned=True, width=65, help="In the evaluation rows"),
            tables.RIGHT: badge_column({right[kind]: colour for kind, colour in KIND_COLOURS.items()}, 135),
            **{f"{name}, probability": chance for name in names},
        },
        placeholder=words.NOTHING,
        alt="Rows that the two versions predict differently, with what each says and the inputs",
    )
