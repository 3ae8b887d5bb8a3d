"""Several versions are archived with one reason: each is reviewed and is a decision of its own, with its own result."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import pages, session
from dashboard.address.in_address import number_in
from dashboard.components import widgets, words
from dashboard.components.signing import (
    DecisionDraft,
    SignedForm,
    draft_name,
    drafted,
    drawn_key,
    once,
    reason_drafts,
    reason_field,
    renew,
    send,
    typed_reason,
)
from pipeline.governance.errors import InvalidInput, SignoffError, Unavailable
from pipeline.governance.lifecycle import MoveKind, Stage, stage_move
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import change_of, changes_text
from pipeline.governance.rules.review import Review

MOST = 20  # versions in one form
ARCHIVED = "archived"  # in the address: the numbers of the decisions
RESULTS, REFUSAL = "archived", "archive_refusal"  # keys of the session


@dataclass(frozen=True)
class ArchiveDraft(SignedForm):
    """The form as it was drawn."""

    model: str
    chosen: frozenset[int]  # every version that was selected
    decisions: tuple[DecisionDraft, ...]  # of the versions that can be archived
    key: str  # the same until the form was signed; each decision has one of its own, made from it


@dataclass(frozen=True)
class ArchiveResult:
    """What became of one version of the form."""

    version: int
    decision: int | None  # its number; None where it was refused
    text: str


def archive_form(model: str, chosen: Sequence[int]) -> None:
    """Draws the form for the versions that are selected, or what became of the last ones. Nothing is read before it is
    unfolded.
    """
    last: tuple[ArchiveDraft, tuple[ArchiveResult, ...]] | None = st.session_state.get(RESULTS)
    if last and last[0].model == model and (not chosen or last[0].chosen == set(chosen)):
        _receipt(model, last[1])
        return
    st.session_state.pop(RESULTS, None)
    if not chosen:
        if recorded := _of_the_address(model):
            _receipt(model, recorded)
        return
    st.query_params.pop(ARCHIVED, None)
    named = words.count(len(chosen), "selected version")
    folded = st.expander(f"Archive {named}", key="archive", on_change="rerun", icon=":material/archive:")
    if folded.open:
        with folded:
            widgets.writes_notice(MoveKind.ARCHIVED)
            _form(model, frozenset(chosen))


def _of_the_address(model: str) -> list[ArchiveResult]:
    """The decisions that the address names, from the record; refusals are none."""
    numbers = map(number_in, st.query_params.get(ARCHIVED, "").split(",")[:MOST])
    lines = [session.decision(number) for number in numbers if number is not None]
    ended = [line[0] for line in lines if line and line[0].model == model and line[0].type is EventType.APPLIED]
    return [ArchiveResult(each.version or 0, each.number, change_of(each)) for each in ended]


def _form(model: str, chosen: frozenset[int]) -> None:
    key = drawn_key(_form_name(model))
    reviews, impossible = _reviewed(model, sorted(chosen)[:MOST])
    if (left_out := len(chosen) - MOST) > 0:
        st.caption(f"The first {MOST} are archived now; {left_out:,} more are left for the next form.")
    if reviews:
        st.caption("What will change, each by a decision of its own")
        st.text("\n".join(words.changes(review.changes) for review in reviews))
    if impossible:
        st.caption("What cannot be archived")
        st.text("\n".join(f"•  {sentence}" for sentence in impossible))
    if refusal := st.session_state.pop(REFUSAL, None):
        widgets.message(*refusal, colour="red")
    if not reviews:
        return
    decisions = tuple(drafted(each, f"{key}/{each.evidence.version}") for each in reviews)
    draft = ArchiveDraft(model, chosen, decisions, key)
    reason_field(draft_name(model, "archive"), draft.reason)
    if warned := sum(bool(review.warnings) for review in reviews):
        st.checkbox(f"I accept the warnings of {words.count(warned, 'version')}", key=draft.accept)
    st.button(
        f"Archive {words.count(len(reviews), 'version')}",
        type="primary",
        key=f"sign/{key}",
        shortcut="Ctrl+Enter",
        on_click=_archive,
        args=(draft,),
    )


def _form_name(model: str) -> str:
    return f"key/archive/{model}"


def _reviewed(model: str, versions: Sequence[int]) -> tuple[list[Review], list[str]]:
    """The reviews of those that can be archived, and why each of the others cannot."""
    found, impossible = [], []
    for version in versions:
        try:
            review = session.review(stage_move(model, version, Stage.ARCHIVED), None)
        except SignoffError as error:
            impossible.append(f"Version {version}: {error}")
            continue
        if review.open:
            found.append(review)
        else:
            impossible.append(f"Version {version}: {' '.join(gate.why for gate in review.blocked_by)}")
    return found, impossible


def _archive(draft: ArchiveDraft) -> None:
    """One decision after the other. A reason that is none refuses all; where the registry does not answer, the rest."""
    text, accepted = typed_reason(draft.reason), bool(st.session_state.get(draft.accept))
    results: list[ArchiveResult] = []
    for decision in draft.decisions:
        try:
            results.append(_archived(decision, text, accepted=accepted))
        except InvalidInput as error:
            st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
            return
        except Unavailable as error:
            rest = draft.decisions[len(results) :]
            results += [ArchiveResult(_version(each), None, f"Not archived: {error}") for each in rest]
            break
    if name := draft_name(draft.model, "archive"):
        reason_drafts().keep(name, "")
    renew(_form_name(draft.model))
    st.session_state[RESULTS] = (draft, tuple(results))
    done = [str(each.decision) for each in results if each.decision is not None]
    if done:
        st.query_params[ARCHIVED] = ",".join(done)
    session.flash(f"{len(done)} of {words.count(len(results), 'version')} archived")


def _archived(draft: DecisionDraft, reason: str, *, accepted: bool) -> ArchiveResult:
    """Raises InvalidInput and Unavailable, which end it for the others too."""
    version = _version(draft)
    try:
        outcome = once(draft.key, lambda: send(draft, reason, accept_warnings=accepted))
    except (InvalidInput, Unavailable):
        raise
    except SignoffError as error:
        return ArchiveResult(version, None, f"{widgets.title_of(error)}: {error}")
    return ArchiveResult(version, outcome.sequence, changes_text(EventType.APPLIED, outcome.changes))


def _version(draft: DecisionDraft) -> int:
    return draft.move.version or 0


def _receipt(model: str, results: Sequence[ArchiveResult]) -> None:
    done = [each for each in results if each.decision is not None]
    left = [each for each in results if each.decision is None]
    with st.container(border=True, key="archived"):
        if done:
            st.success(f"{words.count(len(done), 'version')} archived.", icon=":material/check_circle:")
        for each in done:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.text(each.text)
                pages.link_event(f"Decision {each.decision} in History", model, each.decision or 0)
        if left:
            text = "\n".join(f"•  Version {each.version}: {each.text}" for each in left)
            widgets.message(f"{words.count(len(left), 'version')} not archived", text, colour="red")
