"""The names of a very large directory are what they were, in order, also after a pickle."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.storage import scan
from fsync.storage.names import PackedNames, merged
from fsync.storage.scan import Scan

_names = st.lists(st.binary(min_size=1, max_size=12), unique=True)


@given(_names, st.integers(0, 20), st.integers(0, 20))
def test_a_packed_sequence_is_the_list(names: list[bytes], first: int, last: int) -> None:
    packed = PackedNames(names)
    assert len(packed) == len(names)
    assert list(packed) == names
    assert [packed[position] for position in range(len(names))] == names
    assert packed[first:last] == names[first:last]
    assert list(pickle.loads(pickle.dumps(packed))) == names


def test_beyond_the_end_is_an_error() -> None:
    packed = PackedNames([b"a"])
    assert packed[-1] == b"a"
    with pytest.raises(IndexError):
        packed[1]


@given(st.lists(_names, max_size=5))
def test_runs_are_merged_in_order(runs: list[list[bytes]]) -> None:
    whole = [name for run in runs for name in run]
    assert list(merged([PackedNames(sorted(run)) for run in runs])) == sorted(whole)


@pytest.mark.parametrize("files", [1, 5, 6, 7, 8, 12, 13])
def test_a_directory_that_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    hidden = f".x.fsync-{'0' * 16}.partial"
    for number in range(files):
        (tmp_path / f"f{number * 7 % 13:02}").touch()
    (tmp_path / "f05-d").mkdir()
    (tmp_path / "f05-d" / "x").touch()
    (tmp_path / "l").symlink_to("f00")
    # invisible names fill pieces without being in them
    (tmp_path / hidden).touch()
    whole = _keys(tmp_path)
    monkeypatch.setattr(scan, "MANY", 3)
    assert _keys(tmp_path) == whole
    assert len(whole) == files + 3
    assert whole == sorted(whole)


def _keys(directory: Path) -> list[bytes]:
    listing = Scan(os.fsencode(f"{directory}/"), str(directory), follow=True, prunes=None, page_rows=4)
    keys: list[bytes] = []
    while (rows := listing.more()) is not None:
        keys += rows.keys
    assert listing.partials == 1
    return keys
