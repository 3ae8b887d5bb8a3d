"""The form that makes a token, and the box that shows it, this once."""

from dataclasses import dataclass

import streamlit as st
from cachetools import TTLCache

from dashboard import caching, session
from dashboard.components import widgets, words
from dashboard.components.signing import drawn_key, once, renew
from pipeline.governance.actor import Role
from pipeline.governance.errors import SignoffError
from pipeline.governance.service.tokens import IssuedToken
from pipeline.governance.text import visible
from pipeline.governance.tokens import MOST_DAYS, MOST_NAME_CHARACTERS

FORM = "token_form"
REFUSED = "token_not_made"
USUAL_DAYS = 90
SHOWN_SECONDS, MOST_SHOWN = 600, 100


@dataclass(frozen=True)
class TokenDraft:
    """A token as it is described before it is made."""

    key: str  # one form is one token, also on a double click

    @property
    def name(self) -> str:
        """Under which name the session has the typed name; so with the others."""
        return f"token_name/{self.key}"

    @property
    def role(self) -> str:
        return f"token_role/{self.key}"

    @property
    def days(self) -> str:
        return f"token_days/{self.key}"


@caching.made_once
def just_made() -> TTLCache[str, IssuedToken]:
    """Tokens that are being shown, by the key of their form: a double click must find the one that the first made."""
    return TTLCache(MOST_SHOWN, SHOWN_SECONDS)


def shown_once() -> None:
    """The token that this visitor has just made, until they say that they have it, leave the page, or time is up."""
    key: str | None = st.session_state.get(session.JUST_MADE)
    made = None if key is None else just_made().get(key)
    if made is None:
        return
    with widgets.message("Copy it now", "It is not shown again, and kept nowhere.", colour="green"):
        st.code(made.secret, language=None, wrap_lines=True)
        record = made.record
        st.text(f"{visible(record.name)}: {record.role.value} until {words.when(record.expires_at)}.")
        st.button("I have copied it", icon=":material/check:", on_click=_forget)


def _forget() -> None:
    just_made().pop(st.session_state.pop(session.JUST_MADE, ""), None)


def new_token() -> None:
    """For who may make one now; what this visitor may not give is not offered."""
    st.header("New token", anchor=False)
    roles: list[Role] = []
    if not widgets.allowed(lambda: roles.extend(session.desk().token_roles())):
        return
    draft = TokenDraft(drawn_key(FORM))
    with st.container(border=True, key="new_token"):
        if refused := st.session_state.pop(REFUSED, None):
            widgets.message("Not made", refused, colour="red")
        st.text_input(
            "Name", key=draft.name, max_chars=MOST_NAME_CHARACTERS, placeholder="What it is for, such as nightly"
        )
        st.selectbox("Role", roles, key=draft.role, format_func=lambda role: role.value, help="At most one of yours.")
        st.number_input("Days", 1, MOST_DAYS, USUAL_DAYS, key=draft.days, help="For how long it is good.")
        st.button("Make the token", type="primary", on_click=_make, args=(draft,), width="stretch")
        st.caption(
            "It acts for you: what it does is recorded under your name, and it never approves what you asked for."
        )


def _make(draft: TokenDraft) -> None:
    """Runs before the page is drawn again."""
    typed = st.session_state
    name, role, days = str(typed.get(draft.name, "")).strip(), typed[draft.role], int(typed[draft.days])

    def issue() -> None:
        just_made()[draft.key] = session.desk().issue_token(name, role, days)

    try:
        once(f"token/{draft.key}", issue)
    except SignoffError as error:
        st.session_state[REFUSED] = str(error)
        return
    finally:
        caching.forget_reads()
    st.session_state[session.JUST_MADE] = draft.key
    renew(FORM)
    renew("token_list")
