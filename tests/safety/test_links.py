"""Nothing outside the destination is ever listed, written, touched or removed through a link inside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import contents, fill, run, snapshot

_OUTSIDE = {"a": b"mine", "sub/b": b"mine too", "same": b"1"}
_DELETE = pytest.mark.parametrize("options", [{}, {"delete_dst": True}], ids=["keep", "delete"])


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the destination."""
    return fill(tmp_path / "outside", _OUTSIDE)


def _destination(tmp: Path, outside: Path) -> Path:
    """A destination in which ``link`` leads outside."""
    destination = fill(tmp / "destination", {"keep": b"k"})
    (destination / "link").symlink_to(outside)
    return destination


@_DELETE
@pytest.mark.parametrize(
    "new", [{"link/a": b"evil"}, {"link/new": b"evil"}, {"link/sub/deep/x": b"evil"}], ids=lambda new: next(iter(new))
)
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_link_to_a_directory_is_never_written_through(
    place: Maker, tmp_path: Path, outside: Path, kind: str, new: dict[str, bytes], options: dict[str, Any]
) -> None:
    destination, source = _destination(tmp_path, outside), place(kind, "source")
    source.fill({"keep": b"k", **new})
    before = snapshot(outside)
    ended = run(source, destination.as_posix() + "/", **options)
    assert snapshot(outside) == before
    if options and ended.code == 0:
        # the link was an extra in the way: it is gone, and a directory of the destination's own has its name
        assert not (destination / "link").is_symlink()
        assert contents(destination) == {"keep": b"k", **new}
    else:
        assert ended.code == 1, ended
        assert os.readlink(destination / "link") == str(outside)


@_DELETE
def test_a_link_to_a_directory_is_not_listed_through(tmp_path: Path, outside: Path, options: dict[str, Any]) -> None:
    destination = _destination(tmp_path, outside)
    source = fill(tmp_path / "source", {"keep": b"k"})
    before = snapshot(outside)
    ended = run(f"{source}/", f"{destination}/", **options)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert snapshot(outside) == before
    # the link itself is an extra, one entry, not what lies behind it
    assert (ended.result.extra, ended.result.deleted) == (1, 1 if options else 0)
    assert os.path.lexists(destination / "link") is not bool(options)


@_DELETE
def test_a_link_to_a_file_is_replaced_and_not_written_through(
    tmp_path: Path, outside: Path, options: dict[str, Any]
) -> None:
    destination = fill(tmp_path / "destination", {})
    for name, target in (("a", "a"), ("same", "same"), ("hard", "a"), ("dangling", "nowhere")):
        (destination / name).symlink_to(outside / target)
    source = fill(tmp_path / "source", {"a": b"new", "same": b"1", "hard": b"longer than before", "dangling": b"d"})
    before = snapshot(outside)
    ended = run(f"{source}/", f"{destination}/", **options)
    assert ended.code == 0, ended
    assert snapshot(outside) == before
    assert contents(destination) == {"a": b"new", "same": b"1", "hard": b"longer than before", "dangling": b"d"}


def test_hard_links_of_the_destination_are_not_written_through(tmp_path: Path, outside: Path) -> None:
    destination = fill(tmp_path / "destination", {})
    os.link(outside / "a", destination / "a")
    source = fill(tmp_path / "source", {"a": b"new"})
    before = {key: row[2:] for key, row in snapshot(outside).items()}
    assert run(f"{source}/", f"{destination}/").code == 0
    assert {key: row[2:] for key, row in snapshot(outside).items()} == before
    assert contents(destination) == {"a": b"new"}


@_DELETE
@pytest.mark.parametrize("slash", ["/", ""], ids=["directory", "prefix"])
def test_the_address_itself_may_be_a_link(tmp_path: Path, outside: Path, slash: str, options: dict[str, Any]) -> None:
    (tmp_path / "alias").symlink_to(outside)
    source = fill(tmp_path / "source", {"a": b"new", "sub/c": b"c"})
    ended = run(f"{source}{slash}", f"{tmp_path}/alias{slash}", **options)
    assert ended.code == 0, ended
    assert (tmp_path / "alias").is_symlink()
    expected = {"a": b"new", "sub/c": b"c"}
    assert contents(outside) == (expected if options else {**_OUTSIDE, **expected})


@_DELETE
def test_a_link_that_leads_back_into_the_destination_is_a_link(tmp_path: Path, options: dict[str, Any]) -> None:
    destination = fill(tmp_path / "destination", {"real/a": b"1", "real/extra": b"e"})
    (destination / "alias").symlink_to("real")
    source = fill(tmp_path / "source", {"real/a": b"1"})
    ended = run(f"{source}/", f"{destination}/", **options)
    assert ended.code == 0, ended
    assert contents(destination) == ({"real/a": b"1"} if options else {"real/a": b"1", "real/extra": b"e"})
    assert os.path.lexists(destination / "alias") is not bool(options)


def test_a_link_planted_while_the_run_goes_on_is_not_written_through(tmp_path: Path, outside: Path) -> None:
    # the directory is listed as one; when its files are written it leads elsewhere
    source = fill(tmp_path / "source", {f"dir{number}/a": b"new" for number in range(1200)})
    destination = fill(tmp_path / "destination", {f"dir{number}/x": b"x" for number in range(1200)})
    before = snapshot(outside)
    swapped: list[str] = []

    def listener(event: dict[str, Any]) -> None:
        if event["event"] == "done" and not swapped:
            for path in destination.iterdir():
                if not (path / "a").exists():
                    path.rename(tmp_path / f"moved-{path.name}")
                    path.symlink_to(outside)
                    swapped.append(path.name)

    ended = run(f"{source}/", f"{destination}/", progress=listener)
    assert swapped
    assert snapshot(outside) == before
    assert ended.code == 1
    assert ended.result is not None
    assert 0 < ended.result.failed <= len(swapped)
