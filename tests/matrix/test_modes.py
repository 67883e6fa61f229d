"""The other comparisons, pair by pair: what each of them sees, and what it leaves alone."""

from __future__ import annotations

import time

import pytest

from tests.matrix.pair import Pair
from tests.matrix.sides import PAIRS, Places, Side
from tests.strategies import Touch

#: more than what goes in one request
_LARGE = bytes(range(256)) * 4096 * 9
_TREE = {b"a": b"123", b"d/b c": b"4567", b"d/\xc3\xa9": b"", b"large": _LARGE}

each_pair = pytest.mark.parametrize(("source", "destination"), PAIRS, ids=map("-".join, PAIRS))


def _pair(places: Places, source: str, destination: str) -> Pair:
    src, dst = places(source, destination)
    src.fill(_TREE)
    pair = Pair(src, dst)
    pair.check_sync(_TREE)
    return pair


def _tick(*sides: Side) -> None:
    """Wait until whatever is written next has a later time."""
    time.sleep(max(side.tick for side in sides) / 1e9 + 0.02)


@each_pair
def test_size_only_and_force_update(source: str, destination: str, places: Places) -> None:
    pair = _pair(places, source, destination)
    pair.src.write(b"a", b"321")
    pair.src.write(b"d/b c", b"89012")
    assert pair.planned(size_only=True) == {b"d/b c": "update"}
    result = pair.sync(size_only=True)
    assert (result.copied, result.updated, result.reasons) == (0, 1, {"size": 1})
    assert pair.dst.read_all() == {**_TREE, b"d/b c": b"89012"}
    assert pair.planned(size_only=True) == {}
    assert pair.planned() == {b"a": "update"}

    result = pair.sync(force_update=True)
    assert (result.copied, result.updated, result.failed, result.reasons) == (0, 4, 0, {"forced": 4})
    assert pair.dst.read_all() == {**_TREE, b"a": b"321", b"d/b c": b"89012"}
    assert pair.planned() == {}


@each_pair
def test_checksum_sees_what_times_do_not_tell(source: str, destination: str, places: Places) -> None:
    pair = _pair(places, source, destination)
    assert pair.planned(checksum=True) == {}
    # somebody else writes the same number of bytes at the destination, large ones and small ones
    other = _LARGE[:-1] + b"?"
    _tick(pair.src, pair.dst)
    times = pair.dst.mtimes()
    for key, data in ((b"a", b"xyz"), (b"large", other)):
        pair.dst.write(key, data)
        if pair.dst.sets_mtime:
            pair.dst.edit(Touch(key, times[key]))
    result = pair.sync(checksum=True)
    assert (result.copied, result.updated, result.failed, result.reasons) == (0, 2, 0, {"digest": 2})
    assert pair.dst.read_all() == _TREE
    assert pair.planned(checksum=True) == {}
    assert pair.planned() == {}
    # a new time alone is no difference
    pair.src.edit(Touch(b"a", 10**18))
    assert pair.planned(checksum=True) == {}


@each_pair
def test_update_leaves_what_is_newer(source: str, destination: str, places: Places) -> None:
    pair = _pair(places, source, destination)
    _tick(pair.src, pair.dst)
    pair.dst.write(b"a", b"newer here")
    _tick(pair.src, pair.dst)
    pair.src.write(b"d/b c", b"newer there")
    pair.src.write(b"new", b"n")
    assert pair.planned(update=True) == {b"d/b c": "update", b"new": "copy"}
    result = pair.sync(update=True)
    assert (result.copied, result.updated, result.failed) == (1, 1, 0)
    assert pair.dst.read_all() == {**_TREE, b"a": b"newer here", b"d/b c": b"newer there", b"new": b"n"}
    assert pair.planned(update=True) == {}
    assert pair.planned() == {b"a": "update"}
