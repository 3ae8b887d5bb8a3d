"""What a run draws reaches the browser together: the messages of Streamlit's own kinds, past our middleware."""

from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.server import LONGEST_STATUS, MOST_HELD, Burst, InOneBurst
from support.loops import run_async

Sent = list[Message]
NEVER = 3600.0  # seconds


def message(said: ForwardMsg) -> Message:
    return {"type": "websocket.send", "bytes": said.SerializeToString()}


def begins() -> Message:
    said = ForwardMsg()
    said.new_session.name = "desk" * LONGEST_STATUS
    return message(said)


def status(*, running: bool) -> Message:
    said = ForwardMsg()
    said.session_status_changed.script_is_running = running
    return message(said)


def element(text: str) -> Message:
    said = ForwardMsg()
    said.delta.new_element.text.body = text
    return message(said)


def finished() -> Message:
    return message(ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY))


def sent_by(talk: Callable[[Burst, Sent], Awaitable[None]], seconds: float = NEVER) -> Sent:
    """What reaches the browser while `talk` adds messages."""
    sent: Sent = []

    async def send(each: Message) -> None:
        sent.append(each)

    async def talking() -> None:
        burst = Burst(send, seconds)
        await talk(burst, sent)
        burst.stop()

    run_async(talking())
    return sent


def test_what_a_run_sends_comes_together_and_in_order() -> None:
    """Nothing before its last message, which says that nothing runs any more."""
    messages = [begins(), status(running=True), element("a"), element("b" * 1000), finished(), status(running=False)]

    async def talk(burst: Burst, sent: Sent) -> None:
        for _ in range(2):
            before = len(sent)
            for each in messages[:-1]:
                await burst.add(each)
                assert len(sent) == before
            await burst.add(messages[-1])

    assert sent_by(talk) == messages * 2


def test_a_run_that_is_begun_anew_is_one_with_the_next() -> None:
    """As after a rerun that the script itself asks for: in between nothing says that it has ended."""

    async def talk(burst: Burst, sent: Sent) -> None:
        for each in (begins(), status(running=True), finished(), begins(), element("a")):
            await burst.add(each)
        assert not sent
        await burst.add(status(running=False))
        assert len(sent) == 6

    sent_by(talk)


def test_what_is_sent_while_nothing_runs_is_not_held() -> None:
    async def talk(burst: Burst, sent: Sent) -> None:
        for number, each in enumerate(({"type": "websocket.accept"}, element("a"), status(running=False)), 1):
            await burst.add(each)
            assert len(sent) == number

    sent_by(talk)


def test_a_long_run_is_shown_as_it_goes() -> None:
    """What is held is sent after a while, again and again, without an end of the run."""

    async def talk(burst: Burst, sent: Sent) -> None:
        for number, each in enumerate((begins(), element("a"), element("b")), 1):
            await burst.add(each)
            assert burst.timer is not None
            await burst.timer
            assert len(sent) == number

    sent_by(talk, seconds=0)


def test_each_run_is_held_by_a_timer_of_its_own() -> None:
    """Also one that begins before the last one's timer knows that it was stopped."""

    async def talk(burst: Burst, sent: Sent) -> None:
        await burst.add(begins())
        first = burst.timer
        await burst.add(status(running=False))
        await burst.add(begins())
        assert burst.timer not in (None, first)

    sent_by(talk)


def test_no_run_holds_more_than_it_may() -> None:
    async def talk(burst: Burst, sent: Sent) -> None:
        await burst.add(begins())
        for number in range(2, MOST_HELD + 1):
            assert not sent
            await burst.add(element(str(number)))
        assert len(sent) == MOST_HELD

    sent_by(talk)


def test_a_closing_takes_along_what_is_held() -> None:
    async def talk(burst: Burst, sent: Sent) -> None:
        await burst.add(begins())
        await burst.add({"type": "websocket.close"})
        assert [each["type"] for each in sent] == ["websocket.send", "websocket.close"]

    sent_by(talk)


@pytest.mark.parametrize("seconds", [0, NEVER], ids=["while it is held", "at the end of the run"])
def test_a_browser_that_is_gone_is_told_to_streamlit(seconds: float) -> None:
    """As uvicorn raises it, so that the session is left: also where the timer was the first to meet it."""

    async def send(_: Message) -> None:
        raise ConnectionResetError

    async def talking() -> None:
        burst = Burst(send, seconds)
        await burst.add(begins())
        if not seconds:
            assert burst.timer is not None
            await burst.timer
        with pytest.raises(ConnectionResetError):
            await burst.add(status(running=False))

    run_async(talking())


def test_other_requests_pass_as_they_are() -> None:
    """Only the connection that Streamlit draws by has runs."""
    passed = []

    async def app(scope: object, receive: object, send: object) -> None:
        passed.append((scope, receive, send))

    async def nothing() -> Message:
        return {}

    async def send(_: Message) -> None: ...

    scope = {"type": "http"}
    run_async(InOneBurst(app)(scope, nothing, send))
    assert passed == [(scope, nothing, send)]
