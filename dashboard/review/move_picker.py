"""Which move a reviewer looks at. The address keeps it, so that a link opens the same gates."""

from dataclasses import dataclass

import streamlit as st

from dashboard import pages, session
from dashboard.address import in_address
from dashboard.components import words
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import CHAMPION, Move, MoveKind, Stage, alias_move, parse_stage, stage_move
from pipeline.governance.record.evidence import Evidence

TO, ALIAS = "to", "alias"
DECIDED = "decided"  # the number of a decision that was just made
SET_ALIAS, REMOVE_ALIAS, ROLL_BACK = pages.SET_ALIAS, pages.REMOVE_ALIAS, pages.ROLL_BACK
FIRST_ALIAS, ALIAS_FIELD = "challenger", "alias_name"
# What a reviewer most likely comes for; what is allowed, the service says. Not the rollback: its gates load a model.
FIRST_OFFERED = {Stage.NONE: Stage.STAGING, Stage.STAGING: Stage.PRODUCTION, Stage.ARCHIVED: Stage.STAGING}


@dataclass(frozen=True)
class Offer:
    """The moves that a page offers of its version, and which of them its address asks for."""

    evidence: Evidence
    back: Move | None  # the rollback; None where it is not offered
    settled: bool  # a decision was just made, and no next one is offered unasked
    options: tuple[str, ...]
    first: str | None  # what is offered unasked; None where the version serves: a champion is mostly looked at
    choice: str | None

    @property
    def returns_to(self) -> int | None:
        """The version to which the chosen rollback returns; None where another move is chosen, or none."""
        return self.back.version if self.back and self.choice == ROLL_BACK else None


def offer(evidence: Evidence, *, settled: bool = False) -> Offer:
    stage, back, removable = parse_stage(evidence.content["stage"]), _way_back(evidence), _removable(evidence)
    stages = [each.value for each in (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED, Stage.NONE) if each != stage]
    options = (*stages, SET_ALIAS, *([REMOVE_ALIAS] if removable else []), *([ROLL_BACK] if back else []))
    serves = stage is Stage.PRODUCTION and CHAMPION in evidence.content["aliases"]
    first = None if serves or settled else FIRST_OFFERED.get(stage, Stage.ARCHIVED).value
    asked = st.query_params.get(TO)
    return Offer(evidence, back, settled, options, first, choice=asked if asked in options else first)


def chosen_move(offered: Offer) -> Move | None:
    """Draws the moves. Returns the chosen one, or None. Raises InvalidInput for an impossible alias."""
    _choices(offered)
    evidence = offered.evidence
    if offered.choice is None:
        return None
    if offered.choice == ROLL_BACK:
        return offered.back
    if offered.choice == SET_ALIAS:
        return alias_move(evidence.model, _typed_alias(), evidence.version)
    if offered.choice == REMOVE_ALIAS:
        alias = st.selectbox("Alias to remove", _removable(evidence), format_func=words.name, width=280)
        return Move(evidence.model, MoveKind.UNALIAS, None, alias)
    return stage_move(evidence.model, evidence.version, parse_stage(offered.choice))


def ask(**named: str) -> None:
    """Makes the address ask for this, and for no other move and no receipt. To be called in a callback.

    Nothing else of it is touched, such as the open tab.
    """
    in_address.write(**{TO: None, ALIAS: None, DECIDED: None, **named})


def ask_again(move: Move) -> None:
    """Makes the address ask for this move, whatever is offered first by now. To be called in a callback."""
    words_of = {MoveKind.ALIAS: SET_ALIAS, MoveKind.UNALIAS: REMOVE_ALIAS, MoveKind.ROLLBACK: ROLL_BACK}
    st.query_params[TO] = words_of.get(move.kind, move.target)


def _choices(offered: Offer) -> None:
    """The key holds the state: after a decision the field starts anew. Its value is the address's, also after Back."""
    evidence, back = offered.evidence, offered.back
    about = f"{evidence.model}/{evidence.version}/{evidence.content['stage']}"
    key = f"to/{about}/{back and back.version}/{offered.settled}"
    st.session_state[key] = offered.choice
    st.segmented_control(
        "Move to",
        offered.options,
        required=offered.first is not None,
        format_func=words.stage,
        key=key,
        wrap=True,
        on_change=_go_to,
        args=(key, offered.first),
    )


def _go_to(key: str, first: str | None) -> None:
    """first: what is offered unasked, which the address does not name."""
    choice = st.session_state[key]
    named = {ALIAS: FIRST_ALIAS} if choice == SET_ALIAS else {}
    ask(**named, **({} if choice in (None, first) else {TO: choice}))


def _way_back(evidence: Evidence) -> Move | None:
    """The rollback, offered on the champion's page only."""
    if CHAMPION not in evidence.content["aliases"]:
        return None
    try:
        return session.rollback_move(evidence.model)
    except NotFound:
        return None


def _removable(evidence: Evidence) -> list[str]:
    return [alias for alias in evidence.content["aliases"] if alias != CHAMPION]


def _typed_alias() -> str:
    st.session_state[ALIAS_FIELD] = st.query_params.get(ALIAS, FIRST_ALIAS)
    typed = st.text_input(
        "Alias name",
        key=ALIAS_FIELD,
        help="Letters, digits, - and _. Free to choose; champion serves.",
        max_chars=255,
        width=280,
        on_change=_name_alias,
    )
    return (typed or "").strip()


def _name_alias() -> None:
    ask(**{TO: SET_ALIAS, ALIAS: st.session_state[ALIAS_FIELD] or ""})
