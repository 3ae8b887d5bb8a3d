"""Many people at once on one server process, each with two seconds to think; speaks Streamlit's own protocol.

Browsers in such a number would measure themselves: a session here sends what the page sends and reads all that comes.
"""

import asyncio
import itertools
import random
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.real_server import dashboard

PAGE, ADDRESS = "versions", "model=obesity_classifier"
CROWD, THINKING, SECONDS = 80, 2.0, 30.0
BIGGEST_MESSAGE = 64 * 2**20


def people_figures(environment: Mapping[str, str], folder: Path, *, crowd: int = CROWD) -> tuple[float, float]:
    """The median time of one rerun of the versions page in milliseconds: with a crowd, and alone."""
    with dashboard(folder / "people.log", environment) as url:
        alone = asyncio.run(_visit(url, 1))
        together = asyncio.run(_visit(url, crowd))
    return statistics.median(together) * 1000, statistics.median(alone) * 1000


async def _visit(url: str, count: int) -> list[float]:
    """What the reruns of all visitors took."""
    visitors = (_visitor(url, seed) for seed in range(count))
    return list(itertools.chain.from_iterable(await asyncio.gather(*visitors)))


async def _visitor(url: str, seed: int) -> list[float]:
    address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
    thinking, taken = random.Random(seed), []
    async with connect(address, subprotocols=["streamlit"], origin=url, max_size=BIGGEST_MESSAGE) as line:  # type: ignore[arg-type, list-item]
        await asyncio.sleep(thinking.uniform(0, 2 * THINKING))  # nobody comes at the same moment
        await _rerun(line)  # the first one reads what the others find read
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            await asyncio.sleep(thinking.uniform(0.5, 1.5) * THINKING)
            taken.append(await _rerun(line))
    return taken


async def _rerun(line: ClientConnection) -> float:
    question = BackMsg()
    question.rerun_script.query_string, question.rerun_script.page_name = ADDRESS, PAGE
    start = time.perf_counter()
    await line.send(question.SerializeToString())
    drawn = set()
    async for content in line:
        answer = ForwardMsg.FromString(content)
        if answer.WhichOneof("type") == "delta":
            drawn.add(answer.delta.new_element.WhichOneof("type"))
        if answer.WhichOneof("type") == "script_finished":
            break
    if "dataframe" not in drawn or "exception" in drawn:
        raise RuntimeError(f"the page was not drawn: {drawn}")
    return time.perf_counter() - start
