"""--processes: many local files are copied by a helper process too, and whatever becomes of it the result is right."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.compute as pc
import pytest

from tests.safety.nursery import INTERRUPTED, nursery
from tests.safety.places import Ended, contents, fill, run

_COPIER = "serving.copy()"
_HELPER = "import serving"
_MANY = 4000


def _is_helper(process: psutil.Process, mark: str = _COPIER) -> bool:
    try:
        return any(mark in word for word in process.cmdline())
    except psutil.Error:
        return False


def helpers() -> list[psutil.Process]:
    """Return this test process's helpers that are running."""
    return [child for child in psutil.Process().children(recursive=True) if _is_helper(child)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many small files in a few directories, no two alike."""
    tree = {f"d{number % 9}/f{number:05}": f"{number} ".encode() * (number % 40) for number in range(_MANY)}
    return fill(tmp_path_factory.mktemp("many") / "source", tree)


class Watch:
    """A thread that does something to the first helper it sees, once."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def act(self, helper: psutil.Process) -> bool:
        """Do it; tell whether it is done."""
        return True

    def _look(self) -> None:
        while not self._over.is_set():
            for helper in helpers():
                if helper.pid not in self.seen:
                    self.seen.append(helper.pid)
                if self.act(helper):
                    return
            time.sleep(0.001)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Killer(Watch):
    """Kills the first helper; with ``halfway`` in the middle of a file, whose partial it leaves."""

    def __init__(self, target: Path, *, halfway: bool) -> None:
        super().__init__()
        self._target, self._halfway = target, halfway
        self.killed = False

    def _partials(self) -> set[str]:
        return {path.name for path in self._target.rglob("*.partial")}

    def act(self, helper: psutil.Process) -> bool:
        """Stop the helper, look what it is at, and kill it or let it go on."""
        try:
            helper.suspend()
            if self._halfway:
                before = self._partials()
                time.sleep(0.02)
                # what is there still is not the other thread's
                if not before & self._partials():
                    helper.resume()
                    time.sleep(0.001)
                    return False
            helper.kill()
        except psutil.NoSuchProcess:
            return False
        self.killed = True
        return True


def _sync(source: Path, target: Path, **options: Any) -> Ended:
    return run(f"{source}/", f"{target}/", **options)


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_the_result_is_the_same(source: Path, tmp_path: Path, processes: int) -> None:
    with Watch() as watch:
        ended = _sync(source, tmp_path / "target", processes=processes)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.verified_by) == (_MANY, {"size": _MANY})
    assert contents(tmp_path / "target") == contents(source)
    assert len(watch.seen) <= processes
    assert bool(watch.seen) is bool(processes)
    assert helpers() == []
    again = _sync(source, tmp_path / "target", processes=processes)
    assert again.result is not None
    assert again.result.reasons == {}


def test_few_files_start_no_helper(tmp_path: Path) -> None:
    few = fill(tmp_path / "few", {f"f{number}": b"x" for number in range(1000)})
    with Watch() as watch:
        assert _sync(few, tmp_path / "target").code == 0
    assert watch.seen == []


@pytest.mark.parametrize("halfway", [False, True], ids=["anywhere", "halfway"])
def test_a_helper_that_is_killed(source: Path, tmp_path: Path, halfway: bool) -> None:
    for attempt in range(10):
        target = tmp_path / f"target{attempt}"
        fill(target, {"extra": b"e"})
        with Killer(target, halfway=halfway) as killer:
            # without further attempts, each of which would wait
            ended = _sync(source, target, delete_dst=True, retries=0)
        if killer.killed:
            break
    # the helper may have ended before it was met in the middle of a file
    assert killer.killed
    assert helpers() == []
    expected = contents(source)
    left = {key: data for key, data in contents(target).items() if not key.endswith(".partial")}
    wrong = {key for key, data in left.items() if data != expected.get(key)} - {"extra"}
    assert wrong == set()
    assert ended.result is not None
    if ended.code == 0:
        assert left == expected
        assert contents(target) == expected
    else:
        assert ended.code == 1, ended
        table = ended.result.table()
        failed = table.filter(pc.equal(table.column("status"), "failed")).column("key").to_pylist()
        assert len(failed) == ended.result.failed
        # a file may be there although its answer was lost, but none is missing without being told
        assert set(expected) - set(left) <= {os.fsdecode(key) for key in failed}
        assert left["extra"] == b"e"
    again = _sync(source, target, delete_dst=True)
    assert again.code == 0, again
    assert {key: data for key, data in contents(target).items() if not key.endswith(".partial")} == expected


def test_a_killed_helper_costs_no_file_and_no_attempt(source: Path, tmp_path: Path) -> None:
    for attempt in range(10):
        target = tmp_path / f"target{attempt}"
        with Killer(target, halfway=True) as killer:
            ended = _sync(source, target, retries=0)
        if killer.killed:
            break
    assert killer.killed
    assert ended.code == 0, ended
    assert contents(target) == contents(source)


# runs that are stopped -------------------------------------------------------------------------------------------


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A variable that all processes started from here inherit."""
    value = uuid.uuid4().hex
    monkeypatch.setenv("FSYNC_TEST_MARK", value)
    yield value
    assert _marked_helpers(value) == []


def _marked_helpers(value: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if _is_helper(process, _HELPER) and process.environ().get("FSYNC_TEST_MARK") == value:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_run_that_is_stopped_leaves_no_process(source: Path, tmp_path: Path, marked: str, number: int) -> None:
    target = tmp_path / "target"
    with nursery() as runs:
        ended = runs.run(f"{source}/", f"{target}/", signal=number, after="done")
    assert ended.status in ((INTERRUPTED, 0) if number == signal.SIGINT else (-number, 0))
    until = time.monotonic() + (0 if number == signal.SIGINT else 20)
    while _marked_helpers(marked) and time.monotonic() < until:
        time.sleep(0.05)
    assert _marked_helpers(marked) == []
    expected = contents(source)
    left = contents(target)
    finals = {key: data for key, data in left.items() if not key.endswith(".partial")}
    assert {key for key, data in finals.items() if data != expected.get(key)} == set()
    if number == signal.SIGINT:
        assert len(left) == len(finals)
    assert _sync(source, target).code == 0
    assert {key: data for key, data in contents(target).items() if not key.endswith(".partial")} == expected
