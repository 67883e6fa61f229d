"""The external sort: order, completeness, and what it leaves behind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsync import sorting
from fsync.api import run
from fsync.errors import FatalError, ListingError
from fsync.sorting import sorted_pages
from fsync.storage.walk import PAGE_ROWS
from tests.unit.pages import gathered, keys_of, page, rows_of, stream
from tests.unit.test_spool import files_below


def rows(batches: list[pa.RecordBatch]) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row.values()) for row in rows_of(batches))


_batches = st.lists(
    st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 9)), max_size=12), max_size=90
)  # fmt: skip


@settings(max_examples=60)
@given(_batches, st.sampled_from([0, 3000, 1 << 20]))
def test_any_pages_come_out_sorted_and_whole(batches: list[list[tuple[bytes, int]]], memory: int) -> None:
    pages = [page(*({"key": key, "size": number} for key, number in batch)) for batch in batches]
    result = gathered(sorted_pages(stream(pages), memory=memory))
    assert keys_of(result) == sorted(keys_of(pages))
    assert rows(result) == rows(pages)
    assert all(batch.num_rows for batch in result)


@pytest.mark.parametrize(("fan_in", "count"), [(32, 31), (32, 32), (32, 33), (32, 70), (2, 40), (3, 40)])
def test_more_runs_than_one_pass_merges(
    fan_in: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with no memory at all every page is a run of its own; small fan-ins merge what is merged already again
    assert sorting._FAN_IN == 32
    monkeypatch.setattr(sorting, "_FAN_IN", fan_in)
    pages = [page(b"%06d" % (number * 7919 % count), b"x%06d" % number) for number in range(count)]
    result = gathered(sorted_pages(stream(pages), memory=0, directory=str(tmp_path)))
    assert keys_of(result) == sorted(keys_of(pages))
    assert files_below(tmp_path) == []


def test_runs_are_files_while_the_sort_goes_on(tmp_path: Path) -> None:
    async def work() -> int:
        pages = sorted_pages(stream([page(b"b"), page(b"a"), page(b"c")]), memory=0, directory=str(tmp_path))
        assert (await anext(pages)).num_rows
        open_files = len(files_below(tmp_path))
        await pages.aclose()  # type: ignore[attr-defined]
        return open_files

    assert run(work()) == 3
    assert files_below(tmp_path) == []


def test_an_error_of_the_listing_comes_through_and_leaves_no_file(tmp_path: Path) -> None:
    async def failing() -> AsyncIterator[pa.RecordBatch]:
        yield page(b"b")
        yield page(b"a")
        raise ListingError("broken off")

    with pytest.raises(ListingError, match="broken off"):
        gathered(sorted_pages(failing(), memory=0, directory=str(tmp_path)))
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_pages_stay_small(memory: int) -> None:
    count = 30_000
    keys = [b"%08d" % (number * 7919 % count) for number in range(count)]
    pages = [page(*keys[start : start + PAGE_ROWS]) for start in range(0, count, PAGE_ROWS)]
    result = gathered(sorted_pages(stream(pages), memory=memory))
    assert keys_of(result) == sorted(keys)
    assert max(batch.num_rows for batch in result) <= 8192 * len(pages)
    assert len(result) > 1


@pytest.mark.parametrize("fan_in", [2, 32])
def test_runs_of_several_batches(fan_in: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_FAN_IN", fan_in)
    count, pages = 20_000, 4
    keys = [b"%08d" % (number * 7919 % (count * pages)) for number in range(count * pages)]
    # each page a run of three batches; the runs overlap, and one lies behind all others
    runs = [page(*keys[start : start + count]) for start in range(0, len(keys), count)]
    runs.insert(1, page(*(b"z%08d" % number for number in range(count))))
    result = gathered(sorted_pages(stream(runs), memory=0))
    assert keys_of(result) == sorted(keys_of(runs))


def test_equal_keys_stand_together_across_runs() -> None:
    pages = [page({"key": b"k", "size": number}, {"key": b"%d" % number}) for number in range(40)]
    result = gathered(sorted_pages(stream(pages), memory=0))
    assert keys_of(result) == sorted(keys_of(pages))
    assert sorted(row["size"] for row in rows_of(result) if row["key"] == b"k") == list(range(40))


def test_nothing_sorts_to_nothing() -> None:
    assert gathered(sorted_pages(stream([]), memory=0)) == []
    assert gathered(sorted_pages(stream([page(), page()]), memory=0)) == []


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"--spill-dir .* cannot be written: No such file"):
        gathered(sorted_pages(stream([page(b"a")]), memory=0, directory=os.fspath(tmp_path / "missing")))
