"""Telling people: what a notice says, and sending that never holds up or fails a decision."""

from datetime import timedelta

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import Notice
from pipeline.governance.record.history import entry
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service.notices import (
    LEASE,
    LONGEST_SEND,
    MOST_AT_ONCE,
    TOLD,
    Messenger,
    Nobody,
    message,
    not_sent,
)
from support.decisions import champion
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk, small_registry
from support.in_memory import EPOCH, InMemoryLedger
from support.targets import KnownTargets
from support.watched import DRIFT, KnownWatcher

ADDRESS = "https://desk.example.org/"


def desk_with(targets: KnownTargets, *, told: tuple[str, ...] = TOLD) -> tuple[OpenDesk, TickingClock]:
    clock, ledger = TickingClock(), InMemoryLedger(told=told)
    messenger = Messenger(ledger, targets, clock, ADDRESS)
    return build_desk(small_registry(), ledger, clock=clock, messenger=messenger), clock


def promote(desk: OpenDesk, *versions: int) -> None:
    for version in versions:
        desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)


def test_a_decision_is_told_once_to_everybody() -> None:
    """After it was made, not by it: title, what happened, every change, why, and a link to it."""
    targets = KnownTargets({"t1": "target 1 (mail)", "t2": "target 2 (json)"})
    desk, _ = desk_with(targets)
    promote(desk, 1)
    before = list(targets.sent)

    assert (before, desk.send_notices(), desk.send_notices(), desk.unsent_notices()) == ([], 1, 0, [])
    assert [target for target, _, _ in targets.sent] == ["t1", "t2"]
    assert targets.sent[0][1:] == (
        "Signoff: obesity_classifier: grace moved version 1 to Staging",
        (
            "obesity_classifier: grace moved version 1 to Staging.\n"
            "version 1 no stage → Staging\n"
            f"Reason: {REASON}\n"
            "https://desk.example.org/history?model=obesity_classifier&event=2"
        ),
    )


def test_only_what_the_settings_list_is_told() -> None:
    """A desk that lists nothing has an empty outbox, and one without targets asks nobody."""
    desk, _ = desk_with(KnownTargets(), told=("tampering",))
    promote(desk, 1)
    silent, clock = desk_with(KnownTargets({}))
    promote(silent, 1)
    clock.time += timedelta(minutes=9)
    early = silent.unsent_notices()
    clock.time += timedelta(minutes=2)

    assert desk.ledger.outbox.notices() == []
    assert (silent.send_notices(), early) == (0, [])
    assert "nobody sends them: no program that has targets is running" in not_sent(silent.unsent_notices())
    with pytest.raises(Unavailable, match="there is no target t1 for 'title'"):
        Nobody().send("t1", "title", "text")


def test_who_has_it_is_not_told_again_while_another_takes_nothing() -> None:
    """It is tried again after growing pauses, and said where nobody can miss it; a decision notices nothing."""
    targets = KnownTargets({"t1": "target 1 (mail)", "t2": "target 2 (json)"}, silent={"t2"})
    desk, clock = desk_with(targets)
    promote(desk, 1, 2)
    sent, pauses = desk.send_notices(), []
    after_one_pass = targets.asked
    for _ in range(12):
        now, due = clock.time, desk.ledger.outbox.notices()[0].due
        pauses.append(round((due - now) / timedelta(minutes=1)))
        clock.time = max(each.due for each in desk.ledger.outbox.notices())
        desk.send_notices()
    said = not_sent(desk.unsent_notices())
    targets.silent.clear()
    clock.time += timedelta(hours=7)

    assert (sent, after_one_pass) == (0, 3)  # who takes nothing is asked once in a pass
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert said.startswith(
        "2 notices wait to be sent, the first about event 3: target 2 (json) did not take it. Tried "
    )
    assert desk.send_notices() == 2
    assert [target for target, _, _ in targets.sent] == ["t1", "t1", "t2", "t2"]
    assert desk.unsent_notices() == []


def test_a_sender_that_dies_leaves_it_to_the_next_one() -> None:
    """Once its time is over: at least once, never not at all; two senders at once do not both send it."""
    targets = KnownTargets()
    desk, clock = desk_with(targets)
    promote(desk, 1)
    desk.ledger.outbox.claim(clock.time, clock.time + timedelta(minutes=2))  # and no more is heard of it

    assert desk.send_notices() == 0
    clock.time += timedelta(minutes=2)
    assert desk.send_notices() == 1
    assert len(targets.sent) == 1


def test_a_notice_stays_with_who_sends_it_however_slow_the_targets() -> None:
    """All of them together may outlast the lease; one of them does not. Another sender finds nothing to send meanwhile,
    and the next one after a sender that died in between asks only those that it had not reached.
    """
    names = {f"t{number}": f"target {number} (mail)" for number in range(1, 6)}

    class Slow(KnownTargets):
        """Takes as long as a target may, while another sender looks."""

        def send(self, target: str, title: str, text: str) -> None:
            super().send(target, title, text)
            clock.time += LONGEST_SEND
            meanwhile.append(Messenger(desk.ledger, KnownTargets(names), clock).send())
            if target == "t3" and len(self.sent) == 3:
                raise KeyboardInterrupt

    meanwhile: list[int] = []
    targets = Slow(names)
    desk, clock = desk_with(targets)
    promote(desk, 1)
    with pytest.raises(KeyboardInterrupt):
        desk.send_notices()
    clock.time += LEASE

    assert desk.send_notices() == 1
    assert [target for target, _, _ in targets.sent] == ["t1", "t2", "t3", "t3", "t4", "t5"]
    assert meanwhile == [0] * 6
    assert LEASE < LONGEST_SEND * len(names)


def test_a_pass_ends() -> None:
    """However much waits; the next one goes on."""
    targets = KnownTargets()
    desk, _ = desk_with(targets)
    for each in range(MOST_AT_ONCE + 5):
        desk.set_alias(MODEL, f"a{each}", 1, reason=REASON, actor=GRACE)

    assert (desk.send_notices(), desk.send_notices()) == (MOST_AT_ONCE, 5)


def test_alarms_and_moves_past_the_desk_are_told() -> None:
    """What was changed outside, that it is as recorded again, and files that changed."""
    targets = KnownTargets()
    desk, _ = desk_with(targets)
    promote(desk, 1)
    desk.send_notices()
    desk.registry.set_alias(MODEL, "mine", 2)
    desk.reconcile(MODEL)
    desk.registry.set_alias(MODEL, "mine", None)
    desk.reconcile(MODEL)
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"changed")
    desk.reconcile(MODEL)
    desk.send_notices()

    assert [title.partition("classifier: ")[2] for _, title, _ in targets.sent[1:]] == [
        "The registry was changed outside of this desk",
        "What was changed outside of this desk is as recorded again",
        "The files of version 1 were found changed",
    ]


def test_text_of_strangers_is_short_and_on_one_line() -> None:
    """Nobody writes lines, links or headers of their own into a mail."""
    targets = KnownTargets()
    desk, _ = desk_with(targets)
    promote(desk, 1)
    hostile = "x\r\nBcc: everybody@example.org\u202e" * 40
    found = entry(list(desk.ledger.events())[-1])
    changed = type(found)(**{**vars(found), "model": hostile, "reason": hostile, "actor": hostile})
    title, text = message(changed, "")

    assert len(title) <= 160
    assert "\n" not in title
    assert "\r" not in title + text
    assert len(text.splitlines()) == 3
    assert all(len(line) < 400 for line in text.splitlines())
    assert "http" not in text


def test_what_waits_is_one_sentence() -> None:
    """Of one, of many, and of none."""
    one = Notice(1_234, EPOCH, attempts=1, failure="target 1 (mailtos) did not take it")

    assert not_sent([]) == ""
    assert not_sent([one]) == (
        "1 notice waits to be sent, the first about event 1234: target 1 (mailtos) did not take it. "
        "Tried again from 00:00 UTC."
    )


def test_a_finding_is_told() -> None:
    """What was seen in production, to the people that the settings name."""
    targets, clock, ledger = KnownTargets(), TickingClock(EPOCH + timedelta(days=1)), InMemoryLedger(told=TOLD)
    messenger = Messenger(ledger, targets, clock, ADDRESS)
    watching = Watching(KnownWatcher([DRIFT]))
    desk = build_desk(small_registry(), ledger, clock=clock, messenger=messenger, watching=watching)
    champion(desk, 1)
    desk.send_notices()
    targets.sent.clear()
    (found,) = desk.record_findings(MODEL)[1]

    assert (desk.send_notices(), desk.unsent_notices()) == (1, [])
    ((_, title, text),) = targets.sent
    assert title == "Signoff: obesity_classifier: Version 1 has to be looked at"
    assert "Found: The column Age holds other values than the rows that the version was evaluated on" in text
    assert text.endswith(f"event={found.sequence}")
