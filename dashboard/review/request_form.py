"""The decision where others sign: what this person may do now, who else is needed, and one command to the service."""

from dataclasses import replace

import streamlit as st

from dashboard import session
from dashboard.components import widgets, words
from dashboard.components.signatures.acts import ActDraft
from dashboard.components.signatures.request import missing, request_so_far, sentences, those
from dashboard.components.signing import DecisionDraft, drafted, drawn_key, form_of, reason_field
from dashboard.review.acts import perform
from dashboard.review.decision_form import (
    SIGNS,
    accept_field,
    closed,
    draft_of_reason,
    held_for,
    what_changes,
)
from pipeline.governance.record.requests import RequestState, RequestView
from pipeline.governance.rules.merit import Merit
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.signing.turn import Act, Turn


def request_form(review: Review, merit: Merit | None) -> None:
    """For who signs nothing at all, why, and what the move would change."""
    turn = _turn(review)
    key = drawn_key(form_of(review.move))
    draft = drafted(review, key)
    with st.container(border=True, key="decision"):
        what_changes(review, draft, merit)
        if turn is not None:
            if turn.view is not None:
                request_so_far(turn.view)
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


def _sign(review: Review, turn: Turn, view: RequestView, *, draft: DecisionDraft) -> None:
    """What may be done about a request that waits: the first that this person may is the primary one."""
    if view.state is RequestState.APPROVED:
        return
    number, rules = view.request.sequence, review.rules
    drawn = ActDraft(Act.APPROVE, draft, number, tuple(rules.attestations))
    if not turn.may(Act.APPROVE):
        widgets.message("Others sign", f"{turn.refusals[Act.APPROVE]}\n{missing(turn, view)}", colour="blue")
        _close(turn, drawn, primary=True)
        return
    if not review.open:
        closed(review.blocked_by)
    sentences(drawn, rules.attestations)
    reason_field(draft_of_reason(draft), draft.reason)
    unread = len(drawn.attested) < len(drawn.sentences)
    _button("Approve", drawn, disabled=unread or not review.open, first=True)
    _close(turn, drawn, reason=False)
    st.caption(missing(turn, view))
    held_for(draft, review)


def _close(turn: Turn, drawn: ActDraft, *, primary: bool = False, reason: bool = True) -> None:
    """How this person may end a request without the move. reason: whether it still needs a field."""
    ways = {Act.WITHDRAW: "Withdraw the request", Act.REJECT: "Reject"}
    open_ways = [act for act in ways if turn.may(act)]
    if open_ways and reason:
        reason_field(draft_of_reason(drawn.draft), drawn.draft.reason)
    for act in open_ways:
        _button(ways[act], replace(drawn, act=act), first=primary and act is Act.WITHDRAW)


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
        st.caption(f"It then needs {words.count(turn.needed, 'approval')} from {those(turn)}.{more}")
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
