"""What the server needs so that people can log in, checked before it starts."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from dashboard.login.wanted import WantedPage
from pipeline.governance.errors import InvalidInput
from pipeline.governance.roles import Provider
from pipeline.settings import Settings, read_settings
from pipeline.settings.login import OidcClient, proxy_secret

# Streamlit's names of two providers that are one. The first asks for a login of the last day, so that the provider says
# when it was; the second for one that is made now.
LOGIN, AGAIN = "login", "again"
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class LoginParts:
    """What `st.App` is given so that people can log in; nothing where they do not."""

    secrets: Mapping[str, Any] | None = None  # takes the place of section [auth] of secrets.toml
    middleware: tuple[Middleware, ...] = field(default=())


def prepared(environ: Mapping[str, str] = os.environ) -> LoginParts:
    """Ends the process with code 2 and a sentence where the login that params.yaml asks for cannot work."""
    try:
        return login_parts(environ)
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from error


def login_parts(environ: Mapping[str, str]) -> LoginParts:
    """Raises InvalidInput. Settings that cannot be read are no reason not to start: each page says so itself."""
    try:
        settings = read_settings(environ=environ)
    except InvalidInput:
        return LoginParts()
    match settings.identity.provider:
        case Provider.OIDC:
            return _oidc(settings, environ)
        case Provider.PROXY:
            proxy_secret(environ)
    return LoginParts()


def _oidc(settings: Settings, environ: Mapping[str, str]) -> LoginParts:
    if st.get_option("server.trustedUserHeaders"):
        raise InvalidInput("server.trustedUserHeaders: must be empty; with identity.provider oidc no header says who")
    client = OidcClient.read(environ, _auth_section())
    return LoginParts(
        secrets={"auth": auth_secrets(client, settings.identity.fresh_minutes)},
        middleware=(Middleware(WantedPage, client=client),),
    )


def auth_secrets(client: OidcClient, fresh_minutes: int | None) -> dict[str, Any]:
    """Section [auth] as Streamlit reads it."""

    def provider(prompt: str, seconds: int) -> dict[str, Any]:
        return {
            "client_id": client.client_id,
            "client_secret": client.client_secret.get_secret_value(),
            "server_metadata_url": client.server_metadata_url,
            "client_kwargs": {"scope": client.scope, "prompt": prompt},
            "authorize_params": {"max_age": str(seconds)},
        }

    return {
        "redirect_uri": client.redirect_uri,
        "cookie_secret": client.cookie_secret.get_secret_value(),
        LOGIN: provider("select_account", DAY),
        AGAIN: provider("login", (fresh_minutes or 0) * 60),
    }


def _auth_section() -> Mapping[str, object]:
    """Section [auth] of Streamlit's secrets.toml; empty where there is none."""
    if not st.secrets.load_if_toml_exists():
        return {}
    found = st.secrets.get("auth", {})
    return dict(found) if isinstance(found, Mapping) else {}
