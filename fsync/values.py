"""The values that options take: one parser a kind, for text from a shell and for values from Python alike.

A parser returns the checked value, or raises ValueError with words that follow the option's name: "is a whole number".
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

Rule = tuple[str, str]
Parse = Callable[[Any], Any]

_SUFFIX = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([BKMGTPE]?)(?:i?B)?", re.IGNORECASE)


def flag(value: Any) -> bool:
    """Accept True or False only."""
    if isinstance(value, bool):
        return value
    raise ValueError("is True or False")


def one_of(*words: str) -> Parse:
    """Return a parser of a closed set of words."""

    def parse(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ValueError(f"is {', '.join(words[:-1])} or {words[-1]}")

    return parse


def size(value: Any) -> int:
    """Accept bytes as a number, or text with a 1024-based suffix ``B K M G T P E`` (``256M``, ``1.5g``)."""
    if isinstance(value, bool):
        raise ValueError("is a size such as 256M")
    if isinstance(value, int):
        number = value
    else:
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            raise ValueError("is a size such as 4096, 64K or 1.5G")
        number = int(float(match[1]) * _SUFFIX[match[2].upper()])
    if number < 0:
        raise ValueError("is a size of 0 or more")
    return number


def megabits(value: Any) -> float:
    """Accept a rate in Mbit/s, as a number or with a 1000-based suffix ``M G T P``."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([MGTP]?)", str(value).strip(), re.IGNORECASE)
    if match is None or isinstance(value, bool):
        raise ValueError("is a rate in Mbit/s such as 100, 2.5 or 10G")
    return float(match[1]) * 1000.0 ** "MGTP".index(match[2].upper() or "M")


def memory_size(value: Any) -> int:
    """Accept a size of at least 16 MiB: less than that cannot hold two parts of a large object."""
    number = size(value)
    if number < 16 << 20:
        raise ValueError("is at least 16M")
    return number


def whole(least: int) -> Parse:
    """Return a parser of whole numbers from ``least`` up."""

    def parse(value: Any) -> int:
        try:
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            number = int(value)
        except (TypeError, ValueError):
            raise ValueError("is a whole number") from None
        if number < least:
            raise ValueError(f"is {least} or more")
        return number

    return parse


def seconds(value: Any) -> float:
    """Accept a positive number of seconds."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("is a number of seconds above 0")
    return number


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_AMOUNT = rf"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})"


def duration(value: Any) -> int:
    """Accept seconds as a number, ``1d12h``, ``90m``, ``2w``, or a timedelta; return nanoseconds."""
    wrong = ValueError("is a number of seconds or a duration such as 90m, 1d12h or 2w")
    if isinstance(value, bool):
        raise wrong
    if isinstance(value, timedelta):
        found = value // timedelta(microseconds=1) * 1000
    else:
        text = str(value).strip()
        if re.fullmatch(rf"(?:{_AMOUNT})+", text):
            found = int(sum(Decimal(number) * _UNITS[unit] for number, unit in re.findall(_AMOUNT, text)))
        elif re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
            found = int(Decimal(text) * 10**9)
        else:
            raise wrong
    if found < 0:
        raise wrong
    return found


_LAYOUTS = (
    *("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S.%f %z", "%Y-%m-%d %H:%M %z"),
    *("%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d", "%Y.%m.%d %H:%M", "%Y.%m.%d %H:%M:%S"),
    *("%Y", "%Y-%m", "%Y/%m", "%Y%m%d%H%M%S", "%Y%m%d%H%M"),
    *("%d %b %Y", "%d %b %Y %H:%M", "%d %b %Y %H:%M:%S", "%d %B %Y", "%d %B %Y %H:%M", "%d %B %Y %H:%M:%S"),
    *("%b %d %Y", "%b %d %Y %H:%M", "%b %d %Y %H:%M:%S", "%B %d %Y", "%B %d %Y %H:%M", "%B %d %Y %H:%M:%S"),
    *("%a %b %d %H:%M:%S %Y", "%a %d %b %Y %H:%M:%S %z", "%a %d %b %Y %H:%M:%S", "%d %b %Y %H:%M:%S %z"),
)


def moment(value: Any) -> int:
    """Accept a date or a time in one of many layouts (local zone unless it says otherwise); return nanoseconds.

    Also dates, datetimes and seconds since 1970 (ten digits in a text). Layouts that read differently in different
    countries, like ``03/04/2026``, are refused.
    """
    found = _moment_of(value)
    if found is None:
        raise ValueError("is a time such as 2026-01-31, '2026-01-31 15:04:05' or 2026-01-31T15:04:05Z")
    return found


def _moment_of(value: Any) -> int | None:
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return _in_range(int(Decimal(str(value)) * 10**9))
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.fromisoformat(value.isoformat())
        if not isinstance(value, datetime):
            text = " ".join(str(value).replace(",", " ").split())
            if re.fullmatch(r"[0-9]{10}", text):
                return int(text) * 10**9
            value = _read_moment(text)
        # a time without a zone is one of this machine's
        since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return _in_range(since // timedelta(microseconds=1) * 1000)
    except (ArithmeticError, OSError, ValueError):
        return None


def _read_moment(text: str) -> datetime:
    for name in ("GMT", "UTC"):
        text = re.sub(rf" ?{name}\Z", " +0000", text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for layout in _LAYOUTS:
        try:
            return datetime.strptime(text, layout)  # noqa: DTZ007  the caller gives it the local zone
        except ValueError:
            continue
    raise ValueError(text)


def _in_range(nanoseconds: int) -> int | None:
    return nanoseconds if abs(nanoseconds) < 2**63 else None


def key(value: Any) -> bytes:
    """Accept a key as text or bytes, not empty."""
    found = os.fsencode(value) if isinstance(value, str) else value
    if not isinstance(found, bytes) or not found:
        raise ValueError("is a key, relative to the address")
    return found


def name_list(value: Any) -> str | Iterable[Any]:
    """Accept the path of a list (``-``: stdin), or names themselves, which are looked at when they are read."""
    if isinstance(value, (str, os.PathLike)):
        return text(value)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise ValueError("is the path of a list, or names")
    return value


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """How many entries one run may delete: ``count`` of them, or ``percent`` of the destination's rows."""

    count: int | None = None
    percent: float | None = None

    def allows(self, deletions: int, destination_rows: int) -> bool:
        """Tell whether that many deletions out of that many rows stay within the limit."""
        if self.count is not None:
            return deletions <= self.count
        assert self.percent is not None
        return deletions * 100 <= self.percent * destination_rows

    def __str__(self) -> str:
        return str(self.count) if self.percent is None else f"{self.percent:g}%"


def delete_limit(value: Any) -> DeleteLimit:
    """Accept a count (``100``) or a share of the destination's rows (``5%``)."""
    if isinstance(value, DeleteLimit):
        return value
    text = str(value).strip()
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            if not 0 <= percent <= 100:
                raise ValueError
            return DeleteLimit(percent=percent)
        return DeleteLimit(count=whole(0)(value))
    except ValueError:
        raise ValueError("is a count such as 100 or a share such as 5%") from None


def pattern_list(value: Any) -> tuple[str, ...]:
    """Accept a pattern or several, each of the form that --exclude takes."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(pattern, str) and pattern for pattern in given):
        raise ValueError("is a pattern or a list of patterns")
    return tuple(given)


def text(value: Any) -> str:
    """Accept non-empty text or a path."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str) or not value:
        raise ValueError("is a text")
    return value


#: endings of the files that hold tables
TABLE_ENDINGS = (".jsonl", ".csv", ".parquet")


def table_file(value: Any) -> str:
    """Accept a file name whose ending names a table format."""
    name = text(value)
    if not name.lower().endswith(TABLE_ENDINGS):
        raise ValueError("is a file name that ends in .jsonl, .csv or .parquet")
    return name


def address(value: Any) -> Any:
    """Accept whatever :mod:`fsync.address` will read; emptiness is refused here."""
    if value is None or value == "":
        raise ValueError("is an address")
    return value


def key_values(value: Any) -> dict[str, Any]:
    """Accept a mapping, ``k=v`` texts, or ``@file.json``; return one nested mapping.

    In ``k=v`` the value is JSON if it parses, else text; dots in ``k`` nest: ``client_kwargs.region_name=x``.
    """
    if isinstance(value, Mapping):
        return dict(value)
    merged: dict[str, Any] = {}
    for item in [value] if isinstance(value, str) else list(value):
        if isinstance(item, Mapping):
            _merge(merged, item)
        elif not isinstance(item, str):
            raise ValueError("is KEY=VALUE or @FILE.json")
        elif item.startswith("@"):
            _merge(merged, _read_json(item[1:]))
        else:
            name, equals, given = item.partition("=")
            if not equals or not all(name.split(".")):
                raise ValueError("is KEY=VALUE or @FILE.json")
            try:
                parsed = json.loads(given)
            except ValueError:
                parsed = given
            for part in reversed(name.split(".")):
                parsed = {part: parsed}
            _merge(merged, parsed)
    return merged


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            loaded = json.load(file)
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {path}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"names a file that is not JSON: {path}") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"names a file that holds no JSON object: {path}")
    return loaded


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def rules(value: Any) -> tuple[Rule, ...]:
    """Accept pairs of ``"include"`` or ``"exclude"`` and a pattern, in order of precedence."""
    pairs = tuple((str(kind), str(pattern)) for kind, pattern in value)
    if any(kind not in ("include", "exclude") for kind, _ in pairs):
        raise ValueError('is a list of ("include" | "exclude", PATTERN) pairs')
    return pairs
