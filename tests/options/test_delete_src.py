"""--delete-src and --delete-src-after: what goes at the source, what stays, and what is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.safety.conftest import Maker
from tests.safety.places import Ended, LocalPlace, S3Place, contents, fill, snapshot
from tests.safety.places import run as run_at_once

_TREE = {"a": b"1", "d/b": b"22", "d/e/c": b"333", "z": b"4"}
_PAIRS = [
    *(("local", "local"), ("memory", "local"), ("moto", "local"), ("local", "moto"), ("seaweed", "memory")),
    ("moto", "moto"),
]


def run(src: Any, dst: Any, **options: Any) -> Ended:
    """Sync when the tick of the clock is over in which the test has written its files."""
    time.sleep(0.03)
    return run_at_once(src, dst, **options)


@pytest.mark.parametrize(("from_kind", "to_kind"), _PAIRS)
def test_what_is_there_already_goes_and_what_is_copied_now_stays(place: Maker, from_kind: str, to_kind: str) -> None:
    source, destination = place(from_kind, "source"), place(to_kind, "destination")
    source.fill(_TREE)
    first = run(source, destination, delete_src=True)
    assert first.code == 0, first
    assert first.result is not None
    assert (first.result.copied, first.result.deleted_src) == (4, 0)
    assert source.data() == _TREE, "what this run copied has no proof but this run"
    source.write("new", b"5")
    source.write("d/b", b"longer")
    again = run(source, destination, delete_src=True)
    assert again.code == 0, again
    assert again.result is not None
    assert (again.result.copied, again.result.updated, again.result.deleted_src) == (1, 1, 3)
    assert source.data() == {"new": b"5", "d/b": b"longer"}
    assert destination.data() == {**_TREE, "new": b"5", "d/b": b"longer"}


@pytest.mark.parametrize(("from_kind", "to_kind"), [("local", "local"), ("local", "moto")])
def test_after_removes_what_was_copied_and_never_what_was_skipped(place: Maker, from_kind: str, to_kind: str) -> None:
    source, destination = place(from_kind, "source"), place(to_kind, "destination")
    source.fill({"a": b"1", "d/b": b"22"})
    assert run(source, destination).code == 0
    source.fill({"new": b"3", "d/new": b"44"})
    ended = run(source, destination, delete_src_after=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.deleted_src) == (2, 2)
    assert source.data() == {"a": b"1", "d/b": b"22"}
    assert destination.data() == {"a": b"1", "d/b": b"22", "new": b"3", "d/new": b"44"}
    both = run(source, destination, delete_src=True, delete_src_after=True)
    assert both.code == 0, both
    assert source.data() == {}


def test_large_and_empty_files_go_after_they_are_copied(place: Maker) -> None:
    source, destination = place("local", "source"), place("moto", "destination")
    tree = {"large": b"x" * (9 << 20), "empty": b""}
    source.fill(tree)
    assert run(source, destination, delete_src_after=True).code == 0
    assert (source.data(), destination.data()) == ({}, tree)


def test_a_dry_run_shows_what_would_go_and_touches_nothing(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", _TREE)
    destination = fill(tmp_path / "destination", {"a": b"1", "z": b"4", "x": b"9"})
    before = snapshot(source), snapshot(destination)
    events: list[dict[str, Any]] = []
    ended = run(f"{source}/", f"{destination}/", dry=True, delete_src=True, delete_dst=True, progress=events.append)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.deleted, ended.result.deleted_src) == (2, 1, 2)
    planned = [(event["action"], event["key"], event["reason"]) for event in events if event["event"] == "plan"]
    assert planned == [
        ("copy", "d/b", "missing"),
        ("copy", "d/e/c", "missing"),
        ("delete", "x", "extra"),
        ("delete_src", "a", "same"),
        ("delete_src", "z", "same"),
    ]
    after = run(f"{source}/", f"{destination}/", dry=True, delete_src_after=True)
    assert after.result is not None
    assert (after.result.copied, after.result.deleted_src) == (2, 2)
    assert (snapshot(source), snapshot(destination)) == before


def test_the_command_tells_it(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", _TREE)
    destination = fill(tmp_path / "destination", {"a": b"1", "z": b"4"})
    command = [sys.executable, "-m", "fsync", "sync", "--deleteSrc", "--delete-src-after"]
    report = tmp_path / "report.parquet"
    time.sleep(0.03)
    done = subprocess.run(
        [*command, "--report", str(report), f"{source}/", f"{destination}/"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "  deleted src          4  removed at the source" in done.stderr
    rows = pq.read_table(report, columns=["action", "key", "reason", "status"]).to_pylist()
    assert sorted((row["action"], row["key"], row["reason"], row["status"]) for row in rows) == [
        ("copy", b"d/b", "missing", "done"),
        ("copy", b"d/e/c", "missing", "done"),
        ("delete_src", b"a", "same", "done"),
        ("delete_src", b"d/b", "copied", "done"),
        ("delete_src", b"d/e/c", "copied", "done"),
        ("delete_src", b"z", "same", "done"),
    ]
    assert contents(source) == {}
    fill(source, {"more": b"5"})
    done = subprocess.run(
        [*command, "--json", f"{source}/", f"{destination}/"], capture_output=True, text=True, check=False
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["copied"], last["deleted_src"]) == ("summary", 1, 1)


def test_changed_keys_are_those_of_the_destination(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "b": b"2"})
    destination = fill(tmp_path / "destination", {"a": b"1"})
    ended = run(f"{source}/", f"{destination}/", delete_src=True, delete_src_after=True)
    assert ended.result is not None
    assert list(ended.result.changed_keys()) == [b"b"]


# directories -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_directories_that_are_empty_by_then_go_last(place: Maker, kind: str) -> None:
    source, destination = place(kind, "source"), place("local", "destination")
    assert isinstance(destination, LocalPlace)
    tree = {"full/keep.tmp": b"1", "full/x": b"2", "gone/deep/x": b"3"}
    source.fill(tree)
    if isinstance(source, LocalPlace):
        fill(source.root, {"empty/": b""})
    elif isinstance(source, S3Place):
        for marker in ("empty/", "gone/", "gone/deep/", "full/"):
            source.write(marker, b"")
    options: dict[str, Any] = {"dirs": True, "exclude": "*.tmp"}
    assert run(source, destination, **options).code == 0
    ended = run(source, destination, delete_src=True, **options)
    assert ended.code == 0, ended
    if isinstance(source, LocalPlace):
        left = {str(path.relative_to(source.root)) for path in source.root.rglob("*")}
        assert left == {"full", "full/keep.tmp"}
    elif isinstance(source, S3Place):
        assert set(source.data()) == {"full/", "full/keep.tmp"}
    assert destination.data() == {"full/x": b"2", "gone/deep/x": b"3"}
    assert (destination.root / "gone/deep").is_dir()


def test_without_dirs_directories_stay(tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", {"d/e/f": b"1"}), tmp_path / "destination"
    assert run(f"{source}/", f"{destination}/", delete_src_after=True).code == 0
    assert (source / "d/e").is_dir()


# links -------------------------------------------------------------------------------------------------------------


def test_what_only_a_link_leads_to_stays_and_is_told_once(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"x": b"precious", "y/z": b"too"})
    source, destination = fill(tmp_path / "source", {"own": b"1"}), tmp_path / "destination"
    (source / "l").symlink_to(outside)
    (source / "f").symlink_to(outside / "x")
    copied = {"own": b"1", "f": b"precious", "l/x": b"precious", "l/y/z": b"too"}
    before = snapshot(outside)
    for options in ({"delete_src_after": True}, {"delete_src": True}, {"delete_src": True, "dirs": True}):
        ended = run(f"{source}/", f"{destination}/", **options)
        assert ended.code == 0, ended
        assert contents(destination) == copied
        assert snapshot(outside) == before
        assert (source / "l").is_symlink()
        assert (source / "f").is_symlink()
        assert not (source / "own").exists()
        assert ended.text.count("3 entries were left at the source: only a link leads to them") == 1
    shown = run(f"{source}/", f"{destination}/", delete_src=True, dry=True)
    assert shown.result is not None
    assert shown.result.deleted_src == 0


def test_a_link_that_is_copied_as_a_link_is_removed_itself(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"x": b"precious"})
    source, destination = fill(tmp_path / "source", {"own": b"1"}), tmp_path / "destination"
    (source / "l").symlink_to(outside)
    (source / "other").symlink_to("nowhere")
    assert run(f"{source}/", f"{destination}/", links=True).code == 0
    (destination / "other").unlink()
    (destination / "other").symlink_to("changed")
    ended = run(f"{source}/", f"{destination}/", links=True, delete_src=True)
    assert ended.code == 0, ended
    assert sorted(path.name for path in source.iterdir()) == ["other"]
    assert contents(outside) == {"x": b"precious"}
    assert (destination / "l").readlink() == outside


# refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["delete_src", "delete_src_after"])
def test_a_source_that_can_only_be_read_is_refused(tmp_path: Path, option: str) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("a", b"1")
    destination = tmp_path / "destination"
    ended = run(f"zip://::{tmp_path}/one.zip", f"{destination}/", **{option: True})
    assert ended.code == 2
    assert "it can only be read" in ended.text
    assert not destination.exists()


@pytest.mark.parametrize("option", ["delete_src", "delete_src_after"])
def test_nothing_left_after_all_rules_stops(tmp_path: Path, option: str) -> None:
    source = fill(tmp_path / "source", {"a": b"1"})
    destination = fill(tmp_path / "destination", {"a": b"1"})
    ended = run(f"{source}/", f"{destination}/", exclude="*", **{option: True})
    assert ended.code == 4
    assert "no source entry is left after all rules; if that is meant, add --allow-empty-source" in ended.text
    assert run(f"{source}/", f"{destination}/", exclude="*", allow_empty_source=True, **{option: True}).code == 0
    assert contents(source) == {"a": b"1"}


@pytest.mark.parametrize(
    ("limit", "code"),
    [("1", 4), ("2", 4), ("3", 0), ("49%", 4), ("50%", 0)],
)
@pytest.mark.parametrize("dry", [False, True])
def test_max_delete_bounds_both_sides(tmp_path: Path, limit: str, code: int, *, dry: bool) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "b": b"2", "c": b"3", "d": b"4"})
    destination = fill(tmp_path / "destination", {"a": b"1", "b": b"2", "x": b"9"})
    ended = run(f"{source}/", f"{destination}/", delete_src=True, delete_dst=True, max_delete=limit, dry=dry)
    assert ended.code == code, ended
    if code:
        assert "1 of 3 destination entries and 2 of 4 source entries would go" in ended.text
    if code or dry:
        assert set(contents(source)) == {"a", "b", "c", "d"}
        assert "x" in contents(destination)
    after = run(f"{source}/", f"{destination}/", delete_src_after=True, max_delete=1)
    assert after.code == (0 if not code and not dry else 0 if code and not dry else 4), after
