"""The Arrow schemas and the words of a plan: one module says what a column means.

A *page* is a record batch of listed entries, strictly increasing by ``key`` (bytes). A *plan* is a stream of record
batches, one row an action.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class Kind(IntEnum):
    """What an entry is."""

    FILE = 0
    DIRECTORY = 1
    LINK = 2
    #: exists, but is nothing that can be copied: dangling link, loop, device, socket
    OTHER = 3


class Action(IntEnum):
    """What is done with a key."""

    SKIP = 0
    COPY = 1
    UPDATE = 2
    DELETE = 3
    #: the content is the same; mode, owner or group are not
    METADATA = 4
    #: remove the entry at the source: it is at the destination
    DELETE_SRC = 5


class Reason(IntEnum):
    """Why an action is planned."""

    SAME = 0
    MISSING = 1
    SIZE = 2
    MTIME = 3
    DIGEST = 4
    FORCED = 5
    TYPE = 6
    EXTRA = 7
    #: sizes are equal and times cannot decide: a digest must
    SUSPECT = 8
    #: size or time is unknown on one side
    UNKNOWN = 9
    EXISTING = 10
    IGNORED = 11
    NEWER = 12
    #: links lead elsewhere
    LINK = 13
    MODE = 14
    #: a size, age or time rule leaves it out
    UNSELECTED = 15
    #: a list names it, and the source does not have it
    ABSENT = 16
    #: copied by this run
    COPIED = 17


NANOSECONDS = pa.timestamp("ns", tz="UTC")

#: ``key`` is relative to the address's root, ``/``-separated, a directory's ends in ``/``; ``changed`` is the latest
#: time at which the content can have come under this name (local: the later of mtime and ctime), null where it is
#: the ``mtime``; ``etag`` an opaque version as the store gives it; ``digest`` hexadecimal, of the storage's one kind.
PAGE = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("mtime", NANOSECONDS),
        pa.field("changed", NANOSECONDS),
        pa.field("etag", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("link", pa.binary()),
        pa.field("mode", pa.int32()),
        pa.field("owner", pa.string()),
        pa.field("group", pa.string()),
    ]
)

_WORDS = pa.dictionary(pa.int8(), pa.string())

#: One row an action; the columns of both sides are what the decision was taken on, null where there is no entry.
PLAN = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("action", pa.int8(), nullable=False),
        pa.field("reason", pa.int8(), nullable=False),
        pa.field("kind", pa.int8()),
        pa.field("size", pa.int64()),
        pa.field("mtime", NANOSECONDS),
        pa.field("changed", NANOSECONDS),
        pa.field("etag", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("link", pa.binary()),
        pa.field("mode", pa.int32()),
        pa.field("owner", pa.string()),
        pa.field("group", pa.string()),
        pa.field("dst_kind", pa.int8()),
        pa.field("dst_size", pa.int64()),
        pa.field("dst_mtime", NANOSECONDS),
        pa.field("dst_etag", pa.string()),
        pa.field("dst_digest", pa.string()),
        pa.field("dst_link", pa.binary()),
        pa.field("dst_mode", pa.int32()),
        pa.field("dst_owner", pa.string()),
        pa.field("dst_group", pa.string()),
    ]
)

#: Keys, or names, alone.
KEYS = pa.schema([PLAN.field("key")])

#: A plan as people and tables see it: words for the codes, text keys (undecodable bytes as surrogate escapes are not
#: valid UTF-8, so ``key`` stays binary).
PLAN_WORDS = pa.schema(
    [
        pa.field(column.name, _WORDS, column.nullable)
        if column.name in ("action", "reason", "kind", "dst_kind")
        else column
        for column in PLAN
    ]
)

#: One row a planned action and how it ended.
RESULT_WORDS = pa.schema(
    [*PLAN_WORDS, pa.field("status", pa.string()), pa.field("error", pa.string()), pa.field("verified_by", pa.string())]
)

#: A page as people and tables see it.
PAGE_WORDS = pa.schema([pa.field("kind", _WORDS, False) if column.name == "kind" else column for column in PAGE])

_WORD_LISTS: dict[str, list[str]] = {
    "action": [word.name.lower() for word in Action],
    "reason": [word.name.lower() for word in Reason],
    "kind": [word.name.lower() for word in Kind],
    "dst_kind": [word.name.lower() for word in Kind],
}


def page_in_words(page: pa.RecordBatch) -> pa.RecordBatch:
    """Return a page as PAGE_WORDS."""
    return _words(page, PAGE_WORDS)


def in_words(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a PLAN batch as PLAN_WORDS."""
    return _words(batch, PLAN_WORDS)


def _words(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns: list[Any] = []
    for name in batch.schema.names:
        column = batch.column(name)
        if name in _WORD_LISTS:
            column = pa.DictionaryArray.from_arrays(column, pa.array(_WORD_LISTS[name], pa.string()))
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def page_from_columns(columns: dict[str, Any], rows: int) -> pa.RecordBatch:
    """Build a page from the columns a storage knows; the others are null.

    ``columns`` maps names to lists or Arrow arrays of ``rows`` values; times are integer nanoseconds since 1970.
    """
    arrays = []
    for column in PAGE:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(rows, column.type))
        elif isinstance(values, pa.Array):
            arrays.append(values if values.type == column.type else values.cast(column.type))
        else:
            arrays.append(pa.array(values, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE)


def empty_page() -> pa.RecordBatch:
    """Return a page without rows."""
    return page_from_columns({"key": [], "kind": []}, 0)


def concatenate(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Join batches of one schema into a single batch."""
    parts = [batch for batch in batches if batch.num_rows]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return pa.RecordBatch.from_arrays([pa.array([], column.type) for column in schema], schema=schema)
    return pa.Table.from_batches(parts, schema).combine_chunks().to_batches()[0]


def having(column: pa.Int8Array, *words: IntEnum) -> pa.BooleanArray:
    """Tell, row by row, whether a column of codes holds one of the words."""
    if len(words) == 1 and not column.null_count:
        # a quarter of the time of looking it up
        return pc.equal(column, pa.scalar(int(words[0]), pa.int8()))
    return pc.is_in(column, pa.array([int(word) for word in words], pa.int8()))


def last_key(batch: pa.RecordBatch) -> bytes:
    """Return the key of a batch's last row."""
    key: bytes = batch.column("key")[batch.num_rows - 1].as_py()
    return key


def rows_up_to(keys: pa.BinaryArray, cut: bytes) -> int:
    """Return how many of the sorted keys are not beyond ``cut``."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle].as_py() <= cut:
            low = middle + 1
        else:
            high = middle
    return low
