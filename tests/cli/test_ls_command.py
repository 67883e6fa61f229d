"""``fsync ls`` as a shell runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ended, Run
from tests.servers.s3 import S3Server

#: 2001-09-09T01:46:40.123456789Z
WHEN = 1_000_000_000_123_456_789


def test_lines(run: Run, tree: Path) -> None:
    os.utime(tree / "one", ns=(WHEN, WHEN))
    os.utime(tree / "d" / "two", ns=(-1, -1))
    os.utime(tree / "d", ns=(0, 0))
    ended = run("ls", "a/")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "           0  1970-01-01T00:00:00Z  d/",
        "           2  1969-12-31T23:59:59Z  d/two",
        "           1  2001-09-09T01:46:40Z  one",
    ]


def test_json(run: Run, tree: Path) -> None:
    Path(os.fsdecode(bytes(tree) + b"/\xff\n")).symlink_to("nowhere")
    os.utime(tree / "one", ns=(WHEN, WHEN))
    ended = run("ls", "--json", "a/")
    assert (ended.code, ended.err) == (0, "")
    entries = [json.loads(line) for line in ended.out.splitlines()]
    assert [(entry["key"], entry["kind"], entry["size"]) for entry in entries] == [
        ("d/", "directory", 0), ("d/two", "file", 2), ("one", "file", 1), (r"\xff\x0a", "other", None),
    ]  # fmt: skip
    assert entries[2] == {
        "key": "one", "kind": "file", "size": 1, "mtime": "2001-09-09T01:46:40.123456789Z",
        "etag": None, "digest": None,
    }  # fmt: skip
    assert (entries[3]["key_base64"], entries[3]["mtime"]) == ("/wo=", None)


def test_rules_and_limit(run: Run, tree: Path) -> None:
    assert [line.split()[2] for line in run("ls", "--exclude", "d/", "a/").out.splitlines()] == ["one"]
    assert len(run("ls", "--limit", "1", "a/").out.splitlines()) == 1
    assert run("ls", "--limit", "0", "a/") == Ended(0, "", "")


def test_one_object_goes_by_its_name(run: Run, tree: Path) -> None:
    assert run("ls", "a/one").out.endswith("Z  one\n")


def test_an_empty_directory_is_no_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    assert run("ls", "e/") == run("ls", "e") == Ended(0, "", "")


def test_what_is_not_there(run: Run) -> None:
    assert run("ls", "e/") == Ended(3, "", "fsync: ERROR: e/ does not exist\n")
    assert run("ls", "e") == Ended(3, "", "fsync: ERROR: nothing begins with e\n")


def test_objects_of_a_bucket(run: Run, moto_s3: S3Server, bucket: Callable[[S3Server], str]) -> None:
    name = bucket(moto_s3)
    for key in ("p/b", "p/a/x", "q"):
        moto_s3.client().put_object(Bucket=name, Key=key, Body=b"12345")
    address = f"minio://{moto_s3.key}:{moto_s3.secret}@{moto_s3.host}/{name}/p/"
    ended = run("ls", address)
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert [(size, key) for size, _, key in lines] == [("5", "a/x"), ("5", "b")]
    (entry, _) = [json.loads(line) for line in run("ls", "--json", address).out.splitlines()]
    assert entry["etag"].strip('"') == "827ccb0eea8a706c4c34a16891f84e7b"
