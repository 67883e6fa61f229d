"""--links: links are copied as links, their text unchanged; by default what they lead to is copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import OLD, contents, fill, run, snapshot

_TEXTS = {
    b"absolute": b"/somewhere/not/here",
    b"relative": b"sub/f",
    b"up": b"../../beyond",
    b"dangling": b"nothing",
    b"directory": b"sub",
    b"slash": b"sub/",
    b"odd": b"./sub//../sub/./f",
    b"itself": b"itself",
    b"not utf-8": b"\xff\xfe/\xe9",
    b"\xff name": b"sub/f",
    b"newline": b"a\nb",
    b"blank": b" ",
    b"long": b"x/" * 2000,
    b"sub/inner": b"f",
}


def _links(root: Path) -> dict[bytes, bytes]:
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            if os.path.islink(path):
                found[os.path.relpath(path, os.fsencode(root))] = os.readlink(path)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with every kind of link, all of one time."""
    root = fill(tmp_path / "source", {"plain": b"1", "sub/f": b"2"})
    for name, text in _TEXTS.items():
        path = os.path.join(os.fsencode(root), name)
        os.symlink(text, path)
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    return root


def test_texts_are_copied_as_they_are(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    ended = run(f"{source}/", f"{target}/", links=True)
    assert ended.code == 0, ended
    assert _links(target) == _TEXTS
    assert contents(target) == {"plain": b"1", "sub/f": b"2"}
    for name in _TEXTS:
        assert os.lstat(os.path.join(os.fsencode(target), name)).st_mtime_ns == OLD
    again = run(f"{source}/", f"{target}/", links=True, delete_dst=True)
    assert again.result is not None
    assert (again.result.reasons, again.result.extra) == ({}, 0)


@pytest.mark.parametrize("options", [{}, {"size_only": True}, {"checksum": True}], ids=["default", "size", "checksum"])
def test_another_text_of_the_same_length_is_seen(tmp_path: Path, options: dict[str, Any]) -> None:
    source, target = fill(tmp_path / "source", {}), fill(tmp_path / "target", {})
    for root, text in ((source, "one"), (target, "two")):
        (root / "link").symlink_to(text)
        os.utime(root / "link", ns=(OLD, OLD), follow_symlinks=False)
    ended = run(f"{source}/", f"{target}/", links=True, **options)
    assert ended.result is not None
    assert (ended.result.updated, ended.result.reasons) == (1, {"link": 1})
    assert os.readlink(target / "link") == "one"


def test_equal_texts_are_equal_links_whatever_their_times(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {}), fill(tmp_path / "target", {})
    for root, time in ((source, OLD), (target, OLD + 10**9)):
        (root / "link").symlink_to("text")
        os.utime(root / "link", ns=(time, time), follow_symlinks=False)
    before = os.lstat(target / "link").st_ino
    ended = run(f"{source}/", f"{target}/", links=True)
    assert ended.result is not None
    assert ended.result.reasons == {}
    assert os.lstat(target / "link").st_ino == before


def test_a_link_over_a_file_and_a_file_over_a_link(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"f": b"canary"})
    source = fill(tmp_path / "source", {"file": b"new"})
    (source / "link").symlink_to("file")
    target = fill(tmp_path / "target", {"link": b"old"})
    (target / "file").symlink_to(outside / "f")
    before = snapshot(outside)
    ended = run(f"{source}/", f"{target}/", links=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.reasons == {"type": 2}
    assert snapshot(outside) == before
    assert (_links(target), contents(target)) == ({b"link": b"file"}, {"file": b"new"})


@pytest.mark.parametrize("dirs", [False, True])
def test_a_link_over_a_directory_that_holds_something(tmp_path: Path, dirs: bool) -> None:
    source, target = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "target", {"d/x": b"mine"})
    (source / "d").symlink_to("a")
    refused = run(f"{source}/", f"{target}/", links=True, dirs=dirs)
    assert refused.code == 1
    assert contents(target) == {"a": b"1", "d/x": b"mine"}
    ended = run(f"{source}/", f"{target}/", links=True, dirs=dirs, delete_dst=True)
    assert ended.code == 0, ended
    assert (_links(target), contents(target)) == ({b"d": b"a"}, {"a": b"1"})


@pytest.mark.parametrize("dirs", [False, True])
def test_a_directory_over_a_link(tmp_path: Path, dirs: bool) -> None:
    outside = fill(tmp_path / "outside", {"f": b"canary", "x": b"canary"})
    source, target = fill(tmp_path / "source", {"d/f": b"new"}), fill(tmp_path / "target", {})
    (target / "d").symlink_to(outside)
    before = snapshot(outside)
    refused = run(f"{source}/", f"{target}/", links=True, dirs=dirs)
    assert refused.code == 1
    assert _links(target) == {b"d": os.fsencode(outside)}
    ended = run(f"{source}/", f"{target}/", links=True, dirs=dirs, delete_dst=True)
    assert ended.code == 0, ended
    assert snapshot(outside) == before
    assert (_links(target), contents(target)) == ({}, {"d/f": b"new"})


def test_links_are_written_beside_and_not_through_links(tmp_path: Path) -> None:
    # a link's new text, and a link below a directory that is a link at the destination
    outside = fill(tmp_path / "outside", {"f": b"canary"})
    source, target = fill(tmp_path / "source", {"d/": b""}), fill(tmp_path / "target", {})
    (source / "l").symlink_to("elsewhere")
    (source / "d" / "l").symlink_to("elsewhere")
    (target / "l").symlink_to(outside / "f")
    (target / "d").symlink_to(outside)
    before = snapshot(outside)
    ended = run(f"{source}/", f"{target}/", links=True)
    assert ended.code == 1
    assert snapshot(outside) == before
    assert _links(target) == {b"l": b"elsewhere", b"d": os.fsencode(outside)}


def test_extra_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"f": b"canary"})
    source, target = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "target", {"a": b"1"})
    (target / "to file").symlink_to(outside / "f")
    (target / "to directory").symlink_to(outside)
    (target / "dangling").symlink_to("nowhere")
    before = snapshot(outside)
    ended = run(f"{source}/", f"{target}/", links=True, delete_dst=True)
    assert ended.result is not None
    assert (ended.code, ended.result.deleted) == (0, 3)
    assert snapshot(outside) == before
    assert os.listdir(target) == ["a"]


def test_check_new_and_perms_leave_links_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    ended = run(f"{source}/", f"{target}/", links=True, check_new=True, perms=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert _links(target) == _TEXTS
    assert ended.result.verified_by == {"read": 2}
    again = run(f"{source}/", f"{target}/", links=True, perms=True)
    assert again.result is not None
    assert again.result.reasons == {}


# what cannot hold links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "moto", "seaweed"])
def test_where_no_links_are_kept_they_are_left_out(place: Maker, tmp_path: Path, kind: str) -> None:
    source, target = fill(tmp_path / "source", {"a": b"1", "sub/f": b"2"}), place(kind, "target")
    (source / "file").symlink_to("a")
    (source / "dir").symlink_to("sub")
    (source / "dangling").symlink_to("nowhere")
    target.fill({"file": b"earlier", "dir/f": b"earlier", "dir/g": b"earlier", "extra": b"e"})
    ended = run(f"{source}/", target, links=True, delete_dst=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert target.data() == {
        "a": b"1", "sub/f": b"2", "file": b"earlier", "dir/f": b"earlier", "dir/g": b"earlier",
    }  # fmt: skip
    assert [notice for notice in ended.result.notices if "--links" in notice] != []
    assert sum("--links" in notice for notice in ended.result.notices) == 1
    assert (ended.result.protected, ended.result.deleted) == (3, 1)


# by default ------------------------------------------------------------------------------------------------------


def test_by_default_what_links_lead_to_is_copied(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "sub/f": b"2"})
    (source / "file").symlink_to("a")
    (source / "dir").symlink_to("sub")
    (source / "dangling").symlink_to("nowhere")
    target = tmp_path / "target"
    ended = run(f"{source}/", f"{target}/")
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.protected == 1
    assert _links(target) == {}
    assert contents(target) == {"a": b"1", "sub/f": b"2", "file": b"1", "dir/f": b"2"}


@pytest.mark.parametrize("loop", [".", "..", "../sub", "self"])
def test_loops_are_entered_once_and_protect_their_name(tmp_path: Path, loop: str) -> None:
    source = fill(tmp_path / "source", {"sub/f": b"1"})
    (source / "sub" / "self").symlink_to(loop)
    target = fill(tmp_path / "target", {"sub/self/kept": b"k"})
    ended = run(f"{source}/", f"{target}/", delete_dst=True)
    assert ended.code == 0, ended
    assert contents(target) == {"sub/f": b"1", "sub/self/kept": b"k"}


def test_from_links_to_what_they_lead_to_and_back(source: Path, tmp_path: Path) -> None:
    # a destination made with --links, then without, then with again: each time it becomes what the run says
    for name in ("itself", "odd"):
        (source / name).unlink()
    target = tmp_path / "target"
    kept = {name: text for name, text in _TEXTS.items() if name not in (b"itself", b"odd")}
    assert run(f"{source}/", f"{target}/", links=True).code == 0
    assert _links(target) == kept
    followed = run(f"{source}/", f"{target}/", delete_dst=True)
    assert followed.code == 0, followed
    assert contents(target)["directory/f"] == b"2"
    back = run(f"{source}/", f"{target}/", links=True, delete_dst=True)
    assert back.code == 0, back
    assert _links(target) == kept
    shutil.rmtree(source)
    assert contents(target) == {"plain": b"1", "sub/f": b"2"}
