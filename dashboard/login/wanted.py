"""The page somebody came for, kept while they log in: Streamlit itself sends everybody back to the first page.

The address is taken from the request that begins the login, which the browser sends from that page, and is kept in a
signed cookie for some minutes. Nobody can be sent elsewhere by it: it is of the dashboard's own origin or is not used.
"""

from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.settings.login import CALLBACK, OidcClient

BEGINNING = "/auth/login"
COOKIE = "signoff_wanted"
KEPT_SECONDS = 15 * 60  # for as long as a login may take
MOST_CHARACTERS = 2_000  # of an address: a cookie holds 4,096


class WantedPage:
    """Middleware around Streamlit's routes for logins, as plain ASGI like SecurityHeaders."""

    def __init__(self, app: ASGIApp, client: OidcClient) -> None:
        self.app = app
        found = urlsplit(client.redirect_uri)
        self.origin, self.callback, self.secure = f"{found.scheme}://{found.netloc}", found.path, client.secure
        self.signer = URLSafeTimedSerializer(client.cookie_secret.get_secret_value(), salt=COOKIE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.endswith(BEGINNING):
            await self.app(scope, receive, self._keeping(Headers(scope=scope), send))
        elif path.endswith(CALLBACK):
            await self.app(scope, receive, self._leading_back(Headers(scope=scope), send))
        else:
            await self.app(scope, receive, send)

    def _keeping(self, request: Headers, send: Send) -> Send:
        wanted = request.get("referer", "")
        is_own = self._is_own(wanted)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and is_own:
                self._set_cookie(message, str(self.signer.dumps(wanted)), KEPT_SECONDS)
            await send(message)

        return send_with_cookie

    def _leading_back(self, request: Headers, send: Send) -> Send:
        wanted = self._kept(request)

        async def send_elsewhere(message: Message) -> None:
            if message["type"] == "http.response.start" and wanted:
                headers = MutableHeaders(raw=list(message["headers"]))
                if headers.get("location") == self.callback.removesuffix(CALLBACK) + "/":
                    headers["location"] = wanted
                    message["headers"] = headers.raw
                self._set_cookie(message, "", 0)
            await send(message)

        return send_elsewhere

    def _kept(self, request: Headers) -> str:
        """Empty where nothing was kept, it is too old, or somebody else wrote it."""
        value = cookie_parser(request.get("cookie", "")).get(COOKIE, "")
        try:
            wanted = str(self.signer.loads(value, max_age=KEPT_SECONDS))
        except BadSignature:
            return ""
        return wanted if self._is_own(wanted) else ""

    def _is_own(self, address: str) -> bool:
        return address.startswith(f"{self.origin}/") and len(address) <= MOST_CHARACTERS

    def _set_cookie(self, message: Message, value: str, seconds: int) -> None:
        cookie: SimpleCookie = SimpleCookie({COOKIE: value})
        cookie[COOKIE].update({"path": self.callback, "max-age": str(seconds), "samesite": "Lax"})
        cookie[COOKIE]["httponly"] = True
        cookie[COOKIE]["secure"] = self.secure
        message["headers"] = [*message["headers"], (b"set-cookie", cookie[COOKIE].OutputString().encode())]
