"""The journal of open uploads: what a run that is over has left is found once, by one run, and forgotten in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsync.storage import journal
from fsync.storage.journal import Journal, OpenUpload

_VERSION = ["s3://src/", 5, 7, "etag", (1, 2, 3)]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "fsync" / "uploads"


def opened(upload: str = "u1", key: str = "a/ü\udcff", place: str = "here b") -> OpenUpload:
    return OpenUpload(upload, place, key, _VERSION, 8)


def die(one: Journal) -> None:
    """Let go of a journal as the kernel does when its process is killed."""
    assert one._file is not None
    one._file.close()


def test_what_a_dead_run_left_is_adopted_with_its_parts(state: Path) -> None:
    dead = Journal("1" * 16)
    dead.began(opened())
    dead.part("u1", 0, '"e0"')
    dead.part("u1", 2, '"e2"')
    die(dead)
    later = Journal("2" * 16)
    found = later.adopt("here b", "a/ü\udcff", _VERSION, 8)
    assert found is not None
    assert (found.upload, found.parts) == ("u1", {0: '"e0"', 2: '"e2"'})
    assert later.adopt("here b", "a/ü\udcff", _VERSION, 8) is None
    # killed too, it hands over what it had adopted and what it added
    later.part("u1", 1, '"e1"')
    die(later)
    third = Journal("3" * 16)
    found = third.adopt("here b", "a/ü\udcff", _VERSION, 8)
    assert found is not None
    assert found.parts == {0: '"e0"', 1: '"e1"', 2: '"e2"'}
    third.ended("u1")
    third.close()
    later.close()
    assert [path.name for path in state.iterdir()] in ([], ["2222222222222222.jsonl"])


@pytest.mark.parametrize(
    ("place", "key", "version", "size"),
    [
        ("there b", "a", _VERSION, 8),
        ("here b", "b", _VERSION, 8),
        ("here b", "a", [*_VERSION[:-1], (1, 2, 4)], 8),
        ("here b", "a", ["s3://other/", *_VERSION[1:]], 8),
        ("here b", "a", _VERSION, 9),
    ],
    ids=["place", "key", "version", "source", "part size"],
)
def test_another_objects_upload_is_not_adopted(place: str, key: str, version: list[object], size: int) -> None:
    dead = Journal("1" * 16)
    dead.began(opened(key="a"))
    die(dead)
    later = Journal("2" * 16)
    assert later.adopt(place, key, version, size) is None
    assert later.adopt("here b", "a", _VERSION, 8) is not None
    later.close()


def test_the_uploads_of_a_run_that_lives_are_its_own(state: Path) -> None:
    alive = Journal("1" * 16)
    alive.began(opened())
    other = Journal("2" * 16)
    assert other.adopt("here b", "a/ü\udcff", _VERSION, 8) is None
    assert other.strays("here b", "") == []
    other.close()
    alive.ended("u1")
    alive.close()
    assert list(state.iterdir()) == []


def test_strays_are_those_below_a_prefix(state: Path) -> None:
    dead = Journal("1" * 16)
    for upload, key in (("u1", "a/x"), ("u2", "b/x"), ("u3", "a/y")):
        dead.began(opened(upload, key))
    dead.ended("u3")
    die(dead)
    later = Journal("2" * 16)
    assert [one.upload for one in later.strays("here b", "a/")] == ["u1"]
    assert later.strays("there b", "a/") == []
    later.forget(later.strays("here b", "a/")[0])
    later.close()
    # the other one is kept for a run that may want it
    assert len(list(state.iterdir())) == 1
    last = Journal("3" * 16)
    assert [one.upload for one in last.strays("here b", "")] == ["u1", "u2"]
    for one in last.strays("here b", ""):
        last.forget(one)
    last.close()
    assert list(state.iterdir()) == []


def test_a_line_that_was_cut_off_is_not_read(state: Path) -> None:
    dead = Journal("1" * 16)
    dead.began(opened())
    dead.part("u1", 0, '"e0"')
    assert dead._file is not None
    dead._file.write('{"upload": "u1", "par')
    die(dead)
    later = Journal("2" * 16)
    assert [one.parts for one in later.strays("here b", "")] == [{0: '"e0"'}]
    later.close()


def test_where_no_state_can_be_kept_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    one = Journal("1" * 16)
    one.began(opened())
    one.part("u1", 0, '"e0"')
    one.ended("u1")
    assert one.adopt("here b", "a/ü\udcff", _VERSION, 8) is None
    one.close()


def test_nothing_is_written_without_an_upload(state: Path) -> None:
    one = Journal("1" * 16)
    assert one.strays("here b", "") == []
    one.close()
    assert not state.exists()


def test_the_directory_is_the_users_own(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Journal("1" * 16)
    one.began(opened())
    assert os.stat(state).st_mode & 0o077 == 0
    one.close()
    monkeypatch.delenv("XDG_STATE_HOME")
    assert journal.directory() == os.path.expanduser("~/.local/state/fsync/uploads")


def test_a_journal_that_another_run_took_for_a_dead_ones(state: Path) -> None:
    one = Journal("1" * 16)
    one.began(opened())
    one.ended("u1")
    (state / f"{'1' * 16}.jsonl").unlink()
    one.close()
