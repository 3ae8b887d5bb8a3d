"""Callers of an HTTP server, cheap enough not to be what is measured: prepared bytes on kept connections."""

import asyncio
import itertools
import json
import time

import uvloop

HEADER_END, LENGTH = b"\r\n\r\n", b"content-length:"


def request_bytes(path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return head.encode() + HEADER_END + content


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: bytes) -> bytes:
    writer.write(question)
    head = (await reader.readuntil(HEADER_END)).lower()
    length = int(head.partition(LENGTH)[2].partition(b"\r\n")[0])
    content = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"{head!r} {content[:300]!r}")
    return content


def one_caller(port: int, question: bytes, *, rounds: int) -> list[float]:
    """Milliseconds of each answer, one after the other."""

    async def asking() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            await _ask(reader, writer, question)
            taken.append((time.perf_counter() - start) * 1000)
        writer.close()
        return taken

    return uvloop.run(asking())


def many_callers(port: int, *questions: bytes, callers: int, seconds: float) -> list[float]:
    """Milliseconds of each answer within so many seconds to callers who ask again when they have their answer.

    Where there are several questions, each caller asks one after the other, over and over.
    """

    async def asking(until: float) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        taken, asked = [], itertools.cycle(questions)
        while (start := time.perf_counter()) < until:
            await _ask(reader, writer, next(asked))
            taken.append((time.perf_counter() - start) * 1000)
        writer.close()
        return taken

    async def together() -> list[float]:
        until = time.perf_counter() + seconds
        return [each for taken in await asyncio.gather(*(asking(until) for _ in range(callers))) for each in taken]

    return uvloop.run(together())
