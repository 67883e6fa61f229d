"""Every command of ``docs/guide.md`` is run, its addresses reached as ``world.py`` says."""

from __future__ import annotations

import csv
import os
import re

import pytest

from tests.guide.world import TOP, A, B, C, World, grown, plant

TEXT = (TOP / "docs/guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
(PROGRAM,) = (block for language, block in BLOCKS if language == "python")
#: the steps that belong together, in their order
(STEPS,) = (block.splitlines() for _, block in BLOCKS if "moved.csv" in block)
COMMANDS = [
    line for language, block in BLOCKS if language == "bash" for line in block.splitlines() if line not in STEPS
]
_DATA = {"report.csv": b"1,2\n", "report.csv.bak": b"0\n", "notes.txt": b"n", "pic/a.png": b"png", ".hidden": b"h"}
_IMAGES = {f"images/{number}.jpg": b"i" for number in range(10)}


@pytest.fixture
def filled(world: World) -> World:
    """The guide's storages with something in each, and directories to run local commands in."""
    world.put(A, {"movies/one.mp4": b"1", "movies/sub/two.mp4": b"22"})
    world.put(C, {"vol/chunks/0/0/1_0_4": b"blok"})
    plant(world.mount, {**_IMAGES, "pic/1.png": b"p", "4.png": b"4", ".trashed": b"t", "a.txt": b"a"})
    plant(world.work, {f"data/{key}": data for key, data in _DATA.items()})
    plant(world.work, {"test/x": b"1", "text/y": b"2"})
    plant(world.work, {"list.txt": b"pic/\nnotes.txt\n"})
    plant(world.work, {"failed.jsonl": b'{"key": "notes.txt", "action": "copy", "status": "failed"}\n'})
    (world.work / "data/link").symlink_to("report.csv")
    (world.work / "data/empty").mkdir()
    return world


def test_every_block_is_commands() -> None:
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
    assert all(re.match(r"fsync (sync|check|ls) ", line) for line in [*COMMANDS, *STEPS])
    assert len(COMMANDS) > 20


def test_the_chapters_are_those_of_the_guide_we_follow() -> None:
    # each heading of the guide to juicefs sync, and ours
    chapters = {
        "Basic Usage": "Basic use",
        "Command Syntax": "Addresses and the command",
        "Required Storages": "Storages used below",
        "Synchronize between Object Storage and JuiceFS": "Between object storage and JuiceFS",
        "Synchronize between Object Storages": "Between object storages",
        "Advanced Usage": "Advanced use",
        "Incremental and Full Synchronization": "Incremental and full",
        "Pattern Matching": "Patterns",
        "Exclude Directories/Files": "Leaving out",
        "Include Directories/Files": "Keeping",
        "Multi-threading and Bandwidth Throttling": "Threads and bandwidth",
        "Directory Structure and File Permissions": "Directories and permissions",
        "Copy Symbolic Links": "Links",
        "Multi-machine Concurrent Synchronization": "Several machines",
        "Application Scenarios": "Scenarios",
        "Geo-disaster Recovery Backup": "A copy of all files at another place",
        "Build a JuiceFS Data Copy": "A second bucket under a volume",
    }
    ours = re.findall(r"^##+ (.*)$", TEXT, re.MULTILINE)
    assert [heading for heading in ours if heading in chapters.values()] == list(chapters.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(filled: World, command: str) -> None:
    if command.startswith("fsync ls"):
        ended = filled.bash(command).well()
        assert [line.split()[-1] for line in ended.out.splitlines() if line.endswith("csv")] == ["report.csv"]
        return
    if command.startswith("fsync check"):
        assert filled.bash(command).code == 5
        filled.bash(COMMANDS[0]).well()
        filled.bash(command).well()
        return
    before = {name: grown(filled.work / name) for name in ("data", "test", "text")}
    if "--max-delete" in command:
        # the two that are too many must be few among the rest
        filled.put(A, _IMAGES)
        plant(filled.mount, {"images/new.jpg": b"new"})

    ended = filled.run(command, "--json").well()

    assert ended.summary["complete"]
    assert ended.summary["copied"] > 0
    assert {name: grown(filled.work / name) for name in before} == before


def test_what_the_first_command_leaves(filled: World) -> None:
    filled.bash(COMMANDS[0]).well()
    assert grown(filled.work / "backup") == {**_DATA, "link": _DATA["report.csv"]}


def test_one_object_and_one_file_into_a_directory(filled: World) -> None:
    exact, into = (line for line in COMMANDS if "./data/report.csv" in line or "./data/notes.txt" in line)
    filled.bash(exact).well()
    assert grown(filled.work / "backup") == {"report-old.csv": _DATA["report.csv"]}
    filled.bash(into).well()
    assert sorted(os.listdir(filled.work / "backup")) == ["notes.txt", "report-old.csv"]


def test_deletions_with_a_limit(filled: World) -> None:
    (command,) = (line for line in COMMANDS if "--max-delete 20%" in line)
    held = filled.objects(A)
    # nothing but what the volume does not have: more than a fifth
    assert filled.run(command).code == 4
    assert filled.objects(A) == {**held, **grown(filled.mount)}
    # now the same two are few among many
    filled.run(command).well()
    assert filled.objects(A) == grown(filled.mount)


@pytest.mark.timeout(400)  # five runs of the command
def test_a_bucket_is_moved_step_by_step(filled: World) -> None:
    look, dry, move, compare = STEPS
    assert [line.split()[-1] for line in filled.bash(filled.line_of_one(look)).well().out.splitlines()] == [
        "one.mp4", "sub/two.mp4",
    ]  # fmt: skip
    assert filled.run(dry).well().out.endswith("total   2 objects to copy, 3 bytes\n")
    assert not (filled.work / "movies").exists()
    filled.run(move).well()
    assert grown(filled.work / "movies") == {"one.mp4": b"1", "sub/two.mp4": b"22"}
    with (filled.work / "moved.csv").open() as report:
        assert [(row["key"], row["status"]) for row in csv.DictReader(report)] == [
            ("one.mp4", "done"), ("sub/two.mp4", "done"),
        ]  # fmt: skip
    filled.run(compare).well()
    assert filled.run(move, "--json").well().summary["copied"] == 0


def test_the_mirror_keeps_what_goes_and_says_nothing(filled: World) -> None:
    (command,) = (line for line in COMMANDS if "--backup-dir" in line)
    first = filled.run(command).well()
    (filled.mount / "images/0.jpg").unlink()
    (filled.mount / "images/1.jpg").write_bytes(b"new content")
    second = filled.run(command).well()
    assert (first.out + first.err, second.out + second.err) == ("", "")
    kept = filled.objects(A)
    assert {key: data for key, data in kept.items() if key.startswith("gone/")} == {
        "gone/0.jpg": b"i", "gone/1.jpg": b"i",
    }  # fmt: skip
    assert kept["images/1.jpg"] == b"new content"
    assert "images/0.jpg" not in kept


@pytest.mark.timeout(400)  # five runs of the command
def test_bad_days_of_the_mirror_end_as_the_table_says(filled: World) -> None:
    (command,) = (line for line in COMMANDS if "--backup-dir" in line)
    filled.run(command).well()
    held = filled.objects(A)
    images = filled.mount / "images"

    def ends(code: int, says: str, old: str = "", new: str = "") -> None:
        ended = filled.bash(filled.line(command).replace(old, new))
        assert (ended.code, len(ended.err.splitlines()), ended.out) == (code, 1, ""), ended
        assert says in ended.err
        assert filled.objects(A) == held

    ends(2, "did you mean --max-delete", "--max-delete", "--max-delte")
    ends(
        3,
        "the bucket aa does not exist",
        f"@{A}.s3.us-west-1.amazonaws.com/images",
        "@aa.s3.us-west-1.amazonaws.com/images",
    )
    images.rename(filled.mount / "elsewhere")
    ends(3, "does not exist")
    images.mkdir()
    ends(4, "no source entry is left")
    images.rmdir()
    (filled.mount / "elsewhere").rename(images)
    for number in range(5):
        (images / f"{number}.jpg").unlink()
    ends(4, "5 of 10 destination entries would go")


def test_the_program(filled: World) -> None:
    done = filled.python(PROGRAM).well()
    assert done.out.startswith("1 bytes\n<SyncResult complete: copied=2 ")
    assert done.out.endswith("\n0\n")
    assert grown(filled.work / "movies") == {"one.mp4": b"1", "sub/two.mp4": b"22"}


def test_the_picture_is_there() -> None:
    (name,) = re.findall(r"!\[.*\]\((.*)\)", TEXT)
    assert (TOP / "docs" / name).stat().st_size


def test_the_data_copy_is_the_same(filled: World) -> None:
    filled.run(COMMANDS[-1]).well()
    assert filled.objects(B) == filled.objects(C)


def test_workers_are_answered_as_the_guide_says(filled: World) -> None:
    assert filled.bash("fsync sync --worker bob@192.0.2.1 ./data/ ./backup/").code == 2
    assert not (filled.work / "backup").exists()
