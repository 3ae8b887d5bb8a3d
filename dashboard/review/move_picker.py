"""Which move a reviewer looks at. The address keeps it, so that a link opens the same gates."""

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


def chosen_move(evidence: Evidence, *, settled: bool = False) -> Move | None:
    """None where nobody has chosen one: a champion is mostly looked at. Raises InvalidInput for an impossible alias.

    settled: a decision was just made, and no next one is offered unasked.
    """
    model, version, back = evidence.model, evidence.version, _way_back(evidence)
    choice = _choice(evidence, back, settled=settled)
    if choice is None:
        return None
    if choice == ROLL_BACK and back is not None:
        return back
    if choice == SET_ALIAS:
        return alias_move(model, _typed_alias(), version)
    if choice == REMOVE_ALIAS:
        alias = st.selectbox("Alias to remove", _removable(evidence), format_func=words.name, width=280)
        return Move(model, MoveKind.UNALIAS, None, alias)
    return stage_move(model, version, parse_stage(choice))


def ask(**named: str) -> None:
    """Makes the address ask for this, and for no other move and no receipt. To be called in a callback.

    Nothing else of it is touched, such as the open tab.
    """
    in_address.write(**{TO: None, ALIAS: None, DECIDED: None, **named})


def ask_again(move: Move) -> None:
    """Makes the address ask for this move, whatever is offered first by now. To be called in a callback."""
    words_of = {MoveKind.ALIAS: SET_ALIAS, MoveKind.UNALIAS: REMOVE_ALIAS, MoveKind.ROLLBACK: ROLL_BACK}
    st.query_params[TO] = words_of.get(move.kind, move.target)


def _choice(evidence: Evidence, back: Move | None, *, settled: bool) -> str | None:
    stage = parse_stage(evidence.content["stage"])
    stages = [each.value for each in (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED, Stage.NONE) if each != stage]
    options = [*stages, SET_ALIAS]
    options += [REMOVE_ALIAS] if _removable(evidence) else []
    options += [ROLL_BACK] if back else []
    serves = stage is Stage.PRODUCTION and CHAMPION in evidence.content["aliases"]
    first = None if serves or settled else FIRST_OFFERED.get(stage, Stage.ARCHIVED).value
    asked = st.query_params.get(TO)
    choice = asked if asked in options else first
    # The key holds the state: after a decision the field starts anew. Its value is the address's, also after Back.
    key = f"to/{evidence.model}/{evidence.version}/{stage}/{back and back.version}/{settled}"
    st.session_state[key] = choice
    st.segmented_control(
        "Move to",
        options,
        required=first is not None,
        format_func=words.stage,
        key=key,
        wrap=True,
        on_change=_go_to,
        args=(key, first),
    )
    return choice


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
