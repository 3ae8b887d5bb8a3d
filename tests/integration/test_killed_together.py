"""Dashboards, the API and a reconciler over one ledger in PostgreSQL, killed while people decide over HTTP."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from pipeline.bootstrap import own_desk
from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import ENDS, EventType, StoredEvent
from pipeline.governance.service import GovernanceService
from pipeline.settings import read_settings
from support.desk_processes import PAUSE_SECONDS, Client, DeskProcesses
from support.desks import MODEL
from support.signers import ISSUER, TRAINER
from support.small_desk import copy_desk
from support.soak import amount

if TYPE_CHECKING:
    from support.postgres import PostgresServer

Note = Callable[[str, object], None]  # keeps a figure in the report of a soak
KILLS = amount(1, soak=20)
RESTARTS = amount(1, soak=5)  # of PostgreSQL
ENOUGH = amount(2, soak=6)  # decisions that each of some clients is told of, between two faults
OF_MODEL = f"/models/{MODEL}"
PEOPLE = {"rita": Role.REVIEWER, "anna": Role.APPROVER, "alan": Role.REVIEWER, "amir": Role.REVIEWER}
WAITED = {"open", "approved"}  # states of a request that has not ended
PENDING_SECONDS = 3  # between two tries where something is left for the reconciler
FOLLOWED = timedelta(seconds=60)  # in which a busy API has seen who is champion now
TRACEBACK = "Traceback (most recent call last):\n"
REFUSALS = {"DecisionPending", "StateChanged", "Conflict", "RequestClosed", "RequestStale", "NotAttested"}


class Prediction(NamedTuple):
    """What the API answered, and between which times."""

    asked: datetime
    answered: datetime
    version: int
    digest: str


@dataclass
class Place:
    """The desk as its processes, its people, and the record as this process reads it."""

    processes: DeskProcesses
    service: GovernanceService
    clients: dict[str, Client]
    ended: threading.Event
    columns: dict[str, Any]
    predictions: list[Prediction] = field(default_factory=list)

    def until(self, *names: str, working: Sequence[Future[None]]) -> None:
        """Until each of these people was told of ENOUGH more decisions."""
        wanted = [(each, len(each.done) + ENOUGH) for each in map(self.clients.__getitem__, names)]
        while any(len(each.done) < count for each, count in wanted):
            for each in working:
                assert not each.done(), each.result()
            self.ended.wait(PAUSE_SECONDS)


@pytest.fixture
def place(demo_desk: Path, tmp_path: Path, postgres: "PostgresServer") -> Iterator[Place]:
    """A registry that the demo has filled, taken over; a promotion to Production takes the approval of another."""
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    environment = {
        **copy_desk(demo_desk, tmp_path / "desk"),
        "SIGNOFF_LEDGER_URL": postgres.url(schema=postgres.new_schema()),
    }
    params = Path(environment["SIGNOFF_PARAMS"])
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content["policy"]["roles"]["subjects"] = {f"{ISSUER}|{name}": [role.value] for name, role in PEOPLE.items()}
    content["policy"]["moves"]["production"]["approvals"] = 1
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    own = {**environment, "SIGNOFF_CHECKPOINT_FILE": str(hosts / "own.jsonl")}
    service = own_desk(read_settings(environ=own))
    service.take_over()
    for row in service.versions(MODEL):
        service.record_registration(MODEL, row.version, TRAINER)
    processes, ended = DeskProcesses(environment, hosts), threading.Event()
    clients = {name: Client(processes, _token(service, name, role), ended) for name, role in PEOPLE.items()}
    columns = {name: column["default"] for name, column in content["schema"]["columns"].items()}
    try:
        yield Place(processes, service, clients, ended, columns)
    finally:
        ended.set()
        processes.stop()


def _token(service: GovernanceService, name: str, role: Role) -> str:
    owner = Actor(name, Established.OIDC, issuer=ISSUER, authenticated_at=datetime.now(UTC))
    return service.as_(owner).issue_token(name, role, 1).secret


def set_own_aliases(client: Client, name: str, versions: Sequence[int]) -> None:
    """One alias that goes back and forth, another one as soon as a decision about it is refused or left."""
    number, (version, other) = 0, versions
    while not client.ended.is_set():
        body = {"alias": f"{name}-{number}", "version": version, "accept_warnings": True}
        if client.decide(f"{OF_MODEL}/alias", body):
            version, other = other, version
        else:
            number += 1


def ask_for_champions(client: Client, versions: Sequence[int]) -> None:
    """Of two versions the one that does not serve is put into Staging, and asked for; until somebody has signed."""
    while (rows := client.find(f"{OF_MODEL}/versions")) is not None:
        wanted = next(row for row in rows if row["version"] in versions and "champion" not in row["aliases"])
        body = {"version": wanted["version"], "accept_warnings": True}
        if wanted["stage"] == Stage.STAGING:
            made = client.decide(f"{OF_MODEL}/request", {**body, "to": "Production"})
            while made and made["state"] in WAITED:
                if made["stale"]:
                    client.decide(f"/requests/{made['id']}/withdraw", {})
                made = client.find(f"/requests/{made['id']}")
        else:
            made = client.decide(f"{OF_MODEL}/promote", {**body, "stage": "Staging"})
        if made is None:
            client.ended.wait(PENDING_SECONDS)


def approve_what_waits(client: Client) -> None:
    while (waiting := client.find("/requests")) is not None:
        for each in waiting:
            if each["state"] == "open" and not each["stale"]:
                seen = {name: each[name] for name in ("evidence", "expect")}
                if client.decide(f"/requests/{each['id']}/approve", seen) is None:
                    client.ended.wait(PENDING_SECONDS)


def ask_for_predictions(place: Place) -> None:
    while not place.ended.wait(4 * PAUSE_SECONDS):
        if (api := place.processes.api) is None:
            continue
        asked = datetime.now(UTC)
        try:
            status, content = api.ask("POST", "/predict", place.columns)
        except (OSError, ValueError):  # killed meanwhile
            continue
        if status == 200:
            place.predictions.append(Prediction(asked, datetime.now(UTC), content["version"], content["digest"]))


def test_what_somebody_was_told_of_survives_every_kill(
    place: Place, postgres: "PostgresServer", record_property: Note
) -> None:
    """PostgreSQL is restarted as after a crash in between; at the end I1 to I9 hold, and every key has one effect.

    Those who set aliases have versions of their own: a request is about its version as it was, aliases included.
    """
    rows = sorted(place.service.versions(MODEL), key=lambda row: row.stage is Stage.NONE)
    first, second, *others = (row.version for row in rows)
    rita, anna, alan, amir = place.clients.values()
    work: list[Callable[[], None]] = [
        partial(ask_for_champions, rita, (first, second)),
        partial(approve_what_waits, anna),
        partial(set_own_aliases, alan, "alan", others[:2]),
        partial(set_own_aliases, amir, "amir", others[:2]),
        partial(ask_for_predictions, place),
    ]
    chance = Random(11)
    with ThreadPoolExecutor(len(work)) as threads:
        try:
            place.processes.start()
            working = [threads.submit(each) for each in work]
            place.until("anna", working=working)
            for number in range(KILLS):
                if number % (KILLS // RESTARTS) == 0:
                    postgres.restart("immediate")
                place.until("alan", "amir", working=working)
                place.ended.wait(chance.random() / 2)
                place.processes.stop()
                place.processes.start()
            place.until("alan", "amir", working=working)
        finally:
            place.ended.set()
    for each in working:
        each.result()
    keep_figures(place, record_property)

    place.service.reconcile(MODEL, min_age=timedelta(0))
    for client in place.clients.values():
        check_keys(client)
    place.processes.stop()
    check_rest(place)
    check_told(place)
    check_predictions(place)


def keep_figures(place: Place, note: Note) -> None:
    """In the report of a soak: what each was told, and how often nobody answered."""
    for name, client in place.clients.items():
        told = Counter(asked.path.rpartition("/")[2] for asked, _ in client.done)
        figures = {"told": dict(told), "left": len(client.left), "lost": client.lost}
        note(name, {**figures, "refused": dict(Counter(client.refused))})
    note("predictions", len(place.predictions))
    note("faults", f"{KILLS} kills, {RESTARTS} restarts of PostgreSQL")


def check_keys(client: Client) -> None:
    """I6: the same key gives the answer of then; what was not answered is done once, or refused."""
    assert set(client.refused) <= REFUSALS
    for asked, then in client.done[-3:]:
        status, now = client.again(asked)
        assert status == 200, now
        assert _number(now) == _number(then)
        assert now.get("replayed", True)
    for asked in client.left:
        (status, first), (again, second) = client.again(asked), client.again(asked)
        assert status in (200, 403, 409), first
        if status == 200:
            assert (again, _number(second)) == (200, _number(first))


def _number(content: dict[str, Any]) -> int:
    """Of the decision, or of the request."""
    return int(content["sequence"] if "sequence" in content else content["id"])


def check_rest(place: Place) -> None:
    """I1 to I5, I7 and I9; and nobody has met what they did not expect."""
    for log in place.processes.logs:
        assert unexpected(log.read_text(encoding="utf-8", errors="replace")) == [], log.name
    service = place.service
    service.reconcile(MODEL, min_age=timedelta(0))
    assert service.reconcile(MODEL, min_age=timedelta(0)) == []
    assert service.verify(checkpoints=place.processes.checkpoints) == []
    assert (service.differences(MODEL), service.pending(MODEL)) == ([], [])
    state, events = service.state(MODEL), _events(service)
    assert state.in_stage(Stage.PRODUCTION) == [state.champion]
    intents = [each.event.decision for each in _only(events, EventType.DECIDED)]
    assert sorted(map(str, intents)) == sorted(str(each.event.decision) for each in _only(events, *ENDS))
    assert max(Counter(each.event.key for each in events if each.event.key).values()) == 1
    assert not any(each.event.changes for each in _only(events, EventType.DENIED))
    signed = {each.sequence: each.event.content for each in _only(events, EventType.APPROVED)}
    for each in _only(events, EventType.APPLIED):
        if each.event.content["to"] == Stage.PRODUCTION:
            (approval,) = each.event.content["approvals"]
            assert signed[approval]["requested"] == each.event.content["requested"]
            assert signed[approval]["actor"]["subject"] == "anna"
            assert each.event.content["requested_by"]["subject"] == "rita"


def unexpected(log: str) -> list[str]:
    """The errors of a log's tracebacks, but for what SQLAlchemy says itself of a cursor whose server went away."""
    ends = (block.splitlines() for block in log.split(TRACEBACK)[1:])
    errors = [next(line for line in lines if line[:1].strip()) for lines in ends]
    return [each for each in errors if each != "GeneratorExit" and not each.startswith("psycopg.OperationalError")]


def check_told(place: Place) -> None:
    """No decision, request or signature that was acknowledged is missing."""
    events = _events(place.service)
    there = {each.sequence for each in _only(events, EventType.REQUESTED, EventType.APPROVED)}
    applied = {each.event.content["intent"] for each in _only(events, EventType.APPLIED)}
    for client in place.clients.values():
        for _, content in client.done:
            if "sequence" in content:
                assert content["sequence"] in applied
                continue
            assert {content["id"], *(each["sequence"] for each in content["approvals"])} <= there
            if decision := content.get("decision"):
                assert decision["sequence"] in applied


def check_predictions(place: Place) -> None:
    """I8: each names a version that was champion when it was asked, and the digest that was recorded with it."""
    periods = place.service.champions(MODEL)
    ends = [*(each.start for each in periods[1:]), datetime.max.replace(tzinfo=UTC) - FOLLOWED]
    subjects = {each.sequence: each.event.content["subject"] for each in _events(place.service) if each.event.changes}
    spells = [
        (each.version, subjects[each.sequence]["file_digest"], each.start, end + FOLLOWED)
        for each, end in zip(periods, ends, strict=True)
    ]

    assert place.predictions
    for given in place.predictions:
        was = (given.version, given.digest)
        assert any(was == spell[:2] and spell[2] <= given.answered and given.asked <= spell[3] for spell in spells)


def _events(service: GovernanceService) -> list[StoredEvent]:
    return list(service._ledger.events())


def _only(events: Sequence[StoredEvent], *types: EventType) -> list[StoredEvent]:
    return [each for each in events if each.event.type in types]
