"""The rows that two versions predict differently, with filters that the address keeps; one of them in detail."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard import computed, pages, session
from dashboard.compare import tables
from dashboard.compare.sections import badge_column
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanations import as_pairs, classes_of, picked_class, sum_check
from pipeline.explanation.wording import Side, contrasts
from pipeline.governance.rules.compare import Comparison
from pipeline.governance.rules.paired import Flip, FlipKind, Flips
from pipeline.governance.text import visible
from pipeline.serving.predictions import Explanations
from pipeline.serving.targets import input_schema


def flipped_row(comparison: Comparison, flip: Flip) -> None:
    """What each version predicts for the row, and in which columns their reasons differ, explained live by both."""
    names = tables.heads(comparison)
    with st.container(gap="xxsmall"):
        st.header(f"Row {flip.row}: why the two differ", anchor=False)
        a, b = _prediction(names[0], flip.a, flip.a_probability), _prediction(names[1], flip.b, flip.b_probability)
        st.text(f"Actual {visible(str(flip.actual))}. {a} {b}")
    with st.spinner("Explaining the row with both versions"):
        found = _explained(comparison, flip)
    _reasons(comparison, flip, (found[0], found[1]))
    with st.container(horizontal=True):
        for name, each in zip(names, (comparison.a, comparison.b), strict=True):
            pages.link_explain(
                f"Explain in {name.lower()}", each.model, each.version, row=str(flip.row), show="One row"
            )


def _prediction(name: str, predicted: object, probability: float | None) -> str:
    return f"{name} predicts {visible(str(predicted))}" + ("." if probability is None else f" ({probability:.2f}).")


def _explained(comparison: Comparison, flip: Flip) -> Sequence[Explanations]:
    """Raises Refused and IntegrityFailure for a version that is not loaded, and as the scorer does."""
    versions = comparison.a.version, comparison.b.version
    a, b = (session.scorer().targets.usable(session.target(comparison.a.model, each)) for each in versions)
    rows = [
        as_pairs({name: value for name, value in flip.inputs.items() if name in input_schema(target).names})
        for target in (a, b)
    ]
    sides = (versions[0], a.digest), (versions[1], b.digest)
    return computed.explained_alike(comparison.a.model, sides, rows=((rows[0],), (rows[1],)))


def _reasons(comparison: Comparison, flip: Flip, found: tuple[Explanations, Explanations]) -> None:
    """What each column does in one version and in the other, on one scale: the steps from one output to the other."""
    if not found[0].comparable_with(found[1]):
        st.caption("One of the two gives no probabilities, so their reasons have no common scale.")
        return
    classes, predicted = list(found[1].documents[0]["classes"]), str(flip.b)
    chosen = classes[0]
    if len(classes) > 1:
        chosen = picked_class(classes_of(classes, comparison.b), predicted)
        st.text(
            f"Explained: {visible(chosen)}"
            + (f", as {tables.heads(comparison)[1].lower()} predicts" if chosen == predicted else "")
        )
    # The compared version first: the question is what it does differently.
    sides = [Side(name.lower(), each.documents[0]) for name, each in zip(tables.heads(comparison), found, strict=True)]
    schema = comparison.b.feature_schema
    left, right = st.columns([11, 9], gap="medium")
    with left:
        _difference(comparison, found, chosen)
    with right:
        st.header("In words", anchor=False)
        reasons = contrasts((sides[1], sides[0]), found[1].rows[0], chosen, units=schema.units, labels=schema.labels)
        st.text(
            "\n".join(f"•  {visible(each)}" for each in reasons) or "No column moves it noticeably in either version."
        )
        how = "sampled in both" if found[0].sampled else "exact in both"
        st.caption(f"All figures are effects on the {found[0].scale}, by the same method, {how}.")
    with st.container(gap="xxsmall"):
        for name, each in zip(tables.heads(comparison), found, strict=True):
            sum_check(each.documents[0], each.tolerance, adds_up=each.adds_up, head=f"{name}. ")


def _difference(comparison: Comparison, found: tuple[Explanations, Explanations], class_name: str) -> None:
    """A waterfall from what the reference says to what the compared version says."""
    if any(class_name not in each.documents[0]["contributions"] for each in found):
        st.caption("One of the two does not know this class.")
        return
    effects, base, output = (
        [each.documents[0][part][class_name] for each in found] for part in ("contributions", "base_values", "output")
    )
    steps = {name: effects[1].get(name, 0.0) - effects[0].get(name, 0.0) for name in {**effects[0], **effects[1]}}
    figure = explanation_charts.waterfall(
        {explanation_charts.NOTHING_KNOWN: base[1] - base[0], **steps},
        found[1].rows[0],
        (output[0], output[1]),
        title=f"{explanation_charts.short(class_name)} ({found[0].scale})",
        labels=comparison.b.feature_schema.labels,
        names=tables.heads(comparison),
        dark=st.context.theme.type == "dark",
    )
    st.plotly_chart(figure, config=charts.PLAIN, alt="From one version's output to the other's, column by column")


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
