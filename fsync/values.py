"""The values that options take: one parser a kind, for text from a shell and for values from Python alike.

A parser returns the checked value, or raises ValueError with words that follow the option's name: "is a whole number".
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
