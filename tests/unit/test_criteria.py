"""Size, age and time rules over rows."""

from __future__ import annotations

import pytest

from fsync.criteria import EVERYTHING, Criteria, criteria_for
from fsync.options import options_from
from fsync.schema import Kind
from tests.unit.pages import page

_ROWS = page(
    {"key": b"0", "size": 0, "mtime": 10},
    {"key": b"5", "size": 5, "mtime": 20},
    {"key": b"9", "size": 9, "mtime": 30},
    {"key": b"?", "size": None, "mtime": None},
    {"key": b"d/", "size": 0, "mtime": None, "kind": Kind.DIRECTORY},
    {"key": b"l", "size": 3, "mtime": 99, "kind": Kind.LINK},
)


@pytest.mark.parametrize(
    ("criteria", "wanted"),
    [
        (EVERYTHING, "059?"),
        (Criteria(min_size=5), "59"),
        (Criteria(max_size=5), "05"),
        (Criteria(max_size=0), "0"),
        (Criteria(min_size=5, max_size=5), "5"),
        (Criteria(after=10), "59"),
        (Criteria(before=30), "05"),
        (Criteria(after=10, before=30), "5"),
        (Criteria(min_size=9, before=30), ""),
    ],
)
def test_which_files_are_wanted(criteria: Criteria, wanted: str) -> None:
    kept = _ROWS.filter(criteria.wanted(_ROWS)).column("key").to_pylist()
    assert kept == [*(name.encode() for name in wanted), b"d/", b"l"]


def test_what_the_rules_need_and_the_listing_lacks() -> None:
    def lacking(criteria: Criteria) -> list[bytes]:
        return _ROWS.filter(criteria.unknown(_ROWS)).column("key").to_pylist()

    assert lacking(EVERYTHING) == []
    assert lacking(Criteria(min_size=1)) == [b"?"]
    assert lacking(Criteria(after=1)) == [b"?"]


def test_ages_count_back_from_one_moment_and_meet_the_dates() -> None:
    now = 1_000 * 10**9
    options = options_from({"max_age": 100, "min_age": "10s", "min_size": "1K", "max_size": 2048}, verb="sync")
    assert criteria_for(options, now) == Criteria(1024, 2048, 900 * 10**9, 990 * 10**9)
    options = options_from({"max_age": 100, "start_time": 950, "min_age": 10, "end_time": 960}, verb="sync")
    assert criteria_for(options, now) == Criteria(None, None, 950 * 10**9, 960 * 10**9)
    assert not criteria_for(options_from({}, verb="sync"), now)


def test_an_age_beyond_all_times_is_no_bound_that_overflows() -> None:
    criteria = criteria_for(options_from({"max_age": "1000000w"}, verb="sync"), 10**18)
    kept = _ROWS.filter(criteria.wanted(_ROWS)).column("key").to_pylist()
    assert kept == [b"0", b"5", b"9", b"d/", b"l"]
