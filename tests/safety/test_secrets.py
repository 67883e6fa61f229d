"""No planted secret is ever told: not by an error, a traceback, a result, an event, a table, a log or the terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pytest

import fsync
from fsync.errors import FsyncError
from fsync.report import SyncResult
from tests.safety.conftest import Maker
from tests.safety.places import S3Place, fill
from tests.servers.process import free_ports
from tests.servers.s3 import S3Server

_KEY = "PLANTEDKEY"
_SECRET = "pl4nted/Secret+with=odd%2Fsigns"
_TOKEN = "planted-session-token/+="
_SECRETS = (_SECRET, _TOKEN)


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)}


def _assert_silent(text: str) -> None:
    for secret in _SECRETS:
        for form in _forms(secret):
            assert form not in text, f"a secret is in: {text}"


def _cells(table: pa.Table) -> list[object]:
    """Return all values of a table but its times, which Python cannot hold in nanoseconds."""
    return [column.to_pylist() for column in table.columns if not pa.types.is_timestamp(column.type)]


class _Told:
    """Everything that one call tells in any way."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        self._caplog, self._capfd = caplog, capfd
        caplog.set_level(logging.DEBUG, logger="fsync")

    def of(self, src: Any, dst: Any, **options: Any) -> tuple[str, int]:
        """Sync, list and plan; return all the text there is, and the exit code of the sync."""
        pieces: list[object] = []
        code = 0
        options = {"retries": 0, "timeout": 10, **options}

        def note(event: dict[str, Any]) -> None:
            pieces.append(json.dumps(event))
            pieces.append(repr(event))

        results: list[SyncResult | None] = []
        try:
            results.append(fsync.sync(src, dst, progress=note, **options))
        except FsyncError as error:
            code = error.exit_code
            pieces += [str(error), repr(error), *traceback.format_exception(error)]
            results.append(error.result)
        try:
            pieces += _cells(fsync.plan(src, dst, **options).read_all())
        except FsyncError as error:
            pieces += [str(error), repr(error), *traceback.format_exception(error)]
        for result in results:
            if result is not None:
                pieces += [repr(result), str(result), result.to_dict(), result.failures, *_cells(result.table())]
        pieces += [record.getMessage() for record in self._caplog.records if record.name.startswith("fsync")]
        pieces += [*self._capfd.readouterr()]
        return "\n".join(str(piece) for piece in pieces), code


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> _Told:
    """All that a call tells."""
    return _Told(caplog, capfd)


def _planted(server: S3Server) -> dict[str, Any]:
    return {**server.options_for(_KEY, _SECRET), "token": _TOKEN}


def _address(host: str, bucket: str) -> str:
    """Spell the same credentials into the address."""
    secrets = ":".join(quote(part, safe="") for part in (_KEY, _SECRET, _TOKEN))
    return f"minio://{secrets}@{host}/{bucket}/x/"


@pytest.mark.parametrize("spelled", ["options", "address", "raw address", "src_option"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_refused_credentials(told: _Told, place: Maker, tmp_path: Path, side: str, spelled: str) -> None:
    remote = place("seaweed", "remote")
    assert isinstance(remote, S3Place)
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    name = "src" if side == "source" else "dst"
    options: dict[str, Any] = {}
    there = f"s3://{remote.bucket}/x/"
    if spelled == "options":
        options = {f"{name}_storage_options": _planted(remote.server)}
    elif spelled == "src_option":
        options = {f"{name}_option": _planted(remote.server)}
    elif spelled == "address":
        there = _address(remote.server.host, remote.bucket)
    else:
        there = f"minio://{_KEY}:{_SECRET}@{remote.server.host}/{remote.bucket}/x/"
    ends = (there, local) if side == "source" else (local, there)
    text, code = told.of(*ends, **options)
    assert code == 3, text
    _assert_silent(text)
    if side == "source":
        with pytest.raises(FsyncError) as failed:
            fsync.ls(there, storage_options={**options.get("src_storage_options", {}), **options.get("src_option", {})},
                     retries=0)  # fmt: skip
        _assert_silent("".join(traceback.format_exception(failed.value)))


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_missing_bucket(told: _Told, moto_s3: S3Server, tmp_path: Path, side: str) -> None:
    # moto takes any credentials
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    there = _address(moto_s3.host, "no-such-bucket-anywhere")
    text, code = told.of(*((there, local) if side == "source" else (local, there)))
    assert code == 3, text
    _assert_silent(text)


@pytest.mark.parametrize("side", ["source", "destination", "backup"])
def test_a_server_that_is_down(told: _Told, tmp_path: Path, side: str) -> None:
    (port,) = free_ports(1)
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    there = _address(f"127.0.0.1:{port}", "bucket")
    if side == "backup":
        other = f"{fill(tmp_path / 'other', {'a': b'older'})}/"
        text, code = told.of(local, other, backup_dir=there)
        assert (tmp_path / "other" / "a").read_bytes() == b"older"
    else:
        text, code = told.of(*((there, local) if side == "source" else (local, there)))
    assert code in (1, 3), text
    _assert_silent(text)


def test_a_run_that_succeeds(told: _Told, moto_s3: S3Server, tmp_path: Path) -> None:
    moto_s3.make_bucket("takes-anything")
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    text, code = told.of(local, _address(moto_s3.host, "takes-anything"))
    assert code == 0, text
    _assert_silent(text)
    moto_s3.remove_bucket("takes-anything")


def test_objects_that_fail(told: _Told, moto_s3: S3Server, tmp_path: Path) -> None:
    moto_s3.make_bucket("fails-for-one")
    local = fill(tmp_path / "local", {"a": b"1"})
    deep = local
    for _ in range(6):
        deep = deep / ("n" * 200)
    fill(deep, {"too-long": b"2"})
    text, code = told.of(f"{local}/", _address(moto_s3.host, "fails-for-one"), delete_dst=True)
    assert code == 1, text
    assert "too-long" in text
    _assert_silent(text)
    moto_s3.remove_bucket("fails-for-one")


@pytest.mark.parametrize(
    "address",
    [
        f"nosuch://{_KEY}:{_SECRET}@host/bucket/",
        f"s3://{_KEY}:{_SECRET}@",
        f"s3://{_KEY}:{_SECRET}@/x",
        f"jfs://{_KEY}:{_SECRET}@volume/x/",
        f"sftp://user:{_SECRET}@/x/",
        f"user:{_SECRET}@ho st:x",
        f"webdav://user:{_SECRET}@[::1/x/",
        f"http://user:{_SECRET}@127.0.0.1:1/x/",
        f"oss://{_KEY}:{_SECRET}:{_TOKEN}@/",
    ],
)
def test_addresses_that_cannot_be_used(told: _Told, tmp_path: Path, address: str) -> None:
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    for ends in ((local, address), (address, local)):
        text, code = told.of(*ends)
        assert code in (1, 2, 3), text
        _assert_silent(text)
        assert _SECRET.partition("/")[2] not in text


@pytest.mark.parametrize(
    "options",
    [
        {"dst_storage_options": {"secret": _SECRET, "token": _TOKEN, "no_such_option": 1}},
        {"dst_storage_options": {"secret": _SECRET, "client_kwargs": {"aws_session_token": _TOKEN, "nonsense": 1}}},
        {"dst_option": f"secret={_SECRET}", "no_such_option": _SECRET},
        {"dst_option": ["secret"], "dst_storage_options": {"token": _TOKEN}},
        {"dst_option": {"secret": _SECRET}, "backup_dir": f"s3://{_KEY}:{_SECRET}@"},
        {"dst_option": f"={_SECRET}"},
    ],
    ids=range(6),
)
def test_options_that_cannot_be_used(told: _Told, tmp_path: Path, options: dict[str, Any]) -> None:
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    text, code = told.of(local, "s3://some-bucket-that-is-not-asked/x/", **options)
    assert code in (2, 3), text
    _assert_silent(text)


@pytest.mark.parametrize(
    ("down", "flags"),
    [(False, []), (False, ["--json"]), (False, ["--verbose", "--dry"]), (True, ["--verbose"])],
    ids=["refused", "refused json", "refused verbose", "down"],
)
def test_the_command_tells_none(place: Maker, tmp_path: Path, flags: list[str], down: bool) -> None:
    remote = place("seaweed", "remote")
    assert isinstance(remote, S3Place)
    host = f"127.0.0.1:{free_ports(1)[0]}" if down else remote.server.host
    local = f"{fill(tmp_path / 'local', {'a': b'1'})}/"
    for ends in ((local, _address(host, remote.bucket)), (_address(host, remote.bucket), local)):
        ended = subprocess.run(
            [sys.executable, "-m", "fsync", "sync", *flags, "--retries", "0", *ends],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 3, ended
        assert "Traceback" not in ended.stderr
        _assert_silent(ended.stdout + ended.stderr)
