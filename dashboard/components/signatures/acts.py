"""The acts of several persons who sign: each one call to the service, with what its form has shown."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import streamlit as st

from dashboard import caching, session
from dashboard.components import words
from dashboard.components.signing import DecisionDraft
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.signing.approval import OpenedPanel, SignedAct
from pipeline.governance.rules.signing.turn import Act

Result = TypeVar("Result")
OPENED = "opened"  # of a session, by the digest of the evidence: which panels of its review were open, and since when


@dataclass(frozen=True)
class ActDraft:
    """One act as it was drawn."""

    act: Act
    draft: DecisionDraft  # the move, and what was shown of it
    request: int = 0  # the request that the act is about
    sentences: tuple[str, ...] = ()  # the keys of those that an approver confirms

    def box(self, sentence: str) -> str:
        """Under which name the session has whether a sentence is confirmed."""
        return f"attest/{self.draft.key}/{self.request}/{sentence}"

    @property
    def attested(self) -> tuple[str, ...]:
        return tuple(each for each in self.sentences if st.session_state.get(self.box(each)))


def opened(evidence: str, panel: str) -> None:
    """Notes that this visitor has a panel open. evidence: the digest of what it shows."""
    seen: dict[str, datetime] = st.session_state.setdefault(f"{OPENED}/{evidence}", {})
    seen.setdefault(panel, datetime.now(UTC))


def fresh_after(command: Callable[[], Result]) -> Result:
    """What was read before is forgotten here, for the reason that `signing.send` gives."""
    try:
        return command()
    finally:
        caching.forget_reads()


def _of_draft(act: Callable[..., Result], drawn: ActDraft, reason: str) -> Result:
    """What a method of the service that takes a move makes of the draft."""
    draft = drawn.draft
    return act(
        draft.move,
        reason=reason,
        actor=session.actor(),
        evidence=draft.evidence,
        expect=draft.state,
        accept_warnings=_accepted(draft),
        key=draft.key,
    )


def _request(drawn: ActDraft, reason: str) -> str:
    made = _of_draft(session.desk().request, drawn, reason)
    return f"Request {made.sequence} is made; it waits for the signatures of others."


def _approve(drawn: ActDraft, reason: str) -> str | Outcome:
    seen: dict[str, datetime] = st.session_state.get(f"{OPENED}/{drawn.draft.evidence}", {})
    panels = tuple(OpenedPanel(name, at) for name, at in seen.items())
    signed = replace(_signed(drawn, reason), attested=drawn.attested, opened=panels)
    done = session.desk().approve(signed)
    if done.outcome is not None:
        return done.outcome
    missing = words.count(done.view.missing, "more approval")
    return f"You approved request {drawn.request}; {missing} to come."


def _reject(drawn: ActDraft, reason: str) -> str:
    session.desk().reject(_signed(drawn, reason))
    return f"Request {drawn.request} is rejected."


def _withdraw(drawn: ActDraft, reason: str) -> str:
    session.desk().withdraw(_signed(drawn, reason))
    return f"Request {drawn.request} is withdrawn."


def _override(drawn: ActDraft, reason: str) -> Outcome:
    return _of_draft(session.desk().override, drawn, reason)


def _signed(drawn: ActDraft, reason: str) -> SignedAct:
    draft = drawn.draft
    return SignedAct(drawn.request, reason, session.actor(), draft.evidence, draft.state, key=draft.key)


def _accepted(draft: DecisionDraft) -> bool:
    return bool(st.session_state.get(draft.accept))


COMMANDS: dict[Act, Callable[[ActDraft, str], str | Outcome]] = {
    Act.REQUEST: _request,
    Act.APPROVE: _approve,
    Act.REJECT: _reject,
    Act.WITHDRAW: _withdraw,
    Act.OVERRIDE: _override,
}
