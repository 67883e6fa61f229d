"""How far a server's clock is ahead, from dates cut to seconds."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.storage.clock import ClockSkew


def date(moment: float) -> str:
    return formatdate(int(moment // 1), usegmt=True)


def test_without_an_answer_nothing_is_known() -> None:
    assert ClockSkew().bounds() == (0.0, 0.0)


@pytest.mark.parametrize("text", [None, "", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "12"])
def test_what_is_no_date_tells_nothing(text: str | None) -> None:
    skew = ClockSkew()
    skew.note(text, skew.now())
    assert skew.bounds() == (0.0, 0.0)


@given(st.floats(-10_000, 10_000), st.lists(st.floats(0, 30), min_size=1, max_size=6))
def test_the_truth_lies_within_the_bounds(ahead: float, took: list[float]) -> None:
    skew = ClockSkew()
    width = float("inf")
    for seconds in took:
        received = time.time()
        # stamped at some moment between the request and the answer
        skew.note(date(received - seconds / 2 + ahead), received - seconds)
        least, most = skew.bounds()
        assert least <= ahead + 0.1
        assert most >= ahead - 0.1
        assert most - least <= width + 1e-6
        width = most - least
    assert width <= 1 + min(took) + 1


def test_answers_narrow_the_bounds() -> None:
    skew = ClockSkew()
    moment = 10.0 + int(time.time())
    skew.note(date(moment), time.time() - 20)
    wide = skew.bounds()
    skew.note(date(moment), time.time())
    narrow = skew.bounds()
    assert wide[0] <= narrow[0] <= narrow[1] < wide[1]
    assert narrow[1] - narrow[0] <= 1.1


def test_a_clock_that_was_set_counts_anew() -> None:
    skew = ClockSkew()
    skew.note(date(time.time()), time.time())
    skew.note(date(time.time() + 3600), time.time())
    least, most = skew.bounds()
    assert 3598 < least <= 3600
    assert 3599 <= most <= 3601


@given(st.integers(-500, 500))
def test_other_zones_are_the_same_moment(offset: int) -> None:
    skew, other = ClockSkew(), ClockSkew()
    sent = float(int(time.time()))
    skew.note(formatdate(sent, usegmt=True), sent)
    sign, minutes = ("-" if offset < 0 else "+"), abs(offset)
    local = time.strftime("%a, %d %b %Y %H:%M:%S ", time.gmtime(sent + offset * 60))
    other.note(f"{local}{sign}{minutes // 60:02}{minutes % 60:02}", sent)
    assert other.bounds()[1] == skew.bounds()[1]
