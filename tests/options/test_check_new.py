"""--check-new: every copied file is read back and compared with its source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from tests.safety.conftest import KINDS, Maker
from tests.safety.places import fill, run

_MIB = 1 << 20


class _Flipped(MemoryFile):
    """A file whose first byte has one bit turned over once its writing ends."""

    written = False

    def close(self) -> None:
        """End writing or, later, reading, which leaves the content where it is."""
        if not self.written:
            self.written = True
            view = self.getbuffer()
            if len(view):
                view[0] ^= 1
            view.release()
        super().close()


class Corrupting(MemoryFileSystem):
    """A storage that confirms every write and keeps something else, of the same length."""

    protocol = "corrupting"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    #: names that arrive as they are
    spared: ClassVar[tuple[str, ...]] = ()
    #: called after each small object
    afterwards: ClassVar[Callable[[], object]] = lambda: None

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store a small object, one bit of it turned over."""
        if value and not path.endswith(self.spared or ("\0",)):
            value = bytes([value[0] ^ 1]) + value[1:]
        super().pipe_file(path, value, mode=mode, **kwargs)
        type(self).afterwards()

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode != "wb" or kwargs.get("data") is not None:
            return super()._open(path, mode, **kwargs)
        file = _Flipped(self, path)
        # as with fsspec's own, an object is there from its beginning
        file.commit()
        return file


@pytest.fixture
def corrupting() -> Corrupting:
    """The storage, empty."""
    fs = Corrupting(skip_instance_cache=True)
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    return fs


def test_the_storage_corrupts(corrupting: Corrupting) -> None:
    corrupting.pipe_file("/x", b"\x00\x00")
    assert corrupting.cat_file("/x") == b"\x01\x00"
    with corrupting.open("/y", "wb") as file:
        file.write(b"\x00\x00")
    assert corrupting.cat_file("/y") == b"\x01\x00"


@pytest.mark.parametrize("size", [1, 1000, 9 * _MIB], ids=["byte", "small", "large"])
def test_what_arrives_otherwise_is_a_failure(corrupting: Corrupting, tmp_path: Path, size: int) -> None:
    source = fill(tmp_path / "source", {"f": os.urandom(size), "empty": b""})
    ended = run(f"{source}/", (corrupting, "/target/"), check_new=True, retries=1)
    assert ended.code == 1, ended
    assert ended.result is not None
    assert (ended.result.failed, ended.result.copied) == (1, 1)
    assert "f: what was written is not what its source holds; it was removed" in ended.text
    assert not corrupting.exists("/target/f")
    assert ended.result.verified_by == {"read": 1}


def test_without_the_option_nobody_notices(corrupting: Corrupting, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"f": b"1"})
    assert run(f"{source}/", (corrupting, "/target/")).code == 0
    assert corrupting.cat_file("/target/f") != b"1"


def test_a_failure_keeps_extras_and_is_found_by_the_next_run(corrupting: Corrupting, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"bad": b"1", "good": b"2"})
    corrupting.spared = ("good", "extra")  # type: ignore[misc]
    corrupting.pipe_file("/target/extra", b"e")
    ended = run(f"{source}/", (corrupting, "/target/"), check_new=True, retries=0, delete_dst=True)
    assert ended.code == 1
    assert ended.result is not None
    assert (ended.result.copied, ended.result.deleted) == (1, 0)
    assert corrupting.cat_file("/target/extra") == b"e"
    again = run(f"{source}/", (corrupting, "/target/"), checksum=True, dry=True)
    assert again.result is not None
    # what was wrong did not stay
    assert again.result.reasons == {"missing": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_all_sizes_are_read_back(place: Maker, tmp_path: Path, kind: str) -> None:
    source = fill(tmp_path / "source", {"empty": b"", "small": b"1" * 1000, "large": os.urandom(20 * _MIB)})
    target = place(kind, "target")
    ended = run(f"{source}/", target, check_new=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.verified_by) == (3, {"read": 3})
    assert set(ended.result.table().column("verified_by").to_pylist()) == {"read"}
    again = run(f"{source}/", target, check_new=True)
    assert again.result is not None
    assert (again.result.reasons, again.result.verified_by) == ({}, {})


def test_copies_inside_a_store_are_read_back_too(place: Maker, tmp_path: Path) -> None:
    source = place("moto", "source")
    source.fill({"a": b"1", "b": b"2" * 100_000})
    ended = run(source, place("moto", "target"), check_new=True)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.verified_by == {"read": 2}


def test_many_local_files(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {f"d{number % 3}/f{number}": b"%d" % number for number in range(1500)})
    ended = run(f"{source}/", f"{tmp_path}/target/", check_new=True)
    assert ended.result is not None
    assert (ended.code, ended.result.verified_by) == (0, {"read": 1500})


# where renames exist, the last good version stays -------------------------------------------------------------------


class Bits:
    """The system's writing calls, of which the first ``times`` turn over one bit of what they write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        write, pwrite, copy = os.write, os.pwrite, os.copy_file_range

        def flipped(data: Any) -> bytes:
            held = bytes(data)
            if self.left and held:
                self.left -= 1
                held = bytes([held[0] ^ 1]) + held[1:]
            return held

        def copied(source: int, target: int, count: int, offset: int, there: int) -> int:
            number = copy(source, target, count, offset, there)
            if self.left:
                pwrite(target, flipped(os.pread(source, 1, offset)), there)
            return number

        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, flipped(data)))
        monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, flipped(data), offset))
        monkeypatch.setattr(os, "copy_file_range", copied)


_BEFORE = {"f": b"the last good version", "other": b"o"}


@pytest.mark.parametrize("size", [1000, 9 * _MIB], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["local", "memory", "moto"])
def test_a_wrong_file_never_takes_the_place_of_a_good_one(
    place: Maker, monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    source, target = place(kind, "source"), place("local", "target")
    source.fill({"f": os.urandom(size)})
    target.fill(_BEFORE)
    before = target.state()
    with monkeypatch.context() as patched:
        Bits(patched, -1)
        ended = run(source, target, check_new=True, retries=1, delete_dst=True)
    assert ended.code == 1, ended
    assert "f: what was written is not what its source holds" in ended.text
    # nothing was replaced, deleted or left behind
    assert target.state() == before


@pytest.mark.parametrize("size", [1000, 9 * _MIB], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_the_next_attempt_is_taken_if_it_is_right(
    place: Maker, monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    source, target = place(kind, "source"), place("local", "target")
    source.fill({"f": os.urandom(size)})
    with monkeypatch.context() as patched:
        bits = Bits(patched, 1)
        ended = run(source, target, check_new=True)
        assert bits.left == 0
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.verified_by == {"read": 1}
    assert target.data() == source.data()


def test_holes_stay_holes(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {})
    with (source / "f").open("wb") as file:
        file.write(b"begin")
        file.seek(64 * _MIB)
        file.write(b"end")
    ended = run(f"{source}/", f"{tmp_path}/target/", check_new=True)
    assert ended.result is not None
    assert (ended.code, ended.result.verified_by) == (0, {"read": 1})
    assert (tmp_path / "target/f").stat().st_blocks * 512 < _MIB


# elsewhere a wrong object is removed, if the source still has the right one -----------------------------------------


def test_a_wrong_copy_stays_if_the_source_is_gone(
    corrupting: Corrupting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "source", {"f": b"\0precious"})
    monkeypatch.setattr(Corrupting, "afterwards", lambda: (source / "f").unlink(missing_ok=True))
    ended = run(f"{source}/", (corrupting, "/target/"), check_new=True, retries=1)
    assert ended.code == 1
    assert "it was left there, because the source is gone" in ended.text
    assert corrupting.cat_file("/target/f") == b"\1precious"


def test_what_somebody_else_wrote_meanwhile_stays(
    corrupting: Corrupting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "source", {"f": b"1"})

    def another(self: Corrupting, path: str, **kwargs: Any) -> Any:
        # the last question before the removal
        asked.append(path)
        if len(asked) == 4:
            MemoryFileSystem.pipe_file(self, "/target/f", b"another's")
        return MemoryFileSystem.info(self, path, **kwargs)

    asked: list[str] = []
    run(f"{source}/", (corrupting, "/target/"))
    monkeypatch.setattr(Corrupting, "info", another)
    ended = run(f"{source}/", (corrupting, "/target/"), check_new=True, force_update=True, retries=0)
    assert ended.code == 1
    assert "it was left there, because it was written anew since" in ended.text
    assert corrupting.cat_file("/target/f") == b"another's"


def test_one_wrong_look_is_no_wrong_copy(place: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = place("local", "source"), place("memory", "target")
    source.fill({"f": b"1" * 100})
    looks: list[str] = []
    getvalue = MemoryFile.getvalue

    def seen(self: MemoryFile) -> bytes:
        looks.append("look")
        return b"?" * 100 if len(looks) == 1 else getvalue(self)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFile, "getvalue", seen)
        ended = run(source, target, check_new=True, retries=0)
    assert ended.code == 0, ended
    assert len(looks) == 2
