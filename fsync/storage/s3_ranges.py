"""Keys of one prefix, from a server that lists by bytes, asked for by several requests at once.

Nobody says how keys are spread, so the place where further pages begin is guessed from the keys of one page. A wrong
guess costs time: whatever lies between two places is listed whole, by one request after the other.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from itertools import pairwise

import pyarrow as pa

from fsync.address import Address
from fsync.errors import ListingError
from fsync.storage.s3_columns import Columns
from fsync.storage.s3_listing import Ask, answers
from fsync.storage.turns import closing, in_turn

#: pages that a range should have: as many as a part may be ahead of the reader
_PAGES = 2
#: characters of a key that count: from where a page's keys differ, and before, where their sum is carried to
_COUNTED, _CARRIED = 8, 6
#: ranges that are guessed at once, for each request that may be under way
_FURTHER = 8
#: how often what lies in a guessed range is itself cut into ranges
_NESTED = 1

Range = tuple[bytes | None, bytes | None]


class Ranges:
    """The listing of all keys that begin with ``prefix``, up to ``at_once`` ranges of keys under way.

    ``page`` makes a page of an answer's rows. Rows come in the order of the keys' bytes; an answer that does not keep
    to it is a ListingError, because what a range leaves out must be in the next one.
    """

    def __init__(
        self, ask: Ask, address: Address, prefix: str, page: Callable[[Columns], pa.RecordBatch], at_once: int
    ) -> None:
        self._ask, self._address, self._prefix, self._page, self._at_once = ask, address, prefix, page, at_once
        self._guesses = at_once

    async def between(
        self, after: bytes | None, end: bytes | None = None, nested: int = 0
    ) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the pages of the keys that come after one and not after another; None is no bound."""
        while True:
            places: list[bytes] = []
            async with closing(self._one_by_one(after, end)) as found:
                async for keys, page, goes_on in found:
                    yield page
                    if goes_on and nested <= _NESTED:
                        places = following(keys, len(self._prefix), end, self._guesses)
                    if places:
                        break
            if not places:
                return
            hits: list[bool] = []
            ranges = in_turn(
                _ranges([keys[-1], *places]), partial(self._noted, nested=nested + 1, hits=hits), self._at_once
            )
            async with closing(ranges) as pages:
                async for page in pages:
                    yield page
            # as long as guesses are good there may be more of them
            good = 2 * sum(hits) > len(hits)
            self._guesses = min(2 * self._guesses, _FURTHER * self._at_once) if good else max(1, self._guesses // 4)
            after = places[-1]

    async def _noted(self, guessed: Range, *, nested: int, hits: list[bool]) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the pages of a guessed range, and note whether it had any."""
        hit = False
        async with closing(self.between(*guessed, nested)) as pages:
            async for page in pages:
                hit = True
                yield page
        hits.append(hit)

    async def _one_by_one(
        self, after: bytes | None, end: bytes | None
    ) -> AsyncGenerator[tuple[Sequence[bytes], pa.RecordBatch, bool]]:
        """Yield the pages of a range, each with its keys, and whether more of the range follows."""
        place = {"Prefix": self._prefix, **({"StartAfter": after.decode()} if after else {})}
        async with closing(answers(self._ask, self._address, place, ahead=False)) as found:
            async for answer, columns in found:
                keys = columns.key
                if not keys:
                    continue
                if (after is not None and keys[0] <= after) or not all(map(operator.lt, keys, keys[1:])):
                    raise ListingError(
                        f"cannot list {self._address.given} by several threads: the server does not list in key order; "
                        "leave out --list-threads"
                    )
                rows = len(keys) if end is None else bisect_right(keys, end)
                goes_on = rows == len(keys) and keys[-1] != end
                if rows:
                    yield keys, self._page(columns).slice(0, rows), goes_on and bool(answer.get("IsTruncated"))
                if not goes_on:
                    return
                after = keys[-1]


async def _ranges(places: Sequence[bytes]) -> AsyncGenerator[Range]:
    for one in pairwise(places):
        yield one


def following(keys: Sequence[bytes], common: int, end: bytes | None, most: int) -> list[bytes]:
    """Guess where every second page after this one would begin, up to ``end``; at most ``most`` places, in order.

    Keys that differ in a few characters are taken for numbers, whose digits are the characters that come up in these
    places, and whose next pages are as wide as this one. The first ``common`` characters are those of all keys.
    """
    try:
        texts = [key.decode() for key in keys]
    except UnicodeDecodeError:
        return []
    differ = (number for number, (one, other) in enumerate(zip(texts[0], texts[-1], strict=False)) if one != other)
    same = next(differ, len(texts[0]))
    start = max(common, same - _CARRIED)
    stop = same + _COUNTED
    # servers have trouble with other characters in a question
    if not texts[-1].isprintable():
        return []
    digits = sorted(digit for digit in set().union(*(text[start:stop] for text in texts)) if digit.isprintable())
    if len(digits) < 2:
        return []

    def number(text: str) -> int:
        value = 0
        for digit in text[start:stop].ljust(stop - start, digits[0]):
            value = value * len(digits) + max(0, bisect_right(digits, digit) - 1)
        return value

    def text(value: int) -> str:
        found = []
        for _ in range(stop - start):
            value, place = divmod(value, len(digits))
            found.append(digits[place])
        return texts[0][:start] + "".join(reversed(found))

    value = number(texts[-1])
    width = _PAGES * (value - number(texts[0]))
    places: list[bytes] = []
    while width > 0 and len(places) < most:
        value += width
        if value >= len(digits) ** (stop - start):
            break
        place = text(value).encode()
        if place <= (places or keys)[-1] or (end is not None and place >= end):
            break
        places.append(place)
    return places
