"""What a login needs beside `params.yaml`: addresses and secrets, which are read when the dashboard starts."""

from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.governance.errors import InvalidInput
from pipeline.settings.file import SettingsSection

FEWEST_CHARACTERS = 32  # of a secret: as hexadecimal text that is 128 bits
PROXY_SECRET = "SIGNOFF_PROXY_SECRET"  # noqa: S105 (the variable's name)
CALLBACK = "/oauth2callback"
# By the name in section [auth] of Streamlit's secrets.toml, the environment variable, which goes before it.
OIDC_VARIABLES: Mapping[str, str] = {
    "server_metadata_url": "SIGNOFF_OIDC_METADATA_URL",
    "client_id": "SIGNOFF_OIDC_CLIENT_ID",
    "client_secret": "SIGNOFF_OIDC_CLIENT_SECRET",
    "redirect_uri": "SIGNOFF_OIDC_REDIRECT_URI",
    "cookie_secret": "SIGNOFF_COOKIE_SECRET",
}


class OidcClient(SettingsSection):
    """What the dashboard is at the login provider."""

    # Of the provider's discovery document.
    server_metadata_url: str
    client_id: str
    client_secret: SecretStr
    # Where the provider sends people back to: an address of the dashboard that ends with CALLBACK.
    redirect_uri: str
    # Signs the cookie that keeps somebody logged in; the same on each host.
    cookie_secret: SecretStr
    # What the provider is asked to tell; some tell groups only when asked for them.
    scope: str = "openid profile email"

    @classmethod
    def read(cls, environ: Mapping[str, str], secrets: Mapping[str, object]) -> Self:
        """From the environment, else from section [auth] of Streamlit's secrets.

        Raises InvalidInput for what is missing or cannot be used; the message holds no secret.
        """
        found = {name: environ.get(variable) or secrets.get(name) for name, variable in OIDC_VARIABLES.items()}
        for name, variable in OIDC_VARIABLES.items():
            if not isinstance(found[name], str) or not found[name]:
                raise InvalidInput(
                    f"{variable}: is missing; identity.provider oidc needs it, or auth.{name} in secrets.toml"
                )
        options = secrets.get("client_kwargs")
        scope = environ.get("SIGNOFF_OIDC_SCOPE") or (options.get("scope") if isinstance(options, Mapping) else None)
        client = cls.model_validate(found | ({"scope": scope} if scope else {}))
        client.check()
        return client

    def check(self) -> None:
        """Raises InvalidInput."""
        for name in ("server_metadata_url", "redirect_uri"):
            url = urlsplit(getattr(self, name))
            if url.scheme not in {"http", "https"} or not url.hostname:
                raise InvalidInput(f"{OIDC_VARIABLES[name]}: must be an address that begins with https:// or http://")
        if not urlsplit(self.redirect_uri).path.endswith(CALLBACK):
            raise InvalidInput(
                f"{OIDC_VARIABLES['redirect_uri']}: must be the dashboard's address with {CALLBACK} behind it"
            )
        long_enough(self.cookie_secret.get_secret_value(), OIDC_VARIABLES["cookie_secret"])

    @property
    def secure(self) -> bool:
        """Whether people reach the dashboard by https."""
        return urlsplit(self.redirect_uri).scheme == "https"


def proxy_secret(environ: Mapping[str, str]) -> SecretStr:
    """By which a request is known to have come through the proxy. Raises InvalidInput; there is no default."""
    secret = environ.get(PROXY_SECRET) or ""
    if not secret:
        raise InvalidInput(f"{PROXY_SECRET}: is missing; identity.provider proxy needs it")
    long_enough(secret, PROXY_SECRET)
    return SecretStr(secret)


def long_enough(secret: str, name: str) -> None:
    """Raises InvalidInput for a secret that can be guessed. name: of the variable that holds it."""
    if len(secret) < FEWEST_CHARACTERS:
        raise InvalidInput(
            f"{name}: has {len(secret)} characters; at least {FEWEST_CHARACTERS} are needed, such as those of "
            "`openssl rand -hex 32`"
        )
