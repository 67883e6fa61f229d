"""A part that is written as it comes is whole, or an error; those that are given up are given up together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from fsync.address import parse
from fsync.errors import ShortRead
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.running import Running
from fsync.storage.upload import Upload
from fsync.transfer.large import _pour
from fsync.transfer.parts import Part, at_once, parts_of

ENTRY = Entry(b"k", 20)


class Stream(Storage):
    """Gives its pieces for every range."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(parse("memory://x/"), Running())
        self._pieces = pieces

    def flow(self, entry: Entry, offset: int, length: int) -> Generator[memoryview]:
        yield from map(memoryview, self._pieces)


class Kept(Upload):
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray(20)

    def write_now(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        self.data[offset : offset + len(data)] = data


def pour(upload: Upload, *pieces: bytes, stop: bool = False) -> None:
    stopped = threading.Event()
    if stop:
        stopped.set()
    _pour(Stream(*pieces), ENTRY, upload, Part(1, 10, 6), stopped)


def test_pieces_come_where_they_belong() -> None:
    upload = Kept()
    pour(upload, b"ab", b"", b"cdef")
    assert upload.data == bytes(10) + b"abcdef" + bytes(4)


@pytest.mark.parametrize("pieces", [(), (b"abcde",), (b"abcd", b"efg"), (b"abcdefg",)])
def test_too_little_and_too_much_is_an_error(pieces: tuple[bytes, ...]) -> None:
    upload = Kept()
    with pytest.raises(ShortRead):
        pour(upload, *pieces)
    # what lies behind is another part's
    assert not any(upload.data[16:])


def test_a_run_that_was_stopped_writes_no_more() -> None:
    upload = Kept()
    with pytest.raises(OSError, match="stopped"):
        pour(upload, b"abcdef", stop=True)
    assert not any(upload.data)


def test_all_parts_are_broken_off_at_once() -> None:
    """Each may take its time to end."""

    async def whole() -> None:
        running = Running(threads=4)
        begun, ending, all_ending = 0, 0, asyncio.Event()
        all_begun = asyncio.Event()

        async def carry(part: Part) -> None:
            nonlocal begun, ending
            begun += 1
            if begun == 4:
                all_begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ending += 1
                if ending == 4:
                    all_ending.set()
                await asyncio.wait_for(all_ending.wait(), 10)
                raise

        async def carried() -> None:
            # the object's own slot is taken, as by who copies it
            async with running.slots:
                await at_once(running, parts_of(40, 10), carry)

        carrying = asyncio.ensure_future(carried())
        await all_begun.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        running.shutdown()
        assert ending == 4

    asyncio.run(whole())
