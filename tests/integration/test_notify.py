"""Notices on their way: by HTTP and by mail, to servers on loopback, also where the sender is killed in between."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.adapters.notify.targets import AppriseNotifier
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service.notices import LEASE, LONGEST_SEND, Messenger, Notifier
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk, small_registry
from support.in_memory import EPOCH
from support.targets import KnownTargets, mail_server, webhook

SENDER = """
import sys
from pathlib import Path
from pipeline.adapters.notify.targets import AppriseNotifier
from integration.test_notify import desk
desk(Path(sys.argv[1]), AppriseNotifier([sys.argv[2]]), minute=5).send_notices()
"""


class FixedId:
    """A registry id that was chosen."""

    def known(self) -> str:
        return "registry-1"

    keep = known


def desk(folder: Path, notifier: Notifier, *, minute: int = 1) -> OpenDesk:
    """minute: what its clock says."""
    clock = TickingClock(EPOCH + timedelta(minutes=minute))
    url = f"sqlite:///{folder / 'ledger.db'}"
    ledger = SqlLedger(url, registry=FixedId(), clock=clock, told=("applied",))
    messenger = Messenger(ledger, notifier, clock, "https://desk.example.org")
    return build_desk(small_registry(), ledger, clock=clock, messenger=messenger)


def promote(made: OpenDesk) -> None:
    made.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)


def test_a_webhook_and_a_mail_server_are_told(tmp_path: Path) -> None:
    """The same title and text, as plain text."""
    posted: list[dict[str, Any]] = []
    mails: list[tuple[str, str]] = []

    def take(body: dict[str, Any]) -> int:
        posted.append(body)
        return 200

    with webhook(take) as hook, mail_server(mails) as mail:
        made = desk(tmp_path, AppriseNotifier([hook, mail]))
        promote(made)
        sent = made.send_notices()

    assert (sent, made.unsent_notices()) == (1, [])
    assert posted[0]["title"] == "Signoff: obesity_classifier: grace moved version 1 to Staging"
    assert posted[0]["message"].endswith("https://desk.example.org/history?model=obesity_classifier&event=2")
    assert [subject for subject, _ in mails] == [posted[0]["title"]]
    assert mails[0][1].split() == posted[0]["message"].split()


def test_a_target_that_refuses_is_named_without_its_address(tmp_path: Path) -> None:
    """Its place in the list and its kind: an address holds secrets."""
    with webhook(lambda _: 500) as hook:
        made = desk(tmp_path, AppriseNotifier([hook, "nonsense://secret"]))
        promote(made)
        made.send_notices()

    assert made.unsent_notices()[0].failure == (
        "target 1 (json) did not take it; target 2 (nonsense) is no address that Apprise knows"
    )


class Breaking(AppriseNotifier):
    """A plugin with an error that is not Apprise's."""

    def _plugin(self, target: str) -> Any:
        class Plugin:
            def notify(self, **_: str) -> bool:
                raise ZeroDivisionError(target)

        return Plugin()


def test_an_error_of_a_plugin_is_a_target_that_could_not_be_told(tmp_path: Path) -> None:
    """Named by its kind; it ends no look and no other notice."""
    made = desk(tmp_path, Breaking(["json://127.0.0.1:9"]))
    promote(made)

    assert made.send_notices() == 0
    assert made.unsent_notices()[0].failure == "target 1 (json) ended with ZeroDivisionError"


class Hanging(AppriseNotifier):
    """A plugin that answers when the test says so."""

    def __init__(self, addresses: list[str], longest: timedelta) -> None:
        super().__init__(addresses, longest=longest)
        self.answers, self.asked = threading.Event(), list[str]()

    def _plugin(self, target: str) -> Any:
        answers, asked = self.answers, self.asked

        class Plugin:
            def notify(self, *, body: str, **_: str) -> bool:
                asked.append(body)
                return answers.wait()

        return Plugin()


def test_a_target_that_never_answers_is_left_alone() -> None:
    """Before the notice is somebody else's to send; it is asked again once it has answered, and not what it took."""
    notifier = Hanging(["json://127.0.0.1:9"], timedelta(milliseconds=50))
    (target,) = notifier.targets()
    with pytest.raises(Unavailable, match=r"target 1 \(json\) did not answer within 0\.05 s"):
        notifier.send(target, "title", "text")
    with pytest.raises(Unavailable, match="has not answered to an earlier notice yet"):
        notifier.send(target, "title", "text")
    notifier.answers.set()
    notifier._asked[target].thread.join()

    notifier._longest = timedelta(minutes=1)  # however busy the machine is
    notifier.send(target, "title", "text")
    notifier.send(target, "title", "another")
    assert notifier.asked == ["text", "another"]
    assert LONGEST_SEND < LEASE


def test_a_sender_that_is_killed_before_the_answer_is_followed_by_another(tmp_path: Path) -> None:
    """At least once: it had sent it, and could not say so."""
    posted: list[str] = []
    running: list[subprocess.Popen[bytes]] = []

    def take(body: dict[str, Any]) -> int:
        posted.append(str(body["title"]))
        if len(posted) == 1:
            os.kill(running[0].pid, signal.SIGKILL)
            running[0].wait()
        return 200

    with webhook(take) as hook:
        made = desk(tmp_path, AppriseNotifier([hook]))
        promote(made)
        paths = os.pathsep.join((str(Path(__file__).parents[1]), str(Path(__file__).parents[2])))
        command = [sys.executable, "-c", SENDER, str(tmp_path), hook]
        running.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}))
        ended = running[0].wait()
        at_once = desk(tmp_path, AppriseNotifier([hook]), minute=6).send_notices()
        later = desk(tmp_path, AppriseNotifier([hook]), minute=6 + LEASE.seconds // 60).send_notices()

    assert ended == -signal.SIGKILL
    assert (at_once, later, len(posted)) == (0, 1, 2)
    assert made.ledger.outbox.notices() == []


# The port Notifier: what every implementation promises.


@pytest.fixture(params=["known", "apprise"])
def notifier(request: pytest.FixtureRequest) -> Iterator[tuple[Notifier, list[str]]]:
    """With what its targets got: the first takes everything, the second nothing."""
    got: list[str] = []
    if request.param == "known":
        known = KnownTargets({"t1": "target 1 (json)", "t2": "target 2 (json)"}, silent={"t2"})
        yield known, got
        return

    def take(body: dict[str, Any]) -> int:
        got.append(str(body["message"]))
        return 200

    with webhook(take) as hook, webhook(lambda _: 503) as broken:
        yield AppriseNotifier([hook, broken]), got


def test_a_notifier_sends_to_one_target_or_says_that_it_could_not(notifier: tuple[Notifier, list[str]]) -> None:
    """By the name that people read."""
    found, got = notifier
    first, second = found.targets()
    found.send(first, "title", "text")

    assert list(found.targets().values()) == ["target 1 (json)", "target 2 (json)"]
    assert got == ["text"] or (isinstance(found, KnownTargets) and found.sent == [(first, "title", "text")])
    with pytest.raises(Unavailable, match=r"^target 2 \(json\) did not take it$"):
        found.send(second, "title", "text")
    with pytest.raises(Unavailable):
        found.send("nobody", "title", "text")
