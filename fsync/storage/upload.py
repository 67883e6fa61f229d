"""What a storage offers for content: large objects in parts, batches of files in one go, hashes that it lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

import pyarrow as pa

from fsync.storage.passed import Passed

#: bytes of one part of a streamed object
PART = 8 << 20
#: bytes that are held of an object that is written as it comes: one piece of half of them, and the next
FLOW = 1 << 20
#: copies the files of a PLAN batch, and gives by position the error of the only attempt at what was not copied
DirectCopy = Callable[[pa.RecordBatch], Awaitable[Mapping[int, Exception]]]


class Hasher(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes taken."""


class Upload:
    """A large object being written; it appears under its final name at :meth:`commit` or never.

    Parts are numbered from 0 and hold ``part_size`` bytes each, the last one less. ``parallel`` says that parts may
    be written in any order and several at once; ``blocking`` that :meth:`write_now` can write anything anywhere.
    """

    part_size: int = PART
    parallel: bool = False
    blocking: bool = False
    #: numbers of the parts that an earlier run has written
    present: Collection[int] = ()

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Write part ``number``."""
        raise NotImplementedError

    def write_now(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write some bytes, from ``offset`` in the object, in one blocking call, on any thread."""
        raise NotImplementedError

    async def check(self, passed: Passed) -> bool:
        """Read what was written before it takes its final name; VerifyError if it is not what passed.

        Called between the last part and :meth:`commit`. False where it can be read under its final name only.
        """
        return False

    async def commit(self) -> str:
        """Give the object its final name; return what verified it."""
        raise NotImplementedError

    async def abort(self) -> None:
        """Remove what was written; never raises for something that is already gone."""
        raise NotImplementedError
