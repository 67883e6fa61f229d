"""Ranges of keys: what is inside, what can be left unlisted, and where a listing may begin."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.keyrange import EVERY_KEY, KeyRange

_KEYS = st.text(st.sampled_from("ab/!~\u00e9\ue000\U0010ffff"), max_size=5).map(str.encode) | st.binary(max_size=4)
_RANGES = st.builds(
    KeyRange,
    st.none() | _KEYS.filter(bool),
    st.none() | _KEYS.filter(bool),
    st.just(b"") | _KEYS.map(lambda key: key + b"/"),
)


@given(_RANGES, st.lists(_KEYS, max_size=8))
def test_many_keys_are_judged_like_one(within: KeyRange, keys: list[bytes]) -> None:
    assert within.mask(pa.array(keys, pa.binary())).to_pylist() == [within.holds(key) for key in keys]
    assert not any(within.holds(key) for key in keys if within.is_past(key))


@given(_RANGES, _KEYS, _KEYS)
def test_what_is_missed_holds_nothing(within: KeyRange, prefix: bytes, rest: bytes) -> None:
    if within.misses(prefix):
        assert not within.holds(prefix + rest)
    if not within.reaches(prefix):
        assert not within.holds(prefix)
        assert not within.holds(prefix + b"/" + rest)


@given(_KEYS.filter(bool))
def test_the_key_just_before_comes_before(start: bytes) -> None:
    before = KeyRange(start).just_before
    assert before is None or before < start
    assert before is None or before.decode()


@pytest.mark.parametrize(
    ("start", "before"),
    [(b"m", "l\U0010fffd"), (b"dir/m", "dir/l\U0010fffd"), (b"a!", "a"), (b"!", None),
     ("\ue000".encode(), "\ud7ff\U0010fffd"),
     (b"ab\xff", "ab"), (b"\xff", None), (None, None)],
)  # fmt: skip
def test_a_listing_may_begin_close_to_the_start(start: bytes | None, before: str | None) -> None:
    found = KeyRange(start).just_before
    assert (found.decode() if found else None) == before


def test_only_a_range_with_a_bound_counts() -> None:
    assert not EVERY_KEY
    assert not EVERY_KEY.misses(b"a")
    assert all([KeyRange(start=b"a"), KeyRange(end=b"a"), KeyRange(under=b"a/")])
    assert KeyRange(b"b", b"c").below(b"d/") == KeyRange(b"b", b"c", b"d/")
