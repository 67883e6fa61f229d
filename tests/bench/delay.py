"""A TCP proxy on loopback that delays and does not throttle: ``python -m tests.bench.delay PORT UPSTREAM SECONDS``.

Every byte arrives SECONDS after it was sent, in both directions, and a connection's first bytes once more after a
round trip, which is what opening it would have taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_CHUNK = 1 << 18


async def serve(port: int, upstream: int, seconds: float) -> None:
    """Accept connections on a loopback port and carry each to another one, until cancelled."""

    async def carry_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, ahead = await asyncio.open_connection("127.0.0.1", upstream)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, ahead, seconds, opening=2 * seconds))
                both.create_task(_carry(behind, writer, seconds))
        except* OSError:
            pass  # one of the two ends has gone, and takes the other along
        finally:
            writer.close()
            ahead.close()

    async with await asyncio.start_server(carry_both, "127.0.0.1", port) as server:
        await server.serve_forever()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, opening: float = 0
) -> None:
    loop = asyncio.get_running_loop()
    opened = loop.time() + opening
    # what is under way on a long line; its length is no limit of the proxy's
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, data = await line.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    async def send() -> None:
        data = b"-"
        while data:
            data = await reader.read(_CHUNK)
            line.put_nowait((max(loop.time(), opened) + seconds, data))

    await asyncio.gather(send(), arrive())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
