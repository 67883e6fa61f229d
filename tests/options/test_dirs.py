"""--dirs: directories are entries; they are made, keep their times, and go last and only when they are empty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, LocalPlace, Place, S3Place, contents, fill, run, snapshot

_TREE = {"a": b"1", "empty/": b"", "deep/er/empty/": b"", "full/f": b"2", "full/sub/g": b"3"}
_DIRECTORIES = {"empty", "deep", "deep/er", "deep/er/empty", "full", "full/sub"}


def directories(root: Path) -> set[str]:
    """Return the paths of all directories below ``root``."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and not path.is_symlink()}


def held_directories(place: Place) -> set[str]:
    """Return the directories that a place keeps as such, object stores by their markers."""
    if isinstance(place, LocalPlace):
        return directories(place.root)
    if isinstance(place, S3Place):
        return {key.rstrip("/") for key in place._listed() if key.endswith("/")} - {""}
    root = place.root  # type: ignore[attr-defined]
    return {path[len(root) :] for path in place.fs.pseudo_dirs if path.startswith(root)} - {""}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_directories_are_made_and_a_second_run_plans_nothing(place: Maker, tmp_path: Path, kind: str) -> None:
    source, target = fill(tmp_path / "source", _TREE), place(kind, "target")
    first = run(f"{source}/", target, dirs=True)
    assert first.code == 0, first
    assert first.result is not None
    assert first.result.copied == len(_DIRECTORIES) + 3
    held = held_directories(target)
    # what an object makes by its name need not be told by the store; what holds nothing must be
    assert {"empty", "deep/er/empty"} <= held <= _DIRECTORIES
    again = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert again.code == 0, again
    assert again.result is not None
    assert (again.result.reasons, again.result.copied, again.result.deleted) == ({}, 0, 0)
    assert held_directories(target) == held


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_keeps_empty_directories(place: Maker, tmp_path: Path, kind: str) -> None:
    source, middle = fill(tmp_path / "source", _TREE), place(kind, "middle")
    assert run(f"{source}/", middle, dirs=True).code == 0
    back = place("local", "back")
    ended = run(middle, back, dirs=True)
    assert ended.code == 0, ended
    assert isinstance(back, LocalPlace)
    assert directories(back.root) == _DIRECTORIES
    assert contents(back.root) == contents(source)
    again = run(middle, back, dirs=True)
    assert again.result is not None
    assert again.result.reasons == {}


@pytest.mark.parametrize("name", ["seaweed", "moto_s3"])
def test_markers_at_the_root_of_a_bucket(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: object, name: str
) -> None:
    server = request.getfixturevalue(name)
    target = S3Place(server, bucket(server), prefix="")  # type: ignore[operator]
    source = fill(tmp_path / "source", {"empty/": b"", "d/f": b"1"})
    for address in (f"s3://{target.bucket}", f"s3://{target.bucket}/"):
        ended = run(f"{source}/", address, dirs=True, dst_storage_options=target.options)
        assert ended.code == 0, ended
    assert {"empty/", "d/f"} <= set(target.data())
    assert "" not in target.data()
    assert "/" not in target.data()
    again = run(f"{source}/", f"s3://{target.bucket}", dirs=True, delete_dst=True, dst_storage_options=target.options)
    assert again.result is not None
    assert again.result.reasons == {}


@pytest.mark.parametrize("kind", KINDS)
def test_without_dirs_there_are_no_directories(place: Maker, tmp_path: Path, kind: str) -> None:
    source, target = fill(tmp_path / "source", {"f": b"1", "empty/": b""}), place(kind, "target")
    extra = fill(tmp_path / "extra", {"old/": b""})
    assert run(f"{extra}/", target, dirs=True).code == 0
    held = held_directories(target)
    assert held == {"old"}
    ended = run(f"{source}/", target, delete_dst=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.deleted, ended.result.extra) == (1, 0, 0)
    assert held_directories(target) == held


# times -----------------------------------------------------------------------------------------------------------


def _set_times(root: Path) -> dict[str, int]:
    """Give every directory below ``root`` a time of its own, deepest first, and return them."""
    times = {}
    for number, name in enumerate(sorted(directories(root), reverse=True)):
        times[name] = OLD + number * 1_000_000_007
        os.utime(root / name, ns=(times[name], times[name]))
    return times


def _times(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mtime_ns for name in directories(root)}


def test_times_are_set_after_everything_else(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {**_TREE, **{f"full/n{number}": b"x" for number in range(1200)}})
    target = fill(tmp_path / "target", {"full/extra": b"e", "full/sub/gone/x": b"e", "empty/y": b"e"})
    times = _set_times(source)
    ended = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True)
    assert ended.code == 0, ended
    assert contents(target) == contents(source)
    assert _times(target) == times
    # and also where nothing but a directory's time has changed
    os.utime(source / "full", ns=(OLD + 5, OLD + 5))
    again = run(f"{source}/", f"{target}/", dirs=True)
    assert again.result is not None
    assert again.result.reasons == {}
    assert (target / "full").stat().st_mtime_ns == OLD + 5


def test_without_dirs_times_of_directories_are_not_touched(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"d/f": b"1"}), fill(tmp_path / "target", {"d/f": b"1"})
    os.utime(source / "d", ns=(OLD, OLD))
    os.utime(target / "d", ns=(OLD + 9, OLD + 9))
    assert run(f"{source}/", f"{target}/").code == 0
    assert (target / "d").stat().st_mtime_ns == OLD + 9


def test_a_dry_run_touches_no_directory(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", _TREE), fill(tmp_path / "target", {"full/": b"", "old/": b""})
    _set_times(source)
    before, times = snapshot(target), _times(target)
    ended = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True, dry=True)
    assert ended.result is not None
    assert ended.result.copied == len(_DIRECTORIES) - 1 + 3
    assert ended.result.deleted == 1
    assert (snapshot(target), _times(target)) == (before, times)


# extras ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_extra_directories_go_deepest_first(place: Maker, tmp_path: Path, kind: str) -> None:
    old = fill(tmp_path / "old", {"keep": b"k", "x/y/z/": b"", "x/y/f": b"1", "x/g": b"2", "w/": b""})
    source, target = fill(tmp_path / "source", {"keep": b"k"}), place(kind, "target")
    assert run(f"{old}/", target, dirs=True).code == 0
    ended = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert ended.code == 0, ended
    assert held_directories(target) == set()
    assert {key: data for key, data in target.data().items() if not key.endswith("/")} == {"keep": b"k"}
    again = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert again.result is not None
    assert (again.result.reasons, again.result.extra) == ({}, 0)


def test_extra_directories_stay_without_delete_dst(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "target", {"x/y/": b""})
    ended = run(f"{source}/", f"{target}/", dirs=True)
    assert ended.code == 0
    assert directories(target) == {"x", "x/y"}


@pytest.mark.parametrize("kind", KINDS)
def test_excluded_content_keeps_its_directory(place: Maker, tmp_path: Path, kind: str) -> None:
    old = fill(tmp_path / "old", {"keep": b"k", "x/y/secret.key": b"s", "x/y/f": b"1", "x/z/": b""})
    source, target = fill(tmp_path / "source", {"keep": b"k"}), place(kind, "target")
    assert run(f"{old}/", target, dirs=True).code == 0
    ended = run(f"{source}/", target, dirs=True, delete_dst=True, exclude="*.key")
    assert ended.code == 0, ended
    left = {key: data for key, data in target.data().items() if not key.endswith("/")}
    assert left == {"keep": b"k", "x/y/secret.key": b"s"}
    if kind == "local":
        assert held_directories(target) == {"x", "x/y"}


def test_an_excluded_directory_is_neither_made_nor_removed(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "skip/f": b"1", "skip/e/": b""})
    target = fill(tmp_path / "target", {"cache/e/": b"", "cache/f": b"2"})
    ended = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True, exclude=["skip/", "cache/"])
    assert ended.code == 0, ended
    assert directories(target) == {"cache", "cache/e"}
    assert contents(target) == {"a": b"1", "cache/f": b"2"}


def test_directories_that_seaweedfs_keeps_by_itself(place: Maker, tmp_path: Path) -> None:
    # it holds keys in directories, which stay for a while when the last key in them is gone
    target = place("seaweed", "target")
    target.fill({"p/q/r/f": b"1", "keep": b"k"})
    source = fill(tmp_path / "source", {"keep": b"k"})
    first = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert first.code == 0, first
    assert {key for key in target.data() if not key.endswith("/")} == {"keep"}
    back = place("local", "back")
    assert isinstance(back, LocalPlace)
    assert run(target, back, dirs=True).code == 0
    assert contents(back.root) == {"keep": b"k"}
    again = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert again.result is not None
    assert again.code == 0
    last = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert last.result is not None
    assert (last.result.reasons, last.result.extra) == ({}, 0)


# clashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", [{"d/": b""}, {"d/f": b"1"}, {"d/e/": b""}], ids=["empty", "file", "deep"])
def test_a_directory_where_the_destination_has_a_file(tmp_path: Path, below: dict[str, bytes]) -> None:
    source, target = fill(tmp_path / "source", {"a": b"1", **below}), fill(tmp_path / "target", {"d": b"file"})
    refused = run(f"{source}/", f"{target}/", dirs=True)
    assert refused.code == 1
    assert "--delete-dst" in refused.text
    assert contents(target) == {"a": b"1", "d": b"file"}
    ended = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True)
    assert ended.code == 0, ended
    assert (contents(target), directories(target)) == (contents(source), directories(source))
    again = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True)
    assert again.result is not None
    assert again.result.reasons == {}


def test_a_directory_in_the_way_of_a_file_in_memory_is_an_error(place: Maker, tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"d/": b""}), place("memory", "target")
    target.write("d", b"file")
    ended = run(f"{source}/", target, dirs=True, delete_dst=True)
    assert ended.code == 1
    assert "not a directory" in ended.text
    assert target.data() == {"d": b"file"}


@pytest.mark.parametrize(
    "before", [{"d/": b""}, {"d/e/": b""}, {"d/x": b"1"}, {"d/e/f/": b"", "d/e/x": b"1"}],
    ids=["empty", "hollow", "file", "deep"],
)  # fmt: skip
def test_a_file_where_the_destination_has_a_directory(tmp_path: Path, before: dict[str, bytes]) -> None:
    source, target = fill(tmp_path / "source", {"d": b"new"}), fill(tmp_path / "target", before)
    ended = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.complete
    assert contents(target) == {"d": b"new"}
    again = run(f"{source}/", f"{target}/", dirs=True, delete_dst=True)
    assert again.result is not None
    assert (again.result.reasons, again.result.extra) == ({}, 0)


def test_existing_makes_no_directory(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"new/": b"", "old/": b""}), fill(tmp_path / "target", {"old/": b""})
    os.utime(source / "old", ns=(OLD, OLD))
    assert run(f"{source}/", f"{target}/", dirs=True, existing=True).code == 0
    assert directories(target) == {"old"}
    assert (target / "old").stat().st_mtime_ns == OLD


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up being root")
def test_a_directory_whose_time_may_not_be_set_is_no_crash(public: Path) -> None:
    from tests.options import unprivileged

    source, target = fill(public / "source", {"d/f": b"1"}), fill(public / "target", {"d/": b""})
    for path in (target, target / "d"):
        path.chmod(0o777)
    told = unprivileged.sync(f"{source}/", f"{target}/", dirs=True)
    assert told["copied"] == 1
    assert told["exit_code"] in (0, 1)
    assert contents(target) == {"d/f": b"1"}
