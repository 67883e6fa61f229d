"""Files without a name until they are whole: what they are named over, and what happens where there are none."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

import fsync
from fsync.storage import nameless
from fsync.storage.nameless import Nameless
from tests.safety.places import contents, fill

if sys.platform != "linux":
    pytest.skip("only Linux has files without names", allow_module_level=True)


@pytest.fixture
def above(tmp_path: Path) -> Iterator[int]:
    """A directory that is open."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(autouse=True)
def _on_a_file_system_that_has_them(tmp_path: Path) -> None:
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE))
    except OSError as error:
        pytest.skip(f"the file system of the tests has no files without names: {error}")


def writing(data: bytes) -> Callable[[int], None]:
    return lambda file: None if os.write(file, data) == len(data) else pytest.fail("not all was written")


def test_a_file_has_its_name_when_it_is_whole(above: int, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(file: int) -> None:
        os.write(file, b"content")
        seen.append(os.listdir(tmp_path))

    before = os.umask(0o027)
    try:
        assert Nameless().write(b"f", above, 0o666, look)
    finally:
        os.umask(before)
    assert seen == [[]]
    assert (tmp_path / "f").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


@pytest.mark.parametrize("other", ["file", "link", "directory"])
def test_what_has_the_name_stays(other: str, above: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"elsewhere")
    taken = tmp_path / "f"
    if other == "file":
        taken.write_bytes(b"older")
    elif other == "link":
        taken.symlink_to("elsewhere")
    else:
        taken.mkdir()
    before = (taken.lstat().st_ino, taken.lstat().st_mode)
    files = Nameless()
    assert not files.write(b"f", above, 0o666, writing(b"newer"))
    assert (taken.lstat().st_ino, taken.lstat().st_mode) == before
    assert (tmp_path / "elsewhere").read_bytes() == b"elsewhere"
    # where one name was taken others may be
    assert not files.write(b"g", above, 0o666, writing(b"g"))
    files.begin_anew()
    assert files.write(b"g", above, 0o666, writing(b"g"))
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "f", "g"]


def test_what_is_forbidden_to_others_stays_so(above: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as if the file system had given a bit that the umask takes away
    monkeypatch.setattr(nameless, "_umask", lambda: 0o400)
    files = Nameless()
    assert not files.write(b"f", above, 0o666, writing(b"secret"))
    assert os.listdir(tmp_path) == []
    before = os.umask(0o031)
    try:
        monkeypatch.undo()
        assert nameless._umask() == 0o031
    finally:
        os.umask(before)


def test_nothing_is_left_of_a_failure(above: int, tmp_path: Path) -> None:
    def fail(file: int) -> None:
        os.write(file, b"half")
        raise OSError(errno.ENOSPC, "full")

    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="full"):
        Nameless().write(b"f", above, 0o666, fail)
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("near", [True, False], ids=["local", "memory"])
def test_only_what_takes_the_place_of_something_is_renamed(
    near: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(memory, "store", {})
    files: dict[str, bytes] = {}
    renamed: list[bytes] = []
    real = os.rename

    def rename(old: bytes, new: bytes, **more: int) -> None:
        renamed.append(new)
        real(old, new, **more)

    monkeypatch.setattr(os, "rename", rename)

    def sync(changes: dict[str, bytes]) -> None:
        files.update(changes)
        fill(tmp_path / "source", changes)
        memory.pipe({f"/source/{name}": data for name, data in changes.items()})
        source = f"{tmp_path}/source/" if near else (memory, "/source/")
        result = fsync.sync(source, f"{tmp_path}/back/", processes=0, threads=1)
        assert (result.failed, contents(tmp_path / "back")) == (0, files)

    sync({f"d{number % 2}/{number}": b"%d" % number for number in range(8)})
    assert renamed == []
    sync({"d0/0": b"longer", "d2/new": b"new"})
    assert renamed in ([b"0"], [b"0", b"new"])


#: the system's call that fails, and with what
_REFUSED = {
    "a file system without such files": ("open", errno.EOPNOTSUPP),
    "an old kernel": ("open", errno.EISDIR),
    "no proc": ("link", errno.ENOENT),
    "no links": ("link", errno.EPERM),
}


@pytest.mark.parametrize("reason", [*_REFUSED, "another system"])
def test_where_there_is_no_such_way_there_is_the_other(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in this process alone: a helper would have its own calls."""
    files = {f"d{number % 2}/{number}": b"%d" % number for number in range(8)}
    fill(tmp_path / "source", files)
    calls: list[str] = []
    if reason == "another system":
        monkeypatch.setattr(nameless, "_FLAG", 0)
    else:
        name, number = _REFUSED[reason]
        real = {"open": os.open, "link": os.link}

        def refused(path: bytes, *args: int, **more: int) -> int:
            if name == "open" and not (args and args[0] & nameless._FLAG == nameless._FLAG):
                return real["open"](path, *args, **more)
            calls.append(name)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, name, refused)
    result = fsync.sync(f"{tmp_path}/source/", f"{tmp_path}/back/", processes=0)
    monkeypatch.undo()
    assert (result.copied, result.failed) == (8, 0)
    assert contents(tmp_path / "back") == files
    # it is tried once a batch, of which the first is short
    assert calls in ([[]] if reason == "another system" else [[name], [name] * 2])
