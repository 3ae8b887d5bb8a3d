"""A dashboard that has read nothing yet, for tests that run its pages in their own process."""

import streamlit as st

from dashboard import caching


def forget_everything() -> None:
    """As if the server had just been started."""
    st.cache_resource.clear()
    for each in [*caching.READS, *caching.MADE]:
        each.clear()
