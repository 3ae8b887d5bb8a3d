"""Signing: a move as it was drawn, the reason or comment that is being typed, and one command to the service, however
many clicks.

A double click is one command: a form carries an idempotency key, and a command runs once per key.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st
from cachetools import TTLCache

from dashboard import caching, session
from dashboard.components import widgets, words
from dashboard.metrics import counters
from pipeline.governance.errors import NotAllowed, SignoffError, StaleLogin
from pipeline.governance.lifecycle import Move, Slot
from pipeline.governance.reason import MOST_REASON_CHARACTERS, REASON_LENGTH
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.roles import Action
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.review import Review
from pipeline.governance.text import visible

Result = TypeVar("Result")

DRAFT_SECONDS, MOST_DRAFTS = 24 * 3600, 1_000


@dataclass
class _Run:
    """A command under one key."""

    lock: threading.Lock = field(default_factory=threading.Lock)  # held while the command runs
    results: list[Any] = field(default_factory=list)  # empty until it has returned


@st.cache_resource(max_entries=500, show_spinner=False)
def _run(key: str) -> _Run:  # noqa: ARG001 (the cache keeps it under this key)
    return _Run()


def once(key: str, command: Callable[[], Result]) -> Result:
    """Runs the command, or returns what it returned before under the same key; one that raised may run again.

    Streamlit handles the second of two clicks in a thread of its own while the callback of the first still runs, and
    stops the first when it next reads the session: so the second click has to be able to show the result.
    """
    run = _run(key)
    with run.lock:
        if not run.results:
            run.results.append(_counted(command))
        result: Result = run.results[0]
        return result


def _counted(command: Callable[[], Result]) -> Result:
    """Runs it; what it is refused for, /metrics tells too."""
    try:
        return command()
    except SignoffError as error:
        counters.metrics().refused("click", error)
        raise


def drawn_key(form: str) -> str:
    """The key of a form of this session, the same until `renew`. form: under which name the session keeps it."""
    key: str = st.session_state.setdefault(form, uuid.uuid4().hex)
    return key


def renew(form: str) -> str:
    """Gives the form a new key, after its command has succeeded: the next click is another command."""
    key: str = uuid.uuid4().hex
    st.session_state[form] = key
    return key


# Reasons that were typed and not signed yet. A session ends with a reload, an address can be seen by others.


class ReasonDrafts:
    """By who typed them and for what; each for a day, the oldest make room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: TTLCache[tuple[object, ...], str] = TTLCache(MOST_DRAFTS, DRAFT_SECONDS)

    def text(self, name: tuple[object, ...]) -> str:
        """Empty where nothing is kept."""
        with self._lock:
            return self._texts.get(name, "")

    def keep(self, name: tuple[object, ...], text: str) -> None:
        """In place of what was kept; nothing at all for an empty text."""
        with self._lock:
            self._texts.pop(name, None)
            if text:
                self._texts[name] = text[:MOST_REASON_CHARACTERS]


@caching.made_once
def reason_drafts() -> ReasonDrafts:
    return ReasonDrafts()


def draft_name(*about: object) -> tuple[object, ...]:
    """Under which name a reason about something is kept; empty for one who may not sign, who may be anybody."""
    try:
        actor = session.signer()
    except StaleLogin:
        actor = session.actor()  # it waits for them to log in again
    except NotAllowed:
        if not session.desk().may(Action.OVERRIDE):
            return ()
        actor = session.actor()  # they decide nothing but that
    return (actor.established, actor.issuer, actor.subject, *about)


def reason_field(name: tuple[object, ...], key: str) -> None:
    """The field of a reason, which begins with the draft of this name. key: under which the session has the text."""
    st.session_state.setdefault(key, reason_drafts().text(name))
    st.text_area(
        "Reason",
        key=key,
        max_chars=MOST_REASON_CHARACTERS,
        placeholder=f"Why, in {REASON_LENGTH}",
        help="Kept in the record with your name, the gates and what this page shows. Not signed yet, it waits a day.",
        on_change=_keep,
        args=(name, key),
    )


def _keep(name: tuple[object, ...], key: str) -> None:
    if name:
        reason_drafts().keep(name, st.session_state.get(key, ""))


def typed_reason(key: str) -> str:
    text: str = st.session_state.get(key, "")
    return text


class SignedForm:
    """What every form that is signed keeps in the session, under names made from its key."""

    key: str

    @property
    def reason(self) -> str:
        """Under which name the session has the typed reason."""
        return f"reason/{self.key}"

    @property
    def accept(self) -> str:
        """Under which name the session has whether the warnings are accepted."""
        return f"accept/{self.key}"


# A decision.


@dataclass(frozen=True)
class DecisionDraft(SignedForm):
    """A decision as it was drawn."""

    move: Move
    evidence: str  # digest of the evidence that was shown; the service refuses if it has changed
    state: str  # of the registry as it was shown; the service refuses if it has changed
    recompute: bool  # the claims were recomputed on the page, and are again when the decision is made
    key: str  # idempotency key: one form is one decision, also on a double click
    slots: tuple[Slot, ...] = ()  # what the move is about
    seen: int = 0  # the newest event of the model when the review was made: what came later was not shown

    @property
    def form(self) -> str:
        """Under which name the session keeps the idempotency key of this move until it succeeded."""
        return form_of(self.move)


def form_of(move: Move) -> str:
    return f"key/{move.kind}/{move.model}/{move.version}/{move.alias}"


def drafted(review: Review, key: str) -> DecisionDraft:
    """The decision that the review was drawn for. key: of its form."""
    return DecisionDraft(
        review.move,
        review.evidence.digest,
        review.state,
        review.recomputation is not None,
        key,
        slots=tuple(change.slot for change in review.changes),
        seen=review.newest_event,
    )


def send(draft: DecisionDraft, reason: str, *, accept_warnings: bool) -> Outcome:
    """The one call to the service: the move that was drawn, with what was on the screen.

    Reads are forgotten here, since Streamlit stops the callback of a visitor who has left at its next use of the
    session: other visitors would see the state before the decision for some seconds more.
    """
    try:
        return session.desk().decide(
            draft.move,
            reason=reason,
            actor=session.actor(),
            evidence=draft.evidence,
            expect=draft.state,
            accept_warnings=accept_warnings,
            recompute=draft.recompute,
            key=draft.key,
        )
    finally:
        caching.forget_reads()


# A comment: plain text about a version, or about a request for one of its moves.


@dataclass(frozen=True)
class CommentDraft:
    """A comment as it is typed."""

    model: str
    version: int
    key: str  # one form is one comment, also on a double click
    request: int | None = None  # None for a comment on the version alone

    @property
    def form(self) -> str:
        """Under which name the session keeps the key until the comment is recorded."""
        return comment_form_of(self.model, self.version, self.request)

    @property
    def text(self) -> str:
        """Under which name the session has the typed text."""
        return f"comment_text/{self.key}"

    @property
    def refused(self) -> str:
        """Under which name the session has why the last attempt was refused."""
        return f"comment_refused/{self.form}"


def comment_form_of(model: str, version: int, request: int | None = None) -> str:
    return f"comment/{model}/{version}/{request or ''}"


def comments(found: Sequence[Entry]) -> None:
    """Each with who said it and when, as plain text."""
    for each in found:
        with st.container(gap=None):
            st.text(f"{each.signature}, {words.when(each.at)}")
            st.text("\n".join(visible(line) for line in (each.reason or "").splitlines()))


def comment_field(model: str, version: int, request: int | None = None) -> None:
    """The form of a comment; nothing for who may not comment. request: the number of the one that it is about."""
    if not session.desk().may(Action.COMMENT):
        return
    draft = CommentDraft(model, version, drawn_key(comment_form_of(model, version, request)), request)
    if refused := st.session_state.pop(draft.refused, None):
        widgets.message("Not recorded", refused, colour="red")
    st.text_area(
        "Comment",
        key=draft.text,
        height=80,
        max_chars=MOST_REASON_CHARACTERS,
        help="Plain text; kept in the record with your name, and part of the history and the model card.",
    )
    st.button("Add comment", key=f"comment_add/{draft.key}", on_click=_comment, args=(draft,))


@caching.fresh()
def request_comments(number: int) -> tuple[Entry, ...]:
    """See service.request_comments."""
    return tuple(session.desk().request_comments(number))


def _comment(draft: CommentDraft) -> None:
    """Runs before the page is drawn again."""
    text: str = st.session_state.get(draft.text, "")

    def record() -> StoredEvent:
        try:
            return session.desk().comment(
                draft.model, draft.version, text, actor=session.actor(), request=draft.request
            )
        finally:
            caching.forget_reads()

    try:
        once(draft.key, record)
    except SignoffError as error:
        st.session_state[draft.refused] = str(error)
        return
    renew(draft.form)
    session.flash("The comment is recorded")
