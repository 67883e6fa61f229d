"""How the command ends when it cannot go on: signals, a reader that has gone, threads that hang."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ENVIRONMENT, Run, Start
from tests.servers.s3 import S3Server

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def large_tree(tmp_path: Path) -> Path:
    """A source ``a/`` of 20,000 names, which take more than a moment to copy; they are one file."""
    root = tmp_path / "a"
    root.mkdir()
    first = root / "00000"
    first.write_bytes(b"x" * 100)
    for number in range(1, 20_000):
        os.link(first, root / f"{number:05}")
    return root


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_standard_streams_is_a_run_like_any_other(tmp_path: Path, closed: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("text")
    command = f'"$0" -m fsync sync --verbose a/ b/ {closed}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, timeout=60, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "b/file").read_text() == "text"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_a_run_cleanly(
    start: Start, large_tree: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start("sync", "--json", "a/", "b/")
    assert process.stdout is not None
    assert process.stderr is not None
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "done":
            break
    process.send_signal(number)
    lines += [json.loads(line) for line in process.stdout]
    err = process.stderr.read()
    assert process.wait(10) == code
    assert err.splitlines() == [f"fsync: ERROR: interrupted by {number.name}; the same command, run again, carries on"]
    assert [event["event"] for event in lines[-2:]] == ["error", "summary"]
    assert lines[-1]["complete"] is False
    assert lines[-1]["exit_code"] == lines[-2]["exit_code"] == code
    there = os.listdir(tmp_path / "b")
    assert 0 < len(there) < 20_000
    assert [name for name in there if "partial" in name] == []
    assert all((tmp_path / "b" / name).stat().st_size == 100 for name in there)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_server_that_never_answers_does_not_hold_a_signal_up(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        process = start("ls", f"minio://AK:geheim@127.0.0.1:{silent.getsockname()[1]}/bucket/")
        connection, _ = silent.accept()
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - began
        connection.close()
    assert process.returncode == code
    assert out == ""
    assert err.splitlines() == [f"fsync: ERROR: interrupted by {number.name}; the same command, run again, carries on"]
    # well before the timeout of 60 seconds, and before a run is given up on
    assert took < 10


@contextlib.contextmanager
def stalling(host: str, most: int) -> Iterator[tuple[str, threading.Event]]:
    """A way to a server on which no connection brings more than so many bytes; the event tells that one has stalled."""
    stalled, sockets = threading.Event(), []

    def forth(client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)

    def back(server: socket.socket, client: socket.socket) -> None:
        left = most
        with contextlib.suppress(OSError):
            while left and (data := server.recv(min(left, 1 << 16))):
                client.sendall(data)
                left -= len(data)
            if not left:
                stalled.set()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                name, _, port = host.rpartition(":")
                server = socket.create_connection((name, int(port)))
                sockets.extend([client, server])
                for carry, ends in ((forth, (client, server)), (back, (server, client))):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", stalled
        listener.shutdown(socket.SHUT_RDWR)
        for one in sockets:
            one.close()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_large_object_that_stalls_does_not_hold_a_signal_up(
    start: Start,
    tmp_path: Path,
    moto_s3: S3Server,
    bucket: Callable[[S3Server], str],
    number: signal.Signals,
    code: int,
) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="k", Body=bytes(40 << 20))
    with stalling(moto_s3.host, 1 << 20) as (host, stalled):
        # every thread of the pool has a part that hangs
        process = start("sync", "--threads", "2", f"minio://{moto_s3.key}:{moto_s3.secret}@{host}/{name}/", "b/")
        assert stalled.wait(30)
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        took = time.monotonic() - began
    assert process.returncode == code
    assert f"interrupted by {number.name}" in err
    assert os.listdir(tmp_path / "b") == []
    assert took < 10


def script(text: str, **settings: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", text],
        env={**os.environ, **ENVIRONMENT}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_second_signal_ends_at_once() -> None:
    text = """
import time
from fsync.cli.signals import interruptible
from fsync.errors import Interrupted
with interruptible():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except Interrupted:
        print("cleaning up", flush=True)
        time.sleep(60)
"""
    with script(text) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    text = """
import signal
from fsync.cli import main
signal.signal(signal.SIGINT, signal.SIG_IGN)
before = signal.getsignal(signal.SIGTERM)
from fsync.cli.signals import interruptible
with interruptible():
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is not before
assert signal.getsignal(signal.SIGTERM) is before
"""
    with script(text) as process:
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_a_thread_that_hangs_does_not_hold_the_end_up() -> None:
    text = """
import sys, threading, time
from fsync.cli import main
threading.Thread(target=time.sleep, args=(60,)).start()
sys.argv = ["fsync", "--version"]
sys.exit(main())
"""
    began = time.monotonic()
    with script(text) as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("fsync ")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("words", [("ls", "a/"), ("ls", "--json", "a/"), ("sync", "--dry", "--quiet", "a/", "b/")])
def test_a_reader_that_has_gone(start: Start, large_tree: Path, words: tuple[str, ...]) -> None:
    with start(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "")


@pytest.mark.parametrize("words", [("--version",), ("ls", "a/"), ("sync", "--json", "a/", "b/")])
def test_a_full_disk_under_stdout(start: Start, tree: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full, start(*words, stdout=full) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines() == ["fsync: ERROR: cannot write to stdout: No space left on device"]


def test_a_run_as_often_as_one_likes_in_one_process(run: Run, tree: Path) -> None:
    text = f"""
import logging, os
from fsync.cli import main
os.chdir({str(tree.parent)!r})
handlers = list(logging.getLogger().handlers)
assert [main(["sync", "-v", "a/", "b/"]) for _ in range(3)] == [0, 0, 0]
assert main(["ls", "nowhere/"]) == 3
assert logging.getLogger().handlers == handlers
"""
    with script(text) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("Done in ") == 3
