"""Columns, words and batches."""

from __future__ import annotations

import bisect
from enum import IntEnum

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.schema import (
    NANOSECONDS,
    PAGE,
    PAGE_WORDS,
    PLAN,
    PLAN_WORDS,
    RESULT_WORDS,
    Action,
    Kind,
    Reason,
    concatenate,
    empty_page,
    in_words,
    last_key,
    page_from_columns,
    page_in_words,
    rows_up_to,
)
from tests.unit.pages import keys_of, page


def plan_rows(**columns: list[int]) -> pa.RecordBatch:
    length = len(next(iter(columns.values())))
    arrays = {name: pa.array(values, PLAN.field(name).type) for name, values in columns.items()}
    arrays.setdefault("key", pa.array([b"k%d" % number for number in range(length)], pa.binary()))
    for name in ("action", "reason"):
        arrays.setdefault(name, pa.array([0] * length, pa.int8()))
    return pa.RecordBatch.from_arrays(
        [arrays.get(field.name, pa.nulls(length, field.type)) for field in PLAN], schema=PLAN
    )


def test_a_page_is_built_from_the_columns_that_are_known() -> None:
    batch = page_from_columns({"key": [b"a", b"\xff"], "kind": [0, 1], "mtime": [1_500_000_000_123_456_789, None]}, 2)
    assert batch.schema.equals(PAGE)
    assert batch.column("mtime").type == NANOSECONDS
    assert batch.column("mtime").cast(pa.int64()).to_pylist() == [1_500_000_000_123_456_789, None]
    assert batch.column("key").to_pylist() == [b"a", b"\xff"]
    for name in ("size", "changed", "etag", "digest", "link", "mode", "owner", "group"):
        assert batch.column(name).to_pylist() == [None, None], name


def test_arrow_columns_are_cast() -> None:
    microseconds = pa.array([1_500_000_000_123_456], pa.timestamp("us", tz="UTC"))
    batch = page_from_columns({"key": pa.array([b"a"], pa.binary()), "kind": [0], "mtime": microseconds}, 1)
    assert batch.column("mtime").cast(pa.int64()).to_pylist() == [1_500_000_000_123_456_000]


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        page_from_columns({"key": [b"a", b"b"], "kind": [0]}, 2).validate(full=True)


def test_joining_batches() -> None:
    joined = concatenate([empty_page(), page(b"a"), empty_page(), page(b"b", b"c")], PAGE)
    assert keys_of([joined]) == [b"a", b"b", b"c"]
    assert joined.schema.equals(PAGE)
    for nothing in ([], [empty_page()]):
        batch = concatenate(nothing, PAGE)
        assert batch.num_rows == 0
        assert batch.schema.equals(PAGE)


def test_the_last_key() -> None:
    assert last_key(page(b"a", b"b")) == b"b"
    assert last_key(page(b"a", b"b", b"c").slice(0, 2)) == b"b"


@given(st.lists(st.binary(max_size=3), unique=True).map(sorted), st.binary(max_size=3), st.integers(0, 3))
def test_rows_up_to_a_cut(keys: list[bytes], cut: bytes, skip: int) -> None:
    array = pa.array(keys, pa.binary()).slice(min(skip, len(keys)))
    assert rows_up_to(array, cut) == bisect.bisect_right(keys[skip:], cut)


@pytest.mark.parametrize(
    ("column", "words"), [("action", Action), ("reason", Reason), ("kind", Kind), ("dst_kind", Kind)]
)
def test_every_code_has_its_own_word(column: str, words: type[IntEnum]) -> None:
    told = in_words(plan_rows(**{column: [int(word) for word in words]}))
    assert told.schema.equals(PLAN_WORDS)
    assert told.column(column).to_pylist() == [word.name.lower() for word in words]


def test_words_leave_the_other_columns_alone() -> None:
    rows = plan_rows(action=[1, 3], size=[5, 0])
    told = in_words(rows)
    for name in PLAN.names:
        if name not in ("action", "reason", "kind", "dst_kind"):
            assert told.column(name).equals(rows.column(name)), name
    assert told.column("kind").to_pylist() == [None, None]


def test_a_page_in_words() -> None:
    told = page_in_words(page(*({"key": b"%d" % word, "kind": word} for word in Kind)))
    assert told.schema.equals(PAGE_WORDS)
    assert told.column("kind").to_pylist() == ["file", "directory", "link", "other"]


def test_the_columns_that_tables_and_reports_have() -> None:
    # append-only: whoever reads these tables knows the columns by these names
    assert PLAN_WORDS.names == PLAN.names == [
        "key", "action", "reason",
        "kind", "size", "mtime", "changed", "etag", "digest", "link", "mode", "owner", "group",
        "dst_kind", "dst_size", "dst_mtime", "dst_etag", "dst_digest", "dst_link", "dst_mode", "dst_owner", "dst_group",
    ]  # fmt: skip
    assert RESULT_WORDS.names == [*PLAN.names, "status", "error", "verified_by"]
    assert PAGE_WORDS.names == PAGE.names
