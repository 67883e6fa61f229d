"""Many short jobs on a few threads: order, errors, slots, cancellation."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fsync.storage.crew import Crew, Unfinished


def crewed(work: Callable[[Crew, asyncio.Semaphore], Awaitable[Any]], threads: int = 4) -> Any:
    async def whole() -> Any:
        slots = asyncio.Semaphore(threads)
        crew = Crew(slots, threads)
        try:
            return await asyncio.wait_for(work(crew, slots), 20)
        finally:
            crew.shutdown()

    return asyncio.run(whole())


def test_every_job_has_its_result_in_its_place() -> None:
    def job(number: int) -> int:
        if number % 7 == 3:
            raise OSError(number, "odd")
        return number * 2

    async def work(crew: Crew, _: asyncio.Semaphore) -> list[list[Any]]:
        assert await crew.map(job, []) == []
        return await asyncio.gather(*(crew.map(job, range(start, start + 90)) for start in range(0, 900, 90)))

    results = [result for part in crewed(work) for result in part]
    assert len(results) == 900
    for number, result in enumerate(results):
        assert result.errno == number if number % 7 == 3 else result == number * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_jobs_run_side_by_side_as_far_as_there_are_slots(threads: int) -> None:
    busy: list[int] = []
    at_once: list[int] = []
    lock = threading.Lock()

    def job(number: int) -> None:
        with lock:
            busy.append(number)
            at_once.append(len(busy))
        time.sleep(0.02)
        with lock:
            busy.remove(number)

    async def work(crew: Crew, _: asyncio.Semaphore) -> None:
        await crew.map(job, range(threads * 4))

    crewed(work, threads)
    assert max(at_once) == threads


def test_one_job_after_the_other_is_done() -> None:
    async def work(crew: Crew, _: asyncio.Semaphore) -> None:
        for number in range(2000):
            assert await crew.map(lambda one: one + 1, [number]) == [number + 1]

    crewed(work)


def test_a_job_begins_while_another_takes_long() -> None:
    go = threading.Event()

    async def work(crew: Crew, _: asyncio.Semaphore) -> None:
        long = asyncio.ensure_future(crew.map(lambda _: go.wait(10), [0]))
        await asyncio.sleep(0.01)
        await crew.map(lambda _: go.set(), [0])
        assert await long == [True]

    crewed(work, 2)


def test_who_waits_for_a_slot_gets_one_while_there_is_much_to_do() -> None:
    done: list[int] = []

    def job(number: int) -> None:
        time.sleep(0.001)
        done.append(number)

    async def work(crew: Crew, slots: asyncio.Semaphore) -> int:
        jobs = asyncio.ensure_future(crew.map(job, range(300)))
        await asyncio.sleep(0.005)
        async with slots:
            meanwhile = len(done)
        await jobs
        return meanwhile

    assert crewed(work, 1) < 200
    assert len(done) == 300


def test_a_cancelled_batch_tells_what_had_ended_and_begins_nothing_more() -> None:
    begun: list[int] = []
    both, go = threading.Barrier(3), threading.Event()

    def job(number: int) -> int:
        begun.append(number)
        if number in (2, 3):
            both.wait(10)
            go.wait(10)
        return number

    async def work(crew: Crew, _: asyncio.Semaphore) -> tuple[list[Any], list[Any]]:
        task = asyncio.ensure_future(crew.map(job, range(40)))
        other = asyncio.ensure_future(crew.map(job, [100]))
        await asyncio.to_thread(both.wait, 10)
        task.cancel()
        await asyncio.sleep(0.01)
        go.set()
        with pytest.raises(Unfinished) as stopped:
            await task
        return stopped.value.results, await other

    results, other = crewed(work, 2)
    assert begun == [0, 1, 2, 3, 100]
    assert results == [0, 1, 2, 3, *[None] * 36]
    assert other == [100]


def test_jobs_that_hang_do_not_keep_a_cancelled_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsync.storage.crew._PATIENCE", 0.05)
    go = threading.Event()

    async def work(crew: Crew, _: asyncio.Semaphore) -> list[Any]:
        task = asyncio.ensure_future(crew.map(lambda _: go.wait(10), [0]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(Unfinished) as stopped:
            await task
        go.set()
        return stopped.value.results

    assert crewed(work) == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked to keep a thread on a core")
def test_jobs_that_belong_together_share_a_core_and_others_do_not() -> None:
    allowed = os.sched_getaffinity(0)

    def job(_: int) -> frozenset[int]:
        time.sleep(0.001)
        return frozenset(os.sched_getaffinity(0))

    async def work(crew: Crew, _: asyncio.Semaphore) -> tuple[list[Any], list[Any], list[Any]]:
        # a thread's first job is done wherever it is
        await crew.map(job, range(20), together=True)
        return (
            await crew.map(job, range(20), together=True),
            await crew.map(job, range(20)),
            await crew.map(job, range(20), together=True),
        )

    together, apart, again = crewed(work, threads=1)
    assert len(set(together)) == 1
    assert len(together[0]) == 1
    assert set(apart) == {frozenset(allowed)}
    assert all(len(cores) == 1 for cores in again[1:])
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize("threads", [0, 1])
def test_jobs_end_although_the_system_has_no_more_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if len(begun) == threads:
            raise RuntimeError("can't start new thread")
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)

    async def work(crew: Crew, _: asyncio.Semaphore) -> list[Any]:
        return [*await crew.map(str, range(200)), *await crew.map(str, range(200, 250))]

    results = crewed(work)
    assert len(results) == 250
    if threads:
        assert results == [str(number) for number in range(250)]
    else:
        assert {str(error) for error in results} == {"can't start new thread"}


class Panic(BaseException):
    """What a compiled package raises that has found a fault of its own."""


def test_a_job_that_panics_has_its_result_too() -> None:
    def job(number: int) -> int:
        if number == 5:
            raise Panic("called unwrap on nothing")
        return number

    async def work(crew: Crew, _: asyncio.Semaphore) -> list[Any]:
        return await crew.map(job, range(40))

    results = crewed(work)
    assert str(results.pop(5)) == "Panic: called unwrap on nothing"
    assert results == [number for number in range(40) if number != 5]
