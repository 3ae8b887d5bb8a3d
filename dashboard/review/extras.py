"""What a reviewer asks for beside the gates: how the version uses its columns, whether its claims hold, its card."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import pages, session
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanation_summary import classes_of, explained_by
from pipeline import model_card
from pipeline.governance.claims import Recomputation
from pipeline.governance.evidence import Evidence
from pipeline.governance.lifecycle import Move
from pipeline.governance.review import Review
from pipeline.governance.text import visible
from pipeline.model_card import Card

DIGITS = 6


def explanation(evidence: Evidence) -> None:
    """From the file that came with the version; nothing is loaded."""
    summary = evidence.explanation
    if not (shares := summary.mean_abs):
        st.caption("The version came without an explanation summary.")
        return
    explained_by(summary)
    ordered = {name: shares[name] for name in classes_of(list(shares), evidence)}
    figure = explanation_charts.importance(ordered, visible(str(summary.scale), most=40))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Mean absolute effect of each column")
    pages.link_explain("Explain", evidence.model, evidence.version)


def review(move: Move, evidence: Evidence) -> Review:
    """With the gate of the claims where they were recomputed on this page: then they count in the decision too.

    A rollback is the review of another version, whose claims are not those of this page.
    """
    own = move.version == evidence.version
    return session.review(move, st.session_state.get(_recomputed_place(evidence)) if own else None)


def _recomputed_place(evidence: Evidence) -> str:
    return f"recomputed/{evidence.digest}"


def claims(evidence: Evidence) -> None:
    """The stored evaluation rows, scored again by the version's own bytes in the worker."""
    place = _recomputed_place(evidence)
    st.caption("Scores the stored evaluation rows with the version's own bytes, in a process of its own.")
    if st.button("Recompute the claims", icon=":material/calculate:"):
        with st.spinner("Loading the version and scoring its rows", show_time=True):
            st.session_state[place] = session.desk().recompute(evidence.model, evidence.version)
        st.rerun()  # the gates stand above
    if place in st.session_state:
        _recomputed(st.session_state[place])


def card(evidence: Evidence) -> None:
    """The same card as `signoff card`, made when it is asked for."""
    st.caption("One page for the file: use, data, metrics with intervals, slices, explanation, limits and decisions.")
    name = f"version-{evidence.version}-card"
    with st.container(horizontal=True):
        for label, ending, mime, write in (
            ("Model card (HTML)", "html", "text/html", model_card.to_html),
            ("Model card (Markdown)", "md", "text/markdown", model_card.to_markdown),
        ):
            st.download_button(
                label,
                data=partial(_written, write, evidence.model, evidence.version),
                file_name=f"{name}.{ending}",
                mime=mime,
                icon=":material/description:",
                on_click="ignore",
            )


def _written(write: Callable[[Card], str], model: str, version: int) -> str:
    return write(model_card.describe(session.desk(), model, version))


def _recomputed(found: Recomputation) -> None:
    if found.holds:
        text = f"{words.count(len(found.claims), 'claim')} on {found.measured.n:,} rows."
        widgets.message("The claims hold", text, colour="green")
    else:
        widgets.message("Claims contradicted", found.sentence, colour="red")
    table = pd.DataFrame(
        {
            "Metric": [claim.name for claim in found.claims],
            "Claimed by": [claim.claimant for claim in found.claims],
            "Claimed": [f"{claim.claimed:.{DIGITS}f}" for claim in found.claims],
            "Recomputed": [f"{claim.recomputed:.{DIGITS}f}" for claim in found.claims],
            "Result": ["holds" if claim.holds else "differs" for claim in found.claims],
        }
    )
    widgets.frame(table, "Claimed and recomputed metrics")
