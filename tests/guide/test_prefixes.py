"""An address that ends in / is a directory, one that does not is a prefix: on local trees, S3 and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guide.world import TOP
from tests.safety.places import LocalPlace, MemoryPlace, Place, S3Place, run
from tests.servers.s3 import S3Server

Ends = tuple[Place, Place]
_TREE = {"test/a/x": b"1", "text/y": b"22", "tea": b"333", "other/te": b"4"}


@pytest.fixture(params=["local", "memory", "moto_s3", "seaweed"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Ends:
    """A source with a few names in it and an empty destination, both of one kind."""
    source, destination = (_place(request, tmp_path / name) for name in ("source", "destination"))
    source.fill(_TREE)
    return source, destination


def _place(request: pytest.FixtureRequest, directory: Path) -> Place:
    if request.param == "local":
        return LocalPlace(directory)
    if request.param == "memory":
        return MemoryPlace()
    server: S3Server = request.getfixturevalue(request.param)
    new_bucket: Callable[[S3Server], str] = request.getfixturevalue("bucket")
    return S3Place(server, new_bucket(server))


def sync(ends: Ends, src: str, dst: str, **options: Any) -> Any:
    """Sync what ``src`` and ``dst`` name below two places; ``events`` of the answer are those of ``--json``."""
    source, destination = ends
    told: list[dict[str, Any]] = []
    ended = run(
        source.address + src,
        destination.address + dst,
        src_storage_options=source.options,
        dst_storage_options=destination.options,
        progress=told.append,
        **options,
    )
    return ended, told


def notices(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events if event["event"] == "notice" and "begin with" in event["text"]]


# renaming


def test_names_that_begin_with_the_prefix_are_renamed(ends: Ends) -> None:
    ended, _ = sync(ends, "te", "ab")
    assert ended.code == 0
    assert ends[1].data() == {"abst/a/x": b"1", "abxt/y": b"22", "aba": b"333"}
    again, _ = sync(ends, "te", "ab")
    assert (again.result.copied, again.result.updated, again.result.skipped) == (0, 0, 3)


def test_a_prefix_inside_a_directory(ends: Ends) -> None:
    ended, _ = sync(ends, "test/a/", "deep/er/")
    assert ended.code == 0
    ended, _ = sync(ends, "tex", "deep/pre-")
    assert ended.code == 0
    assert ends[1].data() == {"deep/er/x": b"1", "deep/pre-t/y": b"22"}


def test_a_directory_by_its_name_alone_takes_its_siblings_along(ends: Ends) -> None:
    ends[0].fill({"text2/z": b"5"})
    ended, events = sync(ends, "text", "copy")
    assert ended.code == 0
    assert ends[1].data() == {"copy/y": b"22", "copy2/z": b"5"}
    assert "text, text2" in notices(events)[0]


# announcements


def test_several_names_are_told_before_anything_is_copied(ends: Ends) -> None:
    _, events = sync(ends, "te", "ab")
    kinds = [event["event"] for event in events]
    (text,) = notices(events)
    assert "3 names begin with: tea, test, text" in text
    assert kinds.index("notice") < kinds.index("done")


def test_one_name_needs_no_word(ends: Ends) -> None:
    ended, events = sync(ends, "tea", "coffee")
    assert ended.code == 0
    assert ends[1].data() == {"coffee": b"333"}
    assert notices(events) == []


def test_a_directory_needs_no_word(ends: Ends) -> None:
    _, events = sync(ends, "", "")
    assert notices(events) == []


def test_the_command_tells_people_and_programs(tmp_path: Path) -> None:
    LocalPlace(tmp_path / "source").fill(_TREE)

    def ended(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fsync", "sync", "--verbose", *words, "source/te", "destination/ab"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TOP)}, capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip

    lines = ended().stderr.splitlines()
    told = next(number for number, line in enumerate(lines) if "begin with: tea, test, text" in line)
    assert told < next(number for number, line in enumerate(lines) if line.startswith("copied "))
    events = [json.loads(line) for line in ended("--json", "--force-update").stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert "begin with: tea, test, text" in events[kinds.index("notice")]["text"]
    assert kinds.index("notice") < kinds.index("done")


# one object


def test_exact_takes_one_object_of_several(ends: Ends) -> None:
    ends[0].fill({"f1": b"a", "f10": b"b", "f1.bak": b"c"})
    ended, events = sync(ends, "f1", "g1", exact=True)
    assert ended.code == 0
    assert notices(events) == []
    assert ends[1].data() == {"g1": b"a"}
    ended, _ = sync(ends, "f1", "g1")
    assert ends[1].data() == {"g1": b"a", "g10": b"b", "g1.bak": b"c"}


def test_exact_into_a_directory(ends: Ends) -> None:
    ends[0].fill({"f1": b"a", "f10": b"b"})
    ended, _ = sync(ends, "f1", "into/", exact=True)
    assert ended.code == 0
    assert ends[1].data() == {"into/f1": b"a"}


@pytest.mark.parametrize(("src", "code"), [("tex", 3), ("nothing", 3), ("test/", 2)])
def test_exact_wants_an_object(ends: Ends, src: str, code: int) -> None:
    ended, _ = sync(ends, src, "new/" if src.endswith("/") else "new", exact=True)
    assert ended.code == code
    assert ends[1].data() == {}


# mixed spellings


def test_an_existing_directory_counts_as_one(ends: Ends) -> None:
    ended, _ = sync(ends, "test", "new/")
    assert ended.code == 0
    assert ends[1].data() == {"new/a/x": b"1"}
    ended, _ = sync(ends, "text/", "new")
    assert ended.code == 0
    assert ends[1].data() == {"new/a/x": b"1", "new/y": b"22"}


def test_one_file_goes_into_a_directory(ends: Ends) -> None:
    ended, _ = sync(ends, "tea", "into/")
    assert ended.code == 0
    assert ends[1].data() == {"into/tea": b"333"}


@pytest.mark.parametrize(("src", "dst"), [("te", "new/"), ("test/", "new"), ("nothing", "new/"), ("tea", "into/")])
def test_other_mixtures_are_refused_with_both_spellings(ends: Ends, src: str, dst: str) -> None:
    ends[0].fill({"tea2": b"5"})
    ended, _ = sync(ends, src, dst)
    assert ended.code == 2
    both = [ends[0].address + src.rstrip("/"), ends[1].address + dst.rstrip("/")]
    assert f"fsync sync {both[0]}/ {both[1]}/" in ended.text
    assert f"fsync sync {both[0]} {both[1]} " in ended.text
    assert ends[1].data() == {}


@pytest.mark.parametrize("name", ["moto_s3", "seaweed"])
def test_a_bare_bucket_is_a_directory(
    request: pytest.FixtureRequest, bucket: Callable[[S3Server], str], tmp_path: Path, name: str
) -> None:
    server: S3Server = request.getfixturevalue(name)
    source, destination = (S3Place(server, bucket(server), "") for _ in range(2))
    bare_source, bare = f"s3://{source.bucket}", f"s3://{destination.bucket}"
    source.fill(_TREE)
    both = {"src_storage_options": source.options, "dst_storage_options": destination.options}

    assert run(bare_source, bare, **both).code == 0
    assert destination.data() == _TREE
    assert run(bare_source, f"{tmp_path}/new/", src_storage_options=source.options).code == 0
    local = LocalPlace(tmp_path / "back")
    local.fill({"z": b"z"})
    assert run(f"{local.root}/", bare, dst_storage_options=destination.options).code == 0
    assert run(str(local.root), bare, dst_storage_options=destination.options).code == 0
    assert destination.data() == {**_TREE, "z": b"z"}
    assert sorted(os.listdir(tmp_path / "new")) == ["other", "tea", "test", "text"]


# overlaps


@pytest.mark.parametrize(
    ("src", "dst"), [("test", "test-backup"), ("te", "text"), ("text/", "text/sub/"), ("tea", "tea")]
)
def test_overlaps_are_refused(ends: Ends, src: str, dst: str) -> None:
    place = ends[0]
    before = place.state()
    ended, _ = sync((place, place), src, dst, delete_dst=True)
    assert ended.code == 2
    if not src.endswith("/") and src != dst:
        assert f"fsync sync {place.address}{src}/ {place.address}{dst}/" in ended.text
    assert place.state() == before


def test_the_line_with_slashes_is_accepted(ends: Ends) -> None:
    place = ends[0]
    ended, _ = sync((place, place), "test/", "test-backup/")
    assert ended.code == 0
    assert place.data() == {**_TREE, "test-backup/a/x": b"1"}


# deletions


def test_deletions_stay_below_names_of_the_source(ends: Ends) -> None:
    ends[1].fill({"abst/extra": b"e", "unrelated": b"u"})
    ended, _ = sync(ends, "te", "ab", delete_dst=True)
    assert ended.code == 0
    assert ended.result.deleted == 1
    assert ends[1].data() == {"abst/a/x": b"1", "abxt/y": b"22", "aba": b"333", "unrelated": b"u"}


def test_a_name_of_the_destination_alone_stops_all_deletions(ends: Ends) -> None:
    held = {"abst/extra": b"e", "abacus/z": b"z", "unrelated": b"u"}
    ends[1].fill(held)
    ended, _ = sync(ends, "te", "ab", delete_dst=True)
    assert ended.code == 4
    assert "--delete-prefix" in ended.text
    copied = {"abst/a/x": b"1", "abxt/y": b"22", "aba": b"333"}
    assert ends[1].data() == {**held, **copied}
    ended, _ = sync(ends, "te", "ab", delete_dst=True, delete_prefix=True)
    assert ended.code == 0
    assert ends[1].data() == {**copied, "unrelated": b"u"}
