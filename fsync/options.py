"""The option table: one row an option, from which the command line, the Python API and the documentation derive.

Every value passes through the row's ``parse``, whether it came as text from a shell or as a value from Python, so
both doors refuse the same things with the same line.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fsync.errors import OptionError

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


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    ``flags`` are the command line's spellings, the first is the one shown; ``verbs`` the commands that have it;
    ``metavar`` None marks a switch. ``repeats`` options may be given more than once on the command line;
    ``cli_only`` ones say what the command line shows, and mean nothing to a function that shows nothing.
    """

    name: str
    default: Any
    parse: Parse
    flags: tuple[str, ...]
    help: str
    group: str
    verbs: tuple[str, ...]
    metavar: str | None
    repeats: bool
    cli_only: bool


def _row(
    default: Any,
    parse: Parse,
    flags: str,
    help: str,
    *,
    group: str,
    verbs: str = "sync",
    metavar: str | None = None,
    repeats: bool = False,
    cli_only: bool = False,
) -> Any:
    meta = {
        "parse": parse,
        "flags": tuple(flags.split()),
        "help": help,
        "group": group,
        "verbs": tuple(verbs.split()),
        "metavar": metavar,
        "repeats": repeats,
        "cli_only": cli_only,
    }
    # these may hold secrets
    shown = group != "addresses" and metavar != "ADDRESS"
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=meta, repr=shown)
    return field(default=default, metadata=meta, repr=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The checked options of one run; build it with :func:`options_from`."""

    # which entries
    rules: tuple[Rule, ...] = _row(
        (), rules, "", "include and exclude patterns in order of precedence", group="selection", verbs="sync check ls"
    )
    match_full_path: bool = _row(
        False, flag, "--match-full-path", "match patterns against the whole key, once",
        group="selection", verbs="sync check ls",
    )  # fmt: skip
    existing: bool = _row(
        False, flag, "--existing --ignore-non-existing", "create nothing that the destination does not have",
        group="selection",
    )  # fmt: skip
    ignore_existing: bool = _row(
        False, flag, "--ignore-existing", "leave alone what the destination already has", group="selection"
    )
    limit: int = _row(
        -1, whole(-1), "--limit", "consider at most N source entries (-1: all)",
        group="selection", verbs="sync check ls", metavar="N",
    )  # fmt: skip
    # when is an entry the same
    update: bool = _row(
        False, flag, "--update -u", "as by default, but never overwrite what is newer at the destination",
        group="comparison",
    )  # fmt: skip
    force_update: bool = _row(
        False, flag, "--force-update -f", "copy every selected entry, the same or not", group="comparison"
    )
    size_only: bool = _row(False, flag, "--size-only", "compare sizes alone", group="comparison", verbs="sync check")
    checksum: bool = _row(
        False, flag, "--checksum", "compare digests: from the listings where both have the same kind, else by reading",
        group="comparison", verbs="sync check",
    )  # fmt: skip
    exact: bool = _row(
        False,
        flag,
        "--exact",
        "SRC is exactly one object, not everything that begins so",
        group="selection",
        verbs="sync check",
    )
    # what is done
    dry: bool = _row(False, flag, "--dry --dry-run -n", "show what would be done and touch nothing", group="action")
    dirs: bool = _row(
        False, flag, "--dirs", "directories are entries too: empty ones, times, markers on object stores",
        group="action", verbs="sync check",
    )  # fmt: skip
    perms: bool = _row(
        False,
        flag,
        "--perms",
        "keep mode, owner and group (by name) between file systems",
        group="action",
        verbs="sync check",
    )
    links: bool = _row(
        False, flag, "--links -l", "copy links as links, their text unchanged, instead of what they lead to",
        group="action", verbs="sync check",
    )  # fmt: skip
    check_new: bool = _row(False, flag, "--check-new", "read every copied file back and compare it", group="action")
    exit_code: bool = _row(
        False, flag, "--exit-code", "with --dry: exit 5 when something would be done", group="action"
    )
    delete_dst: bool = _row(
        False, flag, "--delete-dst --deleteDst", "remove what the source does not have, last, after a clean run",
        group="action",
    )  # fmt: skip
    max_delete: DeleteLimit | None = _row(
        None, delete_limit, "--max-delete",
        "delete nothing (exit 4) if more than N, or N% of the destination, would go",
        group="action", metavar="N|N%",
    )  # fmt: skip
    allow_empty_source: bool = _row(
        False, flag, "--allow-empty-source",
        "accept a source that is missing, and deletions where nothing is left of it",
        group="action", verbs="sync check",
    )  # fmt: skip
    delete_prefix: bool = _row(
        False, flag, "--delete-prefix", "in prefix mode: delete also top-level names that the source does not have",
        group="action",
    )  # fmt: skip
    backup_dir: Any = _row(
        None, address, "--backup-dir", "keep what is overwritten or deleted below this address",
        group="action", metavar="ADDRESS",
    )  # fmt: skip
    # how it runs
    bwlimit: float = _row(
        0.0, megabits, "--bwlimit", "bandwidth that all copies share, in Mbit/s (suffixes G, T; 0: no limit)",
        group="running", metavar="MBPS",
    )  # fmt: skip
    threads: int = _row(
        10,
        whole(1),
        "--threads -p --thread",
        "requests and copies in flight",
        group="running",
        verbs="sync check ls",
        metavar="N",
    )
    processes: int = _row(
        1, whole(0), "--processes", "further processes that help to copy many local files (0: none)",
        group="running", metavar="N",
    )  # fmt: skip
    memory: int = _row(
        256 << 20, memory_size, "--memory", "bytes that buffers may take together",
        group="running", verbs="sync check ls", metavar="SIZE",
    )  # fmt: skip
    spill_dir: str | None = _row(
        None, text, "--spill-dir", "where listings that do not fit into memory are put (default: $TMPDIR)",
        group="running", verbs="sync check ls", metavar="DIR",
    )  # fmt: skip
    timeout: float = _row(
        60.0, seconds, "--timeout", "seconds without an answer after which a request has failed",
        group="running", verbs="sync check ls", metavar="SECONDS",
    )  # fmt: skip
    retries: int = _row(
        4, whole(0), "--retries", "further attempts at what may succeed when tried again",
        group="running", verbs="sync check ls", metavar="N",
    )  # fmt: skip
    # addresses
    src_option: dict[str, Any] = _row(
        {}, key_values, "--src-option", "storage option of the source: KEY=VALUE (dots nest) or @FILE.json",
        group="addresses", verbs="sync check ls", metavar="K=V", repeats=True,
    )  # fmt: skip
    dst_option: dict[str, Any] = _row(
        {}, key_values, "--dst-option", "storage option of the destination: KEY=VALUE (dots nest) or @FILE.json",
        group="addresses", verbs="sync check", metavar="K=V", repeats=True,
    )  # fmt: skip
    # what people see
    report: str | None = _row(
        None, table_file, "--report", "write one row an action (ls: an entry) to FILE.jsonl, FILE.csv or FILE.parquet",
        group="output", verbs="sync check ls", metavar="FILE",
    )  # fmt: skip
    json: bool = _row(
        False, flag, "--json", "one JSON object a line on stdout",
        group="output", verbs="sync check ls storages", cli_only=True,
    )  # fmt: skip
    quiet: bool = _row(
        False, flag, "--quiet -q", "only warnings and errors", group="output", verbs="sync check ls", cli_only=True
    )
    verbose: bool = _row(
        False, flag, "--verbose --debug -v", "every action, and what the storages do",
        group="output", verbs="sync check ls", cli_only=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        rules_of_comparison = [name for name in ("size_only", "checksum", "force_update") if getattr(self, name)]
        if len(rules_of_comparison) > 1:
            names = " and ".join("--" + name.replace("_", "-") for name in rules_of_comparison)
            raise OptionError(f"{names} contradict each other: give one of them")
        if self.max_delete is not None and not self.delete_dst:
            raise OptionError("--max-delete limits deletions: give it together with --delete-dst")
        if self.delete_prefix and not self.delete_dst:
            raise OptionError("--delete-prefix widens deletions: give it together with --delete-dst")
        if self.exit_code and not self.dry:
            raise OptionError("--exit-code tells what a dry run found: give it together with --dry")


TABLE: tuple[Option, ...] = tuple(
    Option(name=row.name, default={} if isinstance(row.default_factory, type) else row.default, **row.metadata)
    for row in fields(Options)
)
BY_NAME: dict[str, Option] = {row.name: row for row in TABLE}


def option_names(verb: str, *, from_cli: bool = False) -> list[str]:
    """Return the names that ``verb`` takes from Python, rules as ``include`` and ``exclude`` too.

    ``from_cli`` adds those that only the command line has.
    """
    rows = [row.name for row in TABLE if verb in row.verbs and (from_cli or not row.cli_only)]
    return ["include", "exclude", *rows]


def options_from(given: Mapping[str, Any], *, verb: str, from_cli: bool = False) -> Options:
    """Check the options of one call and return them.

    ``given`` maps names (underscores) to values; ``include`` and ``exclude`` (a pattern or several) count in the
    order in which they appear, before any ``rules``. ``from_cli`` accepts what only the command line has. Raises
    :class:`OptionError` naming the first bad one.
    """
    known = option_names(verb, from_cli=from_cli)
    patterns: list[Rule] = []
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise OptionError(_unknown(name, known, verb))
        if name in ("include", "exclude"):
            patterns.extend((name, pattern) for pattern in _patterns(name, value))
        elif value is not None:
            try:
                checked[name] = BY_NAME[name].parse(value)
            except (TypeError, ValueError) as error:
                raise OptionError(f"{spelling(name)} {error}, not {_shown(name, value)}") from None
    if patterns:
        checked["rules"] = (*patterns, *checked.get("rules", ()))
    return Options(**checked)


def spelling(name: str) -> str:
    """Return an option's name as the command line spells it."""
    row = BY_NAME.get(name)
    return row.flags[0] if row and row.flags else "--" + name.replace("_", "-")


def _patterns(name: str, value: Any) -> Iterable[str]:
    values = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(pattern, str) for pattern in values):
        raise OptionError(f"--{name} is a pattern or a list of patterns, not {value!r}")
    return values


def _shown(name: str, value: Any) -> str:
    """Show a refused value, except where it may hold a secret."""
    return "what was given" if name in ("src_option", "dst_option", "backup_dir") else repr(value)


def _unknown(name: str, known: list[str], verb: str) -> str:
    if name in BY_NAME and BY_NAME[name].cli_only:
        return f"{name} is for the command line: from Python, progress= gives the events and the logger fsync the rest"
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {spelling(close[0])}?" if close else f"; fsync {verb} --help lists the options"
    return f"{spelling(name)} is no option of fsync {verb}{hint}"
