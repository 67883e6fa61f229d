"""``fsync check`` as a shell runs it: what it prints, what it answers, that it touches nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.cli.conftest import Ended, Run
from tests.servers.s3 import S3Server

WHEN = 1_000_000_000


@pytest.fixture
def trees(tmp_path: Path, tree: Path) -> Path:
    """``b/`` beside ``a/``: one entry missing, one of another size, one of another time, one extra, one the same."""
    other = tmp_path / "b"
    other.mkdir()
    for name, mine, theirs in (("one", b"1", b"55555"), ("same", b"s", b"s"), ("time", b"t", b"t")):
        (tree / name).write_bytes(mine)
        (other / name).write_bytes(theirs)
        os.utime(tree / name, (WHEN, WHEN))
        os.utime(other / name, (WHEN, WHEN))
    os.utime(other / "time", (WHEN + 1, WHEN + 1))
    (other / "extra").write_bytes(b"x")
    return other


def state(root: Path) -> list[tuple[str, int, bytes]]:
    return sorted((str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file())


def test_every_difference_is_a_line(run: Run, tree: Path, trees: Path) -> None:
    before = state(tree), state(trees)
    ended = run("check", "a/", "b/")
    assert ended.code == 5
    assert ended.out.splitlines() == [
        "missing  d/two",
        "differs  one  (size 1 -> 5)",
        "differs  time  (mtime)",
        "extra    extra",
    ]
    lines = ended.err.splitlines()
    assert lines[0] == "Comparing a/ -> b/, by size and modification time, to 1 ns"
    assert lines[1].startswith("Differences found, ")
    assert lines[2:] == [
        "  missing              1",
        "  different            2",
        "  extra                1",
        "  the same             1",
        "  reasons      missing 1, size 1, mtime 1, extra 1",
    ]
    assert (state(tree), state(trees)) == before


def test_equal_trees(run: Run, tree: Path) -> None:
    assert run("sync", "a/", "b/").code == 0
    ended = run("check", "a/", "b/")
    assert (ended.code, ended.out) == (0, "")
    lines = ended.err.splitlines()
    assert lines[1].startswith("Equal, ")
    assert lines[2:] == [
        *("  missing              0", "  different            0", "  extra                0"),
        "  the same             2",
    ]
    assert run("check", "--quiet", "a/", "b/") == Ended(0, "", "")


def test_rules_and_the_rule_of_comparison(run: Run, trees: Path) -> None:
    ended = run("check", "-q", "--size-only", "--exclude", "d/", "--exclude", "extra", "a/", "b/")
    assert ended == Ended(5, "differs  one  (size 1 -> 5)\n", "")
    assert run("check", "-q", "--checksum", "--include", "time", "--exclude", "*", "a/", "b/") == Ended(0, "", "")


def test_links_directories_and_permissions(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to("one")
    (tree / "empty").mkdir()
    assert run("sync", "--links", "--dirs", "--perms", "a/", "b/").code == 0
    assert run("check", "-q", "--links", "--dirs", "--perms", "a/", "b/") == Ended(0, "", "")
    (tmp_path / "b" / "link").unlink()
    (tmp_path / "b" / "link").symlink_to("d/two")
    (tmp_path / "b" / "empty").rmdir()
    (tmp_path / "b" / "one").chmod(0o600)
    ended = run("check", "--links", "--dirs", "--perms", "a/", "b/")
    assert ended.code == 5
    assert ended.out.splitlines() == ["missing  empty/", "differs  link  (link)", "differs  one  (mode)"]
    assert "  permissions          1  other mode or owner, the content is the same" in ended.err.splitlines()


def test_json(run: Run, trees: Path) -> None:
    ended = run("check", "--json", "a/", "b/")
    assert (ended.code, ended.err) == (5, "")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert (told[0]["event"], told[0]["verb"]) == ("start", "check")
    found = [event for event in told if event["event"] == "plan"]
    assert [(event["key"], event["action"], event["reason"]) for event in found] == [
        ("d/two", "copy", "missing"), ("one", "update", "size"), ("time", "update", "mtime"),
        ("extra", "delete", "extra"),
    ]  # fmt: skip
    assert (found[1]["bytes"], found[1]["dst_bytes"], found[1]["kind"]) == (1, 5, "file")
    assert (told[-1]["event"], told[-1]["exit_code"]) == ("summary", 5)


def test_a_report(run: Run, trees: Path, tmp_path: Path) -> None:
    assert run("check", "-q", "--report", "r.parquet", "a/", "b/").code == 5
    table = pyarrow.parquet.read_table(tmp_path / "r.parquet")
    assert table.column("key").to_pylist() == [b"d/two", b"one", b"time", b"extra"]
    assert set(table.column("status").to_pylist()) == {"planned"}
    assert run("check", "-q", "--report", "r.txt", "a/", "b/").code == 2


def test_what_is_not_there(run: Run, tree: Path) -> None:
    ended = run("check", "nowhere/", "a/")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("fsync: ERROR: nowhere/ does not exist")
    assert run("check", "a/", "nowhere/").out.splitlines() == ["missing  d/two", "missing  one"]
    assert not (tree.parent / "nowhere").exists()


@pytest.mark.parametrize("option", ["--dry", "--delete-dst", "--bwlimit=5", "--backup-dir=c/"])
def test_options_that_a_comparison_does_not_have(run: Run, tree: Path, option: str) -> None:
    ended = run("check", option, "a/", "b/")
    assert (ended.code, ended.out) == (2, "")
    assert "is an option of fsync sync, not of fsync check" in ended.err


def test_a_bucket(run: Run, tree: Path, moto_s3: S3Server, bucket: Callable[[S3Server], str]) -> None:
    address = f"minio://{moto_s3.key}:{moto_s3.secret}@{moto_s3.host}/{bucket(moto_s3)}/p/"
    assert run("check", "-q", "a/", address) == Ended(5, "missing  d/two\nmissing  one\n", "")
    assert run("sync", "-q", "a/", address) == Ended(0, "", "")
    assert run("check", "-q", "a/", address) == Ended(0, "", "")
    # the other way round the files' own times are compared with those of the upload
    assert run("check", "-q", address, "a/").out.splitlines() == ["differs  d/two  (mtime)", "differs  one  (mtime)"]
    assert run("check", "-q", "--size-only", address, "a/") == Ended(0, "", "")
