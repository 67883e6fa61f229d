"""--check-change: a source that is changed while it is copied is no success."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fsync.storage import local_copy
from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, fill, run

_MIB = 1 << 20


class Watched(MemoryFileSystem):
    """A storage that calls ``afterwards`` after each object that it has stored."""

    protocol = "watched"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    afterwards: ClassVar[Callable[[], object]] = lambda: None

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store an object."""
        super().pipe_file(path, value, mode=mode, **kwargs)
        type(self).afterwards()


@pytest.fixture
def watched() -> Watched:
    """The storage, empty."""
    fs = Watched(skip_instance_cache=True)
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    return fs


class Edits:
    """Edits of a file, the first ``times`` times that they are called; the size stays."""

    def __init__(self, path: Path, times: int) -> None:
        self.path, self.left, self.made = path, times, 0

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            self.made += 1
            self.path.write_bytes(b"%d" % self.made)
            os.utime(self.path, ns=(OLD + self.made, OLD + self.made))


@pytest.mark.parametrize("check", [True, False])
def test_an_edit_after_the_reading(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    source = fill(tmp_path / "source", {"f": b"0"})
    monkeypatch.setattr(Watched, "afterwards", Edits(source / "f", 1))
    ended = run(f"{source}/", (watched, "/target/"), check_change=check)
    assert ended.code == 0, ended
    # looked at again, and copied as it is now
    assert watched.cat_file("/target/f") == (b"1" if check else b"0")


def test_a_source_that_never_rests_is_a_failure(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "source", {"f": b"0", "steady": b"s"})
    watched.pipe_file("/target/extra", b"e")
    monkeypatch.setattr(Watched, "afterwards", Edits(source / "f", -1))
    ended = run(f"{source}/", (watched, "/target/"), check_change=True, retries=1, delete_dst=True)
    assert ended.code == 1
    assert "f: the source changed while it was copied" in ended.text
    assert watched.cat_file("/target/extra") == b"e"


def test_a_source_that_is_removed_is_a_failure(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "source", {"f": b"0"})
    monkeypatch.setattr(Watched, "afterwards", lambda: (source / "f").unlink(missing_ok=True))
    ended = run(f"{source}/", (watched, "/target/"), check_change=True)
    assert ended.code == 1
    assert "f: the source was removed while it was copied" in ended.text
    assert watched.cat_file("/target/f") == b"0"


def test_a_copy_of_another_length_is_removed(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "source", {"f": b"0123"})
    monkeypatch.setattr(Watched, "afterwards", lambda: watched.store["/target/f"].truncate(2))
    ended = run(f"{source}/", (watched, "/target/"), check_change=True, retries=1)
    assert ended.code == 1
    assert "f: what was written has another length than its source; it was removed" in ended.text
    assert not watched.exists("/target/f")


@pytest.mark.parametrize("times", [1, -1])
@pytest.mark.parametrize("size", [1, 2 * _MIB])
def test_between_local_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, times: int) -> None:
    source = fill(tmp_path / "source", {"f": b"0" * size, "steady": b"s"})
    edits = Edits(source / "f", times)
    rename = local_copy.rename_into_place

    def renamed(partial: bytes, name: bytes, above: int) -> None:
        rename(partial, name, above)
        if name == b"f":
            edits()

    monkeypatch.setattr(local_copy, "rename_into_place", renamed)
    ended = run(f"{source}/", f"{tmp_path}/target/", check_change=True, retries=1)
    # the first attempt is the direct one, further ones go another way
    assert ended.code == 0, ended
    assert edits.made == 1
    assert (tmp_path / "target/f").read_bytes() == b"1"
    assert (tmp_path / "target/steady").read_bytes() == b"s"


@pytest.mark.parametrize(("src", "dst"), [*(("local", kind) for kind in KINDS), ("seaweed", "moto"), ("moto", "local")])
def test_what_stays_as_it_is_passes(place: Maker, src: str, dst: str) -> None:
    source, target = place(src, "source"), place(dst, "target")
    source.fill({"empty": b"", "small": b"1" * 1000, "large": os.urandom(9 * _MIB)})
    ended = run(source, target, check_change=True, check_new=True, retries=0)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.verified_by == {"read": 3}
    assert target.data() == source.data()
