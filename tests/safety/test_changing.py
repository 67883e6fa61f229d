"""A source that changes while it is copied never ends as a mixture under a final name."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.scripted import SECOND, Held, Row, Script, ScriptedFileSystem
from tests.safety.conftest import Maker
from tests.safety.places import OLD, Place, fill, run

_MIB = 1 << 20
_PARTS = 3 * 8 * _MIB + 1


@contextmanager
def _meanwhile(step: Callable[[int], None]) -> Iterator[None]:
    """Repeat ``step(number)`` in a thread, a millisecond apart, as long as the block lasts."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.wait(0.001):
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


@pytest.mark.parametrize(
    ("kind", "size"),
    [(kind, size) for kind in ("local", "memory", "moto") for size in (100, 2 * _MIB, _PARTS)
     if (kind, size) != ("moto", 100)],
)  # fmt: skip
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


@pytest.mark.parametrize("size", [100_000, _PARTS], ids=["one piece", "parts"])
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_a_file_that_is_replaced(place: Maker, tmp_path: Path, kind: str, size: int) -> None:
    destination = _destination(place, kind)
    source = fill(tmp_path / "source", {"log": b"\0" * size})

    def replace(number: int) -> None:
        version = fill(tmp_path / "next", {"log": bytes([number % 251 + 1]) * size}, mtime=OLD + number) / "log"
        version.replace(source / "log")

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


@pytest.mark.parametrize("same_time", [False, True], ids=["new mtime", "old mtime"])
@pytest.mark.parametrize("times", [1, 2, 100])
def test_a_file_that_is_replaced_between_two_parts(tmp_path: Path, same_time: bool, times: int) -> None:
    # the destination's first write of each attempt is the moment at which the source is replaced
    source = fill(tmp_path / "source", {"log": b"\1" * _PARTS})
    script = Script({"log": Held(b"before", OLD)}, [[Row("log", 6, OLD)]])
    replaced = 0

    def replace(offset: int) -> None:
        nonlocal replaced
        if not offset and replaced < times:
            replaced += 1
            mtime = OLD if same_time else OLD + replaced * SECOND
            version = fill(tmp_path / "next", {"log": bytes([replaced + 1]) * _PARTS}, mtime=mtime) / "log"
            version.replace(source / "log")

    script.writing = replace
    ended = run(f"{source}/", (ScriptedFileSystem.of("one", script), "/"), retries=2)
    assert replaced == min(times, 3)
    copied = script.held["log"].data if "log" in script.held else b"before"
    assert len(set(copied)) == 1 or copied == b"before", f"the copy mixes versions {sorted(set(copied))}"
    if times == 100:
        assert ended.code == 1, ended
    else:
        assert ended.code == 0, ended
        assert copied == (source / "log").read_bytes()


@pytest.mark.parametrize("change", ["truncated", "removed", "made a directory", "made a fifo", "made a link"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_file_that_turns_into_something_else(place: Maker, tmp_path: Path, kind: str, change: str) -> None:
    # more files than one batch of copies: when the first is done, those of later batches are listed, because they are
    # in the same page or, with the large batches between local trees, in the one that is read ahead
    destination = _destination(place, kind)
    first = {f"a{number:05}": b"1" for number in range(3000 if kind == "local" else 900)}
    source = fill(tmp_path / "source", {**first, "log": b"x" * 1000, "secret": b"not to be copied as log"})
    path, turned = source / "log", False

    def turn(event: dict[str, object]) -> None:
        nonlocal turned
        if event["event"] != "done" or turned:
            return
        turned = True
        path.unlink()
        if change == "truncated":
            path.write_bytes(b"")
        elif change == "made a directory":
            path.mkdir()
        elif change == "made a fifo":
            os.mkfifo(path)
        elif change == "made a link":
            path.symlink_to("secret")

    ended = run(f"{source}/", destination, progress=turn, retries=1)
    assert turned
    copied = destination.data()
    assert {key: copied[key] for key in first} == first
    allowed = {b"before", b"x" * 1000}
    if change == "truncated":
        allowed.add(b"")
    elif change == "made a link":
        allowed.add(b"not to be copied as log")
    assert copied["log"] in allowed
    assert ended.code in (0, 1), ended
    if change in ("made a directory", "made a fifo") and copied["log"] == b"before":
        assert ended.code == 1, "what is there and was not copied is a failure"
