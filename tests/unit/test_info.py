"""The info dicts of the packages, read into rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.schema import Kind
from fsync.storage.info import mtime_of, nanoseconds, row_of

#: 2024-02-29 12:34:56 UTC
_SECONDS = 1_709_210_096
_NS = _SECONDS * 1_000_000_000

FORMS: list[tuple[Any, int | None]] = [
    # datetime: aware, of another zone, naive (UTC), with microseconds, before 1970
    (datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC), _NS),
    (datetime(2024, 2, 29, 13, 34, 56, tzinfo=timezone(timedelta(hours=1))), _NS),
    (datetime(2024, 2, 29, 12, 34, 56), _NS),  # noqa: DTZ001 - naive on purpose
    (datetime(2024, 2, 29, 12, 34, 56, 789_012, tzinfo=UTC), _NS + 789_012_000),
    (datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), -500_000_000),
    # seconds as float and int, milliseconds as int
    (float(_SECONDS), _NS),
    (_SECONDS + 0.25, _NS + 250_000_000),
    (-0.5, -500_000_000),
    (_SECONDS, _NS),
    (0, 0),
    (-1, -1_000_000_000),
    (_SECONDS * 1000, _NS),
    (_SECONDS * 1000 + 789, _NS + 789_000_000),
    # ISO 8601
    ("2024-02-29T12:34:56Z", _NS),
    ("2024-02-29T12:34:56.789Z", _NS + 789_000_000),
    ("2024-02-29T12:34:56.789012+00:00", _NS + 789_012_000),
    ("2024-02-29T14:04:56+01:30", _NS),
    ("2024-02-29 12:34:56", _NS),
    # RFC 1123
    ("Thu, 29 Feb 2024 12:34:56 GMT", _NS),
    ("Thu, 29 Feb 2024 13:34:56 +0100", _NS),
    ("Thu, 29 Feb 2024 12:34:56 -0000", _NS),
    # MLSD of FTP
    ("20240229123456", _NS),
    # nothing known
    ("", None),
    ("soon", None),
    ("99999999999999", None),
    (True, None),
    (None, None),
    (b"2024-02-29T12:34:56Z", None),
    ([], None),
]


@pytest.mark.parametrize(("form", "wanted"), FORMS, ids=repr)
def test_forms_of_times(form: Any, wanted: int | None) -> None:
    assert nanoseconds(form) == wanted


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_microseconds_are_exact(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    wanted = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert nanoseconds(aware) == wanted
    assert nanoseconds(aware.isoformat()) == wanted
    assert nanoseconds(moment) == wanted


@pytest.mark.parametrize("form", [float("nan"), float("inf"), "9999-12-31T23:59:59Z", 10**30])
def test_times_beyond_a_page_are_unknown(form: Any) -> None:
    assert nanoseconds(form) is None


@pytest.mark.parametrize(
    "name",
    ["mtime", "LastModified", "last_modified", "Last-Modified", "modified", "updated", "modify", "modification_time",
     "modificationTime", "created"],
)  # fmt: skip
def test_the_names_of_the_time(name: str) -> None:
    assert mtime_of({"name": "x", name: _SECONDS}) == _NS


def test_the_modification_time_goes_before_the_creation_time() -> None:
    assert mtime_of({"created": 1, "mtime": 2}) == 2_000_000_000
    assert mtime_of({"created": 1, "mtime": None}) == 1_000_000_000
    assert mtime_of({"created": 1, "LastModified": datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)}) == 3_000_000_000
    assert mtime_of({"name": "x", "size": 1}) is None


@pytest.mark.parametrize(
    ("info", "row"),
    [
        ({"type": "file", "size": 5, "mtime": 1}, (Kind.FILE, 5, 10**9, None)),
        ({"type": "file", "size": "5", "ETag": '"e"'}, (Kind.FILE, 5, None, '"e"')),
        ({"type": "file", "size": None, "etag": "e"}, (Kind.FILE, None, None, "e")),
        ({"type": "file"}, (Kind.FILE, None, None, None)),
        ({"type": "directory", "size": 4096}, (Kind.DIRECTORY, 0, None, None)),
        ({"type": "directory", "size": None}, (Kind.DIRECTORY, 0, None, None)),
        ({"type": "link", "size": 3}, (Kind.LINK, 3, None, None)),
        ({"type": "other", "size": 0}, (Kind.OTHER, 0, None, None)),
        ({"size": 0}, (Kind.OTHER, 0, None, None)),
    ],
)
def test_rows(info: dict[str, Any], row: tuple[Any, ...]) -> None:
    found = row_of(info)
    assert (found["kind"], found["size"], found["mtime"], found["etag"]) == row
