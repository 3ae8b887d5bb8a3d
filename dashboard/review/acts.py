"""An act of Review's form of several signatures, made in a callback."""

from dashboard import session
from dashboard.components.signatures.acts import COMMANDS, ActDraft, fresh_after
from dashboard.components.signing import once, reason_drafts, typed_reason
from dashboard.review.decision_form import draft_of_reason, end, refuse, show_receipt
from dashboard.review.move_picker import ask_again
from pipeline.governance.errors import SignoffError
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.signing.turn import Act


def perform(drawn: ActDraft) -> None:
    """Runs before the page is drawn again; the same click twice is one act."""
    draft = drawn.draft
    reason = typed_reason(draft.reason)
    kept = draft_of_reason(draft, override=drawn.act is Act.OVERRIDE)
    if kept:
        reason_drafts().keep(kept, reason)
    try:
        done = once(f"{drawn.act}/{draft.key}", lambda: fresh_after(lambda: COMMANDS[drawn.act](drawn, reason)))
    except SignoffError as error:
        refuse(draft, error)
        return
    if kept:
        reason_drafts().keep(kept, "")
    end(draft)
    if isinstance(done, Outcome):
        show_receipt(done)
    else:
        ask_again(draft.move)
        session.flash(done)
