"""What waits for the signature of who looks at the page, what they asked for, and what was done past the others."""

from collections.abc import Iterable, Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import caching, pages, session
from dashboard.components import widgets, words
from dashboard.components.signing import (
    comment_field,
    comments,
    draft_name,
    drawn_key,
    once,
    reason_field,
    request_comments,
    typed_reason,
)
from pipeline.governance.actor import Actor
from pipeline.governance.errors import SignoffError
from pipeline.governance.record.history import ModelOverview
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.record.requests import MoveRequest, RequestState, RequestView
from pipeline.governance.roles import Action
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.merit import Waiting
from pipeline.governance.rules.signing.override import OpenOverride
from pipeline.governance.rules.signing.queues import SigningQueues
from pipeline.governance.text import visible

LONGEST_REASON = 300


@caching.fresh(most=100)
def queues(person: Actor) -> SigningQueues:
    """See service.queues."""
    return session.desk().queues(person)


@caching.fresh()
def not_approved_here(model: str) -> str | None:
    """See service.not_approved_here."""
    return session.desk().not_approved_here(model)


def begin(found: SigningQueues) -> DeltaGenerator | None:
    """Draws the overrides, one red box each, and makes room for the lists; None where there is nothing to list."""
    for each in found.overrides:
        with widgets.message("Rules overridden", _overridden(each, found), colour="red"):
            pages.link_event(f"No. {each.sequence} in History", each.model, each.sequence)
            if each.sequence in found.open_to_person:
                _acknowledging(each.sequence)
    return st.container() if found.waiting or found.asked else None


def _acknowledging(number: int) -> None:
    """The form, behind a small button: looking comes first."""
    key = f"acknowledge/{number}"
    with st.popover("Acknowledge", icon=":material/visibility:"):
        reason_field(draft_name("acknowledge", number), f"reason/{key}")
        if refused := st.session_state.pop(f"refused/{key}", None):
            widgets.message("Not acknowledged", refused, colour="red")
        st.button("I have looked at it", key=key, on_click=_acknowledge, args=(number, key))


def _acknowledge(number: int, key: str) -> None:
    """Runs before the page is drawn again."""
    reason = typed_reason(f"reason/{key}")

    def sign() -> StoredEvent:
        try:
            return session.desk().acknowledge(number, reason=reason, actor=session.actor())
        finally:
            caching.forget_reads()

    try:
        once(drawn_key(f"key/{key}"), sign)
    except SignoffError as error:
        st.session_state[f"refused/{key}"] = str(error)
        return
    session.flash(f"Override {number} is acknowledged")


def _overridden(each: OpenOverride, found: SigningQueues) -> str:
    version = "" if each.version is None else f", version {each.version}"
    who, moved = found.who(each.content["actor"]), f"{visible(each.model)}{version} to {visible(each.to)}"
    told = [f"{who} on {words.when(each.at)}: {moved}, without the approval of others."]
    if each.skipped:
        told.append(f"Gates not passed: {', '.join(map(label_of, each.skipped))}.")
    if each.registrar_unknown:
        told.append("Who registered the version is not known: it may have been the same person.")
    told.append(f"Reason: {visible(each.reason, most=LONGEST_REASON)}")
    told.append("It stays here until somebody else has acknowledged it.")
    return "\n".join(told)


def draw(
    place: DeltaGenerator | None,
    found: SigningQueues,
    models: Iterable[ModelOverview],
    *,
    merits: Mapping[str, Waiting],
) -> None:
    """Both lists side by side; of one that is empty nothing. place: see begin. merits: as far as they are known."""
    if place is None:
        return
    champions = {each.record.name: each.champion for each in models}
    lists = (("Waiting for you", in_order_of_merit(found.waiting, merits)), ("You asked for", found.asked))
    shown = [(title, views) for title, views in lists if views]
    with place, st.grid(len(shown), min_column_width=330):
        for title, views in shown:
            with st.container(border=True, height="stretch"):
                st.header(title, anchor=False)
                for each in views:
                    _line(each, found, champions.get(each.request.model))


def in_order_of_merit(views: Iterable[RequestView], merits: Mapping[str, Waiting]) -> list[RequestView]:
    """The best version first among those that can be approved as they are; where that is not known, as it was given."""
    ranks: dict[tuple[str, int | None], int] = {
        (model, each.version): rank for model, found in merits.items() for rank, each in enumerate(found.contenders)
    }

    def order(view: RequestView) -> tuple[bool, int]:
        return bool(view.stale), ranks.get((view.request.model, view.request.version), len(ranks))

    return sorted(views, key=order)


def _line(view: RequestView, found: SigningQueues, champion: int | None) -> None:
    request, move = view.request, view.request.move
    with st.container(gap=None):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            if request.is_adoption:
                pages.link_history("Accept what was changed outside", move.model)
            else:
                pages.link_move(words.action(move), move, champion)
            if view.is_due:
                word = "Expired" if view.state is RequestState.EXPIRED else "Stale"
                st.badge(word, icon=":material/warning:", color="orange")
        asked = f"{visible(request.model)}: {found.who(request.actor)} asked on {words.when(request.at)}."
        st.text(f"{asked}\n{visible(request.reason, most=LONGEST_REASON)}\n{standing(view, found)}")
        _comments(request)


def _comments(request: MoveRequest) -> None:
    """The newest comment on a request, how many there are, and the form to add one: an answer needs no other page."""
    said = request_comments(request.sequence)
    if said:
        newest = said[0]
        st.text(f"{newest.signature}: {visible(newest.reason or '', most=LONGEST_REASON)}")
    if request.version is None or not session.desk().may(Action.COMMENT):
        return
    with st.popover(words.count(len(said), "comment") if said else "Comment", icon=":material/comment:"):
        comments(said)
        comment_field(request.model, request.version, request.sequence)


def standing(view: RequestView, found: SigningQueues) -> str:
    """Whose signatures it has, what it takes next, and until when."""
    signed = ", ".join(found.who(each.actor) for each in view.request.approvals)
    have = f"{view.counted} of {words.count(view.needed, 'approval')}{f', by {signed}' if signed else ''}."
    until, again = words.when(view.request.expires_at), "it has to be asked for again"
    if view.state is RequestState.APPROVED:
        return f"{have} The move has not ended yet; Reconcile on History finishes it."
    if view.state is RequestState.EXPIRED:
        return f"{have} It expired on {until}: {again}."
    if view.stale:
        return f"{have} Nobody can approve it as it is, because {view.stale_sentence} changed: {again}."
    roles = " or ".join(view.approver_roles)
    others = "not by who asked or registered the version"
    return f"{have} {view.missing} more needed, by the role {roles}, {others}. Until {until}."


def found_champion(model: str) -> None:
    """Says of a champion that was there before the desk that nobody has approved it here."""
    if sentence := not_approved_here(model):
        st.badge("Not approved here", icon=":material/gpp_maybe:", color="orange", help=sentence)
