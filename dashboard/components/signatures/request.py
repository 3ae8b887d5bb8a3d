"""A request as it stands: who asked for what and why, who has signed, what is still needed, and what was said."""

from collections.abc import Mapping

import streamlit as st

from dashboard import pages, session
from dashboard.components import widgets, words
from dashboard.components.signatures.acts import ActDraft
from dashboard.components.signing import comment_field, comments, request_comments
from pipeline.governance.record.requests import MoveRequest, RequestState, RequestView
from pipeline.governance.roles import Action
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.signing.turn import Turn


def request_so_far(view: RequestView) -> None:
    """Who asked for what and why, who has signed, which warnings were accepted, and why it may wait no longer."""
    request = view.request
    number = request.sequence
    signed = [f"{_who(each.sequence, '')}: {each.reason}" for each in request.approvals]
    accepted = "\n".join(label_of(each) for each in sorted(request.accepted))
    st.subheader(f"Request {number}", anchor=False)
    widgets.facts(
        {
            "Asked by": f"{_who(number, request.signature)}, {words.when(request.at)}",
            "Approvals": f"{view.counted} of {view.needed}",
            "Expires": words.when(request.expires_at),
            "Why": request.reason,
        }
    )
    if signed:
        st.caption("Approved by")
        st.text("\n".join(signed))
    if accepted:
        st.caption("Warnings that were accepted with it")
        st.text(accepted)
    if view.state is RequestState.APPROVED:
        widgets.message("Approved", "The decision is recorded and has not ended; reconcile finishes it.", colour="blue")
    elif view.is_due:
        text = (
            f"It expired on {words.when(request.expires_at)}."
            if view.state is RequestState.EXPIRED
            else f"{words.sentence(view.stale_sentence)[:-1]} changed since it was made."
        )
        widgets.message("Nobody can approve it as it is", text, colour="orange")
    pages.link_event(f"Request {number} in History", request.model, number)
    _comments(request)


def _comments(request: MoveRequest) -> None:
    """What was said about the request, the newest first, and behind a small button the form to add to it."""
    if found := request_comments(request.sequence):
        st.caption("Comments on the request")
        comments(found)
    if request.version is not None and session.desk().may(Action.COMMENT):
        with st.popover("Comment on the request", icon=":material/comment:"):
            comment_field(request.model, request.version, request.sequence)


def _who(sequence: int, otherwise: str) -> str:
    """Who signed an event, by the name that is known here."""
    found = session.event(sequence)
    return (found and found.signature) or otherwise


def sentences(drawn: ActDraft, found: Mapping[str, str]) -> None:
    """Each is confirmed by itself; nothing in them is read as markdown."""
    if found:
        st.caption("To approve, confirm each sentence")
    for key, text in found.items():
        st.checkbox(words.passage(text), key=drawn.box(key))


def missing(turn: Turn, view: RequestView) -> str:
    return f"It needs {words.count(view.missing, 'more approval')} from {those(turn)}."


def those(turn: Turn) -> str:
    roles = " or ".join(turn.approver_roles)
    return f"people with the role {roles}, who neither asked for it nor registered the version"
