"""The decision: what it would change, the reason, and one command to the service."""

from contextlib import suppress
from dataclasses import dataclass, replace

import streamlit as st

from dashboard import pages, session
from dashboard.components import widgets, words
from dashboard.components.signing import (
    DecisionDraft,
    draft_name,
    drafted,
    drawn_key,
    form_of,
    once,
    reason_drafts,
    reason_field,
    renew,
    send,
    typed_reason,
)
from dashboard.review import receipt
from dashboard.review.move_picker import ask_again
from pipeline.governance.errors import (
    Conflict,
    DecisionPending,
    InvalidInput,
    SignoffError,
    StaleEvidence,
    StateChanged,
)
from pipeline.governance.record.history import Entry
from pipeline.governance.record.telling import told
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.gates import GateResult
from pipeline.governance.rules.merit import Merit, warning_sentence
from pipeline.governance.rules.review import CHANGES_SOMETHING, Review

REFUSAL = "refusal"
MOST_NEWS = 3  # decisions of others that are told in full
SIGNS = "Ctrl+Enter"


@dataclass(frozen=True)
class Refusal:
    """Why the last decision was refused, as the page tells it until the next attempt."""

    form: str  # of which form, see DecisionDraft.form
    model: str
    title: str
    text: str
    invalid: str | None = None  # the reason, where it is at fault: told until something else is typed
    news: tuple[Entry, ...] = ()  # what others decided meanwhile, the newest first
    kept: str = ""  # the reason that was typed, where the form may be closed by now
    told_at: str | None = None  # the form beside which it was told first; None: not told yet


def decision_form(review: Review, merit: Merit | None) -> None:
    """merit: of the version beside the champion, where that can be said."""
    draft = drafted(review, drawn_key(form_of(review.move)))
    with st.container(border=True, key="decision"):
        what_changes(review, draft, merit)
        if review.open:
            reason_field(draft_of_reason(draft), draft.reason)
            accept_field(review, draft)
        else:
            closed(review.blocked_by)
        st.button(
            words.action(draft.move),
            type="primary",
            key=f"sign/{draft.key}",
            disabled=not review.open,
            shortcut=SIGNS,
            on_click=_decide,
            args=(draft,),
            width="stretch",
        )
        held_for(draft, review)


def what_changes(review: Review, draft: DecisionDraft, merit: Merit | None) -> None:
    """The heading of a form, what the move changes, and what is to be known before anything is typed."""
    st.header("Decision", anchor=False)
    st.caption("What will change")
    st.text(words.changes(review.changes) or "Nothing.")
    show_refusal(draft.move.model, draft)
    if sentence := warning_sentence(review, merit):
        widgets.message("No metric gets better", sentence, colour="red")


def held_for(draft: DecisionDraft, review: Review) -> None:
    st.caption(
        "Holds for what this page shows and for these very files; refused if either has changed since you looked.",
        help=f"What was shown is kept as evidence {words.digest(draft.evidence)}, the files are known as "
        f"{words.digest(review.evidence.file_digest)}: fingerprints (sha256) that change with every byte.",
    )


def closed(blocked_by: list[GateResult]) -> None:
    """A registry that is like that already is no bad news."""
    if any(gate.name == CHANGES_SOMETHING for gate in blocked_by):
        st.info("There is nothing to decide: the registry is like that already.")
    else:
        named = "\n".join(f'Not passed: "{gate.label}"' for gate in blocked_by)
        widgets.message(f"Blocked by {words.count(len(blocked_by), 'gate')}", named, colour="red")


def accept_field(review: Review, draft: DecisionDraft) -> None:
    """A box for the warnings; nothing where there are none."""
    if review.warnings:
        named = words.count(len(review.warnings), "warning")
        st.checkbox(f"I accept the {named}", key=draft.accept, help=", ".join(gate.label for gate in review.warnings))


def draft_of_reason(draft: DecisionDraft, *, override: bool = False) -> tuple[object, ...]:
    """The same whichever alias is typed: it is typed after the reason as often as before.

    override: of the form beside it, which moves without the approval of others and has a reason of its own.
    """
    own = ("override",) if override else ()
    return draft_name(draft.move.model, draft.move.version, draft.move.kind, *own)


def _decide(draft: DecisionDraft) -> None:
    """Runs before the page is drawn again. The key is the drawn one, so that a second click is the same decision."""
    reason, accepted = typed_reason(draft.reason), bool(st.session_state.get(draft.accept))
    kept = draft_of_reason(draft)
    if kept:
        reason_drafts().keep(kept, reason)
    try:
        outcome = once(draft.key, lambda: send(draft, reason, accept_warnings=accepted))
    except SignoffError as error:
        refuse(draft, error)
        return
    if kept:
        reason_drafts().keep(kept, "")
    end(draft)
    show_receipt(outcome)


def refuse(draft: DecisionDraft, error: SignoffError) -> None:
    """Has the page tell why a form was refused. To be called in a callback."""
    st.session_state[REFUSAL] = _refusal(draft, error)
    if isinstance(error, Conflict) and not isinstance(error, DecisionPending):
        # The reason and the move stay, under a new key: the old one may belong to a decision without effect.
        reason = typed_reason(draft.reason)
        st.session_state[replace(draft, key=renew(draft.form)).reason] = reason
        ask_again(draft.move)


def end(draft: DecisionDraft) -> None:
    """The form was signed: the next click is another command. To be called in a callback."""
    st.session_state.pop(REFUSAL, None)
    renew(draft.form)


def show_receipt(outcome: Outcome) -> None:
    """Has the page show a decision that was made: the receipt says what it did. To be called in a callback."""
    receipt.open_receipt(outcome.sequence)
    notice = f" ({outcome.notice})" if outcome.notice else ""
    session.flash(f"Decision {outcome.sequence} is applied{notice}")


def _refusal(draft: DecisionDraft, error: SignoffError) -> Refusal:
    """Who was faster where somebody was; else the service's own sentence."""
    invalid = typed_reason(draft.reason) if isinstance(error, InvalidInput) else None
    found = Refusal(draft.form, draft.move.model, widgets.title_of(error), words.sentence(str(error)), invalid)
    if not isinstance(error, StateChanged | StaleEvidence):
        return found
    news: list[Entry] = []
    with suppress(SignoffError):  # the refusal is told all the same
        move = draft.move
        news = session.desk().changed_since(move.model, draft.seen, slots=draft.slots, version=move.version)
    if news:
        text = "Somebody was faster. Your reason is kept; the review is new: look at it and sign again."
    else:
        text = (
            "Nobody decided anything, but the version has changed since you looked: its files, a tag or a description. "
            "Your reason is kept; the review is new: look at it and sign again."
        )
    return replace(found, text=text, news=tuple(news[:MOST_NEWS]), kept=typed_reason(draft.reason))


def show_refusal(model: str, draft: DecisionDraft | None = None) -> None:
    """Shows why the last decision about this model was refused: until the next attempt, another move, or, where the
    reason was at fault, until that is another one. draft: None where no move is drawn.
    """
    found: Refusal | None = st.session_state.get(REFUSAL)
    if found is None or not _is_told(found, model, draft):
        st.session_state.pop(REFUSAL, None)
        return
    st.session_state[REFUSAL] = replace(found, told_at=_place(draft) if found.told_at is None else found.told_at)
    with widgets.message(found.title, found.text, colour="red"):
        for entry in found.news:
            st.text(told(entry))
            pages.link_event(f"No. {entry.number} in History", entry.model, entry.number)
        if found.kept:
            st.text(f"Your reason, which is kept for a day:\n{found.kept}")


def _is_told(found: Refusal, model: str, draft: DecisionDraft | None) -> bool:
    typed_anew = draft is not None and found.invalid not in (None, typed_reason(draft.reason))
    return found.model == model and not typed_anew and found.told_at in (None, _place(draft))


def _place(draft: DecisionDraft | None) -> str:
    return draft.form if draft else ""
