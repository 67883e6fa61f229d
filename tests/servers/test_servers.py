"""Each test server starts, does what a server does, and is gone afterwards."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.servers import moto, seaweed
from tests.servers.process import Process, StartError, answers, free_ports, program, running
from tests.servers.s3 import S3Server

_LISTENER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""


def test_round_trip(s3_server: S3Server, bucket: Callable[[S3Server], str]) -> None:
    name = bucket(s3_server)
    client = s3_server.client()
    body = bytes(range(256)) * 40
    client.put_object(Bucket=name, Key="a/b c#%?.bin", Body=body)
    client.put_object(Bucket=name, Key="empty", Body=b"")
    assert client.get_object(Bucket=name, Key="a/b c#%?.bin")["Body"].read() == body
    listed = client.list_objects_v2(Bucket=name)["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in listed] == [("a/b c#%?.bin", len(body)), ("empty", 0)]


def test_s3fs_reaches_it_with_the_storage_options(s3_server: S3Server, bucket: Callable[[S3Server], str]) -> None:
    import s3fs

    name = bucket(s3_server)
    fs = s3fs.S3FileSystem(**s3_server.storage_options, skip_instance_cache=True)
    fs.pipe_file(f"{name}/k", b"text")
    assert fs.cat_file(f"{name}/k") == b"text"


def test_removing_a_bucket_takes_its_content_and_open_uploads_along(s3_server: S3Server) -> None:
    client = s3_server.client()
    name = s3_server.make_bucket("going-away")
    client.put_object(Bucket=name, Key="d/k", Body=b"x")
    client.create_multipart_upload(Bucket=name, Key="d/unfinished")
    s3_server.remove_bucket(name)
    s3_server.remove_bucket(name)
    assert name not in [entry["Name"] for entry in client.list_buckets()["Buckets"]]


def test_seaweed_refuses_strangers(seaweed: S3Server, bucket: Callable[[S3Server], str]) -> None:
    name = bucket(seaweed)
    with pytest.raises(ClientError) as wrong_secret:
        seaweed.client(secret="not-it").list_objects_v2(Bucket=name)
    assert wrong_secret.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    with pytest.raises(ClientError) as unknown_key:
        seaweed.client("nobody", "sk").list_objects_v2(Bucket=name)
    assert unknown_key.value.response["Error"]["Code"] == "InvalidAccessKeyId"


def test_seaweed_has_a_user_who_may_only_read(seaweed: S3Server, bucket: Callable[[S3Server], str]) -> None:
    from tests.servers.seaweed import READ_ONLY

    name = bucket(seaweed)
    seaweed.client().put_object(Bucket=name, Key="k", Body=b"x")
    reader = seaweed.client(*READ_ONLY)
    assert reader.get_object(Bucket=name, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError) as refused:
        reader.put_object(Bucket=name, Key="l", Body=b"x")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_a_put_makes_no_bucket(s3_server: S3Server) -> None:
    with pytest.raises(ClientError) as missing:
        s3_server.client().put_object(Bucket="never-made", Key="k", Body=b"x")
    assert missing.value.response["Error"]["Code"] == "NoSuchBucket"


@pytest.mark.parametrize("module", [seaweed, moto], ids=["seaweed", "moto"])
def test_two_start_at_once_and_are_gone_after_stop(module: ModuleType, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as stack:
        contexts = [module.serve(tmp_path / name) for name in ("one", "two")]
        servers: list[S3Server] = list(pool.map(stack.enter_context, contexts))
        servers[0].make_bucket("only-here")
        assert servers[1].client().list_buckets()["Buckets"] == []
    for server in servers:
        assert not server.process.alive
        assert not psutil.pid_exists(server.process.pid)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(server.host.rpartition(":")[2])), timeout=5)
        assert server.process.log.exists()


def test_another_process_on_the_port_does_not_count_as_ready(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    other = Process([sys.executable, "-c", _LISTENER, str(port)], log=tmp_path / "other.log")
    mine = Process([sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "mine.log")
    try:
        other.wait_ready(port, lambda _: True)
        with pytest.raises(StartError, match="not ready on port"):
            mine.wait_ready(port, lambda _: True, timeout=1)
    finally:
        other.stop()
        mine.stop()


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    script = "import sys; print('no disk today'); sys.exit(7)"
    with (
        pytest.raises(StartError, match=r"(?s)ended with status 7.*no disk today"),
        running(
            lambda _: [sys.executable, "-c", script],
            ports=1,
            ready=answers("/"),
            directory=tmp_path,
            name="broken",
        ),
    ):
        pass
    assert (tmp_path / "broken.log").read_text().count("no disk today") == 3


def test_stop_ends_the_children_and_those_that_ignore_signals(tmp_path: Path) -> None:
    script = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time\\n"
        'signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint("child", flush=True)\\ntime.sleep(60)\'])\n'
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    process = Process([sys.executable, "-c", script], log=tmp_path / "stubborn.log")
    try:
        while "child" not in process.tail():
            assert process.alive
        child = psutil.Process(int(next(line for line in process.tail().splitlines() if line.isdigit())))
    finally:
        process.stop(grace=0.2)
    assert not process.alive
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-server"):
        program("no-such-server")
