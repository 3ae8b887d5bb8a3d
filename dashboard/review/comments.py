"""What people have said about a version, and a small form to add to it: plain text, kept in the record."""

from dataclasses import dataclass

import streamlit as st

from dashboard import caching, session
from dashboard.components import widgets, words
from dashboard.components.signing import drawn_key, once, renew
from pipeline.governance.errors import SignoffError
from pipeline.governance.reason import MOST_REASON_CHARACTERS
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.roles import Action
from pipeline.governance.text import visible

REFUSED = "comment_refused"


@dataclass(frozen=True)
class CommentDraft:
    """A comment as it is typed."""

    model: str
    version: int
    key: str  # one form is one comment, also on a double click

    @property
    def form(self) -> str:
        """Under which name the session keeps the key until the comment is recorded."""
        return form_of(self.model, self.version)

    @property
    def text(self) -> str:
        """Under which name the session has the typed text."""
        return f"comment_text/{self.key}"


def form_of(model: str, version: int) -> str:
    return f"comment/{model}/{version}"


def comments(evidence: Evidence) -> None:
    """Draws the form for who may add one, and below it those there are, the newest first."""
    if session.desk().may(Action.COMMENT):
        _form(CommentDraft(evidence.model, evidence.version, drawn_key(form_of(evidence.model, evidence.version))))
    found = _recorded(evidence)
    if not found:
        st.caption("Nobody has commented on this version.")
    for each in found:
        with st.container(gap=None):
            st.text(f"{each.signature}, {words.when(each.at)}")
            st.text(visible_lines(each.reason or ""))


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


def visible_lines(text: str) -> str:
    """As it was typed, with what is invisible in it made visible."""
    return "\n".join(visible(line) for line in text.splitlines())


def _form(draft: CommentDraft) -> None:
    if refused := st.session_state.pop(REFUSED, None):
        widgets.message("Not recorded", refused, colour="red")
    st.text_area(
        "Comment",
        key=draft.text,
        max_chars=MOST_REASON_CHARACTERS,
        help="Plain text; kept in the record with your name, and part of the history and the model card.",
    )
    st.button("Add comment", key=f"comment_add/{draft.key}", on_click=_add, args=(draft,))


def _add(draft: CommentDraft) -> None:
    """Runs before the page is drawn again."""
    text: str = st.session_state.get(draft.text, "")

    def record() -> StoredEvent:
        try:
            return session.desk().comment(draft.model, draft.version, text, actor=session.actor())
        finally:
            caching.forget_reads()

    try:
        once(draft.key, record)
    except SignoffError as error:
        st.session_state[REFUSED] = str(error)
        return
    renew(draft.form)
    session.flash("The comment is recorded")
