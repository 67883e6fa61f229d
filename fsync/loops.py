"""From any thread onto the event loop that a run belongs to, and back."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

#: seconds that an interrupted run may take to remove what is half done
_GRACE = 15.0


def start(
    work: Coroutine[Any, Any, T], ended: threading.Event | None = None, *, alone: bool = False
) -> concurrent.futures.Future[T]:
    """Start a coroutine on fsspec's own loop, to which every asynchronous storage's sessions belong.

    ``alone`` says that no such storage takes part: then the coroutine has a loop and a thread of its own, and fsspec,
    whose import takes longer than a small sync, is not loaded. ``ended`` is set when it has cleaned up, also after a
    cancellation. Raises RuntimeError on fsspec's loop itself.
    """
    try:
        loop = asyncio.new_event_loop() if alone else _fsspec_loop()
    except BaseException:
        # interrupted or refused: Python complains of coroutines that nobody awaits
        work.close()
        raise

    async def whole() -> T:
        try:
            return await work
        finally:
            if ended is not None:
                ended.set()
            if alone:
                loop.call_soon(loop.stop)

    if alone:
        threading.Thread(target=_turn, args=(loop,), name="fsync-loop", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(whole(), loop)


def _fsspec_loop() -> asyncio.AbstractEventLoop:
    import fsspec.asyn

    loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
    if fsspec.asyn.iothread[0] is threading.current_thread():
        raise RuntimeError("fsync cannot be called on fsspec's own loop: use another thread or another loop")
    return loop


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then end what is left on it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def run(work: Coroutine[Any, Any, T], *, alone: bool = False) -> T:
    """Run a coroutine as :func:`start` does and wait for it.

    Interrupted by a signal, it cancels the coroutine and waits for its cleaning up before the interruption goes on.
    """
    ended = threading.Event()
    future = start(work, ended, alone=alone)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(_GRACE)
        raise


def pumped(batches: AsyncIterator[T]) -> Iterator[T]:
    """Yield from an asynchronous iterator that lives on fsspec's loop."""

    async def following() -> tuple[bool, T | None]:
        try:
            return True, await anext(batches)
        except StopAsyncIteration:
            return False, None

    async def close() -> None:
        await batches.aclose()  # type: ignore[attr-defined]

    try:
        while True:
            more, batch = run(following())
            if not more:
                return
            yield batch  # type: ignore[misc]
    finally:
        run(close())
