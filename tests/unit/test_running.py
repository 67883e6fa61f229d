"""What a run's storages share: bytes in buffers."""

from __future__ import annotations

import asyncio

import pytest

from fsync.storage.running import Budget


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
