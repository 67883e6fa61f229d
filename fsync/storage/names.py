"""The names of one very large directory, in order, at little more than their own bytes."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

#: (name, with ``/`` behind a directory's; whether it is a link)
Name = tuple[bytes, bool]

#: names that are held as they are
MANY = 1 << 14


class PackedNames(Sequence[Name]):
    """Names behind each other in one buffer: eight bytes a name beside its own, where objects take a hundred."""

    __slots__ = ("_ends", "_links", "_text")

    def __init__(self, names: Iterable[Name]) -> None:
        self._text, self._ends = bytearray(), array("Q")
        self._links: set[int] = set()
        for position, (name, is_link) in enumerate(names):
            self._text += name
            self._ends.append(len(self._text))
            if is_link:
                self._links.add(position)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> Name: ...
    @overload
    def __getitem__(self, position: slice) -> list[Name]: ...
    def __getitem__(self, position: int | slice) -> Name | list[Name]:
        if isinstance(position, slice):
            return [self._name(number) for number in range(*position.indices(len(self)))]
        return self._name(range(len(self))[position])

    def __iter__(self) -> Iterator[Name]:
        return map(self._name, range(len(self)))

    def _name(self, number: int) -> Name:
        start = self._ends[number - 1] if number else 0
        return bytes(self._text[start : self._ends[number]]), number in self._links


def merged(runs: Sequence[PackedNames]) -> PackedNames:
    """Return the names of several sorted sequences as one."""
    return PackedNames(heapq.merge(*runs))
