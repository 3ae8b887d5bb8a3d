"""The desk over HTTP in this process: the real application and rules over a registry and a ledger in memory."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from pydantic import TypeAdapter

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.comparison import PairedBootstrap
from pipeline.governance.actor import Actor, Role
from pipeline.governance.service import GovernanceService
from pipeline.governance.tokens import PREFIX, TokenRecord, secret_digest
from pipeline.http_api import create_app
from pipeline.http_api.desk.door import DESK, DeskDoor
from pipeline.http_api.desk.routes import ROUTES, DeskRoute
from pipeline.monitoring.log_desk import LogDesk
from support.desks import GRACE, OpenDesk, TickingClock
from support.loops import run_async
from support.served import KnownWorker, LocalApi, state_in_memory

BY_NAME: Mapping[str, DeskRoute] = {route.ask.__name__: route for route in ROUTES}


class DeskApi(LocalApi):
    """Asks the desk as whoever owns a token."""

    def __init__(
        self,
        service: GovernanceService,
        *,
        secret: str = "",
        hosts: Collection[str] = (),
        desk: bool = True,
        logins: bool = False,
    ) -> None:
        """secret: the one that callers for predictions share; empty: there is none. desk: with `--desk`. logins: with a
        provider of identities, as the policy of the service should have it too.
        """
        super().__init__(state_in_memory(KnownWorker(), token=secret))
        self.service = service
        self._folder = TemporaryDirectory()
        self.log = SqlPredictionLog(f"sqlite:///{self._folder.name}/predictions.db")
        comparer = PairedBootstrap(samples=100, seed=1, confidence=0.95)
        self.state.identities = DeskDoor(
            service, lambda asking: LogDesk(asking, self.log, comparer, clock=TickingClock()), hosts
        )
        self.state.decides, self.state.logins = desk, logins
        self.app = create_app(desk=desk)
        self.app.state.serving = self.state

    def close(self) -> None:
        assert self.state.identities is not None
        self.state.identities.close()
        self.state.batcher.close()
        self.state.follower.close()
        self.log.close()
        self._folder.cleanup()

    def get(self, path: str, token: str, **params: Any) -> httpx.Response:
        return self.ask("GET", f"{DESK}{path}", headers=bearer(token), params=params)

    def post(self, path: str, token: str, body: object, **headers: str) -> httpx.Response:
        return self.ask("POST", f"{DESK}{path}", headers={**bearer(token), **headers}, json=body)

    def together(self, *asked: tuple[str, str, Mapping[str, Any]]) -> list[httpx.Response]:
        """Posts (path, token, body) at the same time."""

        async def ask() -> list[httpx.Response]:
            return list(
                await asyncio.gather(
                    *(
                        self._ask("POST", f"{DESK}{path}", headers=bearer(token), json=dict(body))
                        for path, token, body in asked
                    )
                )
            )

        found: list[httpx.Response] = run_async(ask())
        return found


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def token_of(
    desk: OpenDesk, owner: Actor = GRACE, role: Role = Role.APPROVER, *, name: str = "", days: int = 30
) -> str:
    """A token of somebody, whether or not they might make one."""
    name = name or f"{owner.subject}-{role}"
    now = desk.clock.now()
    secret = f"{PREFIX}{name}"
    ends, owner = now + timedelta(days=30), replace(owner, loopback=False)
    record = TokenRecord(name, secret_digest(secret), role, owner, now, ends)
    with desk.ledger.transaction() as transaction:
        transaction.keep_token(record)
    return secret


def described(name: str, answer: httpx.Response) -> Any:
    """The answer, in which every field is one that the model of the path describes, and none is missing."""
    assert answer.status_code == 200, answer.text
    content = answer.json()
    TypeAdapter(BY_NAME[name].answer).validate_python(content, strict=True)
    return content
