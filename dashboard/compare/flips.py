"""The rows that two versions predict differently, with filters that the address keeps; one of them in detail."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address import in_address
from dashboard.compare import tables
from dashboard.compare.sections import badge_column
from dashboard.components import widgets, words
from dashboard.components.explanations import DifferingAnswer, why_they_differ
from pipeline.governance.rules.compare import Comparison
from pipeline.governance.rules.paired import Flip, FlipKind, Flips
from pipeline.governance.text import visible


def flipped_row(comparison: Comparison, flip: Flip) -> None:
    """What each version predicts for the row, and in which columns their reasons differ, explained live by both."""
    names = tables.heads(comparison)
    with st.container(gap="xxsmall"):
        st.header(f"Row {flip.row}: why the two differ", anchor=False)
        a, b = _prediction(names[0], flip.a, flip.a_probability), _prediction(names[1], flip.b, flip.b_probability)
        st.text(f"Actual {visible(str(flip.actual))}. {a} {b}")
    sides = DifferingAnswer(names[0], comparison.a, flip.a), DifferingAnswer(names[1], comparison.b, flip.b)
    why_they_differ(sides, flip.inputs)
    with st.container(horizontal=True):
        for name, each in zip(names, (comparison.a, comparison.b), strict=True):
            pages.link_explain(
                f"Explain in {name.lower()}", each.model, each.version, row=str(flip.row), show="One row"
            )


def _prediction(name: str, predicted: object, probability: float | None) -> str:
    return f"{name} predicts {visible(str(predicted))}" + ("." if probability is None else f" ({probability:.2f}).")


ROW = "row"
KIND_COLOURS = {FlipKind.GAINED: "green", FlipKind.LOST: "red", FlipKind.CHANGED: "gray"}


def flipped_rows(comparison: Comparison) -> None:
    if comparison.paired is not None and comparison.paired.agreement is None:
        st.caption("Numbers are predicted, which do not flip as classes do.")
        return
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
        sayings = list(right.values())
        chosen = st.pills("Who is right", sayings, selection_mode="multi", **in_address.some_of("right", sayings))
        classes = tables.actual_classes(flips.rows)
        actual = st.multiselect(
            "Actual class",
            classes,
            placeholder="All",
            width=320,
            **in_address.some_of("actual", classes),
        )
    found = tables.filtered(flips.rows, [kind for kind, text in right.items() if text in chosen], actual)
    cut = f" Only the first {len(flips.rows):,} are held." if len(flips.rows) < flips.agreement.flipped else ""
    st.caption(
        f"{len(found):,} of {words.count(flips.agreement.flipped, 'row')} that the two predict differently."
        f" {names[0]} is the reference. Select one to see why.{cut}"
    )
    key = f"flips/{comparison.a.version}/{comparison.b.version}/{chosen}/{actual}"
    _rows(found, names, key, labels=comparison.b.feature_schema.labels)
    asked = st.query_params.get(ROW)
    flip = next((each for each in flips.rows if str(each.row) == asked), None)
    if flip is not None:
        widgets.guarded(partial(flipped_row, comparison, flip), "flip")
    elif asked is not None:
        st.caption("The row in the address is none that the two predict differently.")


def _rows(found: Sequence[Flip], names: tuple[str, str], key: str, *, labels: Mapping[str, str]) -> None:
    """The table of flips. Each choice of rows has a key of its own: a selection is a position in one of them."""
    right, probability = tables.right_words(names), st.column_config.NumberColumn(format="%.2f")

    def open_row() -> None:
        selected = st.session_state[key].selection.rows
        if selected and selected[0] < len(found):
            st.query_params[ROW] = str(found[selected[0]].row)
        else:
            st.query_params.pop(ROW, None)

    st.dataframe(
        tables.flips(found, names, labels),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=key,
        on_select=open_row,
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn(format="%d", pinned=True, width=65, help="In the evaluation rows"),
            tables.RIGHT: badge_column({right[kind]: colour for kind, colour in KIND_COLOURS.items()}, 135),
            **{f"{name}, probability": probability for name in names},
        },
        placeholder=words.NOTHING,
        alt="Rows that the two versions predict differently, with what each says and the inputs",
    )
