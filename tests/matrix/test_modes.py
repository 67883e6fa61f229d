"""The other comparisons, pair by pair: what each of them sees, and what it leaves alone."""

from __future__ import annotations

import time

import pytest

from tests.matrix.pair import Pair
from tests.matrix.sides import PAIRS, Places, Side
from tests.strategies import Touch

#: more than what goes in one request
_LARGE = bytes(range(256)) * 4096 * 9
_TREE = {b"a": b"123", b"d/b c": b"4567", b"d/\xc3\xa9": b""}

each_pair = pytest.mark.parametrize(("source", "destination"), PAIRS, ids=map("-".join, PAIRS))


def _tick(*sides: Side) -> None:
    """Wait until whatever is written next has a later time."""
    time.sleep(max(side.tick for side in sides) / 1e9 + 0.02)


@each_pair
def test_size_only_force_update_and_update(source: str, destination: str, places: Places) -> None:
    src, dst = places(source, destination)
    pair = Pair(src, dst)
    src.fill(_TREE)
    assert pair.sync().copied == 3

    src.write(b"a", b"321")
    src.write(b"d/b c", b"89012")
    assert pair.planned(size_only=True) == {b"d/b c": "update"}
    result = pair.sync(size_only=True)
    assert (result.copied, result.updated, result.reasons) == (0, 1, {"size": 1})
    assert dst.read_all() == {**_TREE, b"d/b c": b"89012"}
    assert pair.planned(size_only=True) == {}

    result = pair.sync(force_update=True)
    assert (result.copied, result.updated, result.failed, result.reasons) == (0, 3, 0, {"forced": 3})
    assert dst.read_all() == {**_TREE, b"a": b"321", b"d/b c": b"89012"}

    _tick(src, dst)
    dst.write(b"a", b"newer here")
    _tick(src, dst)
    src.write(b"d/b c", b"newer there")
    src.write(b"new", b"n")
    assert pair.planned(update=True) == {b"d/b c": "update", b"new": "copy"}
    result = pair.sync(update=True)
    assert (result.copied, result.updated, result.failed) == (1, 1, 0)
    assert dst.read_all() == {**_TREE, b"a": b"newer here", b"d/b c": b"newer there", b"new": b"n"}
    assert pair.planned(update=True) == {}


@each_pair
def test_checksum_sees_what_times_do_not_tell(source: str, destination: str, places: Places) -> None:
    src, dst = places(source, destination)
    pair, tree = Pair(src, dst), {**_TREE, b"large": _LARGE}
    src.fill(tree)
    assert pair.sync().copied == 4
    assert pair.planned(checksum=True) == {}

    # somebody else writes as many bytes at the destination, and sets the time back where that can be done
    times = dst.mtimes()
    for key in (b"a", b"large"):
        dst.write(key, tree[key][:-1] + b"?")
        if dst.sets_mtime:
            dst.edit(Touch(key, times[key]))
    result = pair.sync(checksum=True)
    assert (result.copied, result.updated, result.failed, result.reasons) == (0, 2, 0, {"digest": 2})
    assert dst.read_all() == tree

    # a new time alone is no difference
    src.edit(Touch(b"a", 10**18))
    assert pair.planned(checksum=True) == {}
