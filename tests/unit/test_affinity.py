"""Threads kept on one processor core, and let go again."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from fsync.storage import affinity
from fsync.storage.affinity import Core

T = TypeVar("T")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked to keep a thread on a core")


def on_a_thread(work: Callable[[], T]) -> T:
    """Return what a new thread makes of it, whose cores are nobody else's business."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result(20)


def test_a_thread_is_kept_on_one_core_and_let_go() -> None:
    allowed, core = os.sched_getaffinity(0), Core()

    def work() -> tuple[set[int], set[int], set[int]]:
        core.join()
        kept = os.sched_getaffinity(0)
        core.join()
        again = os.sched_getaffinity(0)
        core.leave()
        core.leave()
        return kept, again, os.sched_getaffinity(0)

    kept, again, free = on_a_thread(work)
    assert len(kept) == 1
    assert kept <= allowed
    assert again == kept
    assert free == allowed
    assert os.sched_getaffinity(0) == allowed


def test_all_threads_are_kept_on_the_same_core() -> None:
    core = Core()

    def work() -> frozenset[int]:
        core.join()
        return frozenset(os.sched_getaffinity(0))

    assert len({on_a_thread(work) for _ in range(10)}) == 1


def test_a_thread_never_gets_a_core_that_it_was_not_allowed() -> None:
    core = Core()

    def work() -> tuple[set[int], set[int]]:
        last = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {last})
        core.join()
        kept = os.sched_getaffinity(0)
        core.leave()
        return kept - {last}, os.sched_getaffinity(0) - {last}

    assert on_a_thread(work) == (set(), set())


def test_after_a_while_the_core_is_chosen_anew_and_all_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is behind moves to where the one that chose has gone."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core only")
    monkeypatch.setattr(affinity, "_STAY", 0.05)
    core = Core()
    follow, done = threading.Event(), threading.Event()
    seen: list[set[int]] = []

    def follower() -> None:
        core.join()
        seen.append(os.sched_getaffinity(0))
        done.set()
        follow.wait(20)
        core.join()
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=follower)
    thread.start()
    assert done.wait(20)
    (first,) = seen[0]
    other = next(number for number in cores if number != first)
    time.sleep(0.1)
    monkeypatch.setattr(affinity, "_STAY", 60.0)

    def work() -> set[int]:
        # the choice is the system's, and here it has none
        os.sched_setaffinity(0, {other})
        core.join()
        return os.sched_getaffinity(0)

    assert on_a_thread(work) == {other}
    follow.set()
    thread.join(20)
    assert seen[1] == {other}


def test_where_it_is_forbidden_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[int]] = []

    def forbidden(_: int, cores: set[int]) -> None:
        asked.append(cores)
        raise PermissionError(1, "Operation not permitted")

    allowed, core = os.sched_getaffinity(0), Core()
    monkeypatch.setattr(os, "sched_setaffinity", forbidden)

    def work() -> set[int]:
        for _ in range(3):
            core.join()
        core.leave()
        return os.sched_getaffinity(0)

    assert on_a_thread(work) == allowed
    assert len(asked) == 1


@pytest.mark.parametrize("told", [b"", b"1 (a) b", b"1 (fsync) R" + b" x" * 50])
def test_what_the_system_tells_in_no_known_form_binds_nothing(
    told: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed, core, facts = os.sched_getaffinity(0), Core(), tmp_path / "stat"
    facts.write_bytes(told)
    monkeypatch.setattr(affinity, "_FACTS", str(facts))

    def work() -> set[int]:
        core.join()
        core.join()
        return os.sched_getaffinity(0)

    assert on_a_thread(work) == allowed


def test_where_the_cores_are_not_told_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int) -> set[int]:
        raise PermissionError(1, "Operation not permitted")

    allowed = os.sched_getaffinity(0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", forbidden)
        core = Core()

        def work() -> None:
            core.join()
            core.leave()

        on_a_thread(work)
    assert os.sched_getaffinity(0) == allowed
