"""One flipped row: what each of the two versions says, and in which columns their reasons differ."""

import streamlit as st

from dashboard import pages, session
from dashboard.compare import tables
from dashboard.components.one_explanation import as_pairs, picked_class, sum_check
from dashboard.predict.panels import classes_of
from pipeline.explanation.wording import Side, contrasts
from pipeline.governance.compare import Comparison
from pipeline.governance.paired import Flip
from pipeline.governance.text import visible
from pipeline.serving.predictions import Explanations
from pipeline.serving.targets import layout


def flipped_row(comparison: Comparison, flip: Flip) -> None:
    """Both versions explain the row live; guarded, because one of them may not be loaded."""
    names = tables.heads(comparison)
    with st.container(gap="xxsmall"):
        st.subheader(f"Row {flip.row}: why the two differ", anchor=False)
        says = (_says(names[0], flip.a, flip.a_probability), _says(names[1], flip.b, flip.b_probability))
        st.text(f"Actual {visible(str(flip.actual))}. {says[0]} {says[1]}")
    with st.spinner("Explaining the row with both versions"):
        found = [_explained(comparison.a.model, each.version, flip) for each in (comparison.a, comparison.b)]
    _in_words(comparison, flip, (found[0], found[1]))
    with st.container(horizontal=True):
        for name, each in zip(names, (comparison.a, comparison.b), strict=True):
            pages.link_explain(
                f"Explain in {name.lower()}", each.model, each.version, row=str(flip.row), show="One row"
            )


def _says(name: str, predicted: object, chance: float | None) -> str:
    return f"{name} predicts {visible(str(predicted))}" + ("." if chance is None else f" ({chance:.2f}).")


def _explained(model: str, version: int, flip: Flip) -> Explanations:
    """Raises Refused and IntegrityFailure for a version that is not loaded, and as the scorer does."""
    target = session.scorer().targets.usable(session.target(model, version))
    taken = {name: value for name, value in flip.inputs.items() if name in layout(target).names}
    return session.explained(model, version, target.digest, row=as_pairs(taken))


def _in_words(comparison: Comparison, flip: Flip, found: tuple[Explanations, Explanations]) -> None:
    classes, predicted = list(found[1].documents[0]["classes"]), str(flip.b)
    chosen = classes[0]
    if len(classes) > 1:
        chosen = picked_class(classes_of(classes, comparison.b), predicted)
        st.text(f"Explained: {visible(chosen)}" + (f", as {_b(comparison)} predicts" if chosen == predicted else ""))
    # The compared version first: the question is what it does differently.
    sides = [Side(name.lower(), each.documents[0]) for name, each in zip(tables.heads(comparison), found, strict=True)]
    schema = comparison.b.document("feature_schema")
    lines = contrasts((sides[1], sides[0]), found[1].rows[0], chosen, schema=schema)
    st.text("\n".join(f"•  {visible(line)}" for line in lines) or "No column moves it noticeably in either version.")
    if sides[0].scale != sides[1].scale:
        st.caption("The two are explained on different scales: the order is by each column's share of all effects.")
    with st.container(gap="xxsmall"):
        for name, each in zip(tables.heads(comparison), found, strict=True):
            sum_check(each.documents[0], each.tolerance, adds_up=each.adds_up, head=f"{name}. ")


def _b(comparison: Comparison) -> str:
    return tables.heads(comparison)[1].lower()
