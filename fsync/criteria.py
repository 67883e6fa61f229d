"""Size, age and time rules: which source entries are wanted, judged on columns.

They select rows after the join and make nothing invisible: what the destination has of an entry that is not wanted is
neither updated nor an extra.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fsync.options import Options
from fsync.schema import Kind, having


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a file must be to be wanted; directories and links always are.

    Sizes in bytes, both included. Times in nanoseconds since 1970, both excluded: changed ``after`` and ``before``.
    """

    min_size: int | None = None
    max_size: int | None = None
    after: int | None = None
    before: int | None = None

    def __bool__(self) -> bool:
        """Tell whether any file could be left out."""
        return self.by_size or self.by_time

    @property
    def by_size(self) -> bool:
        """Tell whether sizes matter."""
        return self.min_size is not None or self.max_size is not None

    @property
    def by_time(self) -> bool:
        """Tell whether times matter."""
        return self.after is not None or self.before is not None

    def unknown(self, rows: pa.RecordBatch) -> pa.BooleanArray:
        """Tell which rows of a page or plan are files whose listing lacks what the rules ask for."""
        lacking = pa.repeat(pa.scalar(False, pa.bool_()), rows.num_rows)
        if self.by_size:
            lacking = pc.or_(lacking, pc.is_null(rows.column("size")))
        if self.by_time:
            lacking = pc.or_(lacking, pc.is_null(rows.column("mtime")))
        return pc.and_(lacking, having(rows.column("kind"), Kind.FILE))

    def wanted(self, rows: pa.RecordBatch) -> pa.BooleanArray:
        """Tell which rows of a page or plan are wanted; a file that lacks what the rules ask for is not."""
        fits = pc.is_valid(rows.column("key"))
        size, mtime = rows.column("size"), rows.column("mtime").cast(pa.int64())
        for column, compare, bound in (
            (size, pc.greater_equal, self.min_size),
            (size, pc.less_equal, self.max_size),
            (mtime, pc.greater, self.after),
            (mtime, pc.less, self.before),
        ):
            if bound is not None:
                fits = pc.and_(fits, pc.fill_null(compare(column, pa.scalar(bound, pa.int64())), False))
        return pc.or_(fits, pc.invert(having(rows.column("kind"), Kind.FILE)))


def criteria_for(options: Options, now: int | None = None) -> Criteria:
    """Return the criteria of a run; ages count back from ``now`` (nanoseconds since 1970; None: this moment)."""
    now = time.time_ns() if now is None else now
    # an age may reach back further than 64 bits of nanoseconds do
    after = [options.start_time, None if options.max_age is None else max(now - options.max_age, _EARLIEST)]
    before = [options.end_time, None if options.min_age is None else max(now - options.min_age, _EARLIEST)]
    return Criteria(
        options.min_size,
        options.max_size,
        max((moment for moment in after if moment is not None), default=None),
        min((moment for moment in before if moment is not None), default=None),
    )


EVERYTHING = Criteria()
_EARLIEST = -(2**63)
