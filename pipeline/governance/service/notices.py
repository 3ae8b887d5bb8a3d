"""Telling people what happened: the text of a notice, and sending what waits in the outbox.

An event and its place in the outbox are written in one transaction; sending comes later and elsewhere, so that no
decision waits for a mail server. A notice is sent at least once: where a sender dies between sending it and noting so,
the next one sends it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode

from pipeline.governance.errors import Unavailable
from pipeline.governance.ports import Clock, Ledger, Notice
from pipeline.governance.record.history import Entry, entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import change_of, sentence, word_for_reason
from pipeline.governance.text import visible

LEASE = timedelta(minutes=2)  # how long a notice belongs to who took it, from each target on
LONGEST_SEND = timedelta(minutes=1)  # to one target: the lease outlasts it
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
OVERDUE = timedelta(minutes=10)  # after which a notice that nobody tried to send is shown
MOST_AT_ONCE = 20  # notices of one pass
LONGEST_NAME, LONGEST_TEXT = 80, 300  # characters of what strangers wrote
# The types that people can be told of.
TOLD = (
    EventType.REQUESTED,
    EventType.APPROVED,
    EventType.REJECTED,
    EventType.APPLIED,
    EventType.OVERRIDDEN,
    EventType.OUT_OF_BAND,
    EventType.TAMPERING,
    EventType.FINDING_OPENED,
    EventType.FINDING_CLOSED,
)


class Notifier(Protocol):
    """Sends text to people."""

    def targets(self) -> Mapping[str, str]:
        """By a fingerprint of its address, what a target is called where people read it; nothing secret."""

    def send(self, target: str, title: str, text: str) -> None:
        """Raises Unavailable where the target, named by its fingerprint, does not take it; ends within LONGEST_SEND."""


class Nobody:
    """A desk that tells nobody."""

    def targets(self) -> Mapping[str, str]:
        return {}

    def send(self, target: str, title: str, text: str) -> None:
        raise Unavailable(f"notify: there is no target {target} for {title!r} ({len(text)} characters)")


@dataclass(frozen=True)
class Messenger:
    """Sends what waits; as many of them as like may do so at once."""

    ledger: Ledger
    notifier: Notifier
    clock: Clock
    address: str = ""  # of the dashboard, for links; empty: no links

    def send(self) -> int:
        """Sends what is due, and gives how many notices every target has now. What a target does is no error here.

        Raises Unavailable where the ledger cannot be used.
        """
        targets, sent, silent = self.notifier.targets(), 0, dict[str, str]()
        for _ in range(MOST_AT_ONCE if targets else 0):
            now = self.clock.now()
            notice = self.ledger.outbox.claim(now, now + LEASE)
            if notice is None:
                break
            after = self._attempt(notice, targets, silent)
            if after.failure:
                pause = min(FIRST_PAUSE * 2 ** min(notice.attempts, 10), LONGEST_PAUSE)
                self.ledger.outbox.keep(replace(after, attempts=notice.attempts + 1, due=self.clock.now() + pause))
            else:
                self.ledger.outbox.remove(notice.sequence)
                sent += 1
        return sent

    def unsent(self) -> list[Notice]:
        """What could not be sent, or what nobody tried to send in time; oldest first."""
        late = self.clock.now() - OVERDUE
        return [each for each in self.ledger.outbox.notices() if each.attempts or each.due < late]

    def _attempt(self, notice: Notice, targets: Mapping[str, str], silent: dict[str, str]) -> Notice:
        """The notice with who has it now. silent: why a target took nothing in this pass; it is not asked again."""
        title, text = self._message(notice.sequence)
        waiting = [each for each in targets if each not in notice.delivered]
        for number, target in enumerate(each for each in waiting if each not in silent):
            if number:  # however many there are, the notice stays with who sends it, and who has it is not told twice
                self.ledger.outbox.keep(replace(notice, due=self.clock.now() + LEASE))
            try:
                self.notifier.send(target, title, text)
                notice = replace(notice, delivered=(*notice.delivered, target))
            except Unavailable as error:
                silent[target] = visible(str(error), most=LONGEST_TEXT)
        return replace(notice, failure="; ".join(silent[each] for each in waiting if each in silent))

    def _message(self, sequence: int) -> tuple[str, str]:
        found = next(self.ledger.page(before=sequence + 1))
        return message(entry(found), self.address)


def message(found: Entry, address: str) -> tuple[str, str]:
    """Title and text, both plain: what strangers wrote is shortened and on one line."""
    model = visible(found.model, most=LONGEST_NAME)
    what = sentence(found)
    if found.type is EventType.OUT_OF_BAND and not found.moved:
        what = "What was changed outside of this desk is as recorded again"
    what = visible(what, most=LONGEST_TEXT)
    lines = [
        f"{model}: {what}.",
        visible(change_of(found), most=LONGEST_TEXT),
        f"{word_for_reason(found)}: {visible(found.reason, most=LONGEST_TEXT)}" if found.reason else "",
        _link(found, address),
    ]
    return visible(f"Signoff: {model}: {what}", most=LONGEST_NAME * 2), "\n".join(filter(None, lines))


def _link(found: Entry, address: str) -> str:
    asked = urlencode({"model": found.model, "event": found.number})
    return f"{address.rstrip('/')}/history?{asked}" if address else ""


class TellingPeople:
    """The part of the service that tells people."""

    _messenger: Messenger

    def send_notices(self) -> int:
        """Sends what waits for it, see Messenger.send."""
        return self._messenger.send()

    def unsent_notices(self) -> list[Notice]:
        """What could not be sent, see Messenger.unsent."""
        return self._messenger.unsent()


def not_sent(found: Sequence[Notice]) -> str:
    """What to tell of notices that were not sent, as sentences; empty where there are none."""
    if not found:
        return ""
    failure = next((each.failure for each in found if each.failure), "")
    why = failure or "nobody sends them: no program that has targets is running"
    many = f"{len(found):,} notices wait" if len(found) > 1 else "1 notice waits"
    following = min(each.due for each in found)
    return (
        f"{many} to be sent, the first about event {found[0].sequence}: {why}. Tried again from {following:%H:%M} UTC."
    )
