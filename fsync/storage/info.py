"""One fsspec ``info`` dict turned into page columns: the vocabularies of the packages, read in one place.

Which key holds the time, and in which form, differs by package: datetime, seconds, milliseconds, ISO 8601, RFC 1123 or
``YYYYMMDDhhmmss``; see the facts collected per family in ``docs/architecture.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fsync.schema import Kind

_TIME_FIELDS = (
    "mtime", "LastModified", "last_modified", "Last-Modified", "modified", "updated", "modify", "modification_time",
    "modificationTime", "created",
)  # fmt: skip

_KINDS = {"file": Kind.FILE, "directory": Kind.DIRECTORY, "link": Kind.LINK}


def row_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Turn one ``info`` dict into the values of a page row, without its key."""
    kind = _KINDS.get(info.get("type", ""), Kind.OTHER)
    size = info.get("size")
    return {
        "kind": int(kind),
        "size": 0 if kind is Kind.DIRECTORY else None if size is None else int(size),
        "mtime": mtime_of(info),
        "etag": info.get("ETag") or info.get("etag"),
    }


def mtime_of(info: Mapping[str, Any]) -> int | None:
    """Return the modification time of an ``info`` dict in nanoseconds since 1970, None if it tells none."""
    for name in _TIME_FIELDS:
        if info.get(name) is not None:
            return nanoseconds(info[name])
    return None


def nanoseconds(value: Any) -> int | None:
    """Return a time as nanoseconds since 1970, None for a form that is not known or a time beyond 64 bits of them.

    Naive datetimes are UTC; numbers are seconds, whole ones from 10^11 up milliseconds.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        found = int(aware.replace(microsecond=0).timestamp()) * 1_000_000_000 + aware.microsecond * 1000
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    elif isinstance(value, int):
        found = value * (1_000_000 if abs(value) >= 10**11 else 1_000_000_000)
    else:
        found = round(value * 1e6) * 1000
    return found if abs(found) < 2**63 else None


def _parsed(text: str) -> datetime | None:
    try:
        if text.isdigit() and len(text) == 14:
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return datetime.fromisoformat(text)
    except ValueError:
        # a package that most storages have no use for
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
