"""--perms: mode, owner and group by name, also where nothing but they have changed; never wider meanwhile."""

from __future__ import annotations

import grp
import os
import pwd
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsync.storage.attributes import set_permissions
from fsync.storage.directories import Directories
from tests.options import unprivileged
from tests.safety.conftest import Maker
from tests.safety.places import contents, fill, run

_MODES = {"private": 0o600, "shared": 0o664, "program": 0o755, "setuid": 0o4755, "setgid": 0o2750, "none": 0o000}
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


def modes(root: Path) -> dict[str, int]:
    """Return the permission bits of everything below ``root`` that is no link."""
    return {str(path.relative_to(root)): path.lstat().st_mode & 0o7777 for path in root.rglob("*")}


def owners(root: Path) -> dict[str, tuple[int, int]]:
    """Return user and group of everything below ``root``."""
    return {str(path.relative_to(root)): (path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Hold the umask for the length of the block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _others() -> tuple[int, int]:
    """Return a user and a group that have names and are not root's."""
    return (
        next(user.pw_uid for user in pwd.getpwall() if user.pw_uid),
        next(group.gr_gid for group in grp.getgrall() if group.gr_gid),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of each mode."""
    root = fill(tmp_path / "source", {name: name.encode() for name in _MODES})
    for name, mode in _MODES.items():
        (root / name).chmod(mode)
    return root


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_are_kept_whatever_the_umask(source: Path, tmp_path: Path, mask: int) -> None:
    target = tmp_path / "target"
    with umask(mask):
        ended = run(f"{source}/", f"{target}/", perms=True)
        assert ended.code == 0, ended
        assert modes(target) == _MODES
        again = run(f"{source}/", f"{target}/", perms=True, delete_dst=True)
    assert again.result is not None
    assert again.result.reasons == {}


def test_without_perms_the_umask_decides(source: Path, tmp_path: Path) -> None:
    with umask(0o027):
        assert run(f"{source}/", f"{tmp_path}/target/").code == 0
    assert modes(tmp_path / "target") == dict.fromkeys(_MODES, 0o640)
    again = run(f"{source}/", f"{tmp_path}/target/")
    assert again.result is not None
    assert again.result.reasons == {}


def test_permissions_alone_are_a_change_of_metadata(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert run(f"{source}/", f"{target}/", perms=True).code == 0
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in target.iterdir()}
    (source / "shared").chmod(0o640)
    (source / "private").chmod(0o4700)
    dry = run(f"{source}/", f"{target}/", perms=True, dry=True)
    assert dry.result is not None
    assert (dry.result.metadata, dry.result.bytes) == (2, 0)
    assert modes(target) == _MODES
    ended = run(f"{source}/", f"{target}/", perms=True)
    assert ended.result is not None
    assert (ended.result.metadata, ended.result.copied, ended.result.updated) == (2, 0, 0)
    assert (ended.result.reasons, ended.result.bytes) == ({"mode": 2}, 0)
    table = ended.result.table()
    assert table.column("key").to_pylist() == [b"private", b"shared"]
    assert table.column("action").to_pylist() == ["metadata"] * 2
    assert {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in target.iterdir()} == before
    assert modes(target) == {**_MODES, "shared": 0o640, "private": 0o4700}
    again = run(f"{source}/", f"{target}/", perms=True)
    assert again.result is not None
    assert again.result.reasons == {}


def test_a_changed_file_gets_content_and_permissions(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert run(f"{source}/", f"{target}/", perms=True).code == 0
    (source / "program").write_bytes(b"another content")
    (source / "program").chmod(0o711)
    ended = run(f"{source}/", f"{target}/", perms=True)
    assert ended.result is not None
    assert (ended.result.updated, ended.result.metadata) == (1, 0)
    assert contents(target)["program"] == b"another content"
    assert modes(target)["program"] == 0o711


@_AS_ROOT
def test_owners_and_groups(source: Path, tmp_path: Path) -> None:
    user, group = _others()
    for number, name in enumerate(_MODES):
        os.chown(source / name, *((user, 0), (0, group), (user, group), (54321, 54322))[number % 4])
        (source / name).chmod(_MODES[name])
    target = tmp_path / "target"
    ended = run(f"{source}/", f"{target}/", perms=True)
    assert ended.code == 0, ended
    # users without a name keep their number, and set-user-ID bits survive the change of owner
    assert owners(target) == owners(source)
    assert modes(target) == _MODES
    again = run(f"{source}/", f"{target}/", perms=True)
    assert again.result is not None
    assert again.result.reasons == {}
    os.chown(source / "shared", user, 0)
    changed = run(f"{source}/", f"{target}/", perms=True)
    assert changed.result is not None
    assert changed.result.reasons == {"mode": 1}
    assert owners(target) == owners(source)


def test_names_that_nobody_has_here_leave_the_owner_alone(tmp_path: Path) -> None:
    # such names come from listings of other machines
    fill(tmp_path / "target", {"f": b"1"})
    before = owners(tmp_path / "target")
    directories = Directories(os.fsencode(tmp_path / "target"), follow=False)
    try:
        assert set_permissions(directories, b"f", 0o640, "no-such-user-here", "no-such-group-here") == "owner"
        assert set_permissions(directories, b"f", 0o640, None, None) == ""
    finally:
        directories.close()
    assert (owners(tmp_path / "target"), modes(tmp_path / "target")) == (before, {"f": 0o640})


@_AS_ROOT
def test_directories_have_permissions_with_dirs_only(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"d/e/f": b"1", "empty/": b""})
    user, group = _others()
    for name, mode in {"d": 0o711, "d/e": 0o2770, "empty": 0o1777}.items():
        os.chown(source / name, user, group)
        (source / name).chmod(mode)
    with umask(0o022):
        assert run(f"{source}/", f"{tmp_path}/without/", perms=True).code == 0
        assert run(f"{source}/", f"{tmp_path}/with/", perms=True, dirs=True).code == 0
    assert modes(tmp_path / "without") == {"d": 0o755, "d/e": 0o755, "d/e/f": modes(source)["d/e/f"]}
    assert modes(tmp_path / "with") == modes(source)
    assert owners(tmp_path / "with") == owners(source)
    (source / "d").chmod(0o700)
    again = run(f"{source}/", f"{tmp_path}/with/", perms=True, dirs=True)
    assert again.result is not None
    assert (again.result.metadata, again.result.reasons) == (1, {"mode": 1})
    assert modes(tmp_path / "with") == modes(source)


def test_the_content_of_one_object_gets_its_permissions_too(source: Path, tmp_path: Path) -> None:
    ended = run(f"{source}/program", f"{tmp_path}/target/program", perms=True, exact=True)
    assert ended.code == 0, ended
    assert modes(tmp_path / "target") == {"program": 0o755}


# while it is under way -------------------------------------------------------------------------------------------


@contextmanager
def watched(root: Path) -> Iterator[set[tuple[bool, int]]]:
    """Collect (partial or not, permission bits) of every file seen below ``root`` while the block runs."""
    seen: set[tuple[bool, int]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for path in root.rglob("*"):
                try:
                    facts = path.lstat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    seen.add((path.name.endswith(".partial"), facts.st_mode & 0o7777))
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(("size", "options"), [(9 << 20, {"bwlimit": 200}), (100, {})], ids=["relayed", "direct"])
def test_files_are_never_wider_than_their_source(tmp_path: Path, size: int, options: dict[str, int]) -> None:
    names = [f"f{number}" for number in range(1 if options else 2000)]
    source = fill(tmp_path / "source", dict.fromkeys(names, b"x" * size))
    for name in names:
        (source / name).chmod(0o600)
    (tmp_path / "target").mkdir()
    with umask(0), watched(tmp_path / "target") as seen:
        ended = run(f"{source}/", f"{tmp_path}/target/", perms=True, **options)
    assert ended.code == 0, ended
    assert {mode for _, mode in seen} == {0o600}
    assert not options or (True, 0o600) in seen


def test_with_the_helper_process(tmp_path: Path) -> None:
    wanted = {f"d{number % 5}/f{number:04}": (0o600, 0o640, 0o755, 0o4711)[number % 4] for number in range(1600)}
    source = fill(tmp_path / "source", {name: name.encode() for name in wanted})
    for name, mode in wanted.items():
        if os.geteuid() == 0:
            os.chown(source / name, *_others())
        (source / name).chmod(mode)
    ended = run(f"{source}/", f"{tmp_path}/target/", perms=True)
    assert ended.code == 0, ended
    held = {name: mode for name, mode in modes(tmp_path / "target").items() if "/" in name}
    assert held == wanted
    assert contents(tmp_path / "target") == contents(source)
    again = run(f"{source}/", f"{tmp_path}/target/", perms=True)
    assert again.result is not None
    assert again.result.reasons == {}


# where they cannot be kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "moto", "seaweed"])
def test_storages_without_permissions(place: Maker, source: Path, kind: str) -> None:
    target = place(kind, "target")
    for _ in range(2):
        ended = run(f"{source}/", target, perms=True)
        assert ended.code == 0, ended
        assert ended.result is not None
        assert sum("--perms has no effect" in notice for notice in ended.result.notices) == 1
    assert ended.result.reasons == {}
    back = place("local", "back")
    with umask(0o022):
        returned = run(target, back, perms=True)
    assert returned.code == 0, returned
    assert returned.result is not None
    assert sum("--perms has no effect" in notice for notice in returned.result.notices) == 1
    # with a count at the end
    assert sum(f"--perms: {len(_MODES)} entries" in notice for notice in returned.result.notices) == 1
    # nothing says what they may be, so the umask does, as without the option
    assert set(modes(Path(back.address)).values()) == {0o644}


@_AS_ROOT
def test_owners_that_may_not_be_set_are_counted_and_told(public: Path) -> None:
    source, target = fill(public / "source", {"a": b"1", "b": b"2", "c": b"3"}), fill(public / "target", {})
    target.chmod(0o777)
    os.chown(source / "c", unprivileged.NOBODY, unprivileged.NOBODY)
    for name in "abc":
        (source / name).chmod(0o754)
    told = unprivileged.sync(f"{source}/", f"{target}/", perms=True)
    assert (told["exit_code"], told["copied"]) == (0, 3)
    assert modes(target) == {"a": 0o754, "b": 0o754, "c": 0o754}
    assert set(owners(target).values()) == {(unprivileged.NOBODY, unprivileged.NOBODY)}
    assert [notice for notice in told["notices"] if "owner" in notice and "2" in notice] != [], told["notices"]


@_AS_ROOT
def test_a_second_run_by_who_may_not_set_owners_plans_nothing(public: Path) -> None:
    source, target = fill(public / "source", {"a": b"1"}), fill(public / "target", {})
    target.chmod(0o777)
    assert unprivileged.sync(f"{source}/", f"{target}/", perms=True)["copied"] == 1
    assert unprivileged.sync(f"{source}/", f"{target}/", perms=True)["reasons"] == {}


@_AS_ROOT
def test_a_program_of_root_does_not_become_one_that_runs_as_somebody_else(public: Path) -> None:
    # as cp -p and tar do: set-user-ID of another owner than the source's is nobody's wish
    source, target = fill(public / "source", {"su": b"1"}), fill(public / "target", {})
    target.chmod(0o777)
    (source / "su").chmod(0o6755)
    assert unprivileged.sync(f"{source}/", f"{target}/", perms=True)["exit_code"] == 0
    assert modes(target) == {"su": 0o755}


@_AS_ROOT
def test_directories_that_their_owner_may_not_write_to(public: Path) -> None:
    source = fill(public / "source", {f"d/f{number:04}": b"x" for number in range(3000)})
    (source / "d").chmod(0o555)
    target = fill(public / "target", {})
    target.chmod(0o777)
    told = unprivileged.sync(f"{source}/", f"{target}/", perms=True, dirs=True, processes=0, retries=0)
    assert (told["failed"], told["exit_code"]) == (0, 0), told["failures"][:1]
    assert modes(target)["d"] == 0o555
    assert contents(target) == contents(source)
