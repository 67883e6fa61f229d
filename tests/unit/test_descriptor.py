"""A file that threads write to is closed when none of them writes, and takes nothing then."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsync.storage import descriptor
from fsync.storage.descriptor import Descriptor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f"


@pytest.fixture
def file(path: Path) -> Iterator[Descriptor]:
    opened = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT))
    yield opened
    opened.close()


def test_all_of_it_is_written_where_it_belongs(file: Descriptor, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor, "_PIECE", 3)
    file.write(memoryview(b"0123456789"), 4)
    file.write(b"", 0)
    file.write(bytearray(b"abcd"), 0)
    assert path.read_bytes() == b"abcd0123456789"
    file.empty()
    assert path.read_bytes() == b""


def test_a_closed_file_takes_nothing(file: Descriptor, path: Path) -> None:
    file.write(b"x", 0)
    file.settle()
    for call in (lambda: file.write(b"y", 0), file.empty):
        with pytest.raises(OSError, match="closed"):
            call()
    assert path.read_bytes() == b"x"
    file.close()
    file.close()
    # the number may be another file's now, and stays open
    other = os.open(path, os.O_RDONLY)
    file.close()
    os.fstat(other)
    os.close(other)


def test_the_number_is_not_given_away_while_a_thread_writes(
    file: Descriptor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor, "_PIECE", 1)
    plain, writing, go_on = os.pwrite, threading.Event(), threading.Event()

    def slow(number: int, data: memoryview, offset: int) -> int:
        writing.set()
        assert go_on.wait(10)
        return plain(number, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    failed: list[OSError] = []

    def write() -> None:
        try:
            file.write(b"abc", 0)
        except OSError as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert writing.wait(10)
    closer = threading.Thread(target=file.close)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive()
    os.fstat(file.number)
    go_on.set()
    closer.join(10)
    writer.join(10)
    # what was under way is there, and what is not was refused
    found = path.read_bytes()
    assert found == b"abc" if not failed else (found in (b"a", b"ab") and failed[0].strerror == "the file is closed")
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(file.number)
