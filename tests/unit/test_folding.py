"""Which names extras and planned keys share once they are folded, however many there are."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync import folding
from fsync.folding import among, folded, shared_names
from fsync.schema import KEYS
from fsync.spool import Spool
from tests.strategies import folded as folded_alone

_keys = st.lists(st.one_of(st.text("aAbB/éÉ", max_size=3).map(str.encode), st.binary(max_size=3)), max_size=12)


def spooled(keys: list[bytes]) -> Spool:
    """Return keys as a spool of batches of three."""
    spool = Spool(KEYS)
    for start in range(0, len(keys), 3):
        spool.append(pa.RecordBatch.from_arrays([pa.array(keys[start : start + 3], pa.binary())], schema=KEYS))
    return spool


@given(_keys, _keys, st.integers(1, 5))
def test_what_is_shared_is_found(extras: list[bytes], planned: list[bytes], group: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "_WANTED", group)
        patch.setattr(folding, "_AT_ONCE", group)
        shared = shared_names(spooled(extras), spooled(planned), spill_dir=None)
        found = among(pa.array(extras, pa.binary()), shared).to_pylist()
    written = {_fold(key) for key in planned}
    assert found == [_fold(key) in written for key in extras]


def _fold(key: bytes) -> str:
    alone: str = folded(pa.array([key], pa.binary()))[0].as_py()
    return alone


@given(st.text("aAbBéÉ/", max_size=6))
def test_a_name_is_folded_as_python_folds_it(text: str) -> None:
    assert _fold(text.encode()) == folded_alone(text.encode())


def test_names_that_are_not_utf8_are_folded_too() -> None:
    assert folded(pa.array([b"A\xff", b"a\xff"], pa.binary())).to_pylist() == ["a\\xff", "a\\xff"]


def test_little_memory_is_taken_where_nothing_is_shared() -> None:
    bits = folding._Bits(1000)
    bits.add(f"planned-{number}" for number in range(1000))
    assert all(bits.may_hold(f"planned-{number}" for number in range(1000)))
    assert sum(bits.may_hold(f"extra-{number}" for number in range(10_000))) < 500
