"""Size, age and time rules select source files; they make nothing invisible and nothing an extra."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

import fsync
from tests.safety.conftest import Maker
from tests.safety.places import OLD, contents, fill, run

_SIZES = {"0": b"", "5": b"5" * 5, "9": b"9" * 9}


@pytest.mark.parametrize(
    ("given", "copied"),
    [
        ({"min_size": 5}, "59"),
        ({"max_size": "5"}, "05"),
        ({"max_size": 0}, "0"),
        ({"min_size": "1", "max_size": "8B"}, "5"),
    ],
)
def test_sizes_are_inclusive(tmp_path: Path, given: dict[str, Any], copied: str) -> None:
    source = fill(tmp_path / "s", {**_SIZES, "dir/": b""})
    ended = run(f"{source}/", f"{tmp_path}/d/", dirs=True, **given)
    assert ended.code == 0, ended
    assert set(contents(tmp_path / "d")) == set(copied)
    assert (tmp_path / "d/dir").is_dir(), "a directory has no size"


def _aged(root: Path) -> Path:
    """Return a tree with files modified just now, 30 minutes, 3 hours and 2 days ago."""
    now = time.time_ns()
    for name, seconds in {"now": 0, "30m": 1800, "3h": 10_800, "2d": 172_800}.items():
        fill(root, {name: b"x"}, mtime=now - seconds * 10**9)
    return root


@pytest.mark.parametrize(
    ("given", "copied"),
    [
        ({"max_age": "1h"}, {"now", "30m"}),
        ({"min_age": 3600}, {"3h", "2d"}),
        ({"min_age": "10m", "max_age": "1d12h"}, {"30m", "3h"}),
        ({"start_time": time.time() - 7200}, {"now", "30m"}),
        ({"end_time": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 86_400))}, {"2d"}),
    ],
    ids=["max_age", "min_age", "both", "start_time", "end_time"],
)
def test_ages_and_dates(tmp_path: Path, given: dict[str, Any], copied: set[str]) -> None:
    ended = run(f"{_aged(tmp_path / 's')}/", f"{tmp_path}/d/", **given)
    assert ended.code == 0, ended
    assert set(contents(tmp_path / "d")) == copied
    listed = fsync.ls(f"{tmp_path}/s/", **given).column("key").to_pylist()
    assert {key.decode() for key in listed} == copied


def test_times_are_exclusive_to_the_nanosecond(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a": b"x"}, mtime=OLD)
    seconds = OLD // 10**9
    for given in ({"start_time": seconds}, {"end_time": seconds}):
        assert run(f"{source}/", f"{tmp_path}/d/", **given).code == 0
        assert contents(tmp_path / "d") == {}
    assert run(f"{source}/", f"{tmp_path}/d/", start_time=seconds - 1, end_time=seconds + 1).code == 0
    assert contents(tmp_path / "d") == {"a": b"x"}


_RULES: list[dict[str, Any]] = [
    {"max_size": 4}, {"min_size": 4}, {"start_time": "2021-01-01"}, {"end_time": "2019-01-01"}, {"max_age": "1d"},
]  # fmt: skip


@pytest.mark.parametrize("rule", _RULES, ids=str)
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_what_the_destination_has_of_an_unwanted_file_stays_as_it_is(
    place: Maker, kind: str, rule: dict[str, Any]
) -> None:
    source, target = place(kind, "source"), place(kind, "target")
    source.fill({"big": b"bigger", "small": b"s"})
    target.fill({"big": b"was", "small": b"was small", "extra": b"x"})
    ended = run(source, target, delete_dst=True, **rule)
    left = target.data()
    assert ended.code in (0, 4), ended
    assert ("extra" in left) == (ended.code == 4), "extras go unless nothing is left"
    assert set(left) >= {"big", "small"}
    if ended.code == 0:
        assert ended.result is not None
        assert ended.result.copied == 0


def test_nothing_left_after_all_rules_deletes_nothing(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {"a": b"1"}), fill(tmp_path / "d", {"x": b"2"})
    ended = run(f"{source}/", f"{target}/", min_size=100, delete_dst=True)
    assert ended.code == 4
    assert "no source entry is left after all rules" in ended.text
    assert contents(target) == {"x": b"2"}


def test_check_leaves_out_what_a_sync_would_leave_alone(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"big": b"12345", "small": b"1"})
    target = fill(tmp_path / "d", {"big": b"other", "small": b"1"}, mtime=OLD + 1)
    os.utime(target / "small", ns=(OLD, OLD))
    assert fsync.check(f"{source}/", f"{target}/").exit_code == 5
    assert fsync.check(f"{source}/", f"{target}/", max_size=4).exit_code == 0


def test_what_no_listing_tells_is_asked_for_once_and_what_stays_unknown_is_left_out(tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    asked: list[str] = []

    class Vague(MemoryFileSystem):
        """Lists names without sizes, and tells the size of some when it is asked."""

        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]
        protocol = "vague"
        cachable = False

        def ls(self, path: str, detail: bool = True, **arguments: Any) -> Any:
            found = super().ls(path, detail=True, **arguments)
            for info in found:
                info["size"] = 0 if info["type"] == "directory" else None
            return found if detail else [info["name"] for info in found]

        def info(self, path: str, **arguments: Any) -> Any:
            asked.append(path)
            found = super().info(path, **arguments)
            return {**found, "size": None} if path.endswith("never") else found

    fs = Vague()
    for name, data in {"big": b"123456", "never": b"1", "small": b"1"}.items():
        fs.pipe_file(f"/v/{name}", data)
    ended = run((fs, "/v/"), f"{tmp_path}/d/", max_size=3)
    assert ended.code == 0, ended
    assert contents(tmp_path / "d") == {"small": b"1"}
    assert ended.result is not None
    assert [text for text in ended.result.notices if text.startswith("1 files were left out")]
    assert [path for path in asked if path.endswith("never")] == ["/v/never"]


def test_a_limit_counts_what_is_wanted(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {f"{number}{'ab'[number % 2]}": b"x" * (number % 2) for number in range(8)})
    assert run(f"{source}/", f"{tmp_path}/d/", limit=2, min_size=1).code == 0
    assert set(contents(tmp_path / "d")) == {"1b", "3b"}
    # what the destination has up to the last entry considered, and the source does not, is all that may go
    fill(tmp_path / "d", {"2z": b"e", "4z": b"e"})
    assert run(f"{source}/", f"{tmp_path}/d/", limit=2, min_size=1, delete_dst=True).code == 0
    assert set(contents(tmp_path / "d")) == {"1b", "3b", "4z"}
    assert run(f"{source}/", f"{tmp_path}/e/", limit=0, min_size=1).code == 0
    assert contents(tmp_path / "e") == {}
