"""--exact: SRC is one object and nothing else that begins with its name."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, Ended, Place, S3Place, contents, fill, run

_SIBLINGS = {"part-1": b"one", "part-10": b"ten", "part-1/x": b"below", "part-1.bak": b"old"}
_LOCAL_SIBLINGS = {"part-1": b"one", "part-10": b"ten", "part-1.bak": b"old"}


def _siblings(kind: str) -> dict[str, bytes]:
    """Return objects that begin alike; only a flat store has one that is a directory too."""
    return _SIBLINGS if kind == "moto" else _LOCAL_SIBLINGS


def exact(source: Place, key: str, target: Place, new: str, **options: Any) -> Ended:
    """Sync one object of a place to a name in another."""
    ends: dict[str, Any] = {"src_storage_options": source.options, "dst_storage_options": target.options}
    given = {name: value for name, value in ends.items() if value}
    return run(source.address + key, target.address + new, exact=True, **given, **options)


@pytest.mark.parametrize("dst", ["local", "memory", "moto"])
@pytest.mark.parametrize("src", KINDS)
def test_one_object_among_siblings(place: Maker, src: str, dst: str) -> None:
    source, target = place(src, "source"), place(dst, "target")
    source.fill(_siblings(src))
    ended = exact(source, "part-1", target, "copy")
    assert ended.code == 0, ended
    assert target.data() == {"copy": b"one"}
    assert ended.result is not None
    assert (ended.result.copied, ended.result.table().column("key").to_pylist()) == (1, [b""])
    again = exact(source, "part-1", target, "copy")
    assert again.result is not None
    assert (again.code, again.result.reasons, again.result.skipped) == (0, {}, 1)


@pytest.mark.parametrize("new", ["", "sub/"])
def test_into_a_directory_it_keeps_its_name(place: Maker, new: str) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill(_LOCAL_SIBLINGS)
    ended = exact(source, "part-1", target, new)
    assert ended.code == 0, ended
    assert target.data() == {f"{new}part-1": b"one"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["part", "part-100", "nothing"])
def test_an_object_that_is_not_there(place: Maker, kind: str, key: str) -> None:
    source, target = place(kind, "source"), place("local", "target")
    source.fill(_siblings(kind))
    ended = exact(source, key, target, "copy")
    assert ended.code == 3, ended
    assert key in ended.text
    assert target.data() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_is_no_object(place: Maker, kind: str) -> None:
    source, target = place(kind, "source"), place("local", "target")
    source.fill({"d/x": b"1"})
    ended = exact(source, "d", target, "copy")
    assert ended.code == 3, ended
    assert target.data() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_trailing_slash_is_refused(place: Maker, kind: str) -> None:
    source, target = place(kind, "source"), place("local", "target")
    source.fill({"d/x": b"1"})
    ended = exact(source, "d/", target, "copy")
    assert ended.code == 2, ended
    assert "--exact" in ended.text
    assert target.data() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_siblings_of_the_destination_are_no_extras(place: Maker, kind: str) -> None:
    source, target = place("local", "source"), place(kind, "target")
    source.fill({"part-1": b"new!"})
    target.fill({**_siblings(kind), "other": b"o"})
    ended = exact(source, "part-1", target, "part-1", delete_dst=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.updated, ended.result.deleted, ended.result.extra) == (1, 0, 0)
    assert target.data() == {**_siblings(kind), "other": b"o", "part-1": b"new!"}


def test_a_store_where_an_object_has_names_below_it(place: Maker) -> None:
    source, target = place("moto", "source"), place("moto", "target")
    assert isinstance(source, S3Place)
    source.fill(_SIBLINGS)
    ended = exact(source, "part-1/x", target, "y")
    assert ended.code == 0, ended
    assert target.data() == {"y": b"below"}


def test_a_file_put_in_place_with_an_older_time_is_seen(place: Maker, tmp_path: Path) -> None:
    # as mv, cp -p and tar do: only its change time tells
    source, target = place("local", "source"), place("memory", "target")
    source.fill({"f": b"1"})
    time.sleep(0.05)
    assert exact(source, "f", target, "f").code == 0
    time.sleep(0.05)
    fill(tmp_path, {"next": b"2"})
    os.replace(tmp_path / "next", f"{source.address}f")
    assert os.stat(f"{source.address}f").st_mtime_ns == OLD
    assert exact(source, "f", target, "f").code == 0
    assert target.data() == {"f": b"2"}


def test_permissions_of_one_object(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"f": b"1"})
    os.chmod(f"{source.address}f", 0o640)
    assert exact(source, "f", target, "f", perms=True).code == 0
    assert os.stat(f"{target.address}f").st_mode & 0o7777 == 0o640
    os.chmod(f"{source.address}f", 0o600)
    changed = exact(source, "f", target, "f", perms=True)
    assert changed.result is not None
    assert changed.result.reasons == {"mode": 1}
    assert os.stat(f"{target.address}f").st_mode & 0o7777 == 0o600


def test_a_link_as_a_link(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"f": b"1"})
    os.symlink("f", f"{source.address}l")
    assert exact(source, "l", target, "followed").code == 0
    assert contents(Path(target.address)) == {"followed": b"1"}
    ended = exact(source, "l", target, "kept", links=True)
    assert ended.code == 0, ended
    assert os.readlink(f"{target.address}kept") == "f"


def test_a_directory_of_the_destination_is_not_overwritten(place: Maker) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"f": b"1"})
    target.fill({"d/kept": b"k"})
    ended = exact(source, "f", target, "d", delete_dst=True)
    assert target.data() in ({"d/kept": b"k"}, {"d/kept": b"k", "d/f": b"1"})
    assert (ended.code == 0) is ("d/f" in target.data())
