"""What moved past the desk, and what this person may do about it: accept or undo it, or sign with others for either."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import streamlit as st

from dashboard import caching, session
from dashboard.components import tables, widgets, words
from dashboard.components.signatures.acts import COMMANDS, ActDraft, fresh_after
from dashboard.components.signatures.request import missing, request_so_far, sentences, those
from dashboard.components.signing import (
    DecisionDraft,
    draft_name,
    drawn_key,
    once,
    reason_drafts,
    reason_field,
    renew,
    typed_reason,
)
from pipeline.governance.actor import Actor
from pipeline.governance.errors import NotAllowed, SignoffError
from pipeline.governance.lifecycle import Move, MoveKind
from pipeline.governance.record.history import entry
from pipeline.governance.record.out_of_band import OutOfBandChange, state_text
from pipeline.governance.rules.signing.turn import Act, AdoptionTurn

REFUSAL = "out_of_band_refusal"
ADOPT, REVERT = "adopt", "revert"
SIGNING = {
    Act.APPROVE: "Approve",
    Act.REQUEST: "Ask others to accept it",
    Act.WITHDRAW: "Withdraw the request",
    Act.REJECT: "Reject",
}


@dataclass(frozen=True)
class OutOfBandForm:
    """The form as it was drawn: one reason, and whatever its visitor may do with it."""

    draft: DecisionDraft  # of the adoption, with the state of the registry as it was shown
    turn: AdoptionTurn | None  # None where one person decides
    differs: bool  # False: only a request is left, from when something did

    @property
    def model(self) -> str:
        return self.draft.move.model

    @property
    def asks(self) -> bool:
        """Whether to accept it takes the approval of others."""
        return self.turn is not None and self.turn.asks

    @property
    def acts(self) -> list[Act]:
        """What this person may do with others. A request that waits is approved, not asked for again."""
        if self.turn is None:
            return []
        waits = self.turn.turn.waits
        fitting = {Act.APPROVE: waits, Act.REQUEST: self.asks and not waits}
        has = self.turn.turn.view is not None
        return [act for act in SIGNING if fitting.get(act, has) and self.turn.turn.may(act)]

    def drawn(self, act: Act) -> ActDraft:
        view, attestations = (None, ()) if self.turn is None else (self.turn.turn.view, tuple(self.turn.attestations))
        return ActDraft(act, self.draft, view.request.sequence if view else 0, attestations)


@caching.fresh(most=100)
def adoption_turn(model: str, person: Actor) -> AdoptionTurn | None:
    """See service.adoption_turn."""
    return session.desk().adoption_turn(model, person)


def out_of_band(found: Sequence[OutOfBandChange], model: str | None) -> None:
    """What was changed by another way, in plain words and as a table, and the form that ends it; also of a request for
    that which is left, where nothing differs any more.
    """
    if found or (model is not None and _is_left(model)):
        with st.container(border=True, key="out_of_band"):
            if found:
                _what_moved(found)
            if refusal := st.session_state.pop(REFUSAL, None):
                widgets.message(*refusal, colour="red")
            if model is None:
                st.caption("Choose the model above to accept or undo this.")
            else:
                _ending(found, model)


def _is_left(model: str) -> bool:
    """Whether somebody who may sign sees a request to accept what no longer differs."""
    with suppress(NotAllowed):
        return adoption_turn(model, session.actor()) is not None
    return False


def _what_moved(found: Sequence[OutOfBandChange]) -> None:
    widgets.changed_sentences(found)
    with st.expander("When it was changed"):
        columns = widgets.times_to_the_second("Changed after", "Seen")
        table = tables.differences(found)
        st.dataframe(
            table,
            hide_index=True,
            height="content",
            column_config=columns,
            alt="What was changed outside of this desk",
        )


def _ending(found: Sequence[OutOfBandChange], model: str) -> None:
    """What this person may do now, and who else is needed; for who signs nothing at all, why."""
    turns: list[AdoptionTurn | None] = []
    if not widgets.allowed(lambda: turns.append(adoption_turn(model, session.actor()))):
        return
    (turn,) = turns
    form = OutOfBandForm(_draft(found, model, turn), turn, differs=bool(found))
    if turn is not None:
        _standing(form, turn)
    if form.differs or form.acts:
        _fields(form)


def _fields(form: OutOfBandForm) -> None:
    if form.turn is not None and Act.APPROVE in form.acts:
        sentences(form.drawn(Act.APPROVE), form.turn.attestations)
    reason_field(_kept(form.model), form.draft.reason)
    with st.container(horizontal=True):
        for act in form.acts:
            _act_button(form, act)
        if form.differs and not form.asks:
            _button(form, "Accept what is there now", ADOPT, icon="check")
        if form.differs:
            _button(form, "Undo it, back to the record", REVERT, icon="undo")
    if form.turn is not None and Act.REQUEST in form.acts:
        turn = form.turn.turn
        st.caption(f"To accept it takes {words.count(turn.needed, 'approval')} from {those(turn)}.")
    st.caption("Refused if anything of this model has moved since you looked.")


def _draft(found: Sequence[OutOfBandChange], model: str, turn: AdoptionTurn | None) -> DecisionDraft:
    """Of the state that was drawn: the service refuses if it has changed."""
    move, evidence = Move(model, MoveKind.RECONCILE, None), "" if turn is None else turn.evidence
    return DecisionDraft(move, evidence, state_text(found), recompute=False, key=drawn_key(f"out_of_band/{model}"))


def _standing(form: OutOfBandForm, turn: AdoptionTurn) -> None:
    """The request as it stands, or why this person may not ask for one."""
    view, refusals = turn.turn.view, turn.turn.refusals
    if view is not None:
        request_so_far(view)
    if view is not None and turn.turn.waits:
        needed = missing(turn.turn, view)
        if Act.APPROVE in form.acts:
            st.caption(needed)
        else:
            widgets.message("Others sign", f"{refusals[Act.APPROVE]}\n{needed}", colour="blue")
    elif turn.asks and Act.REQUEST in refusals:
        text = words.sentence(refusals[Act.REQUEST].removeprefix("adopt: "))
        widgets.message("It cannot be accepted by you, as it is", text, colour="blue")


def _act_button(form: OutOfBandForm, act: Act) -> None:
    """To approve and to ask are the primary ones: one of them is drawn at most."""
    drawn, first = form.drawn(act), act in (Act.APPROVE, Act.REQUEST)
    st.button(
        SIGNING[act],
        type="primary" if first else "secondary",
        key=f"{act}/{form.draft.key}",
        disabled=act is Act.APPROVE and len(drawn.attested) < len(drawn.sentences),
        on_click=_sign,
        args=(form, drawn),
    )


def _button(form: OutOfBandForm, label: str, ending: str, *, icon: str) -> None:
    st.button(label, key=f"{ending}/{form.draft.key}", icon=f":material/{icon}:", on_click=_decide, args=(form, ending))


def _kept(model: str) -> tuple[object, ...]:
    """Under which name a typed reason waits."""
    return draft_name("out_of_band", model)


# The commands, each one call to the service, made in a callback.


def _sign(form: OutOfBandForm, drawn: ActDraft) -> None:
    command = _request if drawn.act is Act.REQUEST else COMMANDS[drawn.act]

    def sign(reason: str) -> str:
        done = command(drawn, reason)
        return done if isinstance(done, str) else _accepted(done.sequence)

    _run(form, sign)


def _request(drawn: ActDraft, reason: str) -> str:
    draft = drawn.draft
    made = session.desk().request_adoption(
        draft.move.model,
        reason=reason,
        actor=session.actor(),
        evidence=draft.evidence,
        expect=draft.state,
        key=draft.key,
    )
    return f"Request {made.sequence} is made; it waits for the signatures of others."


def _decide(form: OutOfBandForm, ending: str) -> None:
    def end(reason: str) -> str:
        service, actor = session.desk(), session.actor()
        send = service.adopt if ending == ADOPT else service.revert
        number = entry(send(form.model, reason=reason, actor=actor, expect=form.draft.state)).number
        done = f"What was changed outside of this desk is undone: event {number}"
        return _accepted(number) if ending == ADOPT else done

    _run(form, end)


def _accepted(number: int) -> str:
    return f"What was changed outside of this desk is accepted: event {number}"


def _run(form: OutOfBandForm, command: Callable[[str], str]) -> None:
    """Runs before the page is drawn again; the same form twice is one command."""
    reason, kept = typed_reason(form.draft.reason), _kept(form.model)
    if kept:
        reason_drafts().keep(kept, reason)
    try:
        said = once(form.draft.key, lambda: fresh_after(lambda: command(reason)))
    except SignoffError as error:
        st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
        return
    if kept:
        reason_drafts().keep(kept, "")
    renew(f"out_of_band/{form.model}")
    session.flash(said)
