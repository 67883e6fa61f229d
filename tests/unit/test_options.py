"""The option table: every row, its values, and what contradicts what."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.errors import OptionError
from fsync.options import BY_NAME, TABLE, Option, Options, option_names, options_from, spelling
from fsync.values import DeleteLimit, moment, size

_SECRET = "s3cret-value-nobody-may-see"
_S = 10**9
#: 2026-01-31 15:04:05 UTC
_MOMENT = 1_769_871_845 * _S
_NO_FLAG = [1, 0, "yes", "", [], "True", b"x"]
_NO_COUNT = ["", "x", 1.5, "1.5", True, [], object, float("nan"), float("inf")]

#: values that a row refuses
BAD: dict[str, list[Any]] = {
    "rules": [[("keep", "*.txt")], [("include",)]],
    "match_full_path": _NO_FLAG,
    "start": ["", 5, b"", object],
    "end": ["", 5, b""],
    "min_size": ["", "x", "5X", -1, "1.5.2", True, []],
    "max_size": ["", "x", "5X", -1, "-1", True, []],
    "min_age": ["", "x", "5 m", "-5", "1h-5m", "1y", "5m5", True, [], -1, float("nan")],
    "max_age": ["", "x", "5 m", "-5", "1h-5m", "1y", "5m5", True, [], -1, float("inf")],
    "start_time": ["", "x", "03/04/2026", "2026-13-01", "tomorrow", "12:00", True, [], "9999-01-01"],
    "end_time": ["", "x", "03/04/2026", "2026-02-30", True, [], float("nan")],
    "files_from": ["", 5, b"x", {"a": 1}, True],
    "ignore_missing": _NO_FLAG,
    "existing": _NO_FLAG,
    "ignore_existing": _NO_FLAG,
    "limit": [*_NO_COUNT, -2, "-2"],
    "update": _NO_FLAG,
    "force_update": _NO_FLAG,
    "exact": _NO_FLAG,
    "dirs": _NO_FLAG,
    "perms": _NO_FLAG,
    "links": _NO_FLAG,
    "check_all": _NO_FLAG,
    "check_new": _NO_FLAG,
    "check_change": _NO_FLAG,
    "max_failure": [*_NO_COUNT, -2, "-2"],
    "engine": ["", "s3fs", "AUTO", None.__class__, True, 1],
    "bwlimit": ["", "x", "5X", -1, "-1", "nan", "inf", "1e3", True, "10 M b"],
    "size_only": _NO_FLAG,
    "checksum": _NO_FLAG,
    "dry": _NO_FLAG,
    "exit_code": _NO_FLAG,
    "delete_dst": _NO_FLAG,
    "delete_src": _NO_FLAG,
    "delete_src_after": _NO_FLAG,
    "inplace": _NO_FLAG,
    "no_metadata": _NO_FLAG,
    "no_https": _NO_FLAG,
    "src_no_https": _NO_FLAG,
    "dst_no_https": _NO_FLAG,
    "storage_class": ["", 5, b"x", True],
    "last": ["", [""], [5], 5, True],
    "max_delete": ["", "x", "5%%", "101%", "-1%", "nan%", "%", -1, "-1", 1.5, True],
    "allow_empty_source": _NO_FLAG,
    "delete_excluded": _NO_FLAG,
    "delete_prefix": _NO_FLAG,
    "backup_dir": [""],
    "threads": [*_NO_COUNT, 0, -1],
    "list_threads": [0, -1, "many", 1.5],
    "list_depth": [0, -1, "deep", 1.5],
    "processes": [*_NO_COUNT, -1],
    "memory": ["", "x", "5X", "-16M", True, [], "15M", 16 << 20 >> 1, -1, "1e9", "16 M M"],
    "spill_dir": ["", 5, b"x", True],
    "timeout": ["", "x", 0, -1, "nan", "inf", True, []],
    "retries": [*_NO_COUNT, -1],
    "src_option": [_SECRET, f"={_SECRET}", f".a={_SECRET}", f"a.={_SECRET}", f"a..b={_SECRET}", ["k=v", _SECRET]],
    "dst_option": [_SECRET, f"={_SECRET}", f".a={_SECRET}", f"a.={_SECRET}", f"a..b={_SECRET}", ["k=v", _SECRET]],
    "report": ["", 5, "report", "report.txt", "report.parquet.gz", b"r.csv"],
    "log_file": ["", 5, b"x", True],
    "json": _NO_FLAG,
    "quiet": _NO_FLAG,
    "verbose": _NO_FLAG,
}  # fmt: skip

GOOD: list[tuple[str, Any, Any]] = [
    ("limit", "0", 0),
    ("limit", -1, -1),
    ("limit", 5.0, 5),
    ("start", "a/b", b"a/b"),
    ("end", b"\xff", b"\xff"),
    ("start", "\udcff", b"\xff"),
    ("files_from", Path("/d/list"), "/d/list"),
    ("files_from", "-", "-"),
    ("files_from", ["a", b"b"], ["a", b"b"]),
    ("min_size", "1.5k", 1536),
    ("max_size", 0, 0),
    ("min_age", 90, 90 * _S),
    ("min_age", "1.5", 3 * _S // 2),
    ("min_age", "0", 0),
    ("max_age", "1h30m", 5400 * _S),
    ("max_age", "1d12h", 129_600 * _S),
    ("max_age", "2w", 1_209_600 * _S),
    ("max_age", "1.5h250ms", 5400 * _S + _S // 4),
    ("max_age", "3us", 3000),
    ("max_age", timedelta(days=1), 86_400 * _S),
    ("start_time", "2026-01-31T15:04:05Z", _MOMENT),
    ("start_time", "2026-01-31 16:04:05 +0100", _MOMENT),
    ("start_time", "2026-01-31T15:04:05.25+00:00", _MOMENT + _S // 4),
    ("start_time", "Sat, 31 Jan 2026 15:04:05 GMT", _MOMENT),
    ("start_time", datetime(2026, 1, 31, 15, 4, 5, tzinfo=UTC), _MOMENT),
    ("start_time", 1769871845, _MOMENT),
    ("end_time", "1769871845", _MOMENT),
    ("threads", "7", 7),
    ("retries", 0, 0),
    ("timeout", "0.5", 0.5),
    ("timeout", 3, 3.0),
    ("memory", "16M", 16 << 20),
    ("memory", "1.5g", 3 << 29),
    ("memory", 1 << 40, 1 << 40),
    ("memory", "64MiB", 64 << 20),
    ("spill_dir", "/d", "/d"),
    ("spill_dir", Path("/d"), "/d"),
    ("spill_dir", None, None),
    ("max_delete", 0, DeleteLimit(count=0)),
    ("max_delete", "100", DeleteLimit(count=100)),
    ("max_delete", "2.5%", DeleteLimit(percent=2.5)),
    ("max_delete", "100%", DeleteLimit(percent=100)),
    ("max_delete", DeleteLimit(count=3), DeleteLimit(count=3)),
    ("max_delete", None, None),
    ("backup_dir", "s3://b/x/", "s3://b/x/"),
    ("backup_dir", None, None),
    ("src_option", {"a": {"b": 1}}, {"a": {"b": 1}}),
    ("src_option", "a=1", {"a": 1}),
    ("src_option", ["a.b=x", "a.c=true", 'd=["e"]'], {"a": {"b": "x", "c": True}, "d": ["e"]}),
    ("src_option", ["a=x=y"], {"a": "x=y"}),
    ("src_option", ["a="], {"a": ""}),
    ("src_option", ["a.b=1", "a=2"], {"a": 2}),
    ("dst_option", [{"a": {"b": 1}}, "a.c=2"], {"a": {"b": 1, "c": 2}}),
    ("rules", [("include", "a"), ["exclude", "b"]], (("include", "a"), ("exclude", "b"))),
    ("bwlimit", 100, 100.0),
    ("bwlimit", "2.5", 2.5),
    ("bwlimit", "10G", 10_000.0),
    ("bwlimit", "1 t", 1_000_000.0),
    ("bwlimit", 0, 0.0),
    ("delete_dst", True, True),
    ("last", "*.manifest", ("*.manifest",)),
    ("last", ["a", "b"], ("a", "b")),
    ("report", Path("/d/R.CSV"), "/d/R.CSV"),
    ("report", "r.jsonl", "r.jsonl"),
    ("report", "r.parquet", "r.parquet"),
]  # fmt: skip


def with_company(name: str) -> dict[str, Any]:
    """Return the options without which this one is refused."""
    return {"max_delete": {"delete_dst": True}}.get(name, {})


@pytest.mark.parametrize(
    "text",
    ["2026-01-31 15:04:05", "2026-01-31T15:04:05", "2026/01/31 15:04:05", "2026.01.31 15:04:05", "20260131150405",
     "31 Jan 2026 15:04:05", "Jan 31, 2026 15:04:05", "January 31 2026 15:04:05", "Sat Jan 31 15:04:05 2026"],
)  # fmt: skip
def test_a_time_without_a_zone_is_of_this_machine(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        assert moment(text) == _MOMENT - (5 * 3600 + 1800) * _S
        midnights = [moment(day) for day in ("2026-01-31", "20260131", "2026/01/31", "31 Jan 2026", date(2026, 1, 31))]
        assert set(midnights) == {moment("2026-01-31 00:00")}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_bad_values_are_known_for_every_row() -> None:
    assert BAD.keys() == BY_NAME.keys()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_default_passes_its_own_parser(row: Option) -> None:
    if row.default is None:
        assert getattr(options_from({row.name: None}, verb="sync", from_cli=True), row.name) is None
    else:
        assert row.parse(row.default) == row.default
        assert getattr(options_from({row.name: row.default}, verb="sync", from_cli=True), row.name) == row.default
    assert getattr(Options(), row.name) == row.default


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_says_what_it_is(row: Option) -> None:
    assert row.help
    assert not row.help.endswith(".")
    assert row.group
    assert set(row.verbs) <= {"sync", "check", "ls", "storages"}
    if row.name != "rules":
        assert row.flags[0].startswith("--")
        assert "--" + row.name.replace("_", "-") in row.flags
        assert (row.metavar is None) == (row.default is False)


def test_no_flag_has_two_meanings() -> None:
    flags = [flag for row in TABLE for flag in row.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        options_from({**with_company(name), name: value}, verb="sync", from_cli=True)
    message = str(caught.value)
    assert message.startswith(f"{spelling(name)} ")
    assert _SECRET not in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    if name not in ("src_option", "dst_option", "backup_dir"):
        assert repr(value) in message


@pytest.mark.parametrize(("name", "value", "parsed"), GOOD)
def test_a_good_value_is_read(name: str, value: Any, parsed: Any) -> None:
    read = getattr(options_from({**with_company(name), name: value}, verb="sync", from_cli=True), name)
    assert read == parsed
    assert type(read) is type(parsed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dst_option", 5),
        ("rules", 5),
        ("rules", [1]),
        ("src_option", [5]),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{spelling(name)} "):
        options_from({name: value}, verb="sync")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_none_means_the_default(row: Option) -> None:
    assert getattr(options_from({row.name: None}, verb="sync", from_cli=True), row.name) == row.default


CONTRADICTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"min_size": 2, "max_size": 1}, ["--min-size", "--max-size"]),
    ({"min_age": "2h", "max_age": "1h"}, ["--min-age", "--max-age"]),
    ({"start_time": "2026-02-01", "end_time": "2026-01-01"}, ["--start-time", "--end-time"]),
    ({"start": "b", "end": "a"}, ["--start", "--end"]),
    ({"delete_excluded": True}, ["--delete-excluded", "--delete-dst"]),
    ({"ignore_missing": True}, ["--ignore-missing", "--files-from"]),
    ({"files_from": "l", "exact": True}, ["--files-from", "--exact"]),
    ({"size_only": True, "checksum": True}, ["--size-only", "--checksum"]),
    ({"size_only": True, "force_update": True}, ["--size-only", "--force-update"]),
    ({"checksum": True, "force_update": True}, ["--checksum", "--force-update"]),
    ({"size_only": True, "checksum": True, "force_update": True}, ["--size-only", "--checksum", "--force-update"]),
    ({"max_delete": 5}, ["--max-delete", "--delete-dst"]),
    ({"max_delete": 0}, ["--max-delete", "--delete-dst"]),
    ({"delete_prefix": True}, ["--delete-prefix", "--delete-dst"]),
    ({"exit_code": True}, ["--exit-code", "--dry"]),
]


@pytest.mark.parametrize(("given", "named"), CONTRADICTIONS)
def test_contradictions_are_refused(given: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        options_from(given, verb="sync")
    for flag in named:
        assert flag in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"update": True, "size_only": True},
        {"update": True, "checksum": True},
        {"update": True, "force_update": True},
        {"existing": True, "ignore_existing": True},
        {"max_delete": 5, "delete_dst": True, "delete_prefix": True},
        {"exit_code": True, "dry": True},
        {"size_only": True, "checksum": False},
    ],
)
def test_what_goes_together(given: dict[str, Any]) -> None:
    options = options_from(given, verb="sync")
    for name in given.keys() - {"max_delete"}:
        assert getattr(options, name) is given[name]


def test_patterns_count_in_the_order_given() -> None:
    given = {"exclude": ["a", "b"], "include": "c", "rules": [("exclude", "d")]}
    wanted = (("exclude", "a"), ("exclude", "b"), ("include", "c"))
    assert options_from(given, verb="sync").rules == (*wanted, ("exclude", "d"))
    assert options_from(dict(reversed(given.items())), verb="sync").rules == (
        ("include", "c"), ("exclude", "a"), ("exclude", "b"), ("exclude", "d"),
    )  # fmt: skip


@pytest.mark.parametrize("value", [5, None, b"x", ["a", 5], [b"x"]])
def test_what_is_no_pattern_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match="--exclude is a pattern"):
        options_from({"exclude": value}, verb="sync")


@pytest.mark.parametrize("name", ["include", "exclude"])
def test_patterns_may_come_from_an_iterator(name: str) -> None:
    assert options_from({name: iter(["a", "b"])}, verb="sync").rules == ((name, "a"), (name, "b"))


@pytest.mark.parametrize(
    ("name", "verb", "hint"),
    [
        ("delete_dts", "sync", "did you mean --delete-dst?"),
        ("delete_dst", "ls", "fsync ls"),
        ("dst_option", "ls", "did you mean --src-option?"),
        ("zzz", "sync", "fsync sync --help"),
        ("Threads", "sync", "did you mean --threads?"),
    ],
)
def test_unknown_names_are_refused(name: str, verb: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        options_from({name: True}, verb=verb)
    assert hint in str(caught.value)


def test_every_row_belongs_to_its_verbs() -> None:
    for verb in ("sync", "check", "ls"):
        rows = [row for row in TABLE if verb in row.verbs]
        assert set(option_names(verb, from_cli=True)) == {"include", "exclude"} | {row.name for row in rows}
        assert set(option_names(verb)) == {"include", "exclude"} | {row.name for row in rows if not row.cli_only}


@pytest.mark.parametrize("row", [row for row in TABLE if row.cli_only], ids=lambda row: row.name)
def test_what_is_for_the_command_line_is_refused_from_python(row: Option) -> None:
    with pytest.raises(OptionError, match=f"{row.name} is for the command line"):
        options_from({row.name: True}, verb="sync")


# values ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from(["", "B", "K", "k", "M", "G", "T", "P", "E", "KB", "KiB", "gib", "iB"]))
def test_sizes_with_suffixes(number: int, suffix: str) -> None:
    exponent = "BKMGTPE".find(suffix[:1].upper()) if suffix[:1].upper() in "KMGTPE" else 0
    assert size(f"{number}{suffix}") == number * 1024 ** max(exponent, 0)
    assert size(f" {number} {suffix}") == size(f"{number}{suffix}")


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_limits_of_deletions(deletions: int, rows: int, limit: int) -> None:
    assert DeleteLimit(count=limit).allows(deletions, rows) == (deletions <= limit)
    assert DeleteLimit(percent=limit).allows(deletions, rows) == (Fraction(limit, 100) * rows >= deletions)


@pytest.mark.parametrize(("text", "shown"), [("5", "5"), ("5%", "5%"), ("2.5%", "2.5%"), ("0%", "0%")])
def test_a_limit_shows_as_it_was_given(text: str, shown: str) -> None:
    assert str(options_from({"max_delete": text, "delete_dst": True}, verb="sync").max_delete) == shown


def test_storage_options_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"key": "k", "client_kwargs": {"region_name": "r"}}))
    given = [f"@{path}", "client_kwargs.endpoint_url=e", "key=other"]
    wanted = {"key": "other", "client_kwargs": {"region_name": "r", "endpoint_url": "e"}}
    assert options_from({"src_option": given}, verb="sync").src_option == wanted


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), (f'{{"a": {_SECRET}', "not JSON"), (f'["{_SECRET}"]', "no JSON object")],
)
def test_a_file_that_holds_no_options_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    path = tmp_path / "options.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OptionError, match=f"--src-option names a file that .*{why}") as caught:
        options_from({"src_option": f"@{path}"}, verb="sync")
    assert "options.json" in str(caught.value)
    assert _SECRET not in str(caught.value)


def test_given_mappings_are_not_changed() -> None:
    given = {"a": {"b": 1}}
    options_from({"src_option": [given, "a.c=2"]}, verb="sync")
    assert given == {"a": {"b": 1}}


@pytest.mark.parametrize("name", ["src_option", "dst_option", "backup_dir"])
def test_the_repr_of_options_shows_no_secret(name: str) -> None:
    value = f"s3://KEY:{_SECRET}@b/" if name == "backup_dir" else {"secret": _SECRET}
    assert _SECRET not in repr(options_from({name: value}, verb="sync"))
