"""What is computed from the stored rows of versions, or explained by two of them. Kept by the digest of their files, so
that it cannot become wrong.
"""

import streamlit as st

from dashboard import session
from dashboard.session import EXPLAINED_SECONDS
from pipeline.comparison import performance, search
from pipeline.comparison.intervals import Draws
from pipeline.comparison.performance import KindDifferences, Performance
from pipeline.comparison.rows import Rows
from pipeline.comparison.search import SliceSearch
from pipeline.governance.errors import StaleEvidence
from pipeline.serving.predictions import Explanations
from pipeline.validation.rows import Value

RowPairs = tuple[tuple[tuple[str, Value], ...], ...]  # rows as pairs of column and value


@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=50, show_spinner=False)
def kind_performance(model: str, version: int, digest: str) -> Performance:
    """What fits the kind of a version, see comparison.performance. Raises as evaluation_rows does."""
    return performance.performance(_rows_of_digest(model, version, digest), _draws())


@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=50, show_spinner=False)
def weak_slices(model: str, version: int, digest: str) -> SliceSearch:
    """Where a version is weaker than over all rows. Raises as evaluation_rows does."""
    rows = _rows_of_digest(model, version, digest)
    return search.weaker_than_overall(rows, session.settings().evaluation.confidence)


@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=50, show_spinner=False)
def kind_differences(model: str, a: tuple[int, str], b: tuple[int, str]) -> KindDifferences:
    """Of two versions, each with its digest; b minus a. Raises as evaluation_rows does, and where the rows differ."""
    first, second = (_rows_of_digest(model, *each) for each in (a, b))
    return performance.kind_differences(first, second, _draws())


@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=50, show_spinner=False)
def worse_slices(model: str, a: tuple[int, str], b: tuple[int, str]) -> SliceSearch:
    """Where b is worse than a. Raises as kind_differences does."""
    first, second = (_rows_of_digest(model, *each) for each in (a, b))
    return search.worse_than(second, first, session.settings().evaluation.confidence)


def _rows_of_digest(model: str, version: int, digest: str) -> Rows:
    if session.evidence(model, version).file_digest != digest:
        raise StaleEvidence(f"version {version} of {model}: its files have changed; try again")
    return session.evaluation_rows(model, version)


def _draws() -> Draws:
    found = session.settings().evaluation
    return Draws(found.bootstrap_samples, found.bootstrap_seed, found.confidence)


@session.predicting
@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=50, show_spinner=False)
def explained_alike(
    model: str, sides: tuple[tuple[int, str], tuple[int, str]], *, rows: tuple[RowPairs, RowPairs]
) -> list[Explanations]:
    """The same rows by two versions, each with its digest and in its own columns; see Scorer.explain_alike."""
    targets = [session.of_digest(model, version, digest) for version, digest in sides]
    return session.own_scorer().explain_alike(targets, [[dict(row) for row in own] for own in rows])
