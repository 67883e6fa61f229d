"""What an opened storage shares with its run: threads, slots, buffers, patience."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fsync.pacing import Pacing, classify
from fsync.storage.askers import Askers
from fsync.storage.crew import Crew
from fsync.storage.journal import Journal

T = TypeVar("T")


#: seconds of unused bandwidth that may be made up for
_BURST = 0.1


class Budget:
    """Bytes that may be held at once; a single claim larger than all of them is let through alone."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        #: who waits for how much, first come first served
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @asynccontextmanager
    async def claim(self, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes for the length of an ``async with`` block, waiting until they are free."""
        if self._waiting or not self._fits(size):
            await self._turn(size)
        else:
            self._taken += size
        try:
            yield
        finally:
            self._taken -= size
            self._pass_on()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._most

    async def _turn(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # the bytes had been given already
                self._taken -= size
            self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            turn, size = self._waiting[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self._taken += size
                turn.set_result(None)
            self._waiting.popleft()


@dataclass(slots=True)
class Failures:
    """The objects that have failed, and how many may before nothing new is started (0 or less: any number)."""

    most: int = 0
    count: int = 0

    @property
    def reached(self) -> bool:
        """Tell whether nothing new is to be started."""
        return 0 < self.most <= self.count


@dataclass(slots=True)
class Large:
    """A large object under way: its size, how many bytes of it are written, and whether ``moved`` has those."""

    size: int
    written: int = 0
    counted: bool = True


@dataclass(slots=True)
class Running:
    """What an opened storage shares with its run: limits, one pool for blocking calls, one thread for the local disk.

    Local files are handled by a single thread: several threads would hand the interpreter's lock to each other at
    every call and take longer together than one alone.
    """

    threads: int = 10
    #: requests of one listing under way, and how many levels of names it is cut at
    list_threads: int = 1
    list_depth: int = 1
    processes: int = 1
    #: helper processes that read local trees
    scanners: int = 0
    #: permission bits of new files: those of the owner alone where permissions of their own follow
    mask: int = 0o666
    #: bytes a second that all copies share, 0 for no limit
    rate: float = 0.0
    #: read what was copied back and compare it
    check_new: bool = False
    #: after a copy the source must still have the listed facts, and the copy its size
    check_change: bool = False
    failures: Failures = field(default_factory=Failures)
    #: who carries the bytes of objects: ``auto``, ``obstore`` or ``fsspec``
    engine: str = "auto"
    #: write into files that are there, instead of putting new ones in their place
    inplace: bool = False
    #: storage class of new objects, where the destination has classes; None for its own choice
    storage_class: str | None = None
    #: carry what a source object says of itself, its type and the like
    metadata: bool = True
    #: bytes written so far
    moved: int = 0
    #: large objects under way by key; the local disk's thread writes it too
    large: dict[bytes, Large] = field(default_factory=dict)
    timeout: float = 60.0
    memory: int = 256 << 20
    pacing: Pacing = field(default_factory=Pacing)
    run_id: str = field(default_factory=lambda: os.urandom(8).hex())
    #: where the source is, without secrets: two sources may have objects of one name, size and time
    origin: str = ""
    #: multipart uploads that are open, and those that earlier runs have left
    journal: Journal = field(init=False)
    _free_at: float = 0.0
    pool: ThreadPoolExecutor = field(init=False)
    disk: ThreadPoolExecutor = field(init=False)
    _askers: Askers = field(init=False)
    #: copies of small objects that are blocking calls
    crew: Crew = field(init=False)
    #: objects under way
    slots: asyncio.Semaphore = field(init=False)
    #: bytes in buffers
    buffers: Budget = field(init=False)
    #: set when the run is to stop: blocking loops look at it between two objects
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.journal = Journal(self.run_id)
        self.slots = asyncio.Semaphore(self.threads)
        self.buffers = Budget(self.memory)
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="fsync-io")
        self.disk = ThreadPoolExecutor(1, thread_name_prefix="fsync-disk")
        self._askers = Askers(2 * (self.threads + self.list_threads + 16))
        self.crew = Crew(self.slots, self.threads)

    async def in_pool(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking call in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, functools.partial(function, *args, **kwargs))

    async def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking call that asks a storage something, beside all copies."""
        return await self._askers.ask(function, *args)

    async def on_disk(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking call on the one thread of the local disk."""
        return await asyncio.get_running_loop().run_in_executor(self.disk, functools.partial(function, *args, **kwargs))

    def progress(self) -> tuple[int, list[tuple[bytes, Large]]]:
        """Return the bytes written so far, and the large objects under way."""
        large = list(self.large.items())
        return self.moved + sum(one.written for _, one in large if not one.counted), large

    def wrote(self, key: bytes, size: int) -> None:
        """Count bytes of an object as written."""
        self.moved += size
        if key in self.large:
            self.large[key].written += size

    async def pass_on(self, size: int) -> None:
        """Wait as long as the bandwidth limit wants before these bytes are written."""
        if self.rate:
            # each claim starts when the ones before it have used up their time at the limit
            now = asyncio.get_running_loop().time()
            self._free_at = max(self._free_at, now - _BURST) + size / self.rate
            await asyncio.sleep(max(0.0, self._free_at - now))

    async def retried(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await ``call()`` until it succeeds or its error is not worth another attempt."""
        attempt = 0
        while True:
            try:
                return await call()
            except Exception as error:
                verdict = classify(error)
                if not self.pacing.again(attempt, verdict):
                    raise
                await asyncio.sleep(self.pacing.wait(attempt, verdict))
                attempt += 1

    def shutdown(self) -> None:
        """Close the journal, and let go of the threads without waiting for calls that hang."""
        self.journal.close()
        self.crew.shutdown()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.disk.shutdown(wait=False, cancel_futures=True)
        self._askers.shutdown()
