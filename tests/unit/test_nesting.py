"""What may be written at once where a server loses one of ``a`` and ``a/b``."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from fsync.nesting import Nesting, runs

_keys = st.lists(st.text(alphabet="ab-/", min_size=1, max_size=6).map(str.encode), max_size=12)


def related(one: bytes, other: bytes) -> bool:
    return one == other or one.startswith(other + b"/") or other.startswith(one + b"/")


@given(_keys)
def test_runs_are_as_long_as_they_may_be(keys: list[bytes]) -> None:
    found = [keys[run] for run in runs(keys)]
    assert [key for run in found for key in run] == keys
    for run in found:
        assert not any(related(*pair) for pair in combinations(run, 2))
    for run, after in pairwise(found):
        assert any(related(key, after[0]) for key in run)


@given(st.lists(_keys, max_size=6), st.data())
def test_nothing_under_way_is_below_another(batches: list[list[bytes]], data: st.DataObject) -> None:
    nesting, under_way = Nesting(), list[list[bytes]]()
    for batch in batches:
        while batch:
            taken = batch[: nesting.take(batch)]
            batch = batch[len(taken) :]
            if taken:
                under_way.append(taken)
            else:
                assert any(related(batch[0], key) for held in under_way for key in held)
            everything = [key for held in under_way for key in held]
            assert not any(related(*pair) for pair in combinations(everything, 2))
            if not taken or data.draw(st.booleans()):
                nesting.leave(under_way.pop(data.draw(st.integers(0, len(under_way) - 1))))
    for held in under_way:
        nesting.leave(held)
    assert nesting.take([b"a"]) == 1
