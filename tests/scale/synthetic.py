"""Storages of any number of keys that exist as a rule only: pages are made when they are asked for.

Run as a program, ``python -m tests.scale.synthetic CASE ROWS`` runs one case in this process and prints a line of
JSON: the counts, the seconds, the CPU seconds, and the most memory that the process ever had (bytes, as the system
counts it).
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync import pipeline
from fsync.address import Address
from fsync.comparison import comparison_for
from fsync.ends import Ends
from fsync.errors import Redactor
from fsync.filters import Rules
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.loops import run
from fsync.options import options_from
from fsync.report import Report
from fsync.schema import Action, Kind, page_from_columns
from fsync.storage.base import Storage
from fsync.storage.entry import Entry, Presence
from fsync.storage.running import Running
from fsync.storage.walk import Prunes
from fsync.traits import KeyOrder, MtimeKind, Traits

#: rows of a page, as the local listing has them
_ROWS = 4096
_T = 1_600_000_000_000_000_000
#: one key in so many is missing, different or extra
_EVERY = 3000


#: a stride without a common divisor with the numbers of rows used here: it visits every number, far from the last one
_STRIDE = 309_017
_NUMBER = re.compile(rb"\d{9}")


def _nested(digits: pa.StringArray) -> pa.Array:
    """Put ten thousand keys into each directory."""
    return pc.binary_join_element_wise(
        "data/year=2026/", pc.utf8_slice_codeunits(digits, 0, 5), "/part-", digits, "-0a1b2c3d4e5f.snappy.parquet", ""
    )


def _elsewhere(digits: pa.StringArray) -> pa.Array:
    """Put the same keys below another directory."""
    return pc.binary_join_element_wise("data/year=2025/part-", digits, ".parquet", "")


def _flat(digits: pa.StringArray) -> pa.Array:
    """Give each source key, with the extra that follows it, a top-level name of its own."""
    even = pc.bit_wise_and(digits.cast(pa.int64()), pa.scalar(~1, pa.int64()))
    return pc.binary_join_element_wise(pc.utf8_lpad(even.cast(pa.string()), 9, "0"), "/", digits, "")


@dataclass(frozen=True)
class Case:
    """One way to run: both sides' orders, how keys look, and whether copies and deletions are made or only planned."""

    source: KeyOrder = KeyOrder.BYTES
    destination: KeyOrder = KeyOrder.BYTES
    keys: Callable[[pa.StringArray], pa.Array] = _nested
    destination_keys: Callable[[pa.StringArray], pa.Array] = _nested
    prefix: bool = False
    whole: bool = False


CASES = {
    "ordered": Case(),
    "shuffled source": Case(source=KeyOrder.NONE),
    "shuffled destination": Case(destination=KeyOrder.NONE),
    "both shuffled": Case(KeyOrder.NONE, KeyOrder.NONE),
    # the whole sync, with its copies and deletions
    "synced": Case(whole=True),
    # every key has a top-level name of its own, in prefix mode
    "prefix": Case(keys=_flat, destination_keys=_flat, prefix=True, whole=True),
    # all is missing, and all is extra
    "moved": Case(destination_keys=_elsewhere),
}


class Synthetic(Storage):
    """Keys 0 to ``rows``, in byte order, or shuffled; a destination lacks some, has others, and has some extras.

    The source has the even key numbers, an odd one at the destination is an extra. What is written or removed is
    counted and forgotten.
    """

    family = "synthetic"

    def __init__(self, name: str, running: Running, case: Case, rows: int, *, destination: bool = False) -> None:
        root = name if case.prefix else name + "/"
        super().__init__(Address("generic", "synthetic", root, {}, f"synthetic://{root}"), running)
        self._rows, self._destination = rows, destination
        self._keys = case.destination_keys if destination else case.keys
        order = case.destination if destination else case.source
        self._shuffled = order is KeyOrder.NONE
        self.written = self.removed = 0
        self.traits = Traits(
            family=self.family, file_like=False, key_order=order, mtime=MtimeKind.SETTABLE, mtime_tick=1, final_put=True
        )

    async def probe(self) -> Presence:
        """Tell that the root is there."""
        return Presence.DIRECTORY

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Make the pages."""
        for numbers in self._numbers():
            keys = [number * 2 for number in numbers]
            if self._destination:
                keys = [key for key in keys if key % (2 * _EVERY)]
                keys += [number * 2 + 1 for number in numbers if number % _EVERY == 2]
                if not self._shuffled:
                    keys.sort()
            yield self._page(keys)

    def _numbers(self) -> Iterator[list[int]]:
        stride = _STRIDE if self._shuffled else 1
        assert math.gcd(stride, self._rows) == 1
        for start in range(0, self._rows, _ROWS):
            yield [number * stride % self._rows for number in range(start, min(start + _ROWS, self._rows))]

    def _page(self, numbers: list[int]) -> pa.RecordBatch:
        """Make the rows of some key numbers; one of the destination's in ``_EVERY`` has another size."""
        rows = len(numbers)
        digits = pc.utf8_lpad(pa.array(numbers, pa.int64()).cast(pa.string()), 9, "0")
        other = self._destination
        return page_from_columns(
            {
                "key": self._keys(digits).cast(pa.binary()),
                "kind": pa.repeat(pa.scalar(int(Kind.FILE), pa.int8()), rows),
                "size": [number % 1000 + (other and number % (2 * _EVERY) == 2) for number in numbers],
                "mtime": pa.repeat(pa.scalar(_T, pa.int64()), rows),
                "etag": pc.binary_join_element_wise("etag-of-32-characters-", digits, ""),
            },
            rows,
        )

    async def exists(self, key: bytes) -> bool:
        """Tell whether the source has a key."""
        return not int(_NUMBER.findall(key)[-1]) % 2

    async def read(self, entry: Entry) -> bytes:
        """Return as many bytes as the listing said."""
        assert entry.size is not None
        return bytes(entry.size)

    async def put(self, entry: Entry, data: bytes) -> str:
        """Count a copy."""
        assert len(data) == entry.size
        self.written += 1
        return "size"

    async def prepare_destination(self) -> None:
        """Do nothing: it is there."""

    async def delete(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """Count removals."""
        self.removed += len(entries)
        return [None] * len(entries)


def _ends(case: Case, rows: int) -> Ends:
    options = options_from({"delete_dst": True}, verb="sync")
    running = Running()
    one, two = Synthetic("one", running, case, rows), Synthetic("two", running, case, rows, destination=True)
    report = Report(None, Redactor(), dry=not case.whole)
    comparison = comparison_for(one.traits, two.traits, options)
    return Ends(one, two, None, options, Rules.parse(()), report, comparison)


async def planned(case: Case, rows: int) -> dict[str, Any]:
    """Plan a sync with deletions and count what is planned."""
    ends = _ends(case, rows)
    last = b""
    async for batch in pipeline.plan(ends):
        if batch.column("action")[0].as_py() != Action.DELETE:
            first = batch.column("key")[0].as_py()
            assert last < first, "the plan is not in key order"
            last = batch.column("key")[batch.num_rows - 1].as_py()
    ends.source.running.shutdown()
    return _counts(ends)


async def synced(case: Case, rows: int) -> dict[str, Any]:
    """Sync with deletions and count what was done."""
    ends = _ends(case, rows)
    result = await pipeline.sync(ends)
    ends.source.running.shutdown()
    assert result.complete
    assert not result.failed
    there = ends.destination
    assert isinstance(there, Synthetic)
    assert (there.written, there.removed) == (result.copied + result.updated, result.deleted)
    return _counts(ends)


def _counts(ends: Ends) -> dict[str, Any]:
    counts = ends.report.counts
    return {name: counts[name] for name in ("copied", "updated", "deleted", "skipped", "listed")}


def main() -> None:
    """Run the case that the command line names."""
    case, rows = CASES[sys.argv[1]], int(sys.argv[2])
    began = time.monotonic()
    counts = run(synced(case, rows) if case.whole else planned(case, rows))
    print(json.dumps({**counts, **taken(began)}))


def taken(began: float) -> dict[str, float]:
    """Return what this process has taken since a moment of ``time.monotonic``, and the most memory it ever had."""
    return {"seconds": round(time.monotonic() - began, 2), "cpu": round(time.process_time(), 2), "peak": _peak()}


def _peak() -> int:
    """Return the most bytes that this program had in memory.

    Linux's ``ru_maxrss`` survives ``exec``: it would be the peak of the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
