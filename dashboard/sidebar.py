"""The sidebar: the pages, which registry this is, and in whose name decisions are signed.

The links are our own. Those of Streamlit's navigation name no model: a page that then writes one to its address makes a
second step of the browser's history.
"""

from collections.abc import Mapping
from contextlib import suppress

import streamlit as st

from dashboard import pages, session
from dashboard.address import picker
from dashboard.compare import picker as compare_picker
from dashboard.components import words
from dashboard.login import door
from pipeline.governance.errors import NotFound, SignoffError

Query = Mapping[str, str]


def draw(*, admitted: bool) -> None:
    """admitted: whether who looks at the page may read; nobody else learns what the registry holds."""
    with st.sidebar, st.container(gap="xxsmall"):
        queries = _queries() if admitted else {}
        for file, *_ in pages.LISTED:
            if file not in pages.HIDDEN:
                st.page_link(pages.page(file), query_params=queries.get(file), width="stretch")
        with suppress(SignoffError):  # the page says it
            door.link_tokens()
            registry = ("Registry", words.address(session.settings().environment.tracking_uri)) if admitted else ()
            _told(registry, door.visitor_facts())
            door.way_out()


def _told(*facts: tuple[str, ...]) -> None:
    """One element: each click draws all of them anew. facts: a heading of ours and lines of anybody's text."""
    told = ["  \n".join((f"**{name}**", *map(words.passage, lines))) for name, *lines in filter(None, facts)]
    if told:
        st.space("small")
        st.caption("\n\n".join(told))


def _queries() -> dict[str, Query]:
    """By page, the address that it would give itself; nothing where the registry does not answer or has no version."""
    try:
        if session.silence() or (about := _about()) is None:
            return {}
        model, version = about
        of_model = {picker.MODEL: model}
        of_version = {**of_model, picker.VERSION: str(version)}
        compared = {**of_model, compare_picker.VERSIONS: compare_picker.usual(model)}
    except SignoffError:  # the page says it
        return {}
    return {
        pages.VERSIONS: of_model,
        pages.REVIEW: of_version,
        pages.COMPARE: compared,
        pages.EXPLAIN: of_version,
        pages.PREDICT: of_model,
        pages.MONITORING: of_model,
    }


def _about() -> tuple[str, int] | None:
    """The model and version of the address, or as if it named none where they are not there."""
    try:
        return picker.asked_version(st.query_params)
    except NotFound:
        return picker.asked_version({})
