"""Who may come in: hosts, origins and identity tokens, which are looked up anew for each request."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.governance.actor import Actor
from pipeline.governance.errors import NotAllowed
from pipeline.governance.roles import Action
from pipeline.governance.service import GovernanceService
from pipeline.governance.tokens import NOT_ACCEPTED, identity_token
from pipeline.http_api.limits import ConcurrencyLimit
from pipeline.http_api.problems import ForeignOrigin, TokenNeeded, WrongHost
from pipeline.monitoring.log_desk import LogDesk

Found = TypeVar("Found")
Headers = Iterable[tuple[bytes, bytes]]

DESK = "/api/v1"
AT_ONCE = 8  # requests that are worked on; a review may take seconds, and predictions are answered beside them
LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})  # as a Host header has them
SHOW_ONE = "authorization: show an identity token, as in `Authorization: Bearer signoff_…`"


@dataclass
class DeskDoor:
    """The desk for whoever comes with a token."""

    service: GovernanceService
    log: Callable[[GovernanceService], LogDesk]  # the log of predictions for whoever asks with a service
    hosts: Collection[str]  # names that a Host header may have; empty: those of this machine
    concurrency: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(AT_ONCE))
    _work: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "desk"))
    _look_ups: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "token"))

    async def admit(self, headers: Headers) -> Actor:
        """Who asks. Raises WrongHost, ForeignOrigin; TokenNeeded without a token that is good; Unavailable.

        Cookies and the headers of a proxy say nothing here: a browser sends them by itself.
        """
        self._check_host(headers)
        return await self.identify(only(headers, b"authorization"))

    async def identify(self, authorization: bytes | None) -> Actor:
        """Whose token is shown. Raises TokenNeeded; Unavailable where the ledger does not answer."""
        secret = identity_token(authorization)
        if secret is None:
            raise TokenNeeded(SHOW_ONE)
        try:
            return await self._run(self._look_ups, lambda: self.service.authenticate(secret))
        except NotAllowed as error:
            raise TokenNeeded(NOT_ACCEPTED.replace("actor", "authorization")) from error

    async def check(self, authorization: bytes | None, actions: Collection[Action]) -> None:
        """Raises NotAllowed where the owner of the token may do none of these, and as `identify`."""
        asking = self.service.as_(await self.identify(authorization))
        if not any(asking.may(action) for action in actions):
            asking.authorise(next(iter(actions)))

    async def work(self, ask: Callable[[], Found]) -> Found:
        """What the service answers, asked in a thread: a caller who goes away leaves no decision half made."""
        return await self._run(self._work, ask)

    def close(self) -> None:
        """Waits for what was begun."""
        self._work.shutdown()
        self._look_ups.shutdown()

    async def _run(self, threads: ThreadPoolExecutor, ask: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(threads, ask)

    def _check_host(self, headers: Headers) -> None:
        host = only(headers, b"host")
        if host_name(host) not in (self.hosts or LOOPBACK):
            raise WrongHost("host: is not one of serving.http.allowed_hosts, without which the desk knows this machine")
        origins = [value for name, value in headers if name == b"origin"]
        if any(origin.partition(b"://")[2] != host for origin in origins):
            raise ForeignOrigin("origin: a page of another origin asks nothing here")


def is_desk(path: str) -> bool:
    return path == DESK or path.startswith(f"{DESK}/")


def only(headers: Headers, name: bytes) -> bytes | None:
    """The value of a header that is sent exactly once, else None."""
    found = [value for each, value in headers if each == name]
    return found[0] if len(found) == 1 else None


def host_name(host: bytes | None) -> str:
    """The Host header without its port, in lower case; an IPv6 address is in brackets."""
    text = (host or b"").decode("latin-1").casefold()
    return text if text.endswith("]") else text.rsplit(":", 1)[0]
