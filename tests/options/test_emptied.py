"""--delete-dst without --dirs: directories that it empties go too, as with rsync."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.options.test_dirs import directories
from tests.safety.conftest import Maker
from tests.safety.places import MemoryPlace, contents, fill, run

_SOURCE = {"a": b"1", "kept/": b"", "both/x": b"2"}
_DESTINATION = {
    "a": b"1",
    "both/x": b"2",
    "both/gone/x": b"3",
    "deep/k": b"4",
    "deep/er/est/x": b"5",
    "deep/er/z": b"6",
    "kept/x": b"7",
    "part/x": b"8",
    "part/sub/keep.tmp": b"9",
    "part/sub/x": b"10",
}


def test_emptied_directories_go_and_others_stay(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", _SOURCE)
    destination = fill(tmp_path / "destination", {**_DESTINATION, "was-empty/": b""})
    ended = run(f"{source}/", f"{destination}/", delete_dst=True, exclude="*.tmp")
    assert ended.code == 0, ended
    assert contents(destination) == {"a": b"1", "both/x": b"2", "part/sub/keep.tmp": b"9"}
    # what the source has, what holds something, and what this run did not empty
    assert directories(destination) == {"both", "kept", "part", "part/sub", "was-empty"}


def test_the_root_itself_stays(tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", {}), fill(tmp_path / "destination", {"d/x": b"1"})
    ended = run(f"{source}/", f"{destination}/", delete_dst=True, allow_empty_source=True)
    assert ended.code == 0, ended
    assert list(destination.iterdir()) == []


def test_a_link_to_a_directory_is_no_directory(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"empty/": b""})
    source, destination = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "destination", {"d/x": b"1"})
    (destination / "d" / "l").symlink_to(outside / "empty")
    ended = run(f"{source}/", f"{destination}/", delete_dst=True)
    assert ended.code == 0, ended
    assert not (destination / "d").exists()
    assert (outside / "empty").is_dir()


@pytest.mark.parametrize("prefix", ["de", "deep"])
def test_prefixes(tmp_path: Path, prefix: str) -> None:
    source = fill(tmp_path / "source", {"deep/a": b"1"})
    destination = fill(tmp_path / "destination", {"deep/a": b"1", "deep/x/y": b"2", "other/x": b"3"})
    ended = run(f"{source}/{prefix}", f"{destination}/{prefix}", delete_dst=True)
    assert ended.code == 0, ended
    assert directories(destination) == {"deep", "other"}


def test_in_memory_too(place: Maker, tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), place("memory", "destination")
    assert isinstance(destination, MemoryPlace)
    destination.fill(_DESTINATION)
    for name in ("deep", "deep/er", "kept"):
        destination.fs.makedirs(destination.root + name, exist_ok=True)
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 0, ended
    left = {path for path in destination.fs.pseudo_dirs if path.startswith(destination.root)}
    assert destination.root + "kept" in left
    assert not any("deep" in path for path in left)


def test_nothing_goes_when_something_failed(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"n" * 255: b"1"})
    destination = fill(tmp_path / "destination", {"long-enough-to-be-too-long/d/x": b"1"})
    ended = run(f"{source}/n", f"{destination}/long-enough-to-be-too-long", delete_dst=True, delete_prefix=True)
    assert ended.code == 1, ended
    assert contents(destination) == {"long-enough-to-be-too-long/d/x": b"1"}
