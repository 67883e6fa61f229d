"""With a backup directory nothing is overwritten or deleted before it has been kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import contents, fill, run, snapshot

_SOURCE = {"a": b"new", "dir/b": b"new too", "same": b"s", "fresh": b"f"}
_THERE = {"a": b"old a", "dir/b": b"old b", "same": b"s", "extra": b"e", "dir/extra": b"e too"}
_REPLACED = {"a": b"old a", "dir/b": b"old b"}
_DELETED = {"extra": b"e", "dir/extra": b"e too"}


@pytest.mark.parametrize("delete", [False, True], ids=["keep", "delete"])
@pytest.mark.parametrize("backup_kind", ["local", "memory"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_what_is_replaced_or_deleted_is_kept(
    place: Maker, tmp_path: Path, kind: str, backup_kind: str, delete: bool
) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), place(kind, "destination")
    backup = place(backup_kind, "backup")
    destination.fill(_THERE)
    ended = run(f"{source}/", destination, backup_dir=backup.address, delete_dst=delete)
    assert ended.code == 0, ended
    kept = backup.data()
    # in a store of upload times an entry of equal size may be written again, and is kept then too
    kept.pop("same", None)
    assert kept == {**_REPLACED, **(_DELETED if delete else {})}
    assert destination.data() == {**_SOURCE, **({} if delete else _DELETED)}


def test_what_is_replaced_or_deleted_in_a_bucket_is_kept_in_it(place: Maker, tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), place("seaweed", "destination")
    destination.fill(_THERE)
    backup = destination.address.replace("/some/prefix/", "/kept/")
    ended = run(f"{source}/", destination, backup_dir=backup, delete_dst=True)
    assert ended.code == 0, ended
    assert destination.data() == _SOURCE
    destination.prefix = "kept/"  # type: ignore[attr-defined]
    assert destination.data() == {**_REPLACED, **_DELETED}


def test_a_second_run_keeps_the_second_version(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"one"})
    destination = fill(tmp_path / "destination", {"a": b"zero"})
    for run_number, data in enumerate((b"second", b"third one")):
        backup = tmp_path / f"backup{run_number}"
        before = contents(destination)
        assert run(f"{source}/", f"{destination}/", backup_dir=f"{backup}/").code == 0
        assert contents(backup) == before
        fill(source, {"a": data})


@pytest.mark.parametrize("delete", [False, True], ids=["keep", "delete"])
@pytest.mark.parametrize("blocked", ["a", "dir", "extra"])
def test_a_backup_that_fails_prevents_the_change(tmp_path: Path, blocked: str, delete: bool) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), fill(tmp_path / "destination", _THERE)
    before = contents(destination)
    # what stands in the way at the backup: a directory with something in it, or a file where a directory is needed
    fill(tmp_path / "backup", {blocked: b"x"} if blocked == "dir" else {f"{blocked}/x": b"x"})
    ended = run(f"{source}/", f"{destination}/", backup_dir=f"{tmp_path}/backup/", delete_dst=delete)
    after = contents(destination)
    if blocked == "extra":
        assert ended.code == (1 if delete else 0)
        assert after["extra"] == b"e"
        return
    assert ended.code == 1, ended
    unchanged = "a" if blocked == "a" else "dir/b"
    assert after[unchanged] == before[unchanged]
    assert {key: after.get(key) for key in _DELETED} == _DELETED
    assert after == {**before, **{key: data for key, data in _SOURCE.items() if key != unchanged}}


def test_a_backup_directory_that_cannot_be_made_ends_the_run_untouched(tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), fill(tmp_path / "destination", _THERE)
    (tmp_path / "file").write_bytes(b"x")
    before = snapshot(destination)
    ended = run(f"{source}/", f"{destination}/", backup_dir=f"{tmp_path}/file/sub/", delete_dst=True)
    assert ended.code in (1, 2, 3), ended
    assert snapshot(destination) == before


@pytest.mark.parametrize("target", ["outside/a", "outside", "nowhere"], ids=["file", "directory", "dangling"])
def test_links_that_are_replaced_or_deleted_do_not_bring_their_targets_into_the_backup(
    tmp_path: Path, target: str
) -> None:
    outside = fill(tmp_path / "outside", {"a": b"not ours"})
    destination = fill(tmp_path / "destination", {})
    source = fill(tmp_path / "source", {"a": b"new"})
    for name in ("a", "extra"):
        (destination / name).symlink_to(tmp_path / target)
    before = snapshot(outside)
    ended = run(f"{source}/", f"{destination}/", backup_dir=f"{tmp_path}/backup/", delete_dst=True)
    assert snapshot(outside) == before
    assert b"not ours" not in contents(tmp_path / "backup").values()
    for name in ("a", "extra"):
        # a link that is gone from the destination must be in the backup
        if not (destination / name).is_symlink():
            assert os.readlink(tmp_path / "backup" / name) == str(tmp_path / target)
    assert ended.code in (0, 1)


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", _SOURCE), fill(tmp_path / "destination", _THERE)
    before = snapshot(destination)
    ended = run(f"{source}/", f"{destination}/", backup_dir=f"{tmp_path}/backup/", delete_dst=True, dry=True)
    assert ended.code == 0, ended
    assert snapshot(destination) == before
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("options", [{"force_update": True}, {"size_only": True}, {"checksum": True}], ids=str)
def test_what_any_rule_replaces_is_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    source = fill(tmp_path / "source", {"a": b"newer", "b": b"22"})
    destination = fill(tmp_path / "destination", {"a": b"older", "b": b"1"})
    ended = run(f"{source}/", f"{destination}/", backup_dir=f"{tmp_path}/backup/", **options)
    assert ended.code == 0, ended
    now, kept = contents(destination), contents(tmp_path / "backup")
    assert kept == {key: data for key, data in {"a": b"older", "b": b"1"}.items() if now[key] != data}
    assert "b" in kept
