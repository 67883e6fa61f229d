"""Two objects hold the same bytes or not, however their storages cut them into pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.address import Address
from fsync.errors import ShortRead
from fsync.loops import run
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.transfer.content import same_content
from tests.unit.pages import running


class Cut(Storage):
    """One object in pieces; an exception among them is raised when its turn comes."""

    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self.address = Address("generic", "cut", "/", {}, "cut:///")
        self.pieces, self.given, self.closed = pieces, 0, False

    async def parts(self, entry: Entry, part_size: int) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.given += 1
                yield piece
        finally:
            self.closed = True

    @property
    def facts(self) -> Entry:
        """The object, with the size that its listing gave."""
        return Entry(b"k", sum(len(piece) for piece in self.pieces if isinstance(piece, bytes)))


def same(one: Cut, other: Cut) -> bool:
    async def work() -> bool:
        return await same_content(one, one.facts, other, other.facts)

    with running() as shared:
        one.running = other.running = shared
        return run(work())


def cut(data: bytes, sizes: list[int]) -> Cut:
    pieces: list[bytes | Exception] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return Cut([*pieces, data])


_sizes = st.lists(st.integers(0, 5), max_size=5)


@given(st.binary(max_size=12), _sizes, st.binary(max_size=12), _sizes)
def test_pieces_do_not_matter(one: bytes, cuts: list[int], other: bytes, other_cuts: list[int]) -> None:
    assert same(cut(one, cuts), cut(one, other_cuts))
    assert same(cut(one, cuts), cut(other, other_cuts)) == (one == other)


def test_reading_ends_at_the_first_difference() -> None:
    one, other = Cut([b"a", b"b", b"c"]), Cut([b"a", b"x", b"c"])
    assert not same(one, other)
    assert (one.given, other.given, other.closed) == (2, 2, True)


def test_sizes_that_differ_need_no_reading() -> None:
    one, other = Cut([b"a"]), Cut([b"ab"])
    assert not same(one, other)
    assert (one.given, other.given) == (0, 0)


@pytest.mark.parametrize("first", [True, False])
def test_an_error_of_either_side_is_raised(first: bool) -> None:
    broken, whole = Cut([b"a", ShortRead("short")]), Cut([b"a"])
    with pytest.raises(ShortRead):
        same(*((broken, whole) if first else (whole, broken)))
    assert broken.closed
