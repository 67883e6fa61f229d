"""Every command of the user's guide, run with only the program's name changed (see ``world.py`` for what else).

``commands.txt`` holds the guide's command lines with their headings, as they stand there. Not run: the syntax line,
``juicefs mount`` (it sets the stage, and a temporary directory does here; ``tests/extended`` has a real mount), and
the line with ``--worker``: clusters are not built yet, and one clear line says so.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

import pytest

from tests.guide.world import OLD, A, B, C, World, grown, plant

#: every heading of the guide and the number of command lines under it
HEADINGS = {
    "Basic Usage": 0,
    "Command Syntax": 3,
    "Required Storages": 0,
    "Synchronize between Object Storage and JuiceFS": 4,
    "Synchronize between Object Storages": 1,
    "Advanced Usage": 0,
    "Incremental and Full Synchronization": 2,
    "Pattern Matching": 0,
    "Exclude Directories/Files": 3,
    "Include Directories/Files": 1,
    "Multi-threading and Bandwidth Throttling": 0,
    "Directory Structure and File Permissions": 0,
    "Copy Symbolic Links": 0,
    "Multi-machine Concurrent Synchronization": 1,
    "Application Scenarios": 0,
    "Geo-disaster Recovery Backup": 2,
    "Build a JuiceFS Data Copy": 1,
}
LINES = [
    (heading, command)
    for heading, _, command in (
        line.partition(" | ")
        for line in Path(__file__).with_name("commands.txt").read_text(encoding="utf-8").splitlines()
    )
]
#: why a line is not run
NOT_RUN = {
    "juicefs sync [command options] SRC DST": "the syntax, no command",
    "sudo juicefs mount -d redis://10.10.0.8:6379/1 /mnt/jfs": "sets the stage",
    next(command for _, command in LINES if "--worker" in command): "clusters are not built yet",
}

MOVIES = {"movies/one.mp4": b"1" * 1000, "movies/sub/two.mp4": b"22", "movies/.hidden": b"h", "moviestar": b"no"}
TREE = {
    "a.txt": b"a",
    ".hidden": b"h",
    ".git/config": b"g",
    "pic/1.png": b"p1",
    "pic/.thumb": b"t",
    "pic/deep/2.png": b"p2",
    "4.png": b"four",
    "album/4.png": b"also four",
    "album/5.png": b"five",
    "images/i.jpg": b"i",
}
MOUNTED = {"videos/a.mp4": b"v"}


def under(heading: str) -> list[str]:
    """Return the lines under a heading that are run."""
    return [command for title, command in LINES if title == heading and command not in NOT_RUN]


def test_every_line_of_the_guide_is_here_under_its_heading() -> None:
    assert Counter(heading for heading, _ in LINES) == Counter(
        {name: count for name, count in HEADINGS.items() if count}
    )
    assert len(LINES) == 18
    assert {command for _, command in LINES} > set(NOT_RUN)
    assert len([command for _, command in LINES if command not in NOT_RUN]) == 11


@pytest.mark.parametrize(("number", "start"), [(0, "te"), (1, "ab")])
def test_a_prefix_is_exchanged(world: World, number: int, start: str) -> None:
    plant(world.work, {"test/a/x": b"1", "text/y": b"2", "tea": b"3", "other/te": b"4"})

    ended = world.run(under("Command Syntax")[number]).well()

    renamed = {f"{start}st/a/x": b"1", f"{start}xt/y": b"2", f"{start}a": b"3"}
    assert grown(world.home / "mnt") == renamed
    assert "test" in ended.err
    assert "text" in ended.err


def test_from_object_storage_to_the_mount(world: World) -> None:
    world.put(A, MOVIES)
    plant(world.mount, MOUNTED)
    command, _ = under("Synchronize between Object Storage and JuiceFS")

    first, again = world.run(command, "--json").well(), world.run(command, "--json").well()

    movies = {key: data for key, data in MOVIES.items() if key.startswith("movies/")}
    assert grown(world.mount) == {**MOUNTED, **movies}
    assert (first.summary["copied"], again.summary["copied"], again.summary["updated"]) == (3, 0, 0)


def test_from_the_mount_to_object_storage(world: World) -> None:
    world.put(A, MOVIES)
    plant(world.mount, TREE)
    _, command = under("Synchronize between Object Storage and JuiceFS")

    first, again = world.run(command, "--json").well(), world.run(command, "--json").well()

    assert world.objects(A) == {**MOVIES, "images/i.jpg": b"i"}
    assert (first.summary["copied"], again.summary["copied"], again.summary["updated"]) == (1, 0, 0)


def test_between_object_storages(world: World) -> None:
    world.put(A, {**MOVIES, "dir/é + %41 #.txt": b"odd"})
    world.put(B, {"kept": b"k"})
    (command,) = under("Synchronize between Object Storages")

    first, again = world.run(command, "--json").well(), world.run(command, "--json").well()

    assert world.objects(B) == {**world.objects(A), "kept": b"k"}
    assert (first.summary["copied"], again.summary["copied"], again.summary["updated"]) == (5, 0, 0)


def test_large_objects_between_object_storages(world: World) -> None:
    large = os.urandom(17 << 20)
    world.put(A, {"large": large})
    (command,) = under("Synchronize between Object Storages")

    world.run(command).well()

    assert world.objects(B) == {"large": large}


def test_a_full_synchronization_copies_what_is_the_same(world: World) -> None:
    world.put(A, MOVIES)
    (command,) = under("Incremental and Full Synchronization")

    first, again = world.run(command, "--json").well(), world.run(command, "--json").well()
    plain = world.run(command.replace("--force-update ", ""), "--json").well()

    assert grown(world.mount) == {key: data for key, data in MOVIES.items() if key.startswith("movies/")}
    assert (first.summary["copied"], again.summary["updated"], again.summary["bytes"]) == (3, 3, 1003)
    assert (plain.summary["updated"], plain.summary["skipped"]) == (0, 3)


@pytest.mark.parametrize("option", ["--update", "-u"])
def test_update_never_replaces_what_is_newer(world: World, option: str) -> None:
    plant(world.work, {"src/older": b"src", "src/newer": b"src!"})
    plant(world.work, {"dst/older": b"destination", "dst/newer": b"dst"})
    os.utime(world.work / "dst/older", ns=(OLD + 10**10, OLD + 10**10))
    os.utime(world.work / "src/newer", ns=(OLD + 10**10, OLD + 10**10))

    world.bash(f"fsync sync {option} ./src/ ./dst/").well()

    assert grown(world.work / "dst") == {"older": b"destination", "newer": b"src!"}
    assert (world.work / "dst/newer").stat().st_mtime_ns == OLD + 10**10


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (0, ("4.png", "a.txt", "album/4.png", "album/5.png", "images/i.jpg", "pic/1.png", "pic/deep/2.png")),
        (1, ("a.txt", "album/5.png", "images/i.jpg")),
    ],
)
def test_excludes(world: World, number: int, kept: tuple[str, ...]) -> None:
    plant(world.mount, TREE)

    world.run(under("Exclude Directories/Files")[number]).well()

    assert world.objects(A) == {key: TREE[key] for key in kept}


def test_includes_before_a_catch_all_exclude(world: World) -> None:
    plant(world.mount, TREE)
    (command,) = under("Include Directories/Files")

    world.run(command).well()

    kept = ("4.png", "pic/.thumb", "pic/1.png", "pic/deep/2.png")
    assert world.objects(A) == {key: TREE[key] for key in kept}


def test_includes_behind_a_catch_all_exclude_are_void(world: World) -> None:
    plant(world.mount, TREE)
    command = under("Include Directories/Files")[0].replace(" --exclude '*'", "").replace("sync", "sync --exclude '*'")

    world.run(command).well()

    assert world.objects(A) == {}


@pytest.mark.parametrize("option", ["--thread 3", "--threads 3", "-p 3"])
def test_threads(world: World, option: str) -> None:
    plant(world.work, {f"src/{number}": b"x" for number in range(20)})

    world.bash(f"fsync sync {option} ./src/ ./dst/").well()

    assert grown(world.work / "dst") == grown(world.work / "src")
    assert world.bash("fsync sync --thread 0 ./src/ ./other/").code == 2
    assert not (world.work / "other").exists()


def test_bwlimit_counts_megabits_a_second(world: World) -> None:
    plant(world.work, {f"src/{number}": os.urandom(250_000) for number in range(8)})

    held = world.bash("fsync sync --json --bwlimit 8 ./src/ ./dst/").well().summary

    assert grown(world.work / "dst") == grown(world.work / "src")
    assert held["bytes"] == 2_000_000
    # 16 Mbit; a part of the first second's share may go out at once
    assert held["seconds"] > 1


def test_empty_directories_need_dirs(world: World) -> None:
    plant(world.work, {"src/d/x": b"1"})
    (world.work / "src/empty/inner").mkdir(parents=True)

    world.bash("fsync sync ./src/ ./without/").well()
    world.bash("fsync sync --dirs ./src/ ./with/").well()

    assert sorted(os.listdir(world.work / "without")) == ["d"]
    assert (world.work / "with/empty/inner").is_dir()
    assert grown(world.work / "with") == {"d/x": b"1"}


def test_perms_between_file_systems(world: World) -> None:
    plant(world.work, {"src/run": b"#!", "src/secret": b"s"})
    (world.work / "src/run").chmod(0o751)
    (world.work / "src/secret").chmod(0o400)

    world.bash("umask 022; fsync sync ./src/ ./without/").well()
    world.bash("umask 022; fsync sync --perms ./src/ ./with/").well()

    def modes(name: str) -> list[int]:
        return [stat.S_IMODE((world.work / name / file).stat().st_mode) for file in ("run", "secret")]

    assert modes("without") == [0o644, 0o644]
    assert modes("with") == [0o751, 0o400]


def test_links_are_copied_as_they_are(world: World) -> None:
    plant(world.work, {"src/file": b"content", "src/d/x": b"1"})
    texts = {"to-file": "file", "to-dir": "d", "dangling": "no/where", "absolute": "/no/such", "odd": "./d/../file"}
    for name, text in texts.items():
        (world.work / "src" / name).symlink_to(text)

    world.bash("fsync sync --links ./src/ ./with/").well()
    world.bash("fsync sync ./src/ ./without/").well()

    assert {name: os.readlink(world.work / "with" / name) for name in texts} == texts
    assert grown(world.work / "without") == {
        "file": b"content", "to-file": b"content", "odd": b"content", "d/x": b"1", "to-dir/x": b"1",
    }  # fmt: skip


def test_workers_are_refused_in_one_line(world: World) -> None:
    world.put(A, MOVIES)
    (command,) = (command for _, command in LINES if "--worker" in command)

    ended = world.run(command)

    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert "--worker" in ended.err
    assert world.objects(B) == {}


def test_geo_disaster_recovery_backup(world: World) -> None:
    plant(world.mount, TREE)
    (command,) = under("Geo-disaster Recovery Backup")

    world.run(command).well()

    assert world.objects(A) == TREE


def test_data_copy_of_a_volume(world: World) -> None:
    chunks = {f"myjfs/chunks/0/{number}/{number}_0_4194304": os.urandom(300 + number) for number in range(6)}
    world.put(C, {"myjfs/juicefs_uuid": b"0-1-2", **chunks})
    (command,) = under("Build a JuiceFS Data Copy")

    first, again = world.run(command, "--json").well(), world.run(command, "--json").well()

    assert world.objects(B) == world.objects(C)
    assert (first.summary["copied"], again.summary["copied"], again.summary["updated"]) == (7, 0, 0)
