"""Nothing is deleted when the source is missing, cannot be read, has nothing left, or a copy failed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import LocalPlace, Place, S3Place, fill, run, snapshot

_CONTENTS = {"keep": b"k", "dir/a": b"aa", "dir/sub/b": b"bbb", "other/c": b"c" * 1000}
#: runs a sync once to load all code, which another user may not be allowed to read, then gives up root and runs again
_RUN = """
import os, sys, tempfile, fsync
from pathlib import Path
with tempfile.TemporaryDirectory() as first:
    for name in ("one", "two"):
        Path(first, name).mkdir()
        Path(first, name, name).write_bytes(b"x")
    fsync.sync(f"{first}/one/", f"{first}/two/", delete_dst=True)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
result = fsync.sync(*sys.argv[1:], delete_dst=True, raise_on_error=False)
print(result.to_dict())
sys.exit(result.exit_code)
"""
_NOBODY = 65534


# a source that is not there ----------------------------------------------------------------------------------------


_PAIRS = [
    ("local", "local"),
    ("local", "moto"),
    ("memory", "local"),
    ("memory", "memory"),
    ("seaweed", "local"),
    ("moto", "memory"),
    ("moto", "moto"),
]


@pytest.mark.parametrize("slash", ["/", ""], ids=["directory", "prefix"])
@pytest.mark.parametrize(("source_kind", "kind"), _PAIRS, ids=["-".join(pair) for pair in _PAIRS])
def test_a_missing_source_is_an_error_and_deletes_nothing(
    place: Maker, source_kind: str, kind: str, slash: str
) -> None:
    source, destination = place(source_kind, "source"), place(kind, "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    ended = run(
        source.missing().rstrip("/") + slash,
        destination.address.rstrip("/") + slash,
        src_storage_options=source.options,
        dst_storage_options=destination.options,
        delete_dst=True,
    )
    assert ended.code == 3, ended
    assert destination.state() == before


def test_a_missing_source_counts_as_empty_only_when_that_is_said(destination: Place, tmp_path: Path) -> None:
    destination.fill(_CONTENTS)
    ended = run(f"{tmp_path}/not-there/", destination, delete_dst=True, allow_empty_source=True)
    assert (ended.code, destination.data()) == (0, {})


@pytest.mark.parametrize("kind", ["seaweed", "moto"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_missing_bucket_is_an_error_and_deletes_nothing(place: Maker, tmp_path: Path, kind: str, side: str) -> None:
    local, remote = place("local", "here"), place(kind, "there")
    assert isinstance(remote, S3Place)
    local.fill(_CONTENTS)
    before = local.state()
    nowhere = f"s3://no-such-bucket-{remote.bucket}/x/"
    ends = (nowhere, local.address) if side == "source" else (local.address, nowhere)
    ended = run(*ends, **{"src_storage_options" if side == "source" else "dst_storage_options": remote.options},
                delete_dst=True)  # fmt: skip
    assert ended.code == 3, ended
    assert "bucket" in ended.text
    assert local.state() == before
    names = [item["Name"] for item in remote.server.client().list_buckets()["Buckets"]]
    assert f"no-such-bucket-{remote.bucket}" not in names


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_source_below_a_file_or_a_dangling_link_is_missing(place: Maker, tmp_path: Path, kind: str) -> None:
    destination = place(kind, "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to(tmp_path / "not-mounted")
    for name in ("file/sub/", "dangling/", "dangling/sub/", "fi1e/"):
        ended = run(f"{tmp_path}/{name}", destination, delete_dst=True)
        assert ended.code == 3, (name, ended)
        assert destination.state() == before


# a source that is there and has nothing left -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "options"),
    [
        ({}, {}),
        ({"empty-dir/": b""}, {}),
        ({"a": b"1", "b/c": b"2"}, {"exclude": "*"}),
        ({"a": b"1", "b/c": b"2"}, {"exclude": ["a", "b"]}),
        ({"a": b"1", "b/c": b"2"}, {"exclude": ["a", "b/*"]}),
        ({"a": b"1", "b/c": b"2"}, {"limit": 0}),
    ],
    ids=["empty", "empty directory", "exclude all", "exclude each", "exclude below", "limit 0"],
)
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_nothing_left_at_the_source_stops_deletions(
    place: Maker, tmp_path: Path, kind: str, contents: dict[str, bytes], options: dict[str, Any]
) -> None:
    destination = place(kind, "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    source = fill(tmp_path / "source", contents)
    for dry in (True, False):
        ended = run(f"{source}/", destination, delete_dst=True, dry=dry, **options)
        assert ended.code == 4, ended
        assert "--allow-empty-source" in ended.text
        assert destination.state() == before


@pytest.mark.parametrize("kind", ["local", "moto"])
def test_an_unmounted_mount_point_stops_deletions(place: Maker, tmp_path: Path, kind: str) -> None:
    destination = place(kind, "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    (tmp_path / "mnt").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "mnt")
    for name in ("mnt/", "mnt", "alias/"):
        ended = run(f"{tmp_path}/{name}", destination, delete_dst=True)
        assert ended.code == 4, (name, ended)
        assert destination.state() == before


@pytest.mark.parametrize("kind", ["memory", "seaweed", "moto"])
def test_an_emptied_object_source_stops_deletions_or_is_missing(place: Maker, kind: str) -> None:
    # a prefix without keys is no place in an object store (3); an emptied memory directory may still be one (4)
    source, destination = place(kind, "source"), place("local", "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    ended = run(source, destination, delete_dst=True)
    assert ended.code in (3, 4), ended
    assert destination.state() == before


def test_an_empty_source_without_deletions_is_no_error(destination: Place, tmp_path: Path) -> None:
    destination.fill(_CONTENTS)
    before = destination.state()
    ended = run(f"{fill(tmp_path / 'source', {})}/", destination)
    assert ended.code == 0, ended
    assert destination.state() == before


# what may not be read or written -----------------------------------------------------------------------------------


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    """A directory that every user may pass through; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="fsync-open-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        for path, _, _ in os.walk(directory):
            os.chmod(path, 0o755)


def _as_nobody(source: Path, destination: Path) -> subprocess.CompletedProcess[str]:
    """Sync with deletions in a process that permissions bind: as nobody where the tests run as root."""
    if os.geteuid() == 0:
        for tree in (source, destination):
            for directory, _, files in os.walk(tree):
                for path in (directory, *(os.path.join(directory, name) for name in files)):
                    os.chown(path, _NOBODY, _NOBODY)
    return subprocess.run(
        [sys.executable, "-c", _RUN, f"{source}/", f"{destination}/"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o300], ids=["none", "names only", "no names"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_an_unreadable_subdirectory_ends_the_run(open_tmp: Path, side: str, mode: int) -> None:
    source = fill(open_tmp / "source", {"a": b"1", "dir/b": b"2", "z": b"3"})
    destination = fill(open_tmp / "destination", {**_CONTENTS, "dir/b": b"2", "zz": b"extra"})
    before = {key: row for key, row in snapshot(destination).items() if key not in (b"dir", b"a", b"z")}
    (open_tmp / side / "dir").chmod(mode)
    ended = _as_nobody(source, destination)
    (open_tmp / side / "dir").chmod(0o755)
    assert ended.returncode == 3, ended
    after = {key: row for key, row in snapshot(destination).items() if key not in (b"dir", b"a", b"z")}
    assert after == before


@pytest.mark.parametrize("what", ["source file", "destination directory", "destination root"])
def test_what_cannot_be_read_or_written_fails_alone_and_withholds_deletions(open_tmp: Path, what: str) -> None:
    source = fill(open_tmp / "source", {"a": b"1", "dir/new": b"2", "dir/sub/b": b"changed", "z": b"3"})
    destination = fill(open_tmp / "destination", {**_CONTENTS, "zz": b"extra"})
    before = snapshot(destination)
    if what == "source file":
        closed, mode = source / "dir" / "new", 0o000
    elif what == "destination directory":
        closed, mode = destination / "dir", 0o555
    else:
        closed, mode = destination, 0o555
    closed.chmod(mode)
    ended = _as_nobody(source, destination)
    closed.chmod(0o755)
    assert ended.returncode == 1, ended
    after = snapshot(destination)
    assert {key for key in before if key not in after} == set()
    changed = {key for key, row in after.items() if before.get(key) != row}
    expected = {
        "source file": {b"a", b"z", b"dir/sub/b"},
        "destination directory": {b"a", b"z", b"dir/sub/b"},
        "destination root": {b"dir/new", b"dir/sub/b"},
    }[what]
    assert changed == expected, "the others are copied, nothing else is touched"


# copies that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [b"x" * 256, b"d/" + b"y" * 300 + b"/z"], ids=["long name", "long directory"])
def test_a_name_the_destination_cannot_hold_fails_alone_and_withholds_deletions(place: Maker, bad: bytes) -> None:
    source, destination = place("memory", "source"), place("local", "destination")
    source.fill({"a": b"1", bad.decode(): b"2", "z": b"3"})
    destination.fill(_CONTENTS)
    before = destination.state()
    ended = run(source, destination, delete_dst=True)
    assert ended.code == 1
    assert ended.result is not None
    assert [failure.key for failure in ended.result.failures] == [bad]
    after = destination.state()
    assert {key: row for key, row in after.items() if key in before} == before
    assert set(after) - set(before) == {b"a", b"z"}


@pytest.mark.parametrize("kind", ["memory", "seaweed"])
def test_a_name_that_is_not_utf8_fails_alone_at_a_store_of_text_keys(place: Maker, tmp_path: Path, kind: str) -> None:
    destination = place(kind, "destination")
    destination.fill(_CONTENTS)
    before = destination.state()
    source = fill(tmp_path / "source", {"a": b"1", "z": b"3"})
    (source / os.fsdecode(b"caf\xe9")).write_bytes(b"2")
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 1
    assert ended.result is not None
    assert [failure.key for failure in ended.result.failures] == [b"caf\xe9"]
    after = destination.state()
    assert {key: row for key, row in after.items() if key in before} == before
    assert set(after) - set(before) == {"a", "z"}


@pytest.mark.parametrize("bad", ["../up", "a/../../up", "/abs", "a//b", "a/./b", "a/..", ".", ".."], ids=repr)
def test_a_key_that_leads_out_of_the_destination_is_never_written(place: Maker, tmp_path: Path, bad: str) -> None:
    source = place("moto", "source")
    source.fill({"good": b"1", bad: b"evil"})
    assert bad in source.data()
    inner = LocalPlace(fill(tmp_path / "outer", {"up": b"mine", "abs": b"mine"}) / "destination")
    inner.fill(_CONTENTS)
    before = snapshot(tmp_path / "outer")
    ended = run(source, inner, delete_dst=True)
    assert ended.code == 1, ended
    after = snapshot(tmp_path / "outer")
    assert {key: row for key, row in after.items() if key in before} == before
    assert set(after) - set(before) == {b"destination/good"}


def test_a_file_in_the_way_of_a_directory_stays_without_deletions(destination: Place, tmp_path: Path) -> None:
    destination.fill({"dir": b"a file", "other/c": b"c"})
    before = destination.state()
    source = fill(tmp_path / "source", {"a": b"1", "dir/x": b"2"})
    ended = run(f"{source}/", destination)
    after = destination.state()
    assert {key: row for key, row in after.items() if key in before} == before
    assert "a" in destination.data()
    # a store of keys may have room for both
    if ended.code == 0:
        assert destination.data()["dir/x"] == b"2"
    else:
        assert ended.code == 1, ended
        assert ended.result is not None
        assert [failure.key for failure in ended.result.failures] == [b"dir/x"]
