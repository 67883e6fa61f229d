"""The slow line delays each way and carries every byte, at full width."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.ground import TOP
from tests.servers.process import running

Line = Callable[[list[bytes]], tuple[list[float], list[bytes]]]

_EACH_WAY = 0.1


async def _through(port: int, upstream: socket.socket, payloads: list[bytes]) -> tuple[list[float], list[bytes]]:
    """Send payloads one after the other through the line to an echo; give the times and what came back."""
    ended = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.set()

    times, answers = [], []
    async with await asyncio.start_server(echo, sock=upstream):
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for payload in payloads:
            writer.write(payload)
            answers.append(await reader.readexactly(len(payload)))
            times.append(time.monotonic() - began)
            began = time.monotonic()
        writer.close()
        await writer.wait_closed()
        await ended.wait()
    return times, answers


@pytest.fixture
def through(tmp_path: Path) -> Iterator[Line]:
    """A slow line with an echo at its end."""
    upstream = socket.create_server(("127.0.0.1", 0))

    def command(ports: list[int]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "tests.bench.delay",
            str(ports[0]),
            str(upstream.getsockname()[1]),
            str(_EACH_WAY),
        ]

    with running(
        command, ports=1, ready=lambda _: True, directory=tmp_path, name="delay", env={"PYTHONPATH": str(TOP)}
    ) as (_, ports):
        yield lambda payloads: asyncio.run(_through(ports[0], upstream, payloads))


def test_every_answer_takes_a_round_trip_and_the_first_one_two(through: Line) -> None:
    times, answers = through([b"a", b"b", b"c"])
    assert answers == [b"a", b"b", b"c"]
    assert times[0] >= 4 * _EACH_WAY
    assert all(seconds >= 2 * _EACH_WAY for seconds in times)


def test_much_arrives_whole_and_not_piece_by_piece(through: Line) -> None:
    much = bytes(range(256)) * (32 << 10)
    times, answers = through([much])
    assert answers == [much]
    # 8 MiB are more than a hundred chunks of 64 KiB: were each to wait for the one before, they would take 10 s
    assert times[0] < 100 * _EACH_WAY
