"""What people have said about a version, and a small form to add to it: plain text, kept in the record."""

import streamlit as st

from dashboard import caching, session
from dashboard.components import words
from dashboard.components.signing import comment_field
from dashboard.components.signing import comments as draw_comments
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.history import Entry


def comments(evidence: Evidence) -> None:
    """Draws the form for who may add one, and below it those there are, the newest first."""
    comment_field(evidence.model, evidence.version)
    found = _recorded(evidence)
    if not found:
        st.caption("Nobody has commented on this version.")
    draw_comments(found)


def how_many(evidence: Evidence) -> None:
    """A badge beside the heading where there are some: the section is mostly closed."""
    if found := _recorded(evidence):
        st.badge(words.count(len(found), "comment"), icon=":material/comment:", color="gray")


def _recorded(evidence: Evidence) -> tuple[Entry, ...]:
    return recorded(evidence.model, evidence.version, evidence.content["created_at"])


@caching.fresh()
def recorded(model: str, version: int, created_at: str) -> tuple[Entry, ...]:
    """See service.comments."""
    return tuple(session.desk().comments(model, version, created_at))
