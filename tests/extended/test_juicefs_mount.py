"""A real JuiceFS mount (FUSE) as source and as destination: the control files at its root are invisible.

``.accesslog .config .stats .trash`` stand in the root of every mount. They are no data: reading ``.accesslog`` never
ends, ``.config`` holds the volume's settings, and none of them can be written or removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fsync
from tests.safety.places import OLD, contents, fill
from tests.servers.process import Process, free_ports, program

CONTROL = {".accesslog", ".config", ".stats", ".trash"}
_TREE = {"a": b"1", "d/b": b"22", "d/.config": b"a file like any other", "d/.trash/c": b"333"}
_CAP_SYS_ADMIN = 1 << 21


def _opens() -> bool:
    """Tell whether the device lets itself be opened: inside a container its rights may say so in vain."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return True


def _may_mount() -> bool:
    """Tell whether a program that root owns could mount here: a container takes this right away from all."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapBnd:")[2].split()[0], 16) & _CAP_SYS_ADMIN)


_lacking = [
    why
    for why, there in (
        ("/dev/fuse cannot be opened", _opens()),
        ("mounting is not allowed here (CAP_SYS_ADMIN)", _may_mount()),
        ("fusermount3 is not installed (package fuse3)", shutil.which("fusermount3") is not None),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(_lacking), reason=" and ".join(_lacking) or "-")

Mount = Callable[..., Path]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A fresh volume: its data in a directory, its metadata in SQLite."""
    directory = tmp_path_factory.mktemp("volume")
    url = f"sqlite3://{directory}/meta.db"
    command = [program("juicefs"), "format", "--storage", "file", "--bucket", f"{directory}/store/", url, "vol"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return url


@pytest.fixture(scope="module")
def mount(volume: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """A factory: ``mount(*options)`` mounts the volume and returns the mount point."""
    started: list[tuple[Path, Process]] = []

    def begin(*options: str) -> Path:
        top = tmp_path_factory.mktemp("mount")
        point = top / "jfs"
        point.mkdir()
        (port,) = free_ports(1)
        words = ["--no-usage-report", "--cache-dir", f"{top}/cache", "--metrics", f"127.0.0.1:{port}", *options]
        process = Process([program("juicefs"), "mount", *words, volume, str(point)], log=top / "mount.log")
        started.append((point, process))
        process.wait_ready(port, lambda _: os.path.ismount(point), timeout=30)
        return point

    yield begin
    for point, process in started:
        subprocess.run(["fusermount3", "-u", "-z", str(point)], check=False, capture_output=True, timeout=30)
        process.stop(grace=5)


@pytest.fixture(scope="module")
def root(mount: Mount) -> Path:
    """The mount point of the whole volume."""
    return mount()


@pytest.fixture
def jfs(root: Path) -> Iterator[Path]:
    """The mount point, emptied afterwards."""
    yield root
    for name in set(os.listdir(root)) - CONTROL:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def data(root: Path) -> dict[str, bytes]:
    """Return what users have stored in a mount."""
    found: dict[str, bytes] = {}
    for name in sorted(set(os.listdir(root)) - CONTROL):
        path = root / name
        inside = {f"{name}/{key}": held for key, held in contents(path).items()} if path.is_dir() else {}
        found |= inside or {name: path.read_bytes()}
    return found


def test_the_control_files_are_where_this_test_thinks(jfs: Path) -> None:
    assert set(os.listdir(jfs)) == CONTROL
    with os.scandir(jfs) as entries:
        assert all(entry.inode() >= 0x7FFFFFFF00000000 for entry in entries)
    assert jfs.stat().st_ino == 1


def test_a_mount_is_copied_without_them(jfs: Path, tmp_path: Path) -> None:
    fill(jfs, _TREE)
    result = fsync.sync(f"{jfs}/", f"{tmp_path}/copy/")
    assert (result.copied, result.failed, result.excluded) == (4, 0, 0)
    assert contents(tmp_path / "copy") == _TREE
    again = fsync.sync(f"{jfs}/", f"{tmp_path}/copy/")
    assert (again.copied, again.updated, again.skipped) == (0, 0, 4)


@pytest.mark.parametrize(("src", "copy"), [("jfs", "copy"), ("", "copy/jfs")], ids=["as a prefix", "below the source"])
def test_a_mount_reached_in_other_ways_is_copied_without_them(jfs: Path, tmp_path: Path, src: str, copy: str) -> None:
    fill(jfs, _TREE)
    dst = f"{tmp_path}/copy" + ("" if src else "/")
    result = fsync.sync(f"{jfs.parent}/{src}", dst, exclude=["cache/", "mount.log"])
    assert result.failed == 0
    assert contents(tmp_path / copy) == _TREE


def test_listing_a_mount_does_not_show_them(jfs: Path) -> None:
    fill(jfs, {"a": b"1"})
    assert [key for key in fsync.ls(f"{jfs}/").column("key").to_pylist() if key] == [b"a"]


def test_a_mount_as_destination_keeps_them_and_deletes_around_them(jfs: Path, tmp_path: Path) -> None:
    fill(jfs, {"extra": b"e", "d/extra": b"e"})
    fill(tmp_path / "src", _TREE)
    result = fsync.sync(f"{tmp_path}/src/", f"{jfs}/", delete_dst=True, dirs=True)
    assert (result.deleted, result.failed) == (2, 0)
    assert data(jfs) == _TREE
    assert set(os.listdir(jfs)) >= CONTROL
    assert (jfs / "a").stat().st_mtime_ns // 1_000_000 == OLD // 1_000_000
    again = fsync.sync(f"{tmp_path}/src/", f"{jfs}/", delete_dst=True, dirs=True)
    assert (again.copied, again.updated, again.deleted) == (0, 0, 0)


def test_names_of_theirs_in_the_source_fail_one_by_one_at_a_root(jfs: Path, tmp_path: Path) -> None:
    # a user's own .config/ cannot be stored there: that is told, not passed over as done
    fill(tmp_path / "src", {"a": b"1", ".config/app": b"settings", ".stats": b"s"})
    result = fsync.sync(f"{tmp_path}/src/", f"{jfs}/", raise_on_error=False)
    assert (result.copied, result.exit_code) == (1, 1)
    assert sorted(failure.key for failure in result.failures) == [b".config/app", b".stats"]
    assert data(jfs) == {"a": b"1"}


def test_elsewhere_the_names_are_ordinary(jfs: Path, tmp_path: Path) -> None:
    fill(tmp_path / "src", {".config/app": b"settings", ".stats": b"s", ".trash/t": b"t"})
    for destination in (tmp_path / "copy", jfs / "deeper"):
        result = fsync.sync(f"{tmp_path}/src/", f"{destination}/")
        assert result.copied == 3
        assert contents(destination) == contents(tmp_path / "src")


def test_a_mounted_subdirectory_shows_the_users_own_files_of_these_names(
    jfs: Path, mount: Mount, tmp_path: Path
) -> None:
    fill(jfs, {"part/.config/app": b"settings", "part/a": b"1"})
    point = mount("--subdir", "part")
    assert sorted(os.listdir(point)).count(".config") == 2
    result = fsync.sync(f"{point}/", f"{tmp_path}/copy/")
    assert result.failed == 0
    assert contents(tmp_path / "copy") == {".config/app": b"settings", "a": b"1"}
