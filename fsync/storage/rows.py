"""The rows of a local listing, column by column, in what the standard library has: helper processes send them."""

from __future__ import annotations

import functools
from array import array
from itertools import accumulate
from typing import NamedTuple

#: the codes of fsync.schema.Kind, whose module needs pyarrow
FILE, DIRECTORY, LINK, OTHER = 0, 1, 2, 3

#: stands for "unknown" in columns of 64-bit numbers
UNKNOWN = -(2**63)


class Packed(NamedTuple):
    """A page of Rows whose keys stand behind each other: key ``n`` is ``text[ends[n] : ends[n + 1]]``.

    That is how Arrow has them, and what another process is sent in little time.
    """

    text: bytes
    ends: array[int]
    kinds: array[int]
    sizes: array[int]
    mtimes: array[int]
    changed: array[int]
    modes: array[int]
    links: dict[int, bytes]
    owners: list[str | None]
    groups: list[str | None]


class Rows:
    """One page of a listing, column by column; times in nanoseconds since 1970, UNKNOWN where there is none.

    ``links`` holds the texts of links, and of rows of kind OTHER why they are nothing to copy, by position; ``owners``
    and ``groups`` are empty unless they were asked for.
    """

    __slots__ = ("changed", "groups", "keys", "kinds", "links", "modes", "mtimes", "owners", "sizes")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.kinds = array("b")
        self.sizes = array("q")
        self.mtimes = array("q")
        self.changed = array("q")
        self.modes = array("i")
        self.links: dict[int, bytes] = {}
        self.owners: list[str | None] = []
        self.groups: list[str | None] = []

    def __len__(self) -> int:
        return len(self.keys)

    def packed(self) -> Packed:
        """Return the page for Arrow, or for another process."""
        ends = array("i", accumulate(map(len, self.keys), initial=0))
        return Packed(
            b"".join(self.keys), ends, self.kinds, self.sizes, self.mtimes, self.changed, self.modes,
            self.links, self.owners, self.groups,
        )  # fmt: skip


@functools.lru_cache(1024)
def user_name(number: int) -> str:
    """Return a user's name, the number as text where this machine knows none."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@functools.lru_cache(1024)
def group_name(number: int) -> str:
    """Return a group's name, the number as text where this machine knows none."""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
