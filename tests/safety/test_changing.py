"""A source that changes while it is copied never ends as a mixture under a final name."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import OLD, Place, fill, run

_MIB = 1 << 20
_PARTS = 3 * 8 * _MIB + 1


@contextmanager
def _meanwhile(step: Callable[[int], None]) -> Iterator[None]:
    """Repeat ``step(number)`` in a thread as long as the block lasts."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            step(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _destination(place: Maker, kind: str) -> Place:
    destination = place(kind, "destination")
    destination.fill({"log": b"before", "extra": b"e"})
    return destination


@pytest.mark.parametrize("size", [100, 2 * _MIB, _PARTS], ids=["small", "one piece", "parts"])
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_a_file_that_grows(place: Maker, tmp_path: Path, kind: str, size: int) -> None:
    destination = _destination(place, kind)
    source = fill(tmp_path / "source", {"steady": b"s", "log": b"\0" * size})
    record = 997

    def append(number: int) -> None:
        with (source / "log").open("ab") as log:
            log.write(bytes([number % 251 + 1]) * record)

    with _meanwhile(append):
        ended = run(f"{source}/", destination, delete_dst=True, retries=1)
    final = (source / "log").read_bytes()
    copied = destination.data()
    assert copied["steady"] == b"s"
    if ended.code:
        assert ended.code == 1, ended
        assert copied["log"] == b"before"
        assert copied["extra"] == b"e", "a copy failed, so nothing may be deleted"
    else:
        assert final.startswith(copied["log"])
        assert (len(copied["log"]) - size) % record == 0, "half a record was copied"
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 0, ended
    assert destination.data() == {"steady": b"s", "log": final}


@pytest.mark.parametrize("same_time", [False, True], ids=["new mtime", "old mtime"])
@pytest.mark.parametrize("size", [100_000, _PARTS], ids=["one piece", "parts"])
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_a_file_that_is_replaced(place: Maker, tmp_path: Path, kind: str, size: int, same_time: bool) -> None:
    destination = _destination(place, kind)
    source = fill(tmp_path / "source", {"log": b"\0" * size})
    versions = [fill(tmp_path / f"v{number}", {"log": bytes([number]) * size}) / "log" for number in range(1, 5)]

    def replace(number: int) -> None:
        path = tmp_path / "next"
        os.link(versions[number % len(versions)], path)
        if not same_time:
            os.utime(path, ns=(OLD + number, OLD + number))
        path.replace(source / "log")

    with _meanwhile(replace):
        ended = run(f"{source}/", destination, delete_dst=True, retries=1)
    copied = destination.data()["log"]
    if ended.code:
        assert ended.code == 1, ended
        assert copied == b"before"
        assert destination.data()["extra"] == b"e"
    else:
        assert len(copied) == size
        assert len(set(copied)) == 1, f"the copy mixes versions {sorted(set(copied))}"


@pytest.mark.parametrize("change", ["truncated", "removed", "made a directory", "made a fifo"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_file_that_turns_into_something_else(place: Maker, tmp_path: Path, kind: str, change: str) -> None:
    destination = _destination(place, kind)
    source = fill(tmp_path / "source", {"a": b"first", "log": b"x" * 1000})
    listed: list[str] = []

    def listener(event: dict[str, object]) -> None:
        # the start is told before anything is listed; the change comes between the listing and the copy
        if event["event"] == "done" and event["key"] == "a":
            listed.append("a")

    original = os.scandir
    path = source / "log"

    def turn(step: int) -> None:
        if step > 1:
            return
        if change == "truncated":
            path.write_bytes(b"")
            return
        path.unlink()
        if change == "made a directory":
            path.mkdir()
        elif change == "made a fifo":
            os.mkfifo(path)

    with _meanwhile(turn):
        ended = run(f"{source}/", destination, progress=listener)
    assert os.scandir is original
    assert ended.code in (0, 1)
    assert destination.data()["log"] in (b"before", b"x" * 1000, b"" if change == "truncated" else b"before")
