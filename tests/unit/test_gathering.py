"""Short calls in few hops: order, errors, cancellation, and when several threads take part."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fsync.storage.gathering import Gathering
from fsync.storage.running import Budget


async def gathered(work: Any, lanes: int = 4) -> Any:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(lanes) as many:
        return await work(Gathering(one, many, lanes))


def test_calls_are_made_in_order_on_one_thread() -> None:
    made: list[tuple[int, int]] = []

    def call(number: int) -> int:
        made.append((number, threading.get_ident()))
        if number % 7 == 3:
            raise OSError(number, "odd")
        return number * 2

    async def work(files: Gathering) -> list[Any]:
        return await asyncio.gather(*(files.run(call, number) for number in range(300)), return_exceptions=True)

    results = asyncio.run(gathered(work))
    assert [number for number, _ in made] == list(range(300))
    assert len({thread for _, thread in made}) == 1
    for number, result in enumerate(results):
        assert result.errno == number if number % 7 == 3 else result == number * 2


def test_a_call_that_nobody_waits_for_any_more_is_not_begun() -> None:
    begun: list[int] = []
    go = threading.Event()

    def call(number: int) -> int:
        begun.append(number)
        go.wait(10)
        return number

    async def work(files: Gathering) -> list[Any]:
        tasks = [asyncio.ensure_future(files.run(call, number)) for number in range(3)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(gathered(work))
    assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, int]
    assert begun == [0, 2]


def test_slow_calls_are_made_by_several_threads() -> None:
    at_once: list[int] = []
    busy = 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal busy
        with lock:
            busy += 1
            at_once.append(busy)
        time.sleep(0.05)
        with lock:
            busy -= 1

    async def work(files: Gathering) -> None:
        for _ in range(4):
            await files.run(call)
        await asyncio.gather(*(files.run(call) for _ in range(12)))

    asyncio.run(gathered(work))
    assert max(at_once[:4]) == 1
    assert max(at_once) == 4


def test_a_budget_is_kept_first_come_first_served() -> None:
    async def work() -> list[str]:
        budget, told = Budget(10), []

        async def hold(name: str, size: int, seconds: float) -> None:
            async with budget.claim(size):
                told.append(name)
                await asyncio.sleep(seconds)

        async def all_of_them() -> None:
            tasks = [asyncio.ensure_future(hold(*one)) for one in (("a", 6, 0.05), ("b", 4, 0.1), ("c", 8, 0))]
            await asyncio.sleep(0.01)
            given_up = asyncio.ensure_future(hold("given up", 3, 0))
            # more than there is at all: alone
            tasks.append(asyncio.ensure_future(hold("d", 50, 0.01)))
            tasks.append(asyncio.ensure_future(hold("e", 1, 0)))
            await asyncio.sleep(0.01)
            assert told == ["a", "b"]
            given_up.cancel()
            await asyncio.gather(*tasks)

        await asyncio.wait_for(all_of_them(), 10)
        async with asyncio.timeout(5), budget.claim(10):
            told.append("all is free again")
        return told

    assert asyncio.run(work()) == ["a", "b", "c", "d", "e", "all is free again"]


def test_a_claim_that_is_cancelled_as_it_is_given_gives_back() -> None:
    async def work() -> None:
        budget = Budget(10)
        first = budget.claim(10)
        await first.__aenter__()

        async def hold() -> None:
            async with budget.claim(10):
                pytest.fail("it was cancelled")

        waiting = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        async with asyncio.timeout(5), budget.claim(10):
            return

    asyncio.run(work())
