"""The names in a directory, in order; those of a very large one at little more than their own bytes.

A name here has ``/`` behind it if it is that of a directory, and then NUL if it is that of a link: what no name of a
file system holds, and what keeps names in the order of the keys that they become.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

#: names that are held as they are
MANY = 1 << 14

#: how the name of a directory ends, or of a link
NO_PLAIN_FILE = (b"/", b"\0")


class PackedNames(Sequence[bytes]):
    """Names behind each other in one buffer: eight bytes a name beside its own, where an object takes forty."""

    __slots__ = ("_ends", "_text")

    def __init__(self, names: Iterable[bytes]) -> None:
        self._text, self._ends = bytearray(), array("Q")
        for name in names:
            self._text += name
            self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> bytes: ...
    @overload
    def __getitem__(self, position: slice) -> list[bytes]: ...
    def __getitem__(self, position: int | slice) -> bytes | list[bytes]:
        if isinstance(position, slice):
            return [self._name(number) for number in range(*position.indices(len(self)))]
        return self._name(range(len(self))[position])

    def __iter__(self) -> Iterator[bytes]:
        return map(self._name, range(len(self)))

    def _name(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        return bytes(self._text[start : self._ends[number]])


def merged(runs: Sequence[PackedNames]) -> PackedNames:
    """Return the names of several sorted sequences as one."""
    return PackedNames(heapq.merge(*runs))
