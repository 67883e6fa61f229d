"""fsync.check: the differences of two trees as rows, and nothing is ever touched."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import fsync
from fsync.errors import OptionError, SourceNotFound
from fsync.report import SyncResult
from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, Place, fill, run, snapshot

_TREE = {"a": b"1", "d/b": b"22", "d/c": b"333", "e": b""}


def check(src: Place, dst: Place, **options: Any) -> SyncResult:
    """Check two places and hold them to having been left alone."""
    before = (src.state(), dst.state())
    result = fsync.check(
        src.address, dst.address,
        **({"src_storage_options": src.options} if src.options else {}),
        **({"dst_storage_options": dst.options} if dst.options else {}),
        **options,
    )  # fmt: skip
    assert (src.state(), dst.state()) == before
    return result


def rows(result: SyncResult) -> list[tuple[bytes, str, str]]:
    """Return key, action and reason of every row."""
    table = result.table()
    return list(zip(*(table.column(name).to_pylist() for name in ("key", "action", "reason")), strict=True))


@pytest.mark.parametrize(("src", "dst"), [*(("local", kind) for kind in KINDS), ("moto", "local"), ("moto", "moto")])
def test_equal_trees(place: Maker, src: str, dst: str) -> None:
    source, target = place(src, "source"), place(dst, "target")
    source.fill(_TREE)
    assert run(source, target).code == 0
    result = check(source, target)
    assert (result.exit_code, rows(result), result.skipped, result.complete) == (0, [], 4, True)


@pytest.mark.parametrize("dst", KINDS)
def test_every_difference_is_a_row(place: Maker, dst: str) -> None:
    source, target = place("local", "source"), place(dst, "target")
    source.fill(_TREE)
    target.fill({"a": b"1", "d/b": b"another size", "x": b"extra", "y/z": b"extra"})
    result = check(source, target, size_only=True)
    assert result.exit_code == 5
    assert rows(result) == [
        (b"d/b", "update", "size"), (b"d/c", "copy", "missing"), (b"e", "copy", "missing"),
        (b"x", "delete", "extra"), (b"y/z", "delete", "extra"),
    ]  # fmt: skip
    assert (result.updated, result.copied, result.deleted, result.skipped) == (1, 2, 2, 1)
    assert set(result.table().column("status").to_pylist()) == {"planned"}


def test_a_check_says_what_a_sync_would_do(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill(_TREE)
    target.fill({"a": b"2", "d/b": b"2", "x": b"extra"})
    found = rows(check(source, target, checksum=True))
    done = run(source, target, checksum=True, delete_dst=True)
    assert done.result is not None
    assert sorted(rows(done.result)) == sorted(found)
    assert check(source, target, checksum=True).exit_code == 0


@pytest.mark.parametrize("missing", ["source", "target"])
def test_an_end_that_does_not_exist(tmp_path: Path, missing: str) -> None:
    other = "target" if missing == "source" else "source"
    fill(tmp_path / other, {"a": b"1"})
    before = snapshot(tmp_path)
    if missing == "source":
        with pytest.raises(SourceNotFound):
            fsync.check(f"{tmp_path}/source/", f"{tmp_path}/target/")
        result = fsync.check(f"{tmp_path}/source/", f"{tmp_path}/target/", allow_empty_source=True)
        assert rows(result) == [(b"a", "delete", "extra")]
    else:
        result = fsync.check(f"{tmp_path}/source/", f"{tmp_path}/target/")
        assert rows(result) == [(b"a", "copy", "missing")]
    assert result.exit_code == 5
    assert snapshot(tmp_path) == before


def test_the_same_rules_hold(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a.txt": b"1", "b.log": b"2", "d/c.log": b"3"})
    target.fill({"a.txt": b"1", "x.log": b"4", "y.txt": b"5"})
    result = check(source, target, exclude="*.log")
    assert (rows(result), result.excluded) == ([(b"y.txt", "delete", "extra")], 3)
    result = check(source, target, include="*.txt", exclude="*")
    assert rows(result) == [(b"y.txt", "delete", "extra")]
    assert check(source, target, exclude=["*.log", "y*"]).exit_code == 0


def test_each_comparison(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1", "b": b"1"})
    target.fill({"a": b"2", "b": b"1"})
    os.utime(Path(target.address) / "b", ns=(OLD + 1, OLD + 1))
    assert rows(check(source, target)) == [(b"b", "update", "mtime")]
    assert rows(check(source, target, size_only=True)) == []
    assert rows(check(source, target, checksum=True)) == [(b"a", "update", "digest")]


def test_a_limit_bounds_extras_too(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1", "c": b"1", "e": b"1"})
    target.fill({"b": b"x", "d": b"x"})
    result = check(source, target, limit=2)
    assert rows(result) == [(b"a", "copy", "missing"), (b"c", "copy", "missing"), (b"b", "delete", "extra")]


def test_one_object(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1", "ab": b"2"})
    target.fill({"a": b"1", "abc": b"3"})
    ends = f"{source.address}a", f"{target.address}a"
    result = fsync.check(*ends, exact=True)
    assert (result.exit_code, rows(result)) == (0, [])
    target.write("a", b"other")
    result = fsync.check(*ends, exact=True)
    assert (result.exit_code, rows(result)) == (5, [(b"", "update", "size")])


def test_links(tmp_path: Path, place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    for root, text in ((source.address, "one"), (target.address, "two")):
        os.symlink(text, f"{root}differs")
        os.symlink("same", f"{root}same")
    os.symlink("x", f"{target.address}extra")
    assert rows(check(source, target, links=True)) == [(b"differs", "update", "link"), (b"extra", "delete", "extra")]


def test_directories(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1", "new/": b"", "both/": b""})
    target.fill({"a": b"1", "old/": b"", "both/": b""})
    assert rows(check(source, target)) == []
    assert rows(check(source, target, dirs=True)) == [(b"new/", "copy", "missing"), (b"old/", "delete", "extra")]


def test_permissions(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1", "b": b"1"})
    target.fill({"a": b"1", "b": b"1"})
    os.chmod(f"{source.address}a", 0o600)
    os.chmod(f"{target.address}a", 0o644)
    assert check(source, target).exit_code == 0
    result = check(source, target, perms=True)
    assert (result.exit_code, rows(result), result.metadata) == (5, [(b"a", "metadata", "mode")], 1)


@pytest.mark.parametrize("option", ["delete_dst", "force_update", "backup_dir", "dry", "existing"])
def test_options_that_only_a_sync_has(tmp_path: Path, option: str) -> None:
    with pytest.raises(OptionError):
        fsync.check(f"{tmp_path}/a/", f"{tmp_path}/b/", **{option: True})


def test_awaited(place: Maker) -> None:
    source, target = place("local", "source"), place("memory", "target")
    source.fill({"a": b"1"})
    result = asyncio.run(fsync.async_check(source.address, target.address))
    assert (result.exit_code, rows(result)) == (5, [(b"a", "copy", "missing")])
