"""--inplace: existing files are written into, so their inodes and other names stay; nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scripted import Held, Row, Script, ScriptedFileSystem
from tests.safety.conftest import Maker
from tests.safety.places import OLD, contents, fill, run

_LARGE = 20 << 20


@pytest.mark.parametrize("kind", ["local", "moto"])
def test_inode_other_names_and_permissions_stay(place: Maker, tmp_path: Path, kind: str) -> None:
    source = place(kind, "source")
    tree = {"grown": b"x" * _LARGE, "shrunk": b"s", "empty": b"", "new/f": b"n"}
    source.fill(tree)
    destination = fill(tmp_path / "destination", {"grown": b"1", "shrunk": b"2" * 500, "empty": b"3"})
    os.link(destination / "grown", tmp_path / "other-name")
    (destination / "shrunk").chmod(0o640)
    inodes = {name: (destination / name).stat().st_ino for name in ("grown", "shrunk", "empty")}
    ended = run(source, f"{destination}/", inplace=True, check_new=kind == "moto")
    assert ended.code == 0, ended
    assert contents(destination) == tree
    assert {name: (destination / name).stat().st_ino for name in inodes} == inodes
    assert (tmp_path / "other-name").read_bytes() == tree["grown"]
    assert (destination / "shrunk").stat().st_mode & 0o777 == 0o640
    again = run(source, f"{destination}/", inplace=True)
    assert again.result is not None
    assert (again.code, again.result.copied, again.result.updated) == (0, 0, 0)


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"theirs": b"precious"})
    source = fill(tmp_path / "source", {"f": b"mine", "large": b"x" * _LARGE})
    destination = fill(tmp_path / "destination", {})
    for name in ("f", "large"):
        (destination / name).symlink_to(outside / "theirs")
    ended = run(f"{source}/", f"{destination}/", inplace=True)
    assert ended.code == 0, ended
    assert contents(outside) == {"theirs": b"precious"}
    assert {key: len(data) for key, data in contents(destination).items()} == {"f": 4, "large": _LARGE}


def test_what_is_no_file_is_a_clash_or_replaced(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"d": b"1", "pipe": b"2"})
    destination = fill(tmp_path / "destination", {"d/inside": b"9"})
    os.mkfifo(destination / "pipe")
    ended = run(f"{source}/", f"{destination}/", inplace=True)
    assert ended.code == 1, ended
    assert contents(destination) == {"d/inside": b"9", "pipe": b"2"}


@pytest.mark.parametrize("size", [10, _LARGE])
def test_a_name_of_the_source_itself_is_not_emptied(tmp_path: Path, size: int) -> None:
    source = fill(tmp_path / "source", {"f": b"x" * size})
    destination = fill(tmp_path / "destination", {})
    os.link(source / "f", destination / "f")
    ended = run(f"{source}/", f"{destination}/", inplace=True, force_update=True)
    assert ended.code == 0, ended
    assert (source / "f").read_bytes() == (destination / "f").read_bytes() == b"x" * size


@pytest.mark.parametrize("rule", [{}, {"size_only": True}], ids=str)
def test_half_a_file_is_never_taken_for_the_whole(tmp_path: Path, rule: dict[str, Any]) -> None:
    whole = b"y" * _LARGE
    script = Script({"f": Held(whole, OLD)}, [[Row("f", _LARGE, OLD)]])
    filesystem = _Broken.of("broken", script)
    filesystem.left = 2
    destination = fill(tmp_path / "destination", {"f": b"before"})
    inode = (destination / "f").stat().st_ino
    ended = run((filesystem, "/"), f"{destination}/", inplace=True, retries=0, **rule)
    assert ended.code == 1, ended
    assert len(contents(destination)["f"]) < _LARGE
    filesystem.left = 1000
    again = run((filesystem, "/"), f"{destination}/", inplace=True, **rule)
    assert again.code == 0, again
    assert contents(destination) == {"f": whole}
    assert (destination / "f").stat().st_ino == inode


def test_a_source_that_cannot_be_read_leaves_what_is_there(tmp_path: Path) -> None:
    script = Script({"f": Held(b"y" * _LARGE, OLD)}, [[Row("f", _LARGE, OLD)]])
    filesystem = _Broken.of("unreadable", script)
    filesystem.left = 0
    destination = fill(tmp_path / "destination", {"f": b"before"})
    ended = run((filesystem, "/"), f"{destination}/", inplace=True, retries=0)
    assert ended.code == 1, ended
    assert contents(destination) == {"f": b"before"}


def test_object_stores_are_told_once(place: Maker, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"f": b"1"})
    ended = run(f"{source}/", place("memory", "destination"), inplace=True)
    assert ended.code == 0, ended
    assert ended.text.count("--inplace changes nothing") == 1


class _Broken(ScriptedFileSystem):
    """A scripted filesystem whose streamed reads end with an error after a number of pieces."""

    left = 0

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        read, owner = file.read, self

        class Reads:
            def read(self, length: int = -1) -> bytes:
                if owner.left <= 0:
                    raise OSError(22, "the rest cannot be read")
                owner.left -= 1
                data: bytes = read(length)
                return data

            def close(self) -> None:
                file.close()

        return Reads()
