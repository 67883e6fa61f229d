"""What objects say of themselves: metadata carried or left out, storage classes, archives."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import Place, S3Place, fill, run
from tests.servers.dialect_proxy import DialectServer

_SAID: dict[str, Any] = {
    "ContentType": "application/x-thing",
    "CacheControl": "max-age=60",
    "ContentEncoding": "gzip",
    "ContentDisposition": "attachment",
    "ContentLanguage": "de",
    "Expires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    "Metadata": {"owner": "somebody", "n": "1"},
}
_LARGE = 9 << 20


def _head(place: Place, key: str) -> dict[str, Any]:
    assert isinstance(place, S3Place)
    head = place.server.client().head_object(Bucket=place.bucket, Key=place.prefix + key)
    return {name: head.get(name) for name in (*_SAID, "StorageClass")}


def _write(place: Place, key: str, data: bytes, **said: Any) -> None:
    assert isinstance(place, S3Place)
    place.server.client().put_object(Bucket=place.bucket, Key=place.prefix + key, Body=data, **said)


def _elsewhere(place: Place) -> dict[str, Any]:
    """Return options that reach the same server as another store, so that bytes go through this process."""
    client = {**place.options["client_kwargs"]}
    client["endpoint_url"] = client["endpoint_url"].replace("127.0.0.1", "localhost")
    return {"dst_storage_options": {**place.options, "client_kwargs": client}}


@pytest.mark.parametrize("through", ["server", "relay"])
def test_metadata_is_carried_and_can_be_left_out(place: Maker, through: str) -> None:
    source, destination = place("moto", "source"), place("moto", "destination")
    for key, size in (("a.txt", 5), ("large.csv", _LARGE)):
        _write(source, key, b"x" * size, **_SAID)
    # obstore tells no Expires
    extra = {**_elsewhere(destination), "engine": "fsspec"} if through == "relay" else {}
    ended = run(source, destination, **extra)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ("server" in ended.result.verified_by) == (through == "server")
    for key in ("a.txt", "large.csv"):
        assert _head(destination, key) == {**_SAID, "StorageClass": None}
    bare = place("moto", "bare")
    ended = run(source, bare, no_metadata=True, **(_elsewhere(bare) if through == "relay" else {}))
    assert ended.code == 0, ended
    left = dict.fromkeys((*_SAID, "StorageClass"))
    assert _head(bare, "a.txt") == {**left, "ContentType": "text/plain", "Metadata": {}}
    assert _head(bare, "large.csv") == {**left, "ContentType": "text/csv", "Metadata": {}}


def test_any_engine_carries_what_is_no_date(place: Maker) -> None:
    source, destination = place("moto", "source"), place("moto", "destination")
    said = {name: value for name, value in _SAID.items() if name != "Expires"}
    _write(source, "a.txt", b"1", **said)
    ended = run(source, destination, storage_class="STANDARD_IA", **_elsewhere(destination))
    assert ended.code == 0, ended
    assert _head(destination, "a.txt") == {**said, "Expires": None, "StorageClass": "STANDARD_IA"}


def test_large_objects_copied_by_parts_inside_the_store_carry_it_too(
    place: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsync.storage.s3._WHOLE_COPY", 1 << 20)
    source, destination = place("moto", "source"), place("moto", "destination")
    _write(source, "large", b"x" * _LARGE, **_SAID)
    assert run(source, destination, storage_class="STANDARD_IA").code == 0
    assert _head(destination, "large") == {**_SAID, "StorageClass": "STANDARD_IA"}


def test_storage_classes(place: Maker, tmp_path: Path) -> None:
    source, destination = place("local", "source"), place("moto", "destination")
    source.fill({"small": b"1", "large": b"2" * _LARGE})
    assert run(source, destination, storage_class="STANDARD_IA").code == 0
    third = place("moto", "third")
    ended = run(destination, third, storage_class="ONEZONE_IA")
    assert ended.code == 0, ended
    for key in ("small", "large"):
        assert _head(destination, key)["StorageClass"] == "STANDARD_IA"
        assert _head(third, key)["StorageClass"] == "ONEZONE_IA"
    ended = run(source, f"{tmp_path}/back/", storage_class="STANDARD_IA")
    assert ended.code == 0, ended
    assert ended.text.count("--storage-class has no effect") == 1
    assert "--storage-class: 2 entries were copied without a class" in ended.text


def test_a_class_that_the_store_does_not_know_fails_each_object(place: Maker, tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", {"a": b"1"}), place("moto", "destination")
    ended = run(f"{source}/", destination, storage_class="NO_SUCH_CLASS", retries=0)
    assert ended.code == 1, ended
    assert destination.data() == {}


@pytest.mark.parametrize("to_kind", ["local", "moto"])
def test_archived_objects_are_counted_and_told_how_to_restore(place: Maker, to_kind: str) -> None:
    source, destination = place("moto", "source"), place(to_kind, "destination")
    source.write("now", b"1")
    for key in ("cold one", "d/cold"):
        _write(source, key, b"22", StorageClass="GLACIER")
    _write(source, "large", b"3" * _LARGE, StorageClass="DEEP_ARCHIVE")
    destination.fill({"extra": b"9", "d/cold/below": b"8"} if to_kind == "moto" else {"extra": b"9"})
    ended = run(source, destination, delete_dst=True, delete_src_after=True)
    assert ended.code == 1, ended
    assert ended.result is not None
    assert (ended.result.copied, ended.result.failed, ended.result.deleted, ended.result.deleted_src) == (1, 3, 0, 0)
    assert isinstance(source, S3Place)
    line = f"aws s3api restore-object --bucket {source.bucket} --key 'some/prefix/cold one' --restore-request Days=7"
    assert f"cold one: it is archived; restore it, wait until that is done, and run again: {line}" in ended.text
    assert f"--endpoint-url {source.server.endpoint}" in ended.text
    assert "3 objects are archived and were not copied" in ended.text
    assert "extra" in destination.data()
    statuses = {row.as_py() for row in ended.result.table().column("status")}
    assert statuses == {"done", "archived"}


def test_metadata_that_a_pair_cannot_carry_is_told_once(place: Maker, oss: DialectServer) -> None:
    source = place("moto", "source")
    source.write("a", b"1")
    assert isinstance(source, S3Place)
    other = place("moto", "destination")
    assert isinstance(other, S3Place)
    name = other.bucket
    options = {"endpoint": oss.endpoint, "key": source.server.key, "secret": source.server.secret}
    ended = run(source, f"oss://{name}/p/", dst_storage_options=options)
    assert ended.code == 0, ended
    assert ended.text.count("metadata are not carried from") == 1
    assert (
        "metadata are not carried"
        not in run(source, f"oss://{name}/q/", dst_storage_options=options, no_metadata=True).text
    )
