"""Whether two objects hold the same bytes: both are read side by side, and nothing is believed that was only told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from fsync.storage.base import Storage
from fsync.storage.entry import Entry

#: bytes read at once of each side
_PIECE = 4 << 20


async def same_content(one: Storage, mine: Entry, other: Storage, theirs: Entry) -> bool:
    """Tell whether two objects of known sizes hold the same bytes; reading ends at the first difference.

    Raises what reading either of them raises.
    """
    if mine.size != theirs.size:
        return False
    assert mine.size is not None
    async with other.running.buffers.claim(2 * min(_PIECE, mine.size)):
        pieces = one.parts(mine, _PIECE), other.parts(theirs, _PIECE)
        try:
            return await _same_pieces(*pieces)
        finally:
            for side in pieces:
                if isinstance(side, AsyncGenerator):
                    await side.aclose()


async def _same_pieces(one: AsyncIterator[bytes], other: AsyncIterator[bytes]) -> bool:
    first = second = b""
    while True:
        # a side whose last piece was the longer one waits for the other
        wanted = [asyncio.ensure_future(_next(side)) for side, left in ((one, first), (other, second)) if not left]
        found = iter(await _all(wanted))
        first = first or next(found)
        second = second or next(found)
        if not first or not second:
            return first == second
        length = min(len(first), len(second))
        if first[:length] != second[:length]:
            return False
        first, second = first[length:], second[length:]


async def _next(side: AsyncIterator[bytes]) -> bytes:
    async for piece in side:
        if piece:
            return piece
    return b""


async def _all(wanted: Sequence[asyncio.Future[bytes]]) -> list[bytes]:
    """Await all of them before one's error is raised: a reader cannot be closed while it reads."""
    found = await asyncio.gather(*wanted, return_exceptions=True)
    for piece in found:
        if isinstance(piece, BaseException):
            raise piece
    return [piece for piece in found if isinstance(piece, bytes)]
