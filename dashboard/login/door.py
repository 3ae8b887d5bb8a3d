"""What stands on a page for who may not read it, and who looks at it in the sidebar."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard import pages, session
from dashboard.components import widgets
from dashboard.login.starting import LOGIN
from dashboard.login.visitor import NOBODY
from pipeline.governance.actor import Actor, Established, signature
from pipeline.governance.errors import NotAllowed, SignoffError
from pipeline.governance.roles import Action, Provider
from pipeline.governance.text import visible


def admits() -> bool:
    """Whether who looks at the page may read. Where not, it says so and what to do; the address stays as it is."""
    try:
        session.admit()
    except NotAllowed:
        _closed(session.visitor())
        return False
    except SignoffError:
        return True  # the page says it
    return True


def _closed(person: Actor) -> None:
    if person is not NOBODY:
        _without_role(person)
    elif session.settings().identity.provider is Provider.OIDC:
        widgets.title("Log in")
        st.text("What this desk shows is for people who have a role at it. After the login this page opens.")
        if st.button("Log in", type="primary", icon=":material/login:", key="log_in"):
            st.login(LOGIN)
    else:
        widgets.title("Nobody is logged in")
        st.text(
            "The proxy in front of this desk did not say who you are. Come by its address, and log in there;\n"
            "if you did, whoever runs the desk finds what is missing in docs/operations.md."
        )


def _without_role(person: Actor) -> None:
    widgets.title("No role yet")
    st.text(f"You are known here as {_name(person)}, and nobody has given you a role that reads at this desk.")
    st.caption("Whoever keeps params.yaml gives you one under policy.roles.subjects, where you are")
    st.code(visible(person.person.text), language=None)
    if person.groups:
        st.caption("or under policy.roles.groups, by a group of yours")
        st.code("\n".join(visible(group) for group in person.groups), language=None)
    st.button("Look again", icon=":material/refresh:", key="look_again")


def visitor_facts() -> tuple[str, ...]:
    """Who looks at the page, how that is known, and by which roles they act: a heading and lines; none of nobody.

    Raises InvalidInput where this process has no name.
    """
    person = session.visitor()
    if session.settings().identity.provider is Provider.LOCAL:
        signer = ("Decisions are signed by", signature(session.actor().subject, person.established))
        return (*signer, _roles()) if person.loopback else signer  # from elsewhere nobody decides
    return () if person is NOBODY else ("You are", _name(person), f"known by {_how(person)}", _roles())


def _roles() -> str:
    roles = ", ".join(session.desk().roles())
    return f"as {roles}" if roles else "without a role"


def link_tokens() -> None:
    """The way to the tokens that act for who looks at the page, for those who may have some."""
    if _is_somebody() and session.desk().may(Action.OWN_TOKENS):
        pages.link_tokens()


def way_out() -> None:
    identity = session.settings().identity
    if _is_somebody() and identity.provider is not Provider.LOCAL:
        _way_out(identity.provider, identity.proxy.logout)


def _is_somebody() -> bool:
    return session.settings().identity.provider is Provider.LOCAL or session.visitor() is not NOBODY


def _how(person: Actor) -> str:
    if person.established is Established.PROXY_HEADER:
        return "the proxy in front"
    return f"a login at {visible(urlsplit(person.issuer).netloc or person.issuer, most=60)}"


def _way_out(provider: Provider, proxy_logout: str | None) -> None:
    if provider is Provider.OIDC:
        st.button("Log out", icon=":material/logout:", type="tertiary", key="log_out", on_click=st.logout)
    elif proxy_logout:
        st.link_button("Log out", proxy_logout, icon=":material/logout:", type="tertiary")


def _name(person: Actor) -> str:
    """As people see it, and what it is told apart by where that is another."""
    shown = visible(person.display_name or person.subject, most=60)
    return shown if person.display_name in ("", person.subject) else f"{shown} ({visible(person.subject, most=40)})"
