"""Whatever is wrong with a command: one clear line on stderr, the right exit code, no traceback, no secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, Run
from tests.servers.process import free_ports
from tests.servers.s3 import S3Server

SECRET = "geheim-0815"
ONCE = ("--retries", "0", "--timeout", "20")


def check(ended: Ended, code: int, *parts: str) -> None:
    """Assert one line of error and nothing else."""
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith("fsync: ERROR: ")
    for part in parts:
        assert part in line
    assert SECRET not in line
    assert ended.code == code


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("a/", "foo://bucket/x/"), "foo://"),
        (("foo://bucket/x/", "b/"), "foo://"),
        (("jfs://volume/x/", "b/"), "mount"),
        (("a/", f"smb://user:{SECRET}@host/share/"), "pip install"),
        (("a/", "a/"), "the same place"),
        (("a/", "a/d/"), "a/d/"),
        (("a/", "b"), "b/"),
        (("a/", ""), "empty"),
        (("--threads", "many", "a/", "b/"), "--threads is a whole number, not 'many'"),
        (("--threads", "0", "a/", "b/"), "--threads is 1 or more"),
        (("--memory", "1M", "a/", "b/"), "--memory is at least 16M"),
        (("--timeout", "-3", "a/", "b/"), "--timeout"),
        (("--max-delete", "5%", "a/", "b/"), "--delete-dst"),
        (("--exit-code", "a/", "b/"), "--dry"),
        (("--size-only", "--checksum", "a/", "b/"), "contradict"),
        (("--exclude", "[", "a/", "b/"), "["),
        (("--spill-dir", "nowhere", "a/", "b/"), "--spill-dir nowhere"),
        (("--backup-dir", "b/old/", "a/", "b/"), "--backup-dir"),
        (("--src-option", SECRET, "a/", "b/"), "KEY=VALUE"),
        (("--src-option", "@nowhere.json", "a/", "b/"), "nowhere.json"),
        (("--threads", f"s3://AK:{SECRET}@bucket/x", "a/", "b/"), "--threads"),
        (("a/", "b/", f"s3://AK:{SECRET}@bucket/x"), "3 addresses"),
        ((f"s3://AK:{SECRET}@", "b/"), "s3://"),
        (("--secrt", SECRET, "a/", "b/"), "--secrt"),
        ((f"--secrt={SECRET}", "a/", "b/"), "--secrt"),
        (("--delete", "a/", "b/"), "--delete-dst"),
        (("--trace", "a/", "b/"), "--trace is refused"),
        (("--files-from", "x", "a/", "b/"), "--files-from x cannot be read"),
        (("--enable-checkpoint", "a/", "b/"), "not in this version"),
    ],
)
def test_wrong_usage(run: Run, tree: Path, tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    check(run("sync", *words), 2, part)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("address", ["nowhere/", "nowhere"])
def test_a_source_that_is_not_there(run: Run, tmp_path: Path, address: str) -> None:
    destination = "b/" if address.endswith("/") else "b"
    ended = run("sync", "--quiet", address, destination)
    check(ended, 3, "nowhere")


def test_a_directory_that_is_a_file(run: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"x")
    ended = run("sync", "--quiet", "a/", "b/")
    check(ended, ended.code, "b")
    assert ended.code in (1, 2, 3)
    assert (tmp_path / "b").read_bytes() == b"x"


@pytest.mark.parametrize("protocol", ["zip", "tar"])
def test_an_archive_that_is_none(run: Run, tree: Path, protocol: str) -> None:
    check(run("sync", "--quiet", f"{protocol}://::a/one", "b/"), 3, f"cannot open {protocol}:")


def minio(server: S3Server, bucket: str, *, secret: str = "", host: str = "") -> str:
    return f"minio://{server.key}:{secret or server.secret}@{host or server.host}/{bucket}/p/"


@pytest.mark.parametrize("side", ["source", "destination", "ls"])
def test_a_bucket_that_is_not_there(run: Run, tree: Path, s3_server: S3Server, side: str) -> None:
    address = minio(s3_server, "never-made")
    check(run(*_words(side, address)), 3, "never-made")


@pytest.mark.parametrize("side", ["source", "destination", "ls"])
def test_wrong_credentials(
    run: Run, tree: Path, seaweed: S3Server, bucket: Callable[[S3Server], str], side: str
) -> None:
    address = minio(seaweed, bucket(seaweed), secret=SECRET)
    check(run(*_words(side, address)), 3, "check the ")


@pytest.mark.parametrize("side", ["source", "destination", "ls"])
def test_a_server_that_is_down(run: Run, tree: Path, side: str) -> None:
    (port,) = free_ports(1)
    address = f"minio://AK:{SECRET}@127.0.0.1:{port}/bucket/p/"
    check(run(*_words(side, address), *ONCE), 3, f"127.0.0.1:{port}")


@pytest.mark.parametrize("side", ["source", "destination", "ls"])
def test_a_profile_that_is_not_there(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    monkeypatch.setenv("AWS_PROFILE", "never-written")
    check(run(*_words(side, "s3://bucket/p/")), 3, "never-written")


@pytest.mark.parametrize("side", ["source", "destination", "ls"])
def test_a_configuration_that_cannot_be_read(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    (tmp_path / "config").write_text("[default\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    check(run(*_words(side, "s3://bucket/p/")), 3, "Unable to parse config file")


def _words(side: str, address: str) -> tuple[str, ...]:
    if side == "ls":
        return ("ls", address)
    return ("sync", "--quiet", *((address, "b/") if side == "source" else ("a/", address)))
