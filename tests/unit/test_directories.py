"""Directories held open, and the hidden names of files on their way."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.errors import TypeClash
from fsync.storage.directories import Directories
from fsync.storage.partial import is_partial, partial_name, remove_if_hollow, rename_into_place

_RUN = "0123456789abcdef"

# hidden names ----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_partial_names_fit_and_are_recognised(name: bytes) -> None:
    partial = partial_name(name, _RUN)
    assert len(partial) <= 255
    assert is_partial(partial)
    assert partial.startswith(b"." + name[:200])
    assert re.fullmatch(rb"\..*\.fsync-0123456789abcdef\.partial", partial, re.DOTALL)


def test_a_file_system_takes_the_longest_partial_name(tmp_path: Path) -> None:
    for name in (b"x" * 255, b"x" + "\u00e9".encode() * 127, b"\n"):
        path = os.path.join(os.fsencode(tmp_path), partial_name(name, _RUN))
        with open(path, "xb"):
            pass
        os.unlink(path)


@pytest.mark.parametrize(
    "name",
    [
        b"a.fsync-0123456789abcdef.partial",
        b".a.fsync-0123456789abcde.partial",
        b".a.fsync-0123456789abcdef0.partial",
        b".a.fsync-0123456789ABCDEF.partial",
        b".a.fsync-0123456789abcdeg.partial",
        b".a.fsync-0123456789abcdef.partial.bak",
        b".a.fsync-0123456789abcdef.Partial",
        b".a.fsync-.partial",
        b".a.partial",
        b".fsync-0123456789abcdef.partial",
        b".a.fsync-0123456789abcdef.partial\n",
    ],
)
def test_other_names_are_ordinary(name: bytes) -> None:
    assert not is_partial(name)


def test_two_names_of_one_directory_have_two_partials() -> None:
    assert partial_name(b"x" * 240 + b"1", _RUN) != partial_name(b"x" * 240 + b"2", _RUN)


# directories -----------------------------------------------------------------------------------------------------


def open_below(directory: Path) -> int:
    """Return how many descriptors this process has at or below a directory."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        count += target == str(directory) or target.startswith(f"{directory}/")
    return count


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    return tmp_path / "base"


def directories(base: Path, *, follow: bool = False) -> Directories:
    return Directories(os.fsencode(base) + b"/", follow=follow)


def test_a_lease_is_the_directory(base: Path) -> None:
    (base / "a" / "b").mkdir(parents=True)
    opened = directories(base)
    for path in (b"", b"a", b"a/b"):
        with opened.lease(path) as descriptor:
            assert os.fstat(descriptor).st_ino == os.stat(base / os.fsdecode(path)).st_ino
    opened.close()
    assert open_below(base) == 0


def test_a_missing_directory_is_made_only_when_that_is_said(base: Path) -> None:
    opened = directories(base)
    with pytest.raises(FileNotFoundError), opened.lease(b"a/b"):
        pass
    assert list(base.iterdir()) == []
    with opened.lease(b"a/b", create=True) as descriptor:
        assert os.fstat(descriptor).st_ino == (base / "a" / "b").stat().st_ino
    opened.close()


@pytest.mark.parametrize("where", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("create", [False, True])
def test_a_link_on_the_way_is_refused(base: Path, tmp_path: Path, where: str, create: bool) -> None:
    outside = tmp_path / "outside"
    (outside / "b" / "c").mkdir(parents=True)
    link = base / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    opened = directories(base)
    with pytest.raises(TypeClash, match=f"{where} stands in the way"), opened.lease(b"a/b/c", create=create):
        pass
    opened.close()
    assert sorted(path.name for path in outside.rglob("*")) == ["b", "c"]


def test_a_link_on_the_way_is_followed_in_a_source(base: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (base / "a").symlink_to(outside)
    opened = directories(base, follow=True)
    with opened.lease(b"a/b") as descriptor:
        assert os.fstat(descriptor).st_ino == (outside / "b").stat().st_ino
    opened.close()


def test_the_base_itself_may_be_a_link(base: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(base)
    opened = directories(tmp_path / "link")
    with opened.lease(b"a", create=True):
        pass
    opened.close()
    assert (base / "a").is_dir()


def test_a_file_on_the_way_is_a_clash(base: Path) -> None:
    (base / "a").write_bytes(b"")
    opened = directories(base)
    with pytest.raises(TypeClash, match="a stands in the way"), opened.lease(b"a/b", create=True):
        pass
    opened.close()


def test_a_directory_that_was_opened_stays_itself_when_a_link_takes_its_name(base: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    opened = directories(base)
    with opened.lease(b"a", create=True) as descriptor:
        os.rename(base / "a", base / "moved")
        (base / "a").symlink_to(outside)
        with opened.lease(b"a", create=True) as again:
            os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=again))
        assert again == descriptor
    opened.close()
    assert (base / "moved" / "f").exists()
    assert list(outside.iterdir()) == []


def test_few_stay_open_and_leased_ones_always(base: Path) -> None:
    opened = directories(base)
    held = opened.take(b"held", create=True)
    for number in range(300):
        with opened.lease(b"d%03d/sub" % number, create=True) as descriptor:
            os.fstat(descriptor)
        assert open_below(base) <= 100
    assert os.fstat(held).st_ino == (base / "held").stat().st_ino
    opened.give_back(b"held")
    for number in range(300):
        with opened.lease(b"d%03d" % number) as descriptor:
            assert os.fstat(descriptor).st_ino == (base / f"d{number:03}").stat().st_ino
    opened.close()
    assert open_below(base) == 0


def test_more_leases_than_stay_open_otherwise(base: Path) -> None:
    opened = directories(base)
    held = {number: opened.take(b"%03d" % number, create=True) for number in range(150)}
    for number, descriptor in held.items():
        assert os.fstat(descriptor).st_ino == (base / f"{number:03}").stat().st_ino
    for number in held:
        opened.give_back(b"%03d" % number)
    with opened.lease(b"new", create=True):
        assert open_below(base) <= 97
    opened.close()


def test_a_directory_leased_twice_is_given_back_twice(base: Path) -> None:
    opened = directories(base)
    first = opened.take(b"a", create=True)
    second = opened.take(b"a")
    opened.give_back(b"a")
    for number in range(200):
        with opened.lease(b"d%d" % number, create=True):
            pass
    assert first == second
    assert os.fstat(second).st_ino == (base / "a").stat().st_ino
    opened.give_back(b"a")
    opened.close()


def test_what_was_replaced_is_opened_anew(base: Path) -> None:
    opened = directories(base)
    for path in (b"a/b", b"ab"):
        with opened.lease(path, create=True):
            pass
    os.rename(base / "a", base / "old")
    opened.forget(b"a")
    with opened.lease(b"a/b", create=True) as descriptor:
        assert os.fstat(descriptor).st_ino == (base / "a" / "b").stat().st_ino
    opened.close()


def test_a_deep_directory(base: Path) -> None:
    opened = directories(base)
    try:
        with opened.lease(b"/".join([b"d"] * 400), create=True):
            pass
    finally:
        opened.close()


# giving way ------------------------------------------------------------------------------------------------------


def test_directories_without_files_give_way(base: Path) -> None:
    (base / "d" / "e" / "f").mkdir(parents=True)
    (base / "d" / "g").mkdir()
    descriptor = os.open(base, os.O_RDONLY)
    remove_if_hollow(b"d", descriptor)
    os.close(descriptor)
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "hidden"])
def test_directories_with_anything_else_stay_whole(base: Path, kind: str) -> None:
    (base / "d" / "e").mkdir(parents=True)
    (base / "d" / "z").mkdir()
    inner = base / "d" / "e" / (".x" if kind == "hidden" else "x")
    if kind in ("link", "dangling"):
        inner.symlink_to(base if kind == "link" else "nowhere")
    else:
        inner.write_bytes(b"")
    descriptor = os.open(base, os.O_RDONLY)
    with pytest.raises(TypeClash, match="a directory d that is not empty"):
        remove_if_hollow(b"d", descriptor)
    (base / "p").write_bytes(b"new")
    with pytest.raises(TypeClash):
        rename_into_place(b"p", b"d", descriptor)
    os.close(descriptor)
    assert inner.is_symlink() or inner.exists()
    assert (base / "d" / "z").is_dir()
    assert (base / "p").read_bytes() == b"new"


def test_a_partial_takes_its_final_name(base: Path, tmp_path: Path) -> None:
    descriptor = os.open(base, os.O_RDONLY)
    target = tmp_path / "target"
    target.write_bytes(b"keep")
    (base / "link").symlink_to(target)
    (base / "file").write_bytes(b"old")
    (base / "hollow" / "e").mkdir(parents=True)
    for name in ("new", "file", "hollow", "link"):
        (base / "p").write_bytes(name.encode())
        rename_into_place(b"p", name.encode(), descriptor)
        assert (base / name).read_bytes() == name.encode()
        assert not (base / name).is_symlink()
    os.close(descriptor)
    assert target.read_bytes() == b"keep"
    assert not (base / "p").exists()
