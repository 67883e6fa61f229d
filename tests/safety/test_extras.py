"""What may be deleted: only what the source does not have, within the limits that the user gave."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.safety.conftest import Maker
from tests.safety.places import OLD, Place, contents, fill, run, snapshot

_SOURCE = {"a": b"1", "b.txt": b"22", "dir/c": b"333", "dir/d.txt": b"4444", "z": b"5"}
_DESTINATION = {
    "a": b"1",
    "b.txt": b"older",
    "dir/d.txt": b"4444",
    "extra": b"e",
    "extra.txt": b"e",
    "dir/extra": b"e",
    "zz/extra.txt": b"e",
}
_EXTRAS = {"extra", "extra.txt", "dir/extra", "zz/extra.txt"}


def _trees(tmp: Path) -> tuple[Path, Path]:
    return fill(tmp / "source", _SOURCE), fill(tmp / "destination", _DESTINATION)


# rules never make an extra -----------------------------------------------------------------------------------------

_KEY_RULES: list[dict[str, Any]] = [
    {},
    {"exclude": "*.txt"},
    {"exclude": "dir/"},
    {"rules": [("include", "*.txt"), ("include", "*/"), ("exclude", "*")]},
    {"exclude": ["a", "extra"]},
    {"exclude": "dir/d.txt", "match_full_path": True},
]
_SELECTIONS: list[dict[str, Any]] = [
    {},
    {"limit": 1},
    {"limit": 3},
    {"limit": 100},
    {"existing": True},
    {"ignore_existing": True},
    {"existing": True, "ignore_existing": True},
    {"update": True},
    {"force_update": True},
    {"size_only": True},
    {"checksum": True},
]


@pytest.mark.parametrize("keys", _KEY_RULES, ids=str)
@pytest.mark.parametrize("selection", _SELECTIONS, ids=str)
def test_no_rule_makes_a_live_entry_an_extra(tmp_path: Path, keys: dict[str, Any], selection: dict[str, Any]) -> None:
    source, destination = _trees(tmp_path)
    ended = run(f"{source}/", f"{destination}/", delete_dst=True, **keys, **selection)
    assert ended.code == 0, ended
    left = contents(destination)
    assert set(_DESTINATION) - set(left) <= _EXTRAS, "something that the source has was deleted"
    for key in set(left) & set(_SOURCE):
        assert left[key] in (_SOURCE[key], _DESTINATION.get(key))
    if "exclude" in keys or "rules" in keys:
        hidden = {
            "*.txt": {"extra.txt", "zz/extra.txt"},
            "dir/": {"dir/extra"},
            "dir/d.txt": set(),
        }.get(str(keys.get("exclude")), {"extra"})
        if "rules" in keys:
            hidden = {"extra", "dir/extra"}
        assert hidden <= set(left), "what the rules exclude was deleted"
    elif selection.get("limit", 100) == 100:
        assert set(left) & _EXTRAS == set()
    else:
        last = sorted(_SOURCE)[selection["limit"] - 1]
        assert set(left) & _EXTRAS == {key for key in _EXTRAS if key > last}


@pytest.mark.parametrize("kind", ["memory", "moto"])
def test_rules_and_limits_bound_deletions_in_object_stores_too(place: Maker, tmp_path: Path, kind: str) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), place(kind, "destination")
    destination.fill(_DESTINATION)
    ended = run(f"{source}/", destination, delete_dst=True, limit=2, exclude="b.txt")
    # the source rows considered are a and dir/c
    assert ended.code == 0, ended
    assert destination.data() == {**_DESTINATION, "dir/c": b"333"}
    ended = run(f"{source}/", destination, delete_dst=True, exclude="*.txt")
    assert ended.code == 0, ended
    kept = {key: data for key, data in _DESTINATION.items() if key.endswith(".txt")}
    assert destination.data() == {**{key: data for key, data in _SOURCE.items() if key[-4:] != ".txt"}, **kept}


_NAMES = st.sampled_from(["a", "b", "a.txt", "d/a", "d/b", "d/e/a", "d.txt", "e/a.txt", "e/b", "f"])


@given(
    mine=st.sets(_NAMES, min_size=1),
    theirs=st.sets(_NAMES),
    keys=st.sampled_from([{}, {"exclude": "*.txt"}, {"exclude": "d/"}, {"exclude": ["e/a.txt", "b"]}]),
    selection=st.sampled_from(_SELECTIONS),
)
def test_whatever_the_options_only_extras_go(
    mine: set[str], theirs: set[str], keys: dict[str, Any], selection: dict[str, Any]
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        source = fill(Path(name, "source"), dict.fromkeys(mine, b"source"))
        destination = fill(Path(name, "destination"), dict.fromkeys(theirs, b"destination"))
        ended = run(f"{source}/", f"{destination}/", delete_dst=True, **keys, **selection)
        left = contents(destination)
        assert not (theirs & mine) - set(left)
        if ended.code:
            assert set(left) == theirs
        assert {key: left[key] for key in left if key not in mine} == {
            key: b"destination" for key in left if key not in mine
        }


# what exists at the source without being copied protects its name ---------------------------------------------------


def _awkward(path: Path, what: str) -> None:
    if what == "dangling link":
        path.symlink_to("not-there")
    elif what == "link to itself":
        path.symlink_to(path.name)
    elif what == "link to its ancestor":
        path.symlink_to("..")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            # a socket's path may have 108 bytes only
            here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                listener.bind(f"/proc/self/fd/{here}/{path.name}")
            finally:
                os.close(here)
    else:
        raise AssertionError(what)


@pytest.mark.parametrize("below", [{"odd": b"file"}, {"odd/x": b"1", "odd/y/z": b"2"}], ids=["file", "directory"])
@pytest.mark.parametrize("what", ["dangling link", "link to itself", "link to its ancestor", "fifo", "socket"])
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_what_cannot_be_copied_protects_what_lies_under_its_name(
    place: Maker, tmp_path: Path, kind: str, what: str, below: dict[str, bytes]
) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "sub/b": b"2"})
    _awkward(source / "sub" / "odd", what)
    destination = place(kind, "destination")
    kept = {f"sub/{key}": data for key, data in below.items()}
    destination.fill({**kept, "sub/odd-extra": b"e", "sub/od": b"e", "odd": b"e"})
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.protected, ended.result.deleted) == (1, 3)
    assert destination.data() == {"a": b"1", "sub/b": b"2", **kept}


def test_a_source_of_nothing_but_what_cannot_be_copied_stops_deletions(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {})
    _awkward(source / "odd", "fifo")
    destination = fill(tmp_path / "destination", _DESTINATION)
    before = snapshot(destination)
    assert run(f"{source}/", f"{destination}/", delete_dst=True).code == 4
    assert snapshot(destination) == before


# limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [(0, False), (3, False), (4, True), (100, True), ("44.4%", False), ("44.5%", True), ("100%", True), ("0%", False)],
)
def test_max_delete_deletes_all_or_nothing(tmp_path: Path, limit: int | str, allowed: bool) -> None:
    # 4 of 9 rows at the destination
    source = fill(tmp_path / "source", {f"k{number}": b"1" for number in range(5)})
    before = {f"k{number}": b"1" for number in range(5)} | {f"x{number}": b"e" for number in range(4)}
    destination = fill(tmp_path / "destination", before)
    state = snapshot(destination)
    for dry in (True, False):
        ended = run(f"{source}/", f"{destination}/", delete_dst=True, max_delete=limit, dry=dry)
        assert ended.code == (0 if allowed else 4), ended
        if dry or not allowed:
            assert snapshot(destination) == state
    assert set(contents(destination)) == {key for key in before if key[0] == "k" or not allowed}
    if not allowed:
        assert ended.error is not None
        assert "--max-delete" in str(ended.error)


def test_max_delete_still_copies(tmp_path: Path) -> None:
    source, destination = _trees(tmp_path)
    ended = run(f"{source}/", f"{destination}/", delete_dst=True, max_delete=1)
    assert ended.code == 4
    assert ended.result is not None
    assert (ended.result.copied, ended.result.updated, ended.result.deleted) == (2, 1, 0)
    assert contents(destination) == {**_DESTINATION, **_SOURCE}


@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_in_prefix_mode_names_that_only_the_destination_has_stay(place: Maker, tmp_path: Path, kind: str) -> None:
    source = fill(tmp_path / "source", {"da/x": b"1", "db": b"2"})
    destination = place(kind, "destination")
    there = {"pa/x": b"1", "pa/extra": b"e", "private/y": b"mine", "other": b"o"}
    destination.fill(there)
    ends = (f"{source}/d", destination.address + "p")
    options = {"dst_storage_options": destination.options, "delete_dst": True}
    for dry in (True, False):
        ended = run(*ends, **options, dry=dry)
        assert ended.code == 4, ended
        assert "rivate" in ended.text
        assert "--delete-prefix" in ended.text
        assert {**destination.data(), **there} == destination.data()
    ended = run(*ends, **options, delete_prefix=True)
    assert ended.code == 0, ended
    assert destination.data() == {"pa/x": b"1", "pb": b"2", "other": b"o"}


def test_in_prefix_mode_extras_below_names_of_the_source_go(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"da/x": b"1", "db": b"2"})
    destination = fill(tmp_path / "destination", {"pa/x": b"1", "pa/extra": b"e", "other": b"o"})
    ended = run(f"{source}/d", f"{destination}/p", delete_dst=True)
    assert ended.code == 0, ended
    assert contents(destination) == {"pa/x": b"1", "pb": b"2", "other": b"o"}


# the last look -----------------------------------------------------------------------------------------------------


def test_names_that_differ_in_case_or_normal_form_from_what_is_written_stay(destination: Place, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"Readme": b"new", "caf\u00e9": b"new", "same": b"s"})
    destination.fill({"README": b"old", "cafe\u0301": b"old", "same": b"s", "extra": b"e"})
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 0, ended
    left = destination.data()
    assert left.pop("README") == b"old"
    assert left.pop("cafe\u0301") == b"old"
    assert left == {"Readme": b"new", "caf\u00e9": b"new", "same": b"s"}


def test_an_extra_that_changed_after_it_was_listed_is_not_removed(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1"})
    destination = fill(tmp_path / "destination", {"extra": b"e", "other": b"e"})

    def listener(event: dict[str, Any]) -> None:
        # the copy of "a" is done: both listings have ended and no deletion has begun
        if event["event"] == "done" and event["action"] == "copy":
            (destination / "extra").write_bytes(b"somebody else's")
            os.utime(destination / "extra", ns=(OLD + 1, OLD + 1))

    ended = run(f"{source}/", f"{destination}/", delete_dst=True, progress=listener)
    assert ended.code == 1, ended
    assert contents(destination) == {"a": b"1", "extra": b"somebody else's"}


def test_nothing_is_removed_if_the_source_has_an_extra_after_all(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1"})
    destination = fill(tmp_path / "destination", {"new": b"e", "other": b"e"})

    def listener(event: dict[str, Any]) -> None:
        if event["event"] == "done" and event["action"] == "copy":
            fill(source, {"new": b"just made"})

    ended = run(f"{source}/", f"{destination}/", delete_dst=True, progress=listener)
    assert ended.code == 1, ended
    assert contents(destination) == {"a": b"1", "new": b"e", "other": b"e"}


@pytest.mark.parametrize("names", list(itertools.permutations(["*", "x", "[x]"], 2)), ids=str)
@pytest.mark.parametrize("kind", ["local", "memory", "seaweed"])
def test_names_with_wildcards_are_names(place: Maker, tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    kept, extra = names
    source, destination = fill(tmp_path / "source", {kept: b"1"}), place(kind, "destination")
    destination.fill({kept: b"1", extra: b"e"})
    ended = run(f"{source}/", destination, delete_dst=True)
    assert ended.code == 0, ended
    assert destination.data() == {kept: b"1"}
