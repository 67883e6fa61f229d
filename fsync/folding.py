"""Names as a file system might fold them (case, Unicode normal form): which extras this run writes, spelt otherwise."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from fsync.spool import Spool

#: names looked up together, and names they are looked up in together
_WANTED, _AT_ONCE = 200_000, 50_000
#: bits of the map for each name, and at most (32 MiB)
_BITS, _MOST = 16, 1 << 28

_NAMES = pa.schema([pa.field("name", pa.string())])


def folded(keys: pa.BinaryArray) -> pa.StringArray:
    """Return keys as a file system might fold them, undecodable bytes escaped."""
    try:
        texts = keys.cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array((key.decode("utf-8", "backslashreplace") for key in keys.to_pylist()), pa.string())
    return pc.utf8_lower(pc.utf8_normalize(texts, form="NFC"))


def shared_names(extras: Spool, planned: Spool, *, spill_dir: str | None) -> Spool:
    """Return the folded names that extras and planned keys share; both spools have a column ``key``.

    Time grows with the sum of the two, not with their product: a map of bits lets nearly all extras pass that share
    nothing, and only the others are looked up. Memory is that of the map: four bytes a planned key, at most 32 MiB.
    """
    shared = Spool(_NAMES, directory=spill_dir)
    if not (extras.rows and planned.rows):
        return shared
    bits = _Bits(planned.rows)
    for batch in planned:
        bits.add(folded(batch.column("key")).to_pylist())
    doubtful = Spool(_NAMES, directory=spill_dir)
    for batch in extras:
        names = folded(batch.column("key"))
        may = pa.array(bits.may_hold(names.to_pylist()), pa.bool_())
        doubtful.append(pa.RecordBatch.from_arrays([names.filter(may)], schema=_NAMES))
    for group in doubtful.grouped(_WANTED):
        for batch in planned.grouped(_AT_ONCE):
            names = folded(batch.column("key"))
            found = names.filter(pc.is_in(names, group.column("name")))
            shared.append(pa.RecordBatch.from_arrays([found], schema=_NAMES))
    doubtful.close()
    return shared


def among(keys: pa.BinaryArray, names: Spool) -> pa.BooleanArray:
    """Tell, row by row, whether a key's folded name is one of those that :func:`shared_names` gave."""
    found = pa.repeat(pa.scalar(False, pa.bool_()), len(keys))
    if names.rows:
        mine = folded(keys)
        for batch in names.grouped(_AT_ONCE):
            found = pc.or_(found, pc.is_in(mine, batch.column("name")))
    return found


class _Bits:
    """A Bloom filter: what it does not hold was never added; of what was not, it holds about one in a hundred."""

    def __init__(self, names: int) -> None:
        bits = min(1 << (_BITS * names).bit_length(), _MOST)
        self._mask = bits - 1
        self._held = bytearray((bits + 7) // 8)

    def add(self, names: Iterable[str]) -> None:
        """Note names."""
        held, mask = self._held, self._mask
        for name in names:
            number = hash(name)
            low, high = number & mask, number >> 32 & mask
            held[low >> 3] |= 1 << (low & 7)
            held[high >> 3] |= 1 << (high & 7)

    def may_hold(self, names: Iterable[str]) -> list[bool]:
        """Tell of each name whether it may have been added."""
        held, mask = self._held, self._mask
        found = []
        for name in names:
            number = hash(name)
            low, high = number & mask, number >> 32 & mask
            found.append(bool(held[low >> 3] >> (low & 7) & held[high >> 3] >> (high & 7) & 1))
        return found
