"""Which pages there are. A new one is a folder with a `page.py`, its name and a line here."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

HERE = Path(__file__).parent
NAMES = ("overview", "versions", "review", "compare", "history", "explain", "predict", "card")
OVERVIEW, VERSIONS, REVIEW, COMPARE, HISTORY, EXPLAIN, PREDICT, CARD = (f"{name}/page.py" for name in NAMES)


def navigation() -> dict[str, list[Page]]:
    """Every page always: a deep link to one that is left out would lose its address."""
    return {
        "Decide": [
            st.Page(HERE / OVERVIEW, title="Overview", icon=":material/dashboard:", default=True),
            st.Page(HERE / VERSIONS, title="Versions", icon=":material/view_list:", url_path="versions"),
            st.Page(HERE / REVIEW, title="Review", icon=":material/fact_check:", url_path="review"),
            st.Page(HERE / COMPARE, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        ],
        "Understand": [
            st.Page(HERE / EXPLAIN, title="Explain", icon=":material/bar_chart:", url_path="explain"),
            st.Page(HERE / PREDICT, title="Predict", icon=":material/calculate:", url_path="predict"),
            st.Page(
                HERE / CARD, title="Model card", icon=":material/description:", url_path="card", visibility="hidden"
            ),
        ],
        "Record": [
            st.Page(HERE / HISTORY, title="History", icon=":material/history:", url_path="history"),
        ],
    }


def link_review(label: str, model: str, version: int) -> None:
    st.page_link(
        REVIEW, label=label, icon=":material/fact_check:", query_params={"model": model, "version": str(version)}
    )


def link_compare(label: str, model: str, versions: Iterable[int], *, tip: str | None = None) -> None:
    """The first is the reference."""
    named = {"model": model, "versions": ",".join(map(str, versions))}
    st.page_link(COMPARE, label=label, icon=":material/compare_arrows:", query_params=named, help=tip)


def link_explain(label: str, model: str, version: int, **more: str) -> None:
    named = {"model": model, "version": str(version), **more}
    st.page_link(EXPLAIN, label=label, icon=":material/bar_chart:", query_params=named)


def link_predict(label: str, model: str, version: int) -> None:
    named = {"model": model, "version": str(version)}
    st.page_link(PREDICT, label=label, icon=":material/calculate:", query_params=named)


def link_card(label: str, model: str, version: int) -> None:
    named = {"model": model, "version": str(version)}
    st.page_link(CARD, label=label, icon=":material/description:", query_params=named)


def link_history(label: str, model: str) -> None:
    st.page_link(HISTORY, label=label, icon=":material/history:", query_params={"model": model})


def link_versions(label: str, model: str) -> None:
    named = {"model": model} if model else None
    st.page_link(VERSIONS, label=label, icon=":material/view_list:", query_params=named)


def link_overview() -> None:
    st.page_link(OVERVIEW, label="Overview", icon=":material/dashboard:")
