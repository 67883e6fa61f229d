"""--check-new: every copied file is read back and compared with its source."""

from __future__ import annotations

import os
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

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store a small object, one bit of it turned over."""
        if value and not path.endswith(self.spared or ("\0",)):
            value = bytes([value[0] ^ 1]) + value[1:]
        super().pipe_file(path, value, mode=mode, **kwargs)

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
    assert "f: what was written is not what its source holds" in ended.text
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
