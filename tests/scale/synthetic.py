"""Storages of any number of keys that exist as a rule only: pages are made when they are asked for.

Run as a program, ``python -m tests.scale.synthetic CASE ROWS`` plans one case in this process and prints a line of
JSON: the counts, the seconds, and the most memory that the process ever had (bytes, as the system counts it).
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync.address import Address
from fsync.errors import Redactor
from fsync.filters import Rules
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.options import options_from
from fsync.report import Report
from fsync.schema import PAGE, Action, Kind, page_from_columns
from fsync.storage.base import Entry, Presence, Storage
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


def _page(numbers: list[int], changed: bool) -> pa.RecordBatch:
    """Make the rows of some key numbers; with ``changed`` one of the source's in ``_EVERY`` has another size."""
    rows = len(numbers)
    digits = pc.utf8_lpad(pa.array(numbers, pa.int64()).cast(pa.string()), 9, "0")
    keys = pc.binary_join_element_wise(
        "data/year=2026/", pc.utf8_slice_codeunits(digits, 0, 5), "/part-", digits, "-0a1b2c3d4e5f.snappy.parquet", ""
    )
    return page_from_columns(
        {
            "key": keys.cast(pa.binary()),
            "kind": pa.repeat(pa.scalar(int(Kind.FILE), pa.int8()), rows),
            "size": [number * 7 + (changed and number % (2 * _EVERY) == 2) for number in numbers],
            "mtime": pa.repeat(pa.scalar(_T, pa.int64()), rows),
            "etag": pc.binary_join_element_wise("etag-of-32-characters-", digits, ""),
        },
        rows,
    )


class Synthetic(Storage):
    """Keys 0 to ``rows``, in byte order, or shuffled; a destination lacks some, has others, and has some extras."""

    family = "synthetic"

    def __init__(self, name: str, running: Running, *, rows: int, order: KeyOrder, destination: bool = False) -> None:
        super().__init__(Address("generic", "synthetic", name + "/", {}, f"synthetic://{name}/"), running)
        self._rows, self._destination = rows, destination
        self.traits = Traits(
            family=self.family, file_like=False, key_order=order, mtime=MtimeKind.SETTABLE, mtime_tick=1, final_put=True
        )

    async def probe(self) -> Presence:
        """Tell that the root is there."""
        return Presence.DIRECTORY

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        """Make the pages: the source has the even key numbers, an odd one at the destination is an extra."""
        for numbers in self._numbers():
            keys = [number * 2 for number in numbers]
            if self._destination:
                keys = [key for key in keys if key % (2 * _EVERY)]
                keys += [number * 2 + 1 for number in numbers if number % _EVERY == 2]
                if self.traits.key_order is not KeyOrder.NONE:
                    keys.sort()
            yield _page(keys, self._destination)

    def _numbers(self) -> Iterator[list[int]]:
        stride = _STRIDE if self.traits.key_order is KeyOrder.NONE else 1
        assert math.gcd(stride, self._rows) == 1
        for start in range(0, self._rows, _ROWS):
            yield [number * stride % self._rows for number in range(start, min(start + _ROWS, self._rows))]

    async def entry(self, key: bytes) -> Entry | None:
        """Never asked for: a plan decides by the listings."""
        raise NotImplementedError


async def planned(source: KeyOrder, destination: KeyOrder, rows: int) -> dict[str, Any]:
    """Plan a sync with deletions between two such storages and count what is planned."""
    from fsync import pipeline
    from fsync.comparison import comparison_for
    from fsync.ends import Ends

    options = options_from({"delete_dst": True}, verb="sync")
    running = Running()
    one = Synthetic("one", running, rows=rows, order=source)
    two = Synthetic("two", running, rows=rows, order=destination, destination=True)
    ends = Ends(
        one, two, None, options, Rules.parse(()), Report(None, Redactor(), dry=True),
        comparison_for(one.traits, two.traits, options),
    )  # fmt: skip
    counts = dict.fromkeys((action.name.lower() for action in Action), 0)
    began = time.monotonic()
    last = b""
    async for batch in pipeline.plan(ends):
        for action in Action:
            counts[action.name.lower()] += pc.sum(pc.equal(batch.column("action"), int(action))).as_py() or 0
        if batch.column("action")[0].as_py() != Action.DELETE:
            first = batch.column("key")[0].as_py()
            assert last < first, "the plan is not in key order"
            last = batch.column("key")[batch.num_rows - 1].as_py()
    running.shutdown()
    return {
        **counts,
        "skip": ends.report.counts["skipped"],
        "listed": ends.report.counts["listed"],
        "seconds": round(time.monotonic() - began, 2),
    }


CASES = {
    "ordered": (KeyOrder.BYTES, KeyOrder.BYTES),
    "shuffled source": (KeyOrder.NONE, KeyOrder.BYTES),
    "shuffled destination": (KeyOrder.BYTES, KeyOrder.NONE),
    "both shuffled": (KeyOrder.NONE, KeyOrder.NONE),
}


def main() -> None:
    """Plan the case that the command line names."""
    from fsync.loops import run

    case, rows = sys.argv[1], int(sys.argv[2])
    assert PAGE.field("key").type == pa.binary()
    counts = run(planned(*CASES[case], rows))
    print(json.dumps({**counts, "peak": _peak(), "cpu": round(time.process_time(), 2)}))


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
