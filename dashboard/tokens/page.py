"""Tokens: what acts for whoever looks at the page, until when, and how to end it; whoever looks after them sees all."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import caching, session
from dashboard.components import tables, widgets, words
from dashboard.components.signing import drawn_key, renew
from dashboard.tokens.new_token import new_token, shown_once
from pipeline.governance.errors import SignoffError
from pipeline.governance.roles import Action
from pipeline.governance.text import visible
from pipeline.governance.tokens import TokenRecord, TokenState

LIST = "token_list"  # of a session: the table anew after each change, with no row selected
REFUSED = "token_refused"
COLOURS = {"Active": "green", "Expired": "gray", "Revoked": "gray"}
ORDER = (TokenState.ACTIVE, TokenState.EXPIRED, TokenState.REVOKED)


def tokens_page() -> None:
    widgets.title("Tokens")
    service = session.desk()
    if not service.may(Action.OWN_TOKENS):
        widgets.allowed(lambda: session.admit(Action.OWN_TOKENS))
        return
    st.caption("A token lets a program act for whoever made it, on the command line and over HTTP.")
    shown_once()
    everybody = service.may(Action.ALL_TOKENS)
    listed, form = st.columns([3, 2], gap="medium")
    with listed:
        token_list(service.tokens(), everybody=everybody)
    with form:
        new_token()


def token_list(found: Sequence[TokenRecord], *, everybody: bool) -> None:
    """Those that are good first; the selected one can be ended."""
    st.header("All tokens" if everybody else "Your tokens", anchor=False)
    if not found:
        st.caption("Nobody has made a token." if everybody else "You have made no token.")
        return
    now = session.desk().time()
    ordered = sorted(found, key=lambda each: (ORDER.index(each.state(now)), each.name))
    states = [each.state(now).value.capitalize() for each in ordered]
    frame = pd.DataFrame(
        {
            "Name": [visible(each.name) for each in ordered],
            "State": [[state] for state in states],
            "Role": [each.role.value for each in ordered],
            "Owner": [visible(each.owner.display_name or each.owner.subject) for each in ordered],
            "Good until": [tables.utc(each.expires_at) for each in ordered],
            "Last used": [each.last_used_at and tables.utc(each.last_used_at) for each in ordered],
        }
    )
    table = st.dataframe(
        frame if everybody else frame.drop(columns="Owner"),
        hide_index=True,
        height=widgets.height_of(len(ordered)),
        key=f"tokens/{drawn_key(LIST)}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "State": st.column_config.MultiselectColumn(options=list(COLOURS), color=list(COLOURS.values()), width=85),
            "Role": st.column_config.TextColumn(width=80),
            **widgets.times("Good until", "Last used"),
        },
        placeholder=words.NOTHING,
        alt="Tokens with state, role, expiry and last use",
    )
    rows = [each for each in table.selection.rows if each < len(ordered)]
    _ending(ordered[rows[0]] if rows else None)


def _ending(chosen: TokenRecord | None) -> None:
    """The way to end the selected token: two steps, for it cannot be made good again."""
    if refused := st.session_state.pop(REFUSED, None):
        widgets.message("Not revoked", refused, colour="red")
    if chosen is None:
        st.caption("Select a row to end a token.")
    elif chosen.revoked_at is not None:
        st.caption(f"Revoked on {words.when(chosen.revoked_at)}.")
    else:
        with st.popover("Revoke the selected token", icon=":material/key_off:"):
            st.text(f"Whoever comes with {visible(chosen.name, most=60)} is refused from then on. It cannot be undone.")
            st.button("Revoke it", key=f"revoke/{chosen.name}", on_click=_revoke, args=(chosen.name,))


def _revoke(name: str) -> None:
    """Runs before the page is drawn again."""
    try:
        session.desk().revoke_token(name)
    except SignoffError as error:
        st.session_state[REFUSED] = str(error)
        return
    finally:
        caching.forget_reads()
    renew(LIST)
    session.flash(f"The token {words.label(name)} is revoked")


tokens_page()
