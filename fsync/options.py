"""The option table: one row an option, from which the command line, the Python API and the documentation derive.

Every value passes through the row's ``parse``, whether it came as text from a shell or as a value from Python, so
both doors refuse the same things with the same line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fsync.errors import OptionError
from fsync.values import (
    DeleteLimit,
    Parse,
    Rule,
    address,
    delete_limit,
    duration,
    flag,
    key,
    key_values,
    megabits,
    memory_size,
    moment,
    name_list,
    one_of,
    pattern_list,
    rules,
    seconds,
    size,
    table_file,
    text,
    whole,
)


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
    start: bytes | None = _row(
        None, key, "--start -s", "the first key to see, on both sides (relative to the address, compared by bytes)",
        group="selection", verbs="sync check ls", metavar="KEY",
    )  # fmt: skip
    end: bytes | None = _row(
        None, key, "--end -e", "the last key to see, on both sides; it is included",
        group="selection", verbs="sync check ls", metavar="KEY",
    )  # fmt: skip
    files_from: Any = _row(
        None, name_list, "--files-from",
        "only what FILE names, one object or directory a line (-: stdin), or what failed in a --report",
        group="selection", verbs="sync check", metavar="FILE",
    )  # fmt: skip
    ignore_missing: bool = _row(
        False, flag, "--ignore-missing", "with --files-from: names that the source does not have are no failures",
        group="selection", verbs="sync check",
    )  # fmt: skip
    min_size: int | None = _row(
        None, size, "--min-size", "leave alone files smaller than this at the source (suffixes K, M, G, T, by 1024)",
        group="selection", verbs="sync check ls", metavar="BYTES",
    )  # fmt: skip
    max_size: int | None = _row(
        None, size, "--max-size", "leave alone files larger than this at the source",
        group="selection", verbs="sync check ls", metavar="BYTES",
    )  # fmt: skip
    min_age: int | None = _row(
        None, duration, "--min-age", "leave alone files modified less than this ago: seconds, 90m, 1d12h, 2w",
        group="selection", verbs="sync check ls", metavar="AGE",
    )  # fmt: skip
    max_age: int | None = _row(
        None, duration, "--max-age", "leave alone files modified more than this ago",
        group="selection", verbs="sync check ls", metavar="AGE",
    )  # fmt: skip
    start_time: int | None = _row(
        None, moment, "--start-time", "leave alone files not modified after this time (local zone unless it has one)",
        group="selection", verbs="sync check ls", metavar="TIME",
    )  # fmt: skip
    end_time: int | None = _row(
        None, moment, "--end-time", "leave alone files not modified before this time",
        group="selection", verbs="sync check ls", metavar="TIME",
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
    check_all: bool = _row(
        False, flag, "--check-all", "compare the bytes of all entries of equal size, and read back what is copied",
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
    check_change: bool = _row(
        False, flag, "--check-change", "after each copy make sure that the source has not changed meanwhile",
        group="action",
    )  # fmt: skip
    exit_code: bool = _row(
        False, flag, "--exit-code", "with --dry: exit 5 when something would be done", group="action"
    )
    last: tuple[str, ...] = _row(
        (), pattern_list, "--last", "copy what matches PATTERN only after everything else has been copied",
        group="action", metavar="PATTERN", repeats=True,
    )  # fmt: skip
    inplace: bool = _row(
        False, flag, "--inplace", "write into existing files instead of replacing them: keeps inodes and hard links",
        group="action",
    )  # fmt: skip
    storage_class: str | None = _row(
        None, text, "--storage-class", "storage class of new objects, such as STANDARD_IA (S3)",
        group="action", metavar="NAME",
    )  # fmt: skip
    no_metadata: bool = _row(
        False, flag, "--no-metadata", "leave out what objects say of themselves: type, caching, user metadata",
        group="action",
    )  # fmt: skip
    delete_dst: bool = _row(
        False, flag, "--delete-dst --deleteDst", "remove what the source does not have, last, after a clean run",
        group="action",
    )  # fmt: skip
    delete_src: bool = _row(
        False, flag, "--delete-src --deleteSrc",
        "remove at the source, last, what the comparison proves to be at the destination already", group="action",
    )  # fmt: skip
    delete_src_after: bool = _row(
        False, flag, "--delete-src-after", "remove at the source, last, what this run has copied", group="action"
    )
    max_delete: DeleteLimit | None = _row(
        None, delete_limit, "--max-delete",
        "delete nothing (exit 4) if more than N entries, or N% of a side, would go",
        group="action", metavar="N|N%",
    )  # fmt: skip
    allow_empty_source: bool = _row(
        False, flag, "--allow-empty-source",
        "accept a source that is missing, and deletions where nothing is left of it",
        group="action", verbs="sync check",
    )  # fmt: skip
    delete_excluded: bool = _row(
        False, flag, "--delete-excluded", "with --delete-dst: remove also what --exclude leaves out at the destination",
        group="action",
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
    max_failure: int = _row(
        -1, whole(-1), "--max-failure", "start nothing new once N entries have failed (0, -1: no limit)",
        group="running", metavar="N",
    )  # fmt: skip
    list_threads: int = _row(
        1, whole(1), "--list-threads", "requests of one listing in flight, where storages are listed by names",
        group="running", verbs="sync check ls", metavar="N",
    )  # fmt: skip
    list_depth: int = _row(
        1, whole(1), "--list-depth", "levels of directories at which --list-threads cuts a bucket's listing into parts",
        group="running", verbs="sync check ls", metavar="N",
    )  # fmt: skip
    processes: int = _row(
        1, whole(0), "--processes", "further processes that help to copy many local files (0: none)",
        group="running", metavar="N",
    )  # fmt: skip
    engine: str = _row(
        "auto", one_of("auto", "obstore", "fsspec"), "--engine",
        "who carries the bytes of S3 objects: auto (obstore where it can), obstore or fsspec",
        group="running", verbs="sync check", metavar="ENGINE",
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
    no_https: bool = _row(
        False, flag, "--no-https", "http instead of https to endpoints of both addresses",
        group="addresses", verbs="sync check ls",
    )  # fmt: skip
    src_no_https: bool = _row(
        False, flag, "--src-no-https", "http instead of https to the source's endpoint",
        group="addresses", verbs="sync check",
    )  # fmt: skip
    dst_no_https: bool = _row(
        False, flag, "--dst-no-https", "http instead of https to the destination's endpoint",
        group="addresses", verbs="sync check",
    )  # fmt: skip
    # what people see
    report: str | None = _row(
        None, table_file, "--report", "write one row an action (ls: an entry) to FILE.jsonl, FILE.csv or FILE.parquet",
        group="output", verbs="sync check ls", metavar="FILE",
    )  # fmt: skip
    log_file: str | None = _row(
        None, text, "--log-file", "append all that --verbose tells to FILE, with times, whatever is shown here",
        group="output", verbs="sync check", metavar="FILE", cli_only=True,
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
        if self.check_all and (self.size_only or self.checksum):
            other = "--size-only" if self.size_only else "--checksum"
            raise OptionError(f"--check-all compares all bytes, {other} does not: give one of them")
        for least, most in (("min_size", "max_size"), ("min_age", "max_age"), ("start_time", "end_time")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise OptionError(f"{spelling(least)} is more than {spelling(most)}: that would leave nothing")
        if self.start is not None and self.end is not None and self.start > self.end:
            raise OptionError("--start comes after --end in the order of keys: that would leave nothing")
        if self.files_from is not None and self.exact:
            raise OptionError("--files-from and --exact contradict each other: give one of them")
        if self.ignore_missing and self.files_from is None:
            raise OptionError("--ignore-missing is about a list of names: give it together with --files-from")
        if self.delete_excluded and not self.delete_dst:
            raise OptionError("--delete-excluded widens deletions: give it together with --delete-dst")
        if self.max_delete is not None and not self.deletes:
            raise OptionError(
                "--max-delete limits deletions: give it together with --delete-dst, --delete-src or --delete-src-after"
            )
        if self.delete_prefix and not self.delete_dst:
            raise OptionError("--delete-prefix widens deletions: give it together with --delete-dst")
        if self.exit_code and not self.dry:
            raise OptionError("--exit-code tells what a dry run found: give it together with --dry")

    @property
    def deletes(self) -> bool:
        """Tell whether anything may be removed on either side."""
        return self.delete_dst or self.deletes_src

    @property
    def deletes_src(self) -> bool:
        """Tell whether entries may be removed at the source."""
        return self.delete_src or self.delete_src_after


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
    import difflib

    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {spelling(close[0])}?" if close else f"; fsync {verb} --help lists the options"
    return f"{spelling(name)} is no option of fsync {verb}{hint}"
