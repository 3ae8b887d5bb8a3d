"""The port Ledger: one suite for every implementation."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Ledger
from pipeline.governance.record.history import (
    champion_periods,
    entry,
    gate_counts,
    given_out_again,
    rollback_target,
)
from pipeline.governance.record.ledger import (
    FIRST_HASH,
    Event,
    EventType,
    SlotChange,
    SlotState,
    Topic,
    UnknownType,
    digest_of,
    event_hash,
    former_champions,
    replay,
)
from pipeline.governance.record.requests import RequestState, find_open_requests, find_request, find_requests
from pipeline.governance.record.standing import recorded_files
from support.desks import TickingClock
from support.in_memory import EPOCH, InMemoryLedger

if TYPE_CHECKING:
    from support.postgres import PostgresServer

CHAMPION = Slot.of_alias("m", "champion")
AT = EPOCH + timedelta(hours=1, microseconds=7)
SUBJECT_2 = {"subject": {"version": 2}}


class FixedId:
    """A registry id that was chosen."""

    def known(self) -> str:
        return "registry-1"

    def keep(self) -> str:
        return "registry-1"


ADDRESS = "http://registry:5000"


def sql_ledger(url: str, folder: Path) -> SqlLedger:
    checkpoints = folder / "checkpoints.jsonl"
    return SqlLedger(url, registry=FixedId(), clock=TickingClock(), address=ADDRESS, checkpoint_file=checkpoints)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield InMemoryLedger(address=ADDRESS)
    elif request.param == "sqlite":
        yield sql_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        opened = sql_ledger(server.url(schema=server.new_schema()), tmp_path)
        yield opened
        opened.close()


def write(ledger: Ledger, *events: Event) -> None:
    with ledger.transaction() as transaction:
        for event in events:
            transaction.append(event)


def event(kind: EventType | UnknownType, expected: str | None = None, to: str | None = None, **options: Any) -> Event:
    model = str(options.pop("model", "m"))
    slot = Slot.of_alias(model, "champion")
    observed: str | None = options.pop("observed", None)
    return Event(kind, model, AT, (SlotChange(slot, expected, to, observed),), **options)


BASELINE = event(EventType.BASELINE, None, "1")
DECIDED = event(EventType.DECIDED, "1", "2", decision="d1", key="k1", content={"reason": "é \u202e ok"})
APPLIED = event(EventType.APPLIED, "1", "2", decision="d1", observed="2")


def test_events_come_back_as_they_were_written(ledger: Ledger) -> None:
    """In order, with the text that was hashed, chained to the one before."""
    write(ledger, BASELINE, DECIDED)
    first, second = ledger.events()

    assert (first.event, second.event) == (BASELINE, DECIDED)
    assert (first.sequence, first.previous_hash) == (1, FIRST_HASH)
    assert second.previous_hash == first.hash == event_hash(FIRST_HASH, 1, first.body)


def test_events_can_be_asked_for_by_model_and_place(ledger: Ledger) -> None:
    """Only those of the model, only those after."""
    write(ledger, BASELINE, event(EventType.BASELINE, None, "9", model="other"), DECIDED)

    assert [stored.sequence for stored in ledger.events(model="m")] == [1, 3]
    assert [stored.sequence for stored in ledger.events(after=1)] == [2, 3]
    assert ledger.models() == ["m", "other"]
    assert ledger.last("m") == list(ledger.events())[2]
    assert ledger.last("nobody") is None


def test_the_slots_are_what_replaying_the_events_gives(ledger: Ledger) -> None:
    """At every step."""
    for number, each in enumerate(
        [BASELINE, DECIDED, APPLIED, event(EventType.OUT_OF_BAND, "2", None, observed="3")], 1
    ):
        write(ledger, each)
        with ledger.transaction() as transaction:
            assert transaction.slot(CHAMPION) == ledger.slots("m")[CHAMPION]
        assert ledger.slots("m") == replay(stored.event for stored in ledger.events())
        assert len(list(ledger.events())) == number

    assert ledger.slots("m")[CHAMPION] == SlotState("2", 1, None, out_of_band=True, observed="3", since=AT)


def test_a_slot_that_no_event_names_is_not_there(ledger: Ledger) -> None:
    """None, not an invented state."""
    with ledger.transaction() as transaction:
        assert transaction.slot(CHAMPION) is None
    assert ledger.slots("m") == {}


def test_a_transaction_that_raises_writes_nothing(ledger: Ledger) -> None:
    """Neither events nor slots."""
    with pytest.raises(ZeroDivisionError), ledger.transaction() as transaction:
        transaction.append(BASELINE)
        1 / 0  # noqa: B018

    assert list(ledger.events()) == []
    assert ledger.slots("m") == {}


def test_a_key_finds_its_decision(ledger: Ledger) -> None:
    """And nothing else does."""
    write(ledger, BASELINE, DECIDED)
    with ledger.transaction() as transaction:
        found = transaction.find_key("k1")
        assert found is not None
        assert (found.sequence, transaction.find_key("k2")) == (2, None)


def test_a_baseline_is_known_per_model(ledger: Ledger) -> None:
    """Taking over one model says nothing about another."""
    write(ledger, BASELINE)
    with ledger.transaction() as transaction:
        assert (transaction.has_baseline("m"), transaction.has_baseline("other")) == (True, False)
    assert (ledger.baseline("m"), ledger.baseline("other")) == (next(ledger.events()), None)


def test_a_refusal_is_no_baseline(ledger: Ledger) -> None:
    """Also where it is the first event about a model."""
    write(ledger, event(EventType.DENIED), BASELINE, DECIDED)
    found = ledger.baseline("m")

    assert found is not None
    assert (found.sequence, found.event) == (2, BASELINE)


def test_stamps_are_those_of_the_events(ledger: Ledger) -> None:
    """In order of sequence, whatever they say."""
    write(ledger, BASELINE, DECIDED._replace(at=AT - timedelta(days=1)))

    assert list(ledger.stamps()) == [(1, AT), (2, AT - timedelta(days=1))]


def test_evidence_is_kept_once_under_its_digest(ledger: Ledger) -> None:
    """The first text stays."""
    ledger.put_evidence(digest_of("text"), "text")
    ledger.put_evidence(digest_of("text"), "text")

    assert ledger.evidence(digest_of("text")) == "text"
    with pytest.raises(NotFound, match="holds none"):
        ledger.evidence("0" * 64)


def test_an_untouched_ledger_has_no_problems(ledger: Ledger) -> None:
    """Also with checkpoints, and also when it is empty."""
    ledger.keep_checkpoint()
    assert ledger.problems() == []
    write(ledger, BASELINE, DECIDED, APPLIED)
    ledger.keep_checkpoint()
    assert ledger.problems() == []


def test_the_checkpoints_that_were_kept_are_handed_out(ledger: Ledger) -> None:
    """Each as its line: registry, sequence and hash of the chain at that time."""
    assert ledger.kept_checkpoints() == []
    for each in (BASELINE, DECIDED):
        write(ledger, each)
        ledger.keep_checkpoint()
    lines = [json.loads(kept.line) for kept in ledger.kept_checkpoints()]

    assert [kept.sequence for kept in ledger.kept_checkpoints()] == [1, 2] == [line["sequence"] for line in lines]
    assert [line["hash"] for line in lines] == [stored.hash for stored in ledger.events()]
    assert {line["registry"] for line in lines} == {ledger.registry()}


def test_a_ledger_is_there_once_something_was_written(ledger: Ledger) -> None:
    """Looking does not make one."""
    assert (ledger.exists(), list(ledger.events()), ledger.pending(), ledger.registries()) == (False, [], [], [])
    write(ledger, BASELINE)

    assert ledger.exists()


def test_the_address_is_kept_with_the_registry_that_was_there(ledger: Ledger) -> None:
    """Once, however often it is written; a transaction that raises keeps none."""
    with pytest.raises(ZeroDivisionError), ledger.transaction():
        1 / 0  # noqa: B018
    assert ledger.registries() == []
    write(ledger, BASELINE)
    write(ledger, DECIDED)

    assert ledger.address == ADDRESS
    assert [(each.address, each.registry) for each in ledger.registries()] == [(ADDRESS, "registry-1")]


def test_a_decision_is_pending_until_it_ends(ledger: Ledger) -> None:
    """With its own stamp, and an age that the database tells whatever that stamp says."""
    write(ledger, BASELINE, DECIDED, event(EventType.BASELINE, None, "9", model="other"))
    write(ledger, event(EventType.DECIDED, "9", "8", model="other", decision="d2"))
    first, second = ledger.pending()

    assert (first.sequence, first.model, first.decision, first.at) == (2, "m", "d1", AT)
    assert (second.sequence, second.model, second.decision) == (4, "other", "d2")
    assert timedelta() <= first.age < timedelta(minutes=10)
    assert [each.decision for each in ledger.pending("other")] == ["d2"]
    write(ledger, APPLIED)
    assert [each.decision for each in ledger.pending()] == ["d2"]


def test_an_event_of_a_type_that_nobody_knows_is_read_as_such(ledger: Ledger) -> None:
    """It changes no slot."""
    write(ledger, BASELINE)
    before = ledger.slots("m")
    write(ledger, event(EventType.OUT_OF_BAND, "1", "2", content={"by": "grace"})._replace(type=UnknownType("signed")))
    _, second = ledger.events()

    assert (second.event.type.value, second.event.content) == ("signed", {"by": "grace"})
    assert ledger.slots("m") == before


def test_a_page_holds_the_newest_first(ledger: Ledger) -> None:
    """Below a sequence, of a model, of some types or without some."""
    write(ledger, BASELINE, event(EventType.BASELINE, None, "9", model="other"), DECIDED, APPLIED)

    assert [stored.sequence for stored in ledger.page()] == [4, 3, 2, 1]
    assert [stored.sequence for stored in ledger.page("m", before=4)] == [3, 1]
    assert [stored.sequence for stored in ledger.page("m", only={"decided", "applied"})] == [4, 3]
    assert [stored.sequence for stored in ledger.page(without={"decided"}, only=None)] == [4, 2, 1]
    assert next(ledger.page()) == list(ledger.events())[3]
    assert ledger.count() == 4


def test_the_events_about_a_version_are_found(ledger: Ledger) -> None:
    """By the version that is their subject, and by each whose stage they moved or whose alias they took or gave."""
    stage = SlotChange(Slot.of_stage("m", 3), "Production", "Archived")
    held = SlotChange(Slot.of_stage("m", 4), "Production", "Production")
    write(ledger, event(EventType.BASELINE, None, "1", content={"subject": {"version": 1}}))
    write(ledger, Event(EventType.APPLIED, "m", AT, (SlotChange(CHAMPION, "1", "2"), stage, held), content=SUBJECT_2))
    write(ledger, Event(EventType.OUT_OF_BAND, "m", AT, (SlotChange(CHAMPION, "2", None, "5"),)))
    write(ledger, event(EventType.DENIED, model="other", content={"subject": {"version": 1}}))

    found = {version: [stored.sequence for stored in ledger.about("m", version)] for version in range(1, 6)}
    assert found == {1: [2, 1], 2: [3, 2], 3: [2], 4: [], 5: [3]}


SETTLING_KINDS = [
    *[EventType.APPLIED] * 4, EventType.BASELINE, EventType.ADOPTED, EventType.REVERTED, EventType.DECIDED,
    EventType.TAMPERING, EventType.DENIED, EventType.OUT_OF_BAND,
]  # fmt: skip


def any_event(random: Random) -> Event:
    """One that may count for anything: champions set, removed and rolled back, digests, gates, numbers given anew."""
    kind, version = random.choice(SETTLING_KINDS), random.randint(1, 4)
    slots = [CHAMPION, Slot.of_alias("m", "other"), Slot.of_stage("m", version)]
    to = {"alias": random.choice([str(version), str(version), None]), "stage": "Production"}
    changes = tuple(SlotChange(slot, None, to[slot.kind]) for slot in random.sample(slots, random.randint(0, 2)))
    subject = {"version": version, "created_at": random.choice(["a", "a", "b", None]), "file_digest": str(version)}
    content: dict[str, Any] = {"subject": random.choice([subject, subject, {"version": version}, {}, None])}
    content["gates"] = random.choice([[], [{"passed": True}, {"passed": False}]])
    content["meaning"] = random.choice(["rollback", "production"])
    return Event(kind, "m", AT, changes, content=content)


@pytest.mark.parametrize("seed", range(12))
def test_what_still_counts_gives_the_answers_of_the_whole_history(ledger: Ledger, seed: int) -> None:
    """Files, gates, alarms, numbers, champions and the way back are those of a replay of every event."""
    random = Random(seed)
    write(ledger, *(any_event(random) for _ in range(60)))
    ledger.keep_checkpoint()
    every = list(ledger.events(model="m"))
    events = [stored.event for stored in every]

    def counting(topic: Topic) -> list[Event]:
        return [stored.event for stored in ledger.current("m", topic)]

    assert recorded_files(counting(Topic.FILES)) == recorded_files(events)
    assert gate_counts(counting(Topic.GATES)) == gate_counts(events)
    assert given_out_again(map(entry, ledger.current("m", Topic.NUMBER))) == given_out_again(map(entry, every))
    alarms = {each.content["subject"]["version"]: each for each in events if is_alarm(each)}
    assert {each.content["subject"]["version"]: each for each in counting(Topic.ALARM)} == alarms
    assert champion_periods("m", ledger.champions("m")) == champion_periods("m", every)
    assert champion_periods("m", ledger.champions("m", newest=3))[-1:] == champion_periods("m", every)[-1:]
    stack = former_champions(events, CHAMPION)
    assert former_champions((stored.event for stored in ledger.former_champions("m")), CHAMPION) == stack
    assert rollback_target("m", (each.event for each in ledger.former_champions("m", newest=2))) == (
        stack[-2][0] if len(stack) > 1 else None
    )
    for version in range(1, 5):
        found = recorded_files(stored.event for stored in ledger.current("m", Topic.FILES, version))
        assert found == {key: value for key, value in recorded_files(events).items() if key == version}
    assert ledger.problems() == []


def test_a_champion_that_only_the_stack_knows_is_taken_off_by_a_rollback(ledger: Ledger) -> None:
    """After a reversal to a version that was never champion, its promotion begins no period, and a rollback ends it."""
    for kind, to, meaning in (
        (EventType.BASELINE, "1", ""),
        (EventType.APPLIED, "2", "production"),
        (EventType.REVERTED, "3", "revert"),
        (EventType.APPLIED, "3", "production"),
        (EventType.APPLIED, "1", "rollback"),
    ):
        write(ledger, event(kind, None, to, content={"meaning": meaning}))

    assert [stored.sequence for stored in ledger.former_champions("m")] == [1]
    assert [stored.sequence for stored in ledger.champions("m")] == [1, 2, 3, 5]
    ledger.keep_checkpoint()
    assert ledger.problems() == []


def is_alarm(event: Event) -> bool:
    return event.type is EventType.TAMPERING and "version" in (event.content.get("subject") or {})


def test_writers_in_several_threads_make_one_chain(ledger: Ledger) -> None:
    """No number twice, none left out."""

    def work() -> None:
        for _ in range(10):
            write(ledger, event(EventType.DENIED))

    run_together(work, 4)

    assert [stored.sequence for stored in ledger.events()] == list(range(1, 41))
    assert ledger.problems() == []


def run_together(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_requests_are_told_from_their_events(ledger: Ledger) -> None:
    """Each with those about it and with the end of the decision that it led to, the newest first."""
    actor, subject = {"subject": "rita", "established": "oidc", "issuer": "i"}, {"version": 2, "created_at": "t"}
    asked = {
        "actor": actor,
        "subject": subject,
        "meaning": "production",
        "reason": "r",
        "to": "Production",
        "bound": {"files": None, "evidence": "e", "incumbent": "", "rules": "r", "state": "s"},
        "accepted_warnings": [],
        "needed": 1,
        "expires_at": "2026-01-08T00:00:00.000000Z",
    }

    def about(number: int, **more: Any) -> dict[str, Any]:
        return {"actor": {**actor, "subject": "anna"}, "requested": number, "reason": "ok", **more}

    write(
        ledger,
        BASELINE,
        Event(EventType.REQUESTED, "m", AT, content=asked),
        Event(EventType.REQUESTED, "m", AT, content={**asked, "to": "@shadow", "meaning": "alias"}),
        Event(EventType.REJECTED, "m", AT, content=about(3)),
        Event(EventType.APPROVED, "m", AT, content=about(2, decides=None)),
    )
    assert [len(each.approvals) for each in find_open_requests(ledger)] == [1]
    write(ledger, Event(EventType.APPROVED, "m", AT, key="k9", content=about(2, decides="d1")), DECIDED)
    pending = find_request(ledger, 2)
    assert find_open_requests(ledger, "m") == find_open_requests(ledger) == [pending]
    write(ledger, APPLIED)
    rejected, applied = find_requests(ledger, "m")

    assert (pending.state(AT), pending.decision) == (RequestState.APPROVED, "d1")
    assert [each.state(AT) for each in (rejected, applied)] == [RequestState.REJECTED, RequestState.APPLIED]
    assert find_request(ledger, 2) == applied
    assert [each.actor["subject"] for each in applied.approvals] == ["anna", "anna"]
    assert find_requests(ledger, "other") == find_open_requests(ledger) == []
