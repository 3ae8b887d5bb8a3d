"""The receipt of a decision: in place of its form, from the record, so that the address shows it again."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address.in_address import number_in
from dashboard.components import widgets, words
from dashboard.review.move_picker import DECIDED, ROLL_BACK, TO, ask
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import change_of, sentence

Line = tuple[Entry, Entry | None]


def open_receipt(number: int) -> None:
    """Makes the address that of the receipt. To be called in a callback."""
    ask(**{DECIDED: str(number)})


def decided(evidence: Evidence) -> Line | None:
    """The decision that the address names, where it is one that moved this version; None where a move is asked for."""
    number = number_in(st.query_params.get(DECIDED, ""))
    if number is None or st.query_params.get(TO):
        return None
    line = session.decision(number)
    about = line and line[0].model == evidence.model
    return line if line and about and line[0].concerns(evidence.version, evidence.content["created_at"]) else None


def receipt(line: Line) -> None:
    """Draws what was decided, from what to what, by whom and when, and where one mostly goes from there."""
    entry, _ = line
    with st.container(border=True, key="receipt"):
        _headline(entry)
        st.text(f"{sentence(entry)}.\n{_changes(entry)}")
        widgets.facts({"Who": entry.signature or "", "When": words.to_the_second(entry.at), "Reason": entry.reason})
        with st.container(horizontal=True, vertical_alignment="center", key="next"):
            pages.link_event(f"Decision {entry.number} in History", entry.model, entry.number)
            for link in _what_follows(entry):
                link()


def _headline(entry: Entry) -> None:
    """With the role `status`, which screen readers speak: Streamlit has no way to move the focus here."""
    if entry.type is EventType.APPLIED:
        st.success(f"Decision {entry.number} is applied.", icon=":material/check_circle:")
    elif entry.type is EventType.DECIDED:
        st.info(f"Decision {entry.number} is recorded and has not ended yet; Reconcile on History finishes it.")
    else:
        st.warning(f"Decision {entry.number} was not applied.")


def _changes(entry: Entry) -> str:
    return "\n".join(f"•  {each}" for each in change_of(entry).split("; "))


def _what_follows(entry: Entry) -> list[Callable[[], None]]:
    """Links, in the order in which they are mostly wanted; none where the decision did not come to its end."""
    model, version = entry.model, entry.version
    if entry.type is not EventType.APPLIED or version is None:
        return []
    if entry.meaning == MoveKind.STAGING:
        to = Stage.PRODUCTION.value
        return [partial(pages.link_review, "Review the move to Production", model, version, to=to)]
    if entry.meaning in (MoveKind.PRODUCTION, MoveKind.ROLLBACK):
        return _after_production(entry, version)
    if entry.meaning == MoveKind.ARCHIVED:
        return [partial(pages.link_versions, "All versions", model)]
    return []


def _after_production(entry: Entry, version: int) -> list[Callable[[], None]]:
    model = entry.model
    links: list[Callable[[], None]] = [partial(pages.link_predict, f"Predict with version {version}", model, version)]
    former = next((each.expected for each in entry.moved if each.slot.name == CHAMPION), None)
    if former is not None:
        pair = [int(former), version]
        links.append(partial(pages.link_compare, f"Compare with version {former}, which served before", model, pair))
        if entry.meaning == MoveKind.PRODUCTION:
            links.append(_roll_back)
    return links


def _roll_back() -> None:
    """No link: one to the page that is open is drawn as if it were chosen."""
    st.button(":blue[Roll back]", icon=":material/undo:", type="tertiary", on_click=ask, kwargs={TO: ROLL_BACK})
