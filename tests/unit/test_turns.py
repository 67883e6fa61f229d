"""Parts of a listing worked on at once: in order, bounded, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.api import run
from fsync.storage.turns import in_turn


class Work:
    """Numbers that stand for parts; counts what is under way and how much was ever made."""

    def __init__(self, sizes: list[int], *, fails: int | None = None) -> None:
        self.sizes, self.fails = sizes, fails
        self.under_way = self.most = self.made = self.begun = 0
        self.items_closed = False

    async def items(self) -> AsyncGenerator[int]:
        try:
            for number in range(len(self.sizes)):
                self.begun += 1
                yield number
        finally:
            self.items_closed = True

    async def expand(self, number: int) -> AsyncGenerator[tuple[int, int]]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for place in range(self.sizes[number]):
                # the first parts are the slowest
                await asyncio.sleep(0.0005 / (number + 1))
                self.made += 1
                yield number, place
            if number == self.fails:
                raise OSError(f"part {number}")
        finally:
            self.under_way -= 1


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(1, 5))
def test_all_come_in_order(sizes: list[int], at_once: int) -> None:
    work = Work(sizes)

    async def gather() -> list[tuple[int, int]]:
        return [outcome async for outcome in in_turn(work.items(), work.expand, at_once)]

    assert run(gather()) == [(number, place) for number, size in enumerate(sizes) for place in range(size)]
    assert work.most <= at_once
    assert work.under_way == 0
    assert work.items_closed


def test_several_are_under_way_but_not_far_ahead() -> None:
    work = Work([1000] * 50)

    async def some() -> tuple[int, int, int]:
        found = in_turn(work.items(), work.expand, 4)
        await anext(found)
        await asyncio.sleep(0.05)
        seen = work.most, work.made, work.begun
        await found.aclose()
        return seen

    most, made, begun = run(some())
    assert most == begun == 4
    assert made <= 4 * 4
    assert work.under_way == 0
    assert work.items_closed


def test_an_error_comes_in_its_place_and_ends_the_others() -> None:
    work = Work([2, 3, 1000, 1000], fails=1)
    found = []

    async def read() -> None:
        async for outcome in in_turn(work.items(), work.expand, 3):
            found.append(outcome)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(OSError, match="part 1"):
        run(read())
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert work.under_way == 0


def test_cancelling_the_reader_ends_what_is_under_way() -> None:
    work = Work([10_000] * 5)

    async def read() -> None:
        async for _ in in_turn(work.items(), work.expand, 3):
            await asyncio.sleep(0)

    async def cancelled() -> None:
        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(200):
            if work.under_way or not work.items_closed:
                await asyncio.sleep(0.01)

    run(cancelled())
    assert work.most == 3
    assert work.under_way == 0
    assert work.items_closed
