"""Two addresses of which one is, holds or begins with the other are refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import S3Place, fill, run, snapshot

_TREE = {"data/a": b"1", "data/sub/b": b"2", "data-backup/a": b"older", "other/c": b"3"}


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        ("data/", "data/"),
        ("data", "data"),
        ("data", "data/"),
        ("data/", "data/sub/"),
        ("data/", "data/sub/new/"),
        ("data/sub/", "data/"),
        ("", "data/"),
        ("data/", ""),
        ("data", "data-backup"),
        ("data-backup", "data"),
        ("da", "data/new"),
        ("data/../data/", "data/"),
        ("./data/", "other/../data/sub/"),
        ("alias/", "data/"),
        ("data/", "alias/"),
        ("alias", "data"),
        ("data/", "inside/"),
        ("inside/", "data/"),
        ("data/", "alias/sub/new/"),
        ("alias/sub/", "data/"),
        ("data/a", "data/a"),
        ("data/a", "alias/a"),
    ],
)
@pytest.mark.parametrize("delete", [False, True], ids=["keep", "delete"])
def test_local_overlaps_are_refused(tmp_path: Path, src: str, dst: str, delete: bool) -> None:
    root = fill(tmp_path / "root", _TREE)
    (root / "alias").symlink_to("data")
    (root / "inside").symlink_to("data/sub")
    before = snapshot(root)
    ended = run(f"{root}/{src}", f"{root}/{dst}", delete_dst=delete)
    assert ended.code == 2, ended
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("src", "dst"), [("data/", "data-backup/"), ("other/", "data/"), ("da", "ot"), ("data/sub/", "other/sub/")]
)
def test_neighbours_are_no_overlap(tmp_path: Path, src: str, dst: str) -> None:
    root = fill(tmp_path / "root", _TREE)
    assert run(f"{root}/{src}", f"{root}/{dst}").code == 0


@pytest.mark.parametrize("kind", ["memory", "moto"])
@pytest.mark.parametrize(
    ("src", "dst"),
    [("data/", "data/"), ("data", "data"), ("", "data/"), ("data/", "data/new/"), ("data/sub/", "data/"),
     ("data", "data-backup"), ("da", "data/new")],
)  # fmt: skip
def test_overlaps_in_a_store_are_refused(place: Maker, kind: str, src: str, dst: str) -> None:
    store = place(kind, "store")
    store.fill(_TREE)
    before = store.state()
    ended = run(store.address + src, store.address + dst, storage_options=store.options, delete_dst=True)
    assert ended.code == 2, ended
    assert store.state() == before


def test_one_store_by_two_names_of_its_host_overlaps(place: Maker) -> None:
    store = place("moto", "store")
    assert isinstance(store, S3Place)
    store.fill(_TREE)
    before = store.state()
    other = store.server.storage_options
    other["client_kwargs"]["endpoint_url"] = store.server.endpoint.replace("127.0.0.1", "localhost")
    ended = run(
        store.address + "data/",
        store.address + "data/sub/",
        src_storage_options=store.options,
        dst_storage_options=other,
        delete_dst=True,
    )
    assert ended.code == 2, ended
    assert store.state() == before


@pytest.mark.parametrize("backup", ["source/", "source/kept/", "destination/", "destination/kept/", "", "alias/"])
def test_a_backup_directory_inside_an_end_is_refused(tmp_path: Path, backup: str) -> None:
    fill(tmp_path / "source", {"a": b"1"})
    fill(tmp_path / "destination", {"a": b"older", "extra": b"e"})
    (tmp_path / "alias").symlink_to("destination")
    before = snapshot(tmp_path)
    ended = run(f"{tmp_path}/source/", f"{tmp_path}/destination/", delete_dst=True, backup_dir=f"{tmp_path}/{backup}")
    assert ended.code == 2, ended
    assert snapshot(tmp_path) == before
