"""Which move a reviewer looks at. The address keeps it, so that a link opens the same gates."""

import streamlit as st

from dashboard import session
from dashboard.components import words
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import CHAMPION, Move, MoveKind, Stage, alias_move, parse_stage, stage_move
from pipeline.governance.record.evidence import Evidence

TO, ALIAS = "to", "alias"
SET_ALIAS, REMOVE_ALIAS, ROLL_BACK = "Alias", "Remove alias", "Roll back"
FIRST_ALIAS = "challenger"
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
    if choice != SET_ALIAS:
        st.query_params.pop(ALIAS, None)
    else:
        return alias_move(model, _typed_alias(), version)
    if choice == REMOVE_ALIAS:
        alias = st.selectbox("Alias to remove", _removable(evidence), format_func=words.name, width=280)
        return Move(model, MoveKind.UNALIAS, None, alias)
    return stage_move(model, version, parse_stage(choice))


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
    # The key holds the state: after a decision the field starts anew.
    key = f"to/{evidence.model}/{evidence.version}/{stage}/{back and back.version}/{settled}"
    choice = st.segmented_control(
        "Move to",
        options,
        default=asked if asked in options else first,
        required=first is not None,
        format_func=words.stage,
        key=key,
        wrap=True,
    )
    if choice is None or (choice == first and asked != choice):  # as it is asked for it stays: no step of its own
        st.query_params.pop(TO, None)
    else:
        st.query_params[TO] = choice
    return choice


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
    typed = st.text_input(
        "Alias name",
        st.query_params.get(ALIAS) or FIRST_ALIAS,
        key="alias_name",
        help="Letters, digits, - and _. Free to choose; champion serves.",
        max_chars=255,
        width=280,
    )
    st.query_params[ALIAS] = typed or ""
    return (typed or "").strip()
