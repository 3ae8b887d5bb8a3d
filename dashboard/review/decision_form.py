"""The decision: what it would change, the reason, and one command to the service."""

from dataclasses import dataclass, replace

import streamlit as st

from dashboard import session
from dashboard.components import widgets, words
from dashboard.components.submit_once import drawn_key, once, renew
from pipeline.governance.decide import Outcome
from pipeline.governance.errors import Conflict, DecisionPending, SignoffError
from pipeline.governance.lifecycle import Move
from pipeline.governance.reason import MOST_REASON_CHARACTERS, REASON_LENGTH
from pipeline.governance.review import Review

REFUSAL = "refusal"


@dataclass(frozen=True)
class DecisionDraft:
    """A decision as it was drawn."""

    move: Move
    evidence: str  # digest of the evidence that was shown; the service refuses if it has changed
    state: str  # of the registry as it was shown; the service refuses if it has changed
    recompute: bool  # the claims were recomputed on the page, and are again when the decision is made
    key: str  # idempotency key: one form is one decision, also on a double click

    @property
    def form(self) -> str:
        """Under which name the session keeps the idempotency key of this move until it succeeded."""
        return f"key/{self.move.kind}/{self.move.model}/{self.move.version}/{self.move.alias}"

    @property
    def reason(self) -> str:
        return f"reason/{self.key}"

    @property
    def accept(self) -> str:
        return f"accept/{self.key}"


def decision_form(review: Review) -> None:
    blank = DecisionDraft(review.move, review.evidence.digest, review.state, review.recomputation is not None, "")
    draft = replace(blank, key=drawn_key(blank.form))
    with st.container(border=True, key="decision"):
        st.subheader("Decision", anchor=False)
        st.caption("What will change")
        st.text(words.changes(review.changes) or "Nothing.")
        if review.blocked_by:
            named = ", ".join(gate.label for gate in review.blocked_by)
            widgets.message("Blocked", f"By {named}.", colour="red")
        show_refusal(draft.move.model)
        with st.form(f"form/{draft.key}", border=False, enter_to_submit=False):
            if review.open:
                _fields(review, draft)
            st.form_submit_button(
                words.action(draft.move),
                type="primary",
                disabled=not review.open,
                help=None if review.open else "Blocked; the gates say by what",
                on_click=_decide,
                args=(draft,),
                width="stretch",
            )
        st.caption(
            f"Bound to evidence {words.digest(draft.evidence)} and files {words.digest(review.evidence.file_digest)}. "
            "Refused if either has changed since you looked."
        )


def _fields(review: Review, draft: DecisionDraft) -> None:
    st.text_area(
        "Reason",
        key=draft.reason,
        max_chars=MOST_REASON_CHARACTERS,
        placeholder=f"Why, in {REASON_LENGTH}",
        help="Kept in the ledger with your name, the gates and the evidence.",
    )
    if review.warnings:
        named = words.count(len(review.warnings), "warning")
        st.checkbox(f"I accept the {named}", key=draft.accept, help=", ".join(gate.label for gate in review.warnings))


def _decide(draft: DecisionDraft) -> None:
    """Runs before the page is drawn again. The key is the drawn one, so that a second click is the same decision."""
    reason, accepted = st.session_state.get(draft.reason, ""), bool(st.session_state.get(draft.accept))
    try:
        outcome = once(draft.key, lambda: send(draft, reason, accept_warnings=accepted))
    except SignoffError as error:
        st.session_state[REFUSAL] = (draft.move.model, widgets.title_of(error), str(error))
        if isinstance(error, Conflict) and not isinstance(error, DecisionPending):
            # The reason stays, under a new key: the old one may belong to a decision that ended without effect.
            st.session_state[replace(draft, key=renew(draft.form)).reason] = reason
    else:
        renew(draft.form)
        notice = f" ({outcome.notice})" if outcome.notice else ""
        session.flash(f"Decision {outcome.sequence} is applied: {words.done(outcome)}{notice}")


def send(draft: DecisionDraft, reason: str, *, accept_warnings: bool) -> Outcome:
    """The one call to the service: the move that was drawn, with what was on the screen.

    Reads are forgotten here, since Streamlit stops the callback of a visitor who has left at its next use of the
    session: other visitors would see the state before the decision for some seconds more.
    """
    try:
        return session.desk().decide(
            draft.move,
            reason=reason,
            actor=session.signer(),
            evidence=draft.evidence,
            expect=draft.state,
            accept_warnings=accept_warnings,
            recompute=draft.recompute,
            key=draft.key,
        )
    finally:
        session.forget_reads()


def show_refusal(model: str) -> None:
    """Shows once why the last decision about this model was refused; the page may be about another move by now."""
    about, title, text = st.session_state.pop(REFUSAL, ("", "", ""))
    if about == model:
        widgets.message(title, text, colour="red")
