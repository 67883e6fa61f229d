"""The thirteen ways in which juicefs sync 1.4.2 was seen to lose data: none of them is open here.

Each test lets the binary lose the data first, where that is quick to show, so that it is known to test the right
thing; then fsync's command line gets the same words on the same trees. The details of each promise have tests of
their own beside this file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.model.programs import closed, fsync, fsync_apart, juicefs_sync
from tests.safety.places import OLD, contents, fill, snapshot
from tests.servers.process import program

Worlds = Callable[[Mapping[str, bytes]], Path]
_DAY = 86_400_000_000_000


@pytest.fixture
def world(tmp_path: Path) -> Worlds:
    """A factory: ``world(contents)`` makes a directory of its own with these files, all of one time."""
    made = iter(range(100))
    return lambda files: fill(tmp_path / str(next(made)), files)


def test_1_a_source_that_is_not_there(world: Worlds) -> None:
    files = {"backup/a": b"1", "backup/d/b": b"2"}
    theirs, ours = world(files), world(files)
    assert juicefs_sync("--delete-dst", f"{theirs}/mnt/", f"{theirs}/backup/").code == 0
    assert contents(theirs) == {}
    before = snapshot(ours)
    ended = fsync("sync", "--delete-dst", f"{ours}/mnt/", f"{ours}/backup/")
    assert (ended.code, snapshot(ours)) == (3, before)
    assert "ERROR" in ended.text
    # not mounted: the directory is there, and empty
    (ours / "mnt").mkdir()
    before = snapshot(ours)
    assert (fsync("sync", "--delete-dst", f"{ours}/mnt/", f"{ours}/backup/").code, snapshot(ours)) == (4, before)


def test_2_a_subdirectory_that_cannot_be_read(world: Worlds) -> None:
    files = {"s/a": b"1", "s/closed/b": b"2", "d/a": b"1", "d/closed/b": b"2", "d/closed/c": b"3"}
    theirs, ours = world(files), world(files)
    with closed(theirs / "s" / "closed"):
        assert juicefs_sync("--delete-dst", f"{theirs}/s/", f"{theirs}/d/", bound=True).code == 0
    assert contents(theirs / "d") == {"a": b"1"}
    before = snapshot(ours / "d")
    with closed(ours / "s" / "closed"):
        ended = fsync_apart("sync", "--delete-dst", f"{ours}/s/", f"{ours}/d/", bound=True)
    assert (ended.code, snapshot(ours / "d")) == (3, before)
    assert f"{ours}/s/closed" in ended.text


def test_3_edits_that_are_not_at_the_destination_yet(world: Worlds) -> None:
    files = {"s/edited": b"new", "s/same": b"222", "d/edited": b"old", "d/same": b"222"}
    theirs, ours = world(files), world(files)
    for root in (theirs, ours):
        os.utime(root / "s" / "edited", ns=(OLD + _DAY, OLD + _DAY))
    assert juicefs_sync("--delete-src", f"{theirs}/s/", f"{theirs}/d/").code == 0
    assert contents(theirs) == {"d/edited": b"old", "d/same": b"222"}
    # what has changed within the clock's tick is not removed from a source
    time.sleep(0.05)
    assert fsync("sync", "--delete-src", f"{ours}/s/", f"{ours}/d/").code == 0
    assert contents(ours) == {"s/edited": b"new", "d/edited": b"new", "d/same": b"222"}


def test_4_a_source_that_is_the_destination_or_holds_it(world: Worlds) -> None:
    files = {"s/a": b"1", "s/d/b": b"2"}
    theirs, ours = world(files), world(files)
    assert juicefs_sync("--delete-src", f"{theirs}/s/", f"{theirs}/s/").code == 0
    assert contents(theirs) == {}
    (ours / "alias").symlink_to("s")
    before = snapshot(ours)
    for destination in ("s/", "s/d/", "s/new/", "alias/", "alias/new/"):
        for options in ((), ("--delete-dst",), ("--delete-src",), ("--delete-src-after", "-f")):
            assert fsync("sync", *options, f"{ours}/s/", f"{ours}/{destination}").code == 2
            assert fsync("sync", *options, f"{ours}/{destination}", f"{ours}/s/").code == 2
    assert snapshot(ours) == before


def test_5_deletions_beside_copies_that_fail(world: Worlds) -> None:
    # what was renamed at the source is deleted under its old name and cannot be read under its new one
    files = {"s/renamed": b"the only copy", "s/z": b"z", "d/original": b"the only copy"}
    theirs, ours = world(files), world(files)
    with closed(theirs / "s" / "renamed"):
        assert juicefs_sync("--delete-dst", f"{theirs}/s/", f"{theirs}/d/", bound=True).code == 1
    assert contents(theirs / "d") == {"z": b"z"}
    with closed(ours / "s" / "renamed"):
        ended = fsync_apart("sync", "--delete-dst", f"{ours}/s/", f"{ours}/d/", bound=True)
    assert ended.code == 1
    assert contents(ours / "d") == {"original": b"the only copy", "z": b"z"}
    assert fsync("sync", "--delete-dst", f"{ours}/s/", f"{ours}/d/").code == 0
    assert contents(ours / "d") == {"renamed": b"the only copy", "z": b"z"}


def test_6_a_link_in_the_destination_where_the_source_has_a_directory(world: Worlds) -> None:
    files = {"s/dir/a": b"1", "s/z": b"z", "elsewhere/b": b"2", "d/z": b"z"}
    theirs, ours = world(files), world(files)
    for root in (theirs, ours):
        (root / "d" / "dir").symlink_to(root / "elsewhere")
    # with --delete-dst it deletes the link too, sooner or later: too late, and the copy is lost
    assert juicefs_sync("--links", f"{theirs}/s/", f"{theirs}/d/").code == 0
    assert contents(theirs / "elsewhere") == {"a": b"1", "b": b"2"}
    before = snapshot(ours)
    assert fsync("sync", "--links", f"{ours}/s/", f"{ours}/d/").code == 1
    assert snapshot(ours) == before
    assert fsync("sync", "--links", "--delete-dst", f"{ours}/s/", f"{ours}/d/").code == 0
    assert contents(ours / "d") == {"dir/a": b"1", "z": b"z"}
    assert contents(ours / "elsewhere") == {"b": b"2"}


@pytest.mark.parametrize("name", ["back#1", "back?1", "back%31"])
def test_7_names_that_a_url_reads_otherwise(world: Worlds, name: str) -> None:
    files = {"src/a": b"1", f"{name}/old": b"extra", "back1/b": b"2", "back-2024/c": b"3"}
    theirs, ours = world(files), world(files)
    (theirs / "src").rename(theirs / f"s{name}")
    (ours / "src").rename(ours / f"s{name}")
    assert juicefs_sync("--delete-dst", f"{theirs}/s{name}/", f"{theirs}/{name}/").code == 0
    lost = {key for key in ("back1/b", "back-2024/c") if key not in contents(theirs)}
    assert lost, "another tree was addressed"
    assert fsync("sync", "--delete-dst", f"{ours}/s{name}/", f"{ours}/{name}/").code == 0
    assert contents(ours) == {f"s{name}/a": b"1", f"{name}/a": b"1", "back1/b": b"2", "back-2024/c": b"3"}


@pytest.mark.parametrize(
    ("options", "code", "left"),
    [
        (["--exclude", "keep["], 2, {"a": b"old", "extra": b"x"}),
        (["--exclude=keep=1", "--exclude", r"keep\[*"], 0, {"a": b"new", "b": b"2"}),
        (["--exclude", "keep*", "--max-age", "1x"], 2, {"a": b"old", "extra": b"x"}),
        (["--exclude", "keep*", "-f", "--ignore-existing"], 0, {"a": b"old", "b": b"2"}),
        (["--exclude", "keep*", "-f", "--existing"], 0, {"a": b"new"}),
    ],
    ids=["malformed", "equals sign", "bad age", "-f --ignore-existing", "-f --existing"],
)
def test_8_rules_and_limits_that_are_dropped(
    world: Worlds, options: list[str], code: int, left: dict[str, bytes]
) -> None:
    kept = {"keep=1": b"mine", "keep[1": b"mine"}
    files = {"s/a": b"new", "s/b": b"2", "d/a": b"old", "d/extra": b"x", "d/keep=1": b"mine", "d/keep[1": b"mine"}
    theirs, ours = world(files), world(files)
    for root in (theirs, ours):
        os.utime(root / "s" / "a", ns=(OLD + _DAY, OLD + _DAY))
    assert juicefs_sync("--delete-dst", *options, f"{theirs}/s/", f"{theirs}/d/").code == 0
    before = snapshot(ours)
    ended = fsync("sync", "--delete-dst", *options, f"{ours}/s/", f"{ours}/d/")
    assert ended.code == code, ended
    assert contents(ours / "d") == {**left, **kept}
    if code:
        assert snapshot(ours) == before
    assert contents(theirs / "d") != {**left, **kept}


def test_9_an_interrupted_run_that_says_it_is_done(world: Worlds) -> None:
    files = {f"s/{number % 20:02}/{number:03}": bytes(10_000) for number in range(300)}
    # the binary's limit counts a file of another file system as 2 MiB
    root = world({**files, "theirs/": b"", "ours/": b""})
    theirs = [program("juicefs"), "sync", "--no-agent", "--metrics", "127.0.0.1:0", "--enable-checkpoint"]
    ours = [sys.executable, "-m", "fsync", "sync"]
    for command, name, code in ((theirs, "theirs", 0), (ours, "ours", 130)):
        words = [*command, "--bwlimit", "1", f"{root}/s/", f"{root}/{name}/"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            # a test run started in the background of a script ignores SIGINT, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as process:  # fmt: skip
            deadline = time.monotonic() + 60
            while not list(root.glob(f"{name}/*/*")) and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            text = process.communicate(timeout=60)[1]
        assert process.returncode == code, text
        assert 0 < len(list(root.glob(f"{name}/*/*"))) < len(files)
    assert fsync("sync", f"{root}/s/", f"{root}/ours/").code == 0
    assert contents(root / "ours") == contents(root / "s")


@pytest.mark.parametrize(
    ("limits", "code", "left"),
    [
        ("--max-size 3", 0, {"grown": b"123", "new": b"1"}),
        ("--min-size 9", 0, {"grown": b"123", "long": b"1234567890"}),
        ("--max-age 1h", 0, {"grown": b"123", "new": b"1"}),
        # nothing of the source is left: nothing is deleted at all
        ("--end-time 2019-01-01", 4, {"grown": b"123", "extra": b"1"}),
    ],
)
def test_10_limits_that_a_live_entry_has_outgrown(
    world: Worlds, limits: str, code: int, left: dict[str, bytes]
) -> None:
    # all but one is from 2020; the source has grown past --max-size, not yet to --min-size, and out of both times
    files = {"s/grown": b"12345", "s/new": b"1", "s/long": b"1234567890", "d/grown": b"123", "d/extra": b"1"}
    theirs, ours = world(files), world(files)
    for root in (theirs, ours):
        os.utime(root / "s" / "new")
    assert juicefs_sync("--delete-dst", *limits.split(" "), f"{theirs}/s/", f"{theirs}/d/").code == 0
    if limits == "--max-size 3":
        assert "grown" not in contents(theirs / "d")
    assert fsync("sync", "--delete-dst", *limits.split(" "), f"{ours}/s/", f"{ours}/d/").code == code
    assert contents(ours / "d") == left


def test_11_what_lies_behind_a_link_that_leads_nowhere_now(world: Worlds) -> None:
    files = {"s/a": b"1", "d/a": b"1", "d/disk/b": b"2", "d/disk/c/d": b"3"}
    theirs, ours = world(files), world(files)
    for root in (theirs, ours):
        (root / "s" / "disk").symlink_to(root / "not-mounted")
    assert juicefs_sync("--delete-dst", f"{theirs}/s/", f"{theirs}/d/").code == 0
    assert contents(theirs / "d") == {"a": b"1"}
    before = snapshot(ours)
    fsync("sync", "--delete-dst", f"{ours}/s/", f"{ours}/d/")
    assert snapshot(ours) == before


def test_12_neighbours_that_begin_with_the_same_letters(world: Worlds) -> None:
    files = {"src/a": b"1", "back/a": b"1", "back-2024/b": b"2", "data/a": b"1"}
    theirs, ours = world(files), world(files)
    assert juicefs_sync("--delete-dst", f"{theirs}/src", f"{theirs}/back").code == 0
    assert "back-2024/b" not in contents(theirs)
    for _ in range(2):
        assert juicefs_sync(f"{theirs}/data", f"{theirs}/data-backup").code == 0
    assert contents(theirs)["data-backup-backup/a"] == b"1"
    before = snapshot(ours)
    ended = fsync("sync", "--delete-dst", f"{ours}/src", f"{ours}/back")
    assert (ended.code, snapshot(ours)) == (4, before)
    assert "-2024 matches only at the destination" in ended.text
    ended = fsync("sync", f"{ours}/data", f"{ours}/data-backup")
    assert (ended.code, snapshot(ours)) == (2, before)
    assert f"{ours}/data/ {ours}/data-backup/" in ended.text


def test_13_the_control_files_of_a_mount(world: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    # tests/extended has a real mount where there is FUSE; here the inode numbers of any file are as high as its own
    for module in ("scan", "lookup"):
        monkeypatch.setattr(f"fsync.storage.{module}.JUICEFS_INODES", 0)
    control = {".trash/2026/kept": b"deleted last week", ".stats": b"s", ".config": b"c"}
    for side in ("s", "d"):
        files = {"s/a": b"1", "d/a": b"1", "d/extra": b"x"}
        ours = world({**files, **{f"{side}/{key}": data for key, data in control.items()}})
        # reading it never ends
        os.mkfifo(ours / side / ".accesslog")
        assert fsync("sync", "--delete-dst", "--dirs", f"{ours}/s/", f"{ours}/d/").code == 0
        assert contents(ours / "d") == {"a": b"1", **(control if side == "d" else {})}
    theirs = world({**files, **{f"d/{key}": data for key, data in control.items()}})
    assert juicefs_sync("--delete-dst", "--dirs", f"{theirs}/s/", f"{theirs}/d/").code == 0
    assert ".trash/2026/kept" not in contents(theirs / "d")
