"""Questions on threads: answers, errors, no more at once than allowed, and no waiting for those that hang."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from fsync.storage.askers import Askers


def test_answers_and_errors_come_back() -> None:
    async def whole() -> None:
        askers = Askers(3)
        assert await asyncio.gather(*(askers.ask(pow, number, 2) for number in range(50))) == [n * n for n in range(50)]
        with pytest.raises(ZeroDivisionError):
            await askers.ask(divmod, 1, 0)
        assert await askers.ask(len, "abc") == 3
        askers.shutdown()

    asyncio.run(whole())


def test_no_more_at_once_than_allowed_and_threads_are_used_again() -> None:
    under_way, most, names = 0, 0, set()
    lock = threading.Lock()

    def question() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            names.add(threading.current_thread().name)
        time.sleep(0.01)
        with lock:
            under_way -= 1

    async def whole() -> None:
        askers = Askers(4)
        for _ in range(5):
            await askers.ask(question)
        assert len(names) == 1
        await asyncio.gather(*(askers.ask(question) for _ in range(20)))
        askers.shutdown()

    asyncio.run(whole())
    assert most == len(names) == 4


def test_a_question_that_nobody_waits_for_is_not_begun() -> None:
    begun: list[int] = []
    door = threading.Event()

    async def whole() -> None:
        askers = Askers(1)
        first = asyncio.ensure_future(askers.ask(door.wait))
        second = asyncio.ensure_future(askers.ask(begun.append, 2))
        await asyncio.sleep(0.05)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        door.set()
        await askers.ask(begun.append, 3)
        askers.shutdown()

    asyncio.run(whole())
    assert begun == [3]


def test_threads_end_with_their_owner() -> None:
    async def whole() -> None:
        askers = Askers(2)
        await askers.ask(int)
        askers.shutdown()

    before = set(threading.enumerate())
    asyncio.run(whole())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_process_does_not_wait_for_a_question_that_hangs() -> None:
    program = (
        "import asyncio, time\n"
        "from fsync.storage.askers import Askers\n"
        "async def whole():\n"
        "    askers = Askers(1)\n"
        "    hanging = asyncio.ensure_future(askers.ask(time.sleep, 600))\n"
        "    await asyncio.sleep(0.1)\n"
        "    hanging.cancel()\n"
        "    askers.shutdown()\n"
        "asyncio.run(whole())\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("threads", [0, 1])
def test_questions_are_answered_although_the_system_has_no_more_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    asked: list[int] = []
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if len(begun) == threads:
            raise RuntimeError("can't start new thread")
        begun.append(thread.name)
        start(thread)

    async def whole() -> None:
        askers = Askers(3)
        answers = await asyncio.gather(
            *(askers.ask(asked.append, number) for number in range(20)), return_exceptions=True
        )
        if threads:
            assert answers == [None] * 20
        else:
            assert {str(error) for error in answers} == {"can't start new thread"}
            # nobody waits for the answers any more
            monkeypatch.undo()
            await askers.ask(asked.append, 20)
        askers.shutdown()

    monkeypatch.setattr(threading.Thread, "start", refused)
    asyncio.run(asyncio.wait_for(whole(), 20))
    assert sorted(asked) == (list(range(20)) if threads else [20])
