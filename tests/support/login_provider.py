"""A real OpenID Connect provider on loopback, with people whose claims a test can change."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

COOKIE_SECRET = "c" * 40


@dataclass(frozen=True)
class Provider:
    """A provider that runs."""

    issuer: str

    def set_claims(self, subject: str, claims: Mapping[str, Any]) -> None:
        """What the next login of this person says about them."""
        httpx.put(f"{self.issuer}/users/{subject}", json=dict(claims)).raise_for_status()

    @property
    def environment(self) -> dict[str, str]:
        """Of a dashboard that logs people in here."""
        return {
            "SIGNOFF_OIDC_METADATA_URL": f"{self.issuer}/.well-known/openid-configuration",
            "SIGNOFF_OIDC_CLIENT_ID": "signoff",
            "SIGNOFF_OIDC_CLIENT_SECRET": "of a provider that takes any",
            "SIGNOFF_OIDC_REDIRECT_URI": "{url}/oauth2callback",
            "SIGNOFF_COOKIE_SECRET": COOKIE_SECRET,
        }


@contextmanager
def login_provider(people: Mapping[str, Mapping[str, Any]]) -> Iterator[Provider]:
    """people: claims by subject. Skips the tests that ask for it where the library does not run."""
    pytest.importorskip("oidc_provider_mock", reason="the provider for tests needs Python 3.12")
    from oidc_provider_mock import User, run_server_in_thread

    before = os.environ.get("AUTHLIB_INSECURE_TRANSPORT")
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the library of the provider otherwise wants https
    users = [User(sub=subject, claims=dict(claims)) for subject, claims in people.items()]
    try:
        with run_server_in_thread(user_claims=users) as server:
            yield Provider(f"http://127.0.0.1:{server.server_port}")
    finally:
        if before is None:
            del os.environ["AUTHLIB_INSECURE_TRANSPORT"]
        else:
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = before


def choose(tab: Page, subject: str) -> dict[str, list[str]]:
    """Says at the provider who one is. Gives what the dashboard asked the provider for."""
    button = tab.get_by_role("button", name=f"Authorize as {subject}").first
    expect(button).to_be_visible()
    asked = parse_qs(urlsplit(tab.url).query)
    button.click()
    return asked


def log_in(tab: Page, subject: str) -> dict[str, list[str]]:
    """From the page that asks for a login; gives the same."""
    tab.get_by_role("button", name="Log in", exact=True).click()
    return choose(tab, subject)
