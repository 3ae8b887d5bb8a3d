"""Which section of a page is open. Only that one is drawn; the address keeps it."""

from collections.abc import Sequence

import streamlit as st

from dashboard.address import in_address

SHOW = "show"


def chosen_section(names: Sequence[str], *, heading: str = "", default: str | None = None) -> str:
    """Draws the names of the sections. Returns the chosen one: of the address, else `default`, else the first.

    heading: our own words above the names, where another choice stands near them.
    Not st.tabs: whatever is clicked, the browser draws each of them anew, about 24 parts of React a tab (record 41).
    """
    chosen = st.segmented_control(
        heading or "Section",
        names,
        required=True,
        wrap=True,
        label_visibility="visible" if heading else "collapsed",
        **in_address.one_of(SHOW, names, default=default),
    )
    return chosen or default or names[0]
