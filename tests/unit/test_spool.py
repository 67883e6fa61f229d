"""Batches set aside, in memory and in a file."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.errors import FatalError
from fsync.spool import Spool

_SCHEMA = pa.schema([("n", pa.int64())])


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": list(numbers)}, _SCHEMA)


def numbers(spool: Spool) -> list[int]:
    return [number for held in spool for number in held.column("n").to_pylist()]


def files_below(directory: Path) -> list[str]:
    """Return what this process has open below a directory, unnamed files too."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=12), st.sampled_from([0, 40, 1 << 20]))
def test_what_goes_in_comes_out_as_often_as_asked(batches: list[list[int]], memory: int) -> None:
    with Spool(_SCHEMA, memory=memory) as spool:
        for values in batches:
            spool.append(batch(*values))
        wanted = [number for values in batches for number in values]
        assert spool.rows == len(wanted)
        for _ in range(3):
            assert numbers(spool) == wanted


def test_little_stays_in_memory(tmp_path: Path) -> None:
    with Spool(_SCHEMA, directory=str(tmp_path), memory=100) as spool:
        spool.append(batch(1, 2, 3))
        assert numbers(spool) == [1, 2, 3]
        assert files_below(tmp_path) == []


def test_much_goes_to_an_unnamed_file_that_goes_with_the_spool(tmp_path: Path) -> None:
    with Spool(_SCHEMA, directory=str(tmp_path), memory=100) as spool:
        for start in range(0, 100, 10):
            spool.append(batch(*range(start, start + 10)))
        assert len(files_below(tmp_path)) == 1
        assert list(tmp_path.iterdir()) == []
        assert numbers(spool) == list(range(100))
    assert files_below(tmp_path) == []


def test_a_spool_that_is_forgotten_lets_go_of_its_file(tmp_path: Path) -> None:
    spool = Spool(_SCHEMA, directory=str(tmp_path), memory=0)
    spool.append(batch(1))
    assert len(files_below(tmp_path)) == 1
    del spool
    assert files_below(tmp_path) == []


def test_many_small_batches_are_joined() -> None:
    with Spool(_SCHEMA) as spool:
        for number in range(1000):
            spool.append(batch(number))
        assert numbers(spool) == list(range(1000))
        assert len(list(spool)) < 300


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_batches_are_handed_out_in_groups(memory: int) -> None:
    with Spool(_SCHEMA, memory=memory) as spool:
        assert list(spool.grouped(3)) == []
        for start, count in ((0, 2), (2, 2), (4, 5), (9, 1)):
            spool.append(batch(*range(start, start + count)))
        assert [group.column("n").to_pylist() for group in spool.grouped(3)] == [[0, 1, 2, 3], [4, 5, 6, 7, 8], [9]]


def test_batches_without_rows_are_dropped() -> None:
    with Spool(_SCHEMA, memory=0) as spool:
        spool.append(batch())
        assert (spool.rows, list(spool)) == (0, [])
        spool.append(batch(1))
        assert numbers(spool) == [1]


def test_an_abandoned_iteration_does_not_disturb_the_next() -> None:
    with Spool(_SCHEMA, memory=0) as spool:
        for number in range(5):
            spool.append(batch(number))
        first = iter(spool)
        next(first)
        next(first)
        assert numbers(spool) == [0, 1, 2, 3, 4]


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    spool = Spool(_SCHEMA, directory=str(tmp_path), memory=0)
    spool.append(batch(1))
    spool.close()
    spool.close()
    assert files_below(tmp_path) == []


def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    spool = Spool(_SCHEMA, directory=str(tmp_path / "missing"), memory=0)
    with pytest.raises(FatalError, match=f"--spill-dir {tmp_path}/missing cannot be written: No such file"):
        spool.append(batch(1))


def test_a_disk_that_is_full_ends_the_run(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = Spool(_SCHEMA, directory=str(tmp_path), memory=0)
    spool.append(batch(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(FatalError, match=f"stopped: --spill-dir {tmp_path} cannot be written: File too large"):
            spool.append(batch(*range(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_two_iterations_at_once() -> None:
    with Spool(_SCHEMA, memory=0) as spool:
        for number in range(4):
            spool.append(batch(number))
        assert [numbers(spool) for _ in spool] == [[0, 1, 2, 3]] * 4


@pytest.mark.parametrize("memory", [0, 20])
def test_appending_after_an_iteration(memory: int) -> None:
    with Spool(_SCHEMA, memory=memory) as spool:
        spool.append(batch(1, 2, 3))
        assert numbers(spool) == [1, 2, 3]
        spool.append(batch(4))
        assert numbers(spool) == [1, 2, 3, 4]
