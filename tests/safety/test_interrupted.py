"""A run that is interrupted or killed leaves nothing wrong behind, deletes nothing early, and a rerun converges."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsync
from tests.safety.conftest import Maker
from tests.safety.nursery import INTERRUPTED, Nursery, nursery
from tests.safety.places import Place, S3Place, contents, fill, run

_PARTIAL = re.compile(r"(?:.*/)?\.[^/]*\.fsync-[0-9a-f]{16}\.partial")
_MIB = 1 << 20


@pytest.fixture(scope="module")
def runs() -> Iterator[Nursery]:
    """The process that forks runs."""
    with nursery() as started:
        yield started


def _source(small: int, large: int) -> dict[str, bytes]:
    """Some directories of small files and a few large ones, no two alike."""
    tree = {f"d{number % 7}/s{number:04}": f"new {number} ".encode() * (number % 90) for number in range(small)}
    return tree | {f"large{number}": bytes([number + 1]) * (9 * _MIB + number) for number in range(large)}


def _before(source: dict[str, bytes]) -> dict[str, bytes]:
    """A destination that has a third of it, some of that outdated, and extras."""
    there = {key: data if number % 2 else b"old" for number, (key, data) in enumerate(source.items()) if not number % 3}
    return there | {f"d{number}/extra{number}": b"e" for number in range(20)}


def _check_left(left: dict[str, bytes], source: dict[str, bytes], before: dict[str, bytes]) -> None:
    """Hold what an interrupted run left at the destination to what it may leave."""
    final = {key: data for key, data in left.items() if not _PARTIAL.fullmatch(key)}
    for key, data in final.items():
        assert data in (source.get(key), before.get(key)), f"{key} holds wrong content"
    gone = set(before) - set(final)
    assert not gone & set(source), "something that the source has is gone"
    if gone:
        assert {key: final.get(key) for key in source} == source, "deleted before everything was copied"


def _check_rerun(src: str, destination: Place, source: dict[str, bytes]) -> None:
    """Run again: the destination becomes what the source is, and then nothing is left to do."""
    again = run(src, destination, delete_dst=True)
    assert again.code == 0, again
    left = {key: data for key, data in destination.data().items() if not _PARTIAL.fullmatch(key)}
    assert left == source
    third = run(src, destination, delete_dst=True)
    assert third.result is not None
    assert (third.result.copied, third.result.updated, third.result.deleted) == (0, 0, 0)
    listed = fsync.ls(destination.address, storage_options=destination.options)
    files = {key.decode() for key, kind in zip(*(listed[name].to_pylist() for name in ("key", "kind")), strict=True)
             if kind == "file"}  # fmt: skip
    assert files == set(source), "what is left over is invisible"


def _killed(runs: Nursery, src: str, destination: Place, delay: float, number: int, after: str = "start") -> int:
    options = {"dst_storage_options": destination.options} if destination.options else {}
    return runs.run(
        src, destination.address, signal=number, delay=delay, after=after, delete_dst=True, **options
    ).status


@pytest.mark.parametrize("seed", range(20))
def test_kill_local_to_local(runs: Nursery, place: Maker, tmp_path: Path, seed: int) -> None:
    source = _source(400, 3)
    before, destination = _before(source), place("local", "destination")
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    delay = random.Random(seed).uniform(0, 0.12)
    status = _killed(runs, src, destination, delay, signal.SIGKILL)
    assert status in (-signal.SIGKILL, 0), status
    left = destination.data()
    _check_left(left, source, before)
    assert len([key for key in left if _PARTIAL.fullmatch(key)]) <= 10
    _check_rerun(src, destination, source)


@pytest.mark.parametrize("seed", range(5))
def test_kill_local_to_s3(runs: Nursery, place: Maker, tmp_path: Path, seed: int) -> None:
    source = _source(60, 2)
    before, destination = _before(source), place("seaweed", "destination")
    assert isinstance(destination, S3Place)
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    delay = random.Random(seed).uniform(0.02, 0.7)
    status = _killed(runs, src, destination, delay, signal.SIGKILL)
    assert status in (-signal.SIGKILL, 0), status
    left = destination.data()
    _check_left(left, source, before)
    assert not [key for key in left if "fsync" in key]
    _check_rerun(src, destination, source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1])
def test_interrupt_local_to_local(
    runs: Nursery, place: Maker, tmp_path: Path, number: signal.Signals, delay: float
) -> None:
    source = _source(1000, 4)
    before, destination = _before(source), place("local", "destination")
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    status = _killed(runs, src, destination, delay, number)
    assert status in (INTERRUPTED, 0), status
    left = destination.data()
    assert [key for key in left if _PARTIAL.fullmatch(key)] == [], "an interrupted run removes its partials"
    _check_left(left, source, before)
    _check_rerun(src, destination, source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupt_during_a_large_file(runs: Nursery, place: Maker, tmp_path: Path, number: signal.Signals) -> None:
    source = {"large": b"\1" * (300 * _MIB)}
    before, destination = {"large": b"old", "extra": b"e"}, place("local", "destination")
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    status = _killed(runs, src, destination, 0.05, number)
    assert status in (INTERRUPTED, 0), status
    left = destination.data()
    assert [key for key in left if _PARTIAL.fullmatch(key)] == []
    _check_left(left, source, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupt_local_to_s3(runs: Nursery, place: Maker, tmp_path: Path, number: signal.Signals) -> None:
    source = _source(40, 3)
    before, destination = _before(source), place("seaweed", "destination")
    assert isinstance(destination, S3Place)
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    status = _killed(runs, src, destination, 0.15, number)
    assert status in (INTERRUPTED, 0), status
    _check_left(destination.data(), source, before)
    uploads = destination.server.client().list_multipart_uploads(Bucket=destination.bucket).get("Uploads", [])
    assert uploads == [], "an interrupted run aborts its uploads"
    _check_rerun(src, destination, source)


@pytest.mark.parametrize("delay", [0.0, 0.01])
def test_kill_during_deletions(runs: Nursery, place: Maker, tmp_path: Path, delay: float) -> None:
    source = {"a": b"1"}
    before = {"a": b"older"} | {f"x{number:04}": b"e" for number in range(3000)}
    destination = place("local", "destination")
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    status = _killed(runs, src, destination, delay, signal.SIGKILL, after="done")
    assert status in (-signal.SIGKILL, 0), status
    _check_left(destination.data(), source, before)
    _check_rerun(src, destination, source)


def test_the_runs_are_real(runs: Nursery, tmp_path: Path) -> None:
    # the oracle: without a signal the forked run does the whole work
    source = _source(50, 1)
    src, dst = fill(tmp_path / "source", source), fill(tmp_path / "destination", _before(source))
    ended = runs.run(f"{src}/", f"{dst}/", delete_dst=True)
    assert ended.status == 0
    assert contents(dst) == source


# the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("kind", ["local", "seaweed"])
def test_the_command_ends_with_the_number_of_its_signal(
    place: Maker, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    # thousands of files take long enough to be interrupted when the first ones have arrived
    source = _source(6000 if kind == "local" else 300, 2)
    before, destination = {"d0/extra": b"e", "large0": b"old"}, place(kind, "destination")
    src = f"{fill(tmp_path / 'source', source)}/"
    destination.fill(before)
    address = destination.address
    if isinstance(destination, S3Place):
        server = destination.server
        address = f"minio://{server.key}:{server.secret}@{server.host}/{destination.bucket}/{destination.prefix}"
    complaints = tmp_path / "stderr"
    with (
        complaints.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "fsync", "sync", "--delete-dst", "--json", src, address],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # a test run started in the background of a script ignores SIGINT, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as command,
    ):
        assert command.stdout is not None
        events: list[str] = []
        for line in command.stdout:
            events.append(json.loads(line)["event"])
            if events.count("done") == 1 and events[-1] == "done":
                command.send_signal(number)
        status = command.wait(60)
    assert events.count("done")
    assert status == 128 + number, complaints.read_text()
    assert "Traceback" not in complaints.read_text()
    left = destination.data()
    assert [key for key in left if _PARTIAL.fullmatch(key)] == []
    assert left["d0/extra"] == b"e"
    _check_left(left, source, before)
    if isinstance(destination, S3Place):
        uploads = destination.server.client().list_multipart_uploads(Bucket=destination.bucket).get("Uploads", [])
        assert uploads == []
    _check_rerun(src, destination, source)
