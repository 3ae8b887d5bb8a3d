"""Which pages there are. A new one is a folder with a `page.py`, its name and a line here."""

from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.navigation.page import Page

from pipeline.governance.lifecycle import Move, MoveKind

HERE = Path(__file__).parent
NAMES = ("overview", "versions", "review", "compare", "history", "explain", "predict", "card", "tokens", "monitoring")
OVERVIEW, VERSIONS, REVIEW, COMPARE, HISTORY, EXPLAIN, PREDICT, CARD, TOKENS, MONITORING = (
    f"{name}/page.py" for name in NAMES
)
# File, title and icon, in the order of the sidebar: to decide, to understand, to watch, and the record.
LISTED = (
    (OVERVIEW, "Overview", ":material/dashboard:"),
    (VERSIONS, "Versions", ":material/view_list:"),
    (REVIEW, "Review", ":material/fact_check:"),
    (COMPARE, "Compare", ":material/compare_arrows:"),
    (EXPLAIN, "Explain", ":material/bar_chart:"),
    (PREDICT, "Predict", ":material/calculate:"),
    (CARD, "Model card", ":material/description:"),
    (MONITORING, "Monitoring", ":material/monitoring:"),
    (HISTORY, "History", ":material/history:"),
    (TOKENS, "Tokens", ":material/key:"),
)
# Not among the links of the sidebar: the review of a version leads to its card, who looks at the page to their tokens.
HIDDEN = {CARD, TOKENS}
# What Review's address calls a move that is none to a stage.
SET_ALIAS, REMOVE_ALIAS, ROLL_BACK = "Alias", "Remove alias", "Roll back"
TAB = "tab"  # of a session: what the tab of the browser says
UNTITLED = "untitled"  # of a session: the title of a page that has not drawn its heading yet
PAGES = "pages"  # of a session, by file: to make them anew in each run took a tenth of it


@cache
def icon() -> str:
    """The icon as a data address: the path of a file would be read and looked at in each run."""
    return f"data:image/png;base64,{b64encode((HERE / 'favicon.png').read_bytes()).decode()}"


def navigation() -> list[Page]:
    """Every page always: a deep link to one that is left out would lose its address."""
    if PAGES not in st.session_state:
        st.session_state[PAGES] = {
            file: st.Page(
                HERE / file,
                title=title,
                icon=symbol,
                url_path=Path(file).parent.name,
                default=file == OVERVIEW,
                visibility="hidden" if file in HIDDEN else "visible",
            )
            for file, title, symbol in LISTED
        }
    return [page(file) for file, *_ in LISTED]


def page(file: str) -> Page:
    """What a link leads to; a link to the file itself would look for it in each run."""
    found: Page = st.session_state[PAGES][file]
    return found


def sidebar_state(page: Page) -> Literal["auto", "collapsed"]:
    """The card is printed as it is seen, and an open sidebar would be printed too."""
    return "collapsed" if page.url_path == Path(CARD).parent.name else "auto"


def begin(page: Page) -> None:
    """The page has no heading yet; until it has one, the tab of the browser says what it said before."""
    st.session_state[UNTITLED] = page.title


def name_tab(text: str) -> None:
    """Says in the tab of the browser what the page is about. text: plain, with nothing invisible in it."""
    st.session_state.pop(UNTITLED, None)
    if st.session_state.get(TAB) != text:
        st.set_page_config(page_title=f"{text} · Signoff")
        st.session_state[TAB] = text


def _as_link(label: str) -> str:
    """Streamlit draws a link to a page in the colour of text; ours have the colour of links. label: our own words."""
    return f":blue[{label}]"


def link_review(label: str, model: str, version: int, **more: str) -> None:
    """more: such as the move, as `to`."""
    named = {"model": model, "version": str(version), **more}
    st.page_link(page(REVIEW), label=_as_link(label), icon=":material/fact_check:", query_params=named)


def link_move(label: str, move: Move, champion: int | None) -> None:
    """To Review, at the version and move. champion: of the model; a rollback is offered on its page."""
    version = move.version if move.kind is not MoveKind.ROLLBACK else champion
    if version is None:
        link_versions(label, move.model)
    elif move.kind is MoveKind.ALIAS:
        link_review(label, move.model, version, to=SET_ALIAS, alias=str(move.alias))
    else:
        link_review(label, move.model, version, to=ROLL_BACK if move.kind is MoveKind.ROLLBACK else move.target)


def link_compare(label: str, model: str, versions: Iterable[int], *, tip: str | None = None) -> None:
    """The first is the reference."""
    named = {"model": model, "versions": ",".join(map(str, versions))}
    st.page_link(page(COMPARE), label=_as_link(label), icon=":material/compare_arrows:", query_params=named, help=tip)


def link_explain(label: str, model: str, version: int, **more: str) -> None:
    named = {"model": model, "version": str(version), **more}
    st.page_link(page(EXPLAIN), label=_as_link(label), icon=":material/bar_chart:", query_params=named)


def link_predict(label: str, model: str, version: int) -> None:
    named = {"model": model, "version": str(version)}
    st.page_link(page(PREDICT), label=_as_link(label), icon=":material/calculate:", query_params=named)


def link_card(label: str, model: str, version: int) -> None:
    named = {"model": model, "version": str(version)}
    st.page_link(page(CARD), label=_as_link(label), icon=":material/description:", query_params=named)


def link_history(label: str, model: str, version: int | None = None, *, tip: str | None = None) -> None:
    """model: empty for that of the whole registry. version: None for that of all of them."""
    named = {"model": model} if model else {}
    if version is not None:
        named["concerns"] = str(version)
    st.page_link(page(HISTORY), label=_as_link(label), icon=":material/history:", query_params=named, help=tip)


def link_monitoring(label: str, model: str) -> None:
    st.page_link(page(MONITORING), label=_as_link(label), icon=":material/monitoring:", query_params={"model": model})


def link_event(label: str, model: str, number: int) -> None:
    """number: of a decision or another event, as the history has it."""
    named = {"model": model, "event": str(number)}
    st.page_link(page(HISTORY), label=_as_link(label), icon=":material/history:", query_params=named)


def link_versions(label: str, model: str, **more: str) -> None:
    named = {"model": model, **more} if model else None
    st.page_link(page(VERSIONS), label=_as_link(label), icon=":material/view_list:", query_params=named)


def link_tokens() -> None:
    st.page_link(page(TOKENS), label="Tokens", icon=":material/key:", width="stretch")


def link_overview() -> None:
    st.page_link(page(OVERVIEW), label=_as_link("Overview"), icon=":material/dashboard:")
