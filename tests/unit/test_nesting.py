"""What may be written at once where a server loses one of ``a`` and ``a/b``."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from fsync.nesting import Nesting, rounds

_keys = st.lists(st.text(alphabet="ab-/", max_size=6).map(str.encode), max_size=12)


def related(one: bytes, other: bytes) -> bool:
    return one == other or one.startswith(other + b"/") or other.startswith(one + b"/")


@given(_keys)
def test_rounds_are_as_large_as_they_may_be(keys: list[bytes]) -> None:
    found = list(rounds(keys))
    assert sorted(position for taken in found for position in taken) == list(range(len(keys)))
    for taken in found:
        assert not any(related(keys[one], keys[other]) for one, other in combinations(taken, 2))
    for taken, after in pairwise(found):
        assert all(any(related(keys[position], keys[other]) for other in taken) for position in after)


@given(st.lists(_keys, max_size=6), st.data())
def test_nothing_under_way_is_below_another(batches: list[list[bytes]], data: st.DataObject) -> None:
    nesting, under_way = Nesting(), list[list[bytes]]()
    for batch in batches:
        while batch:
            positions = nesting.take(batch)
            taken = [batch[position] for position in positions]
            batch = [key for position, key in enumerate(batch) if position not in positions]
            if taken:
                under_way.append(taken)
            everything = [key for held in under_way for key in held]
            assert not any(related(*pair) for pair in combinations(everything, 2))
            assert all(any(related(key, other) for other in everything) for key in batch)
            if not taken or data.draw(st.booleans()):
                nesting.leave(under_way.pop(data.draw(st.integers(0, len(under_way) - 1))))
    for held in under_way:
        nesting.leave(held)
    assert nesting.take([b"a", b"a/b", b"c", b"a"]) == [0, 2]
