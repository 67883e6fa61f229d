"""A large object whose copy was killed is resumed where its upload is, and nothing stays open on the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fsync.storage import journal
from tests.servers.s3 import S3Server

_PART = 8 << 20
_PARTS = 6


def _command(server: S3Server, source: Path, bucket: str, *words: str) -> list[str]:
    options = {"key": server.key, "secret": server.secret, "client_kwargs.endpoint_url": server.endpoint}
    given = [word for name, value in options.items() for word in ("--dst-option", f"{name}={value}")]
    return [sys.executable, "-m", "fsync", "sync", *given, *words, f"{source}/", f"s3://{bucket}/to/"]


def _uploads(server: S3Server, bucket: str) -> list[dict[str, Any]]:
    return server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])  # type: ignore[no-any-return]


def _parts_told(state: Path) -> int:
    """Return how many parts the journals name."""
    return sum(path.read_text().count('"part"') for path in state.glob("fsync/uploads/*.jsonl"))


def _kill_midway(command: list[str], environment: dict[str, str], state: Path) -> None:
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while _parts_told(state) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 2 <= _parts_told(state) < _PARTS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One object of six parts, the last one short, no two alike."""
    data = b"".join(bytes([number]) * _PART for number in range(_PARTS))[:-5]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(data)
    os.utime(tmp_path / "source" / "large", (10**9, 10**9))
    return tmp_path / "source"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_a_killed_upload(
    s3_server: S3Server, changed: bool, source: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    server = s3_server
    bucket = server.make_bucket(f"resumed-{'c' if changed else 's'}-{os.getpid()}")
    state = tmp_path / "state"
    # so slow that it is met on its way
    _kill_midway(
        _command(server, source, bucket, "--bwlimit", "200", "--threads", "1", "--processes", "0"), environment, state
    )
    assert len(_uploads(server, bucket)) == 1
    large = source / "large"
    if changed:
        large.write_bytes(b"new" + large.read_bytes()[3:])
    again = subprocess.run(
        _command(server, source, bucket, "--verbose"), env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert ("large is resumed" in again.stderr) is not changed
    assert server.client().get_object(Bucket=bucket, Key="to/large")["Body"].read() == large.read_bytes()
    assert _uploads(server, bucket) == []
    assert list(state.glob("fsync/uploads/*")) == []
    server.remove_bucket(bucket)


def test_the_state_of_tests_is_not_the_developers() -> None:
    assert journal.directory().startswith(os.environ["HOME"])
