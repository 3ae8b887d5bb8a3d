"""The decision where others sign: what this person may do now, who else is needed, and one command to the service."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from dashboard import pages, session
from dashboard.components import widgets, words
from dashboard.components.signing import (
    DecisionDraft,
    comment_field,
    comments,
    drafted,
    drawn_key,
    form_of,
    reason_field,
    request_comments,
)
from dashboard.review.acts import ActDraft, perform
from dashboard.review.decision_form import (
    SIGNS,
    accept_field,
    closed,
    draft_of_reason,
    held_for,
    what_changes,
)
from pipeline.governance.record.requests import MoveRequest, RequestState, RequestView
from pipeline.governance.roles import Action
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.signing.turn import Act, Turn


def request_form(review: Review) -> None:
    """For who signs nothing at all, why, and what the move would change."""
    turn = _turn(review)
    key = drawn_key(form_of(review.move))
    draft = drafted(review, key)
    with st.container(border=True, key="decision"):
        what_changes(review, draft)
        if turn is not None:
            if turn.view is not None:
                _request_so_far(turn.view)
            if turn.view is not None and turn.waits:
                _sign(review, turn, turn.view, draft=draft)
            else:
                _ask(review, turn, draft)
    if turn is not None and turn.breaks_glass:
        _break_glass(review, turn, replace(draft, key=f"{key}-override"))


def _turn(review: Review) -> Turn | None:
    """None where this visitor signs nothing; then it is said why."""
    found: list[Turn] = []
    widgets.allowed(lambda: found.append(session.desk().turn(review, session.actor())))
    return next(iter(found), None)


# A request is there


def _request_so_far(view: RequestView) -> None:
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


def _sign(review: Review, turn: Turn, view: RequestView, *, draft: DecisionDraft) -> None:
    """What may be done about a request that waits: the first that this person may is the primary one."""
    if view.state is RequestState.APPROVED:
        return
    number, rules = view.request.sequence, review.rules
    drawn = ActDraft(Act.APPROVE, draft, number, tuple(rules.attestations))
    if not turn.may(Act.APPROVE):
        widgets.message("Others sign", f"{turn.refusals[Act.APPROVE]}\n{_missing(turn, view)}", colour="blue")
        _close(turn, drawn, primary=True)
        return
    if not review.open:
        closed(review.blocked_by)
    _sentences(drawn, rules.attestations)
    reason_field(draft_of_reason(draft), draft.reason)
    unread = len(drawn.attested) < len(drawn.sentences)
    _button("Approve", drawn, disabled=unread or not review.open, first=True)
    _close(turn, drawn, reason=False)
    st.caption(_missing(turn, view))
    held_for(draft, review)


def _close(turn: Turn, drawn: ActDraft, *, primary: bool = False, reason: bool = True) -> None:
    """How this person may end a request without the move. reason: whether it still needs a field."""
    ways = {Act.WITHDRAW: "Withdraw the request", Act.REJECT: "Reject"}
    open_ways = [act for act in ways if turn.may(act)]
    if open_ways and reason:
        reason_field(draft_of_reason(drawn.draft), drawn.draft.reason)
    for act in open_ways:
        _button(ways[act], replace(drawn, act=act), first=primary and act is Act.WITHDRAW)


def _sentences(drawn: ActDraft, sentences: Mapping[str, str]) -> None:
    """Each is confirmed by itself; nothing in them is read as markdown."""
    if sentences:
        st.caption("To approve, confirm each sentence")
    for key, text in sentences.items():
        st.checkbox(words.passage(text), key=drawn.box(key))


def _missing(turn: Turn, view: RequestView) -> str:
    return f"It needs {words.count(view.missing, 'more approval')} from {_those(turn)}."


def _those(turn: Turn) -> str:
    roles = " or ".join(turn.approver_roles)
    return f"people with the role {roles}, who neither asked for it nor registered the version"


# None is there, or none that can be approved


def _ask(review: Review, turn: Turn, draft: DecisionDraft) -> None:
    """The form of a new request, also where an earlier one can be approved no more and may be cleared away."""
    asks = turn.may(Act.REQUEST) and review.open
    if not turn.may(Act.REQUEST):
        widgets.message("Others ask for this move", turn.refusals[Act.REQUEST], colour="blue")
    elif not review.open:
        closed(review.blocked_by)
    if asks:
        reason_field(draft_of_reason(draft), draft.reason)
        accept_field(review, draft)
        _button("Request", ActDraft(Act.REQUEST, draft), first=True)
    if turn.view is not None:
        _close(turn, ActDraft(Act.REJECT, draft, turn.view.request.sequence), primary=not asks, reason=not asks)
    if asks:
        more = " One of them, because nobody knows who registered it." if turn.needed > review.rules.approvals else ""
        st.caption(f"It then needs {words.count(turn.needed, 'approval')} from {_those(turn)}.{more}")
        held_for(draft, review)


def _button(label: str, drawn: ActDraft, *, disabled: bool = False, first: bool = False) -> None:
    """first: the one primary action of the page."""
    st.button(
        label,
        type="primary" if first else "secondary",
        key=f"{drawn.act}/{drawn.draft.key}",
        disabled=disabled,
        shortcut=SIGNS if first else None,
        on_click=perform,
        args=(drawn,),
        width="stretch",
    )


def _break_glass(review: Review, turn: Turn, draft: DecisionDraft) -> None:
    """Folded, since it is the exception."""
    with st.expander("Override: without the approval of others", icon=":material/emergency_home:"):
        if not turn.may(Act.OVERRIDE):
            widgets.message("Not open to you", turn.refusals[Act.OVERRIDE], colour="gray")
            return
        skipped = "\n".join(["The approvals of others", *(gate.label for gate in turn.skips)])
        widgets.message("What it skips", skipped, colour="orange")
        reason_field(draft_of_reason(draft, override=True), draft.reason)
        accept_field(review, draft)
        _button(f"Override: {words.action(draft.move)}", ActDraft(Act.OVERRIDE, draft))
        st.caption("Makes the move at once, and stays listed until another person has acknowledged it.")
