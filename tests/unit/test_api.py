"""The Python API: from a thread, in a running loop, with options of storages, and quiet."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import fsspec.asyn
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import fsync
from fsync.errors import AddressError, OptionError, SourceNotFound, SyncError
from fsync.schema import PAGE_WORDS, PLAN_WORDS
from tests.faults.scripted import SECOND, Held, Script, ScriptedFileSystem
from tests.servers.s3 import S3Server

_TREE = {"a": b"1", "d/b": b"22", "d/e/c": b""}


def fill(root: Path, tree: dict[str, bytes]) -> str:
    """Write a tree and return its address."""
    root.mkdir()
    for key, data in tree.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return f"{root}/"


def tree_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def independent(tree: dict[str, bytes]) -> MemoryFileSystem:
    """Return a store in memory that shares nothing with others."""
    fs = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    for key, data in tree.items():
        fs.pipe_file(f"/t/{key}", data)
    return fs


@pytest.fixture
def source(tmp_path: Path) -> str:
    return fill(tmp_path / "src", _TREE)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "dst"


# from anywhere ---------------------------------------------------------------------------------------------------


def test_from_the_main_thread(source: str, target: Path) -> None:
    result = fsync.sync(source, f"{target}/")
    assert (result.copied, result.bytes, result.exit_code, result.complete) == (3, 3, 0, True)
    assert tree_of(target) == _TREE
    assert fsync.sync(source, target.as_posix() + "/").skipped == 3


def test_from_several_threads_at_once(tmp_path: Path) -> None:
    pairs = [
        (fill(tmp_path / f"s{number}", {**_TREE, "n": b"%d" % number}), tmp_path / f"d{number}") for number in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda pair: fsync.sync(pair[0], f"{pair[1]}/"), pairs))
    assert [result.copied for result in results] == [4] * 6
    for number, (_, directory) in enumerate(pairs):
        assert tree_of(directory) == {**_TREE, "n": b"%d" % number}


def test_a_callers_loop_goes_on_meanwhile(source: str, target: Path) -> None:
    async def main() -> tuple[int, fsync.SyncResult]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.ensure_future(turn())
        result = await fsync.async_sync(source, f"{target}/")
        turning.cancel()
        return turns, result

    turns, result = asyncio.run(main())
    assert result.copied == 3
    assert turns > 3
    assert tree_of(target) == _TREE


@pytest.mark.parametrize("remote", [False, True])
def test_blocking_inside_a_running_loop(source: str, target: Path, remote: bool) -> None:
    # what a notebook does: the caller's loop waits, the run has another
    async def main() -> fsync.SyncResult:
        return fsync.sync((independent(_TREE), "/t/") if remote else source, f"{target}/")

    assert asyncio.run(main()).copied == 3


def test_on_fsspecs_own_loop_it_is_refused(target: Path) -> None:
    async def main() -> None:
        fsync.sync((independent(_TREE), "/t/"), f"{target}/")

    with pytest.raises(RuntimeError, match="fsspec's own loop"):
        fsspec.asyn.sync(fsspec.asyn.get_loop(), main)


def test_twins_are_awaited(source: str, target: Path) -> None:
    async def main() -> tuple[pa.Table, pa.Table]:
        return await fsync.async_plan(source, f"{target}/"), await fsync.async_ls(source)

    plan, listing = asyncio.run(main())
    assert plan.equals(fsync.plan(source, f"{target}/").read_all())
    assert listing.equals(fsync.ls(source))
    assert not target.exists()


def test_runs_leave_no_thread_behind(source: str, target: Path) -> None:
    def ours() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("fsync-")}

    fsync.sync(source, f"{target}/")
    deadline = time.monotonic() + 5
    while ours() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours() == set()


# cancelling ------------------------------------------------------------------------------------------------------


class Slow(ScriptedFileSystem):
    """A store whose reads take a while; ``begun`` is set at the tenth."""

    begun = threading.Event()
    reads = 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self.reads += 1
        if self.reads == 10:
            self.begun.set()
        time.sleep(0.02)
        return super().cat_file(path, start, end, **options)


def test_cancelling_the_task_ends_the_run(target: Path) -> None:
    held = {f"r/{number:04}": Held(b"x" * 10, 1_600_000_000 * SECOND) for number in range(400)}
    fs = Slow.of("slow", Script.of(held, rows=50))
    events: list[dict[str, Any]] = []

    async def main() -> None:
        task = asyncio.ensure_future(fsync.async_sync((fs, "/r/"), f"{target}/", threads=2, progress=events.append))
        assert await asyncio.to_thread(fs.begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # reads that are under way end, and the last event tells of it; after that nothing comes any more
    deadline = time.monotonic() + 10
    while (not events or events[-1]["event"] != "summary") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (events[-1]["complete"], events[-1]["exit_code"]) == (False, 130)
    files = tree_of(target)
    time.sleep(0.2)
    assert tree_of(target) == files
    assert 0 < len(files) < 100
    assert all(data == b"x" * 10 for data in files.values())
    assert not any(name.startswith(".") for name in files)


# options of storages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [fsync.sync, fsync.plan])
def test_options_for_two_remote_ends_of_two_protocols_are_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(TypeError) as caught:
        call("s3://b/x/", "memory://m/", storage_options={"key": "k"})
    assert "src_storage_options" in str(caught.value)
    assert "dst_storage_options" in str(caught.value)


def test_options_go_to_the_remote_end(moto_s3: S3Server, bucket: Callable[..., str], source: str, target: Path) -> None:
    name = bucket(moto_s3)
    there = f"s3://{name}/p/"
    assert fsync.sync(source, there, storage_options=moto_s3.storage_options).copied == 3
    assert fsync.sync(there, f"{target}/", storage_options=moto_s3.storage_options).copied == 3
    assert tree_of(target) == _TREE
    assert fsync.sync(there, f"s3://{name}/q/", storage_options=moto_s3.storage_options).copied == 3
    assert fsync.ls(f"s3://{name}/q/", storage_options=moto_s3.storage_options).num_rows == 3


def test_options_of_one_end_win(moto_s3: S3Server, bucket: Callable[..., str], source: str) -> None:
    name = bucket(moto_s3)
    wrong = {**moto_s3.storage_options, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    result = fsync.sync(
        source, f"s3://{name}/", storage_options=wrong, dst_storage_options=moto_s3.storage_options
    )  # fmt: skip
    assert result.copied == 3
    assert (
        fsync.sync(source, f"s3://{name}/", dst_storage_options=wrong, dst_option=moto_s3.storage_options).skipped == 3
    )


def test_given_options_are_not_changed(source: str, moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    both, own = moto_s3.storage_options, {"use_ssl": False}
    fsync.sync(source, f"s3://{bucket(moto_s3)}/", storage_options=both, dst_storage_options=own)
    assert both == moto_s3.storage_options
    assert own == {"use_ssl": False}


def test_an_address_that_needs_its_options_to_be_read(tmp_path: Path) -> None:
    options = {"endpoint_url": "http://127.0.0.1:9", "key": "k", "secret": "s"}
    with pytest.raises(fsync.ListingError):
        fsync.sync("space://bucket/", f"{tmp_path}/", src_storage_options=options, retries=0, timeout=2)
    with pytest.raises(fsync.ListingError):
        fsync.sync("space://bucket/", f"{tmp_path}/", storage_options=options, retries=0, timeout=2)


# pairs of a filesystem and a path --------------------------------------------------------------------------------


def test_a_store_that_shares_nothing_is_used_as_it_is(target: Path) -> None:
    fs = independent(_TREE)
    assert fsync.sync((fs, "/t/"), f"{target}/").copied == 3
    assert tree_of(target) == _TREE
    (target / "new").write_bytes(b"new")
    assert fsync.sync(f"{target}/", (fs, "/t/")).copied == 1
    assert fs.cat_file("/t/new") == b"new"
    assert fsync.ls((fs, "/t/")).column("key").to_pylist() == [b"a", b"d/", b"d/b", b"d/e/", b"d/e/c", b"new"]


def test_two_stores_that_share_nothing_are_no_overlap() -> None:
    one, other = independent(_TREE), independent({})
    assert fsync.sync((one, "/t/"), (other, "/t/")).copied == 3
    assert other.cat_file("/t/d/b") == b"22"


def test_a_wrapped_filesystem(target: Path) -> None:
    inside = fsspec.filesystem("dir", path="/t", fs=independent(_TREE))
    assert fsync.sync((inside, "d/"), f"{target}/").copied == 2
    assert tree_of(target) == {"b": b"22", "e/c": b""}


def test_paths_are_addresses(source: str, target: Path) -> None:
    target.mkdir()
    assert fsync.sync(Path(source), target).copied == 3
    assert tree_of(target) == _TREE


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(AddressError, match="int"):
        fsync.sync(5, "/x/")


# what it tells ---------------------------------------------------------------------------------------------------


def test_a_callable_gets_the_events(source: str, target: Path) -> None:
    events: list[dict[str, Any]] = []
    result = fsync.sync(source, f"{target}/", progress=events.append)
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("start", "summary")
    assert sorted(event["key"] for event in events if event["event"] == "done") == sorted(_TREE)
    assert events[-1] == {"v": 1, "event": "summary", **result.to_dict()}
    assert all(event["v"] == 1 for event in events)
    assert json.dumps(events)


@pytest.mark.parametrize("progress", [False, True])
def test_nothing_goes_to_stdout(source: str, target: Path, progress: bool, capfd: pytest.CaptureFixture[str]) -> None:
    fsync.sync(source, f"{target}/", progress=progress)
    fsync.plan(source, f"{target}/").read_all()
    fsync.ls(source)
    out, err = capfd.readouterr()
    assert out == ""
    assert bool(err) is progress


def test_a_listener_that_fails_fails_the_run(source: str, target: Path) -> None:
    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "done":
            raise ZeroDivisionError("listener")

    with pytest.raises(ZeroDivisionError):
        fsync.sync(source, f"{target}/", progress=listen)


# errors ----------------------------------------------------------------------------------------------------------


def test_a_missing_source(target: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound) as caught:
        fsync.sync(f"{tmp_path}/missing/", f"{target}/")
    assert caught.value.exit_code == 3
    assert not target.exists()


def test_failures_raise_with_the_result(target: Path) -> None:
    script = Script.of({key: Held(b"x", 1_600_000_000 * SECOND) for key in ("r/a", "r/b")}, rows=9)
    script.reads["r/a"] = lambda: PermissionError(13, "Permission denied")
    fs = ScriptedFileSystem.of("s", script)
    with pytest.raises(SyncError, match="1 entry could not be handled; the first: a: Permission denied") as caught:
        fsync.sync((fs, "/r/"), f"{target}/")
    result = caught.value.result
    assert result is not None
    assert (caught.value.exit_code, result.copied, result.failed) == (1, 1, 1)
    again = fsync.sync((fs, "/r/"), f"{target}/", raise_on_error=False)
    assert (again.exit_code, again.failed, again.skipped) == (1, 1, 1)


def test_usage_errors_are_raised_in_any_case(source: str, target: Path) -> None:
    with pytest.raises(OptionError):
        fsync.sync(source, f"{target}/", raise_on_error=False, max_delete=5)
    with pytest.raises(AddressError):
        fsync.sync(source, source, raise_on_error=False)
    with pytest.raises(OptionError, match="did you mean --threads"):
        fsync.sync(source, f"{target}/", thread=5)
    assert not target.exists()


def test_an_error_that_ends_the_run_comes_back_as_its_exit_code(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {}), tmp_path / "d"
    fill(target, {"keep": b"1"})
    result = fsync.sync(source, f"{target}/", delete_dst=True, raise_on_error=False)
    assert (result.exit_code, result.complete, result.deleted) == (4, False, 0)
    assert tree_of(target) == {"keep": b"1"}


# plans, listings, addresses --------------------------------------------------------------------------------------


def test_a_plan_touches_nothing_and_says_what_would_be_done(source: str, target: Path) -> None:
    fill(target, {"a": b"other", "x": b""})
    reader = fsync.plan(source, f"{target}/", delete_dst=True)
    assert isinstance(reader, pa.RecordBatchReader)
    table = reader.read_all()
    assert table.schema.equals(PLAN_WORDS)
    rows = table.select(["key", "action", "reason"]).to_pylist()
    assert [(row["key"], row["action"], row["reason"]) for row in rows] == [
        (b"a", "update", "size"), (b"d/b", "copy", "missing"), (b"d/e/c", "copy", "missing"), (b"x", "delete", "extra"),
    ]  # fmt: skip
    assert tree_of(target) == {"a": b"other", "x": b""}


def test_a_dry_run_is_the_plan_as_a_result(source: str, target: Path) -> None:
    result = fsync.sync(source, f"{target}/", dry=True)
    assert (result.dry, result.copied, result.exit_code) == (True, 3, 0)
    assert result.table().column("status").to_pylist() == ["planned"] * 3
    assert fsync.sync(source, f"{target}/", dry=True, exit_code=True, raise_on_error=False).exit_code == 5
    assert not target.exists()


def test_a_listing_is_a_table(source: str) -> None:
    table = fsync.ls(source)
    assert table.schema.equals(PAGE_WORDS)
    assert table.column("key").to_pylist() == [b"a", b"d/", b"d/b", b"d/e/", b"d/e/c"]
    assert fsync.ls(source, exclude="*b").column("key").to_pylist() == [b"a", b"d/", b"d/e/", b"d/e/c"]
    assert fsync.ls(source, limit=2).num_rows == 2
    assert fsync.ls(source, limit=0).num_rows == 0


def test_the_order_of_patterns_is_the_order_of_arguments(source: str) -> None:
    kept = fsync.ls(source, include="a", exclude="*").column("key").to_pylist()
    assert kept == [b"a"]
    assert fsync.ls(source, exclude="*", include="a").num_rows == 0


def test_an_address_is_resolved_for_others(moto_s3: S3Server, bucket: Callable[..., str]) -> None:
    name = bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="d/k", Body=b"text")
    url, options = fsync.resolve(f"minio://testing:testing-secret@{moto_s3.host}/{name}/d/k")
    assert url == f"s3://{name}/d/k"
    assert "testing-secret" not in url
    assert options["secret"] == "testing-secret"
    with fsspec.open(url, **options, skip_instance_cache=True) as file:
        assert file.read() == b"text"


def test_storage_options_can_be_given_to_resolve_as_to_everything_else() -> None:
    given = {"key": "AK", "client_kwargs": {"endpoint_url": "http://127.0.0.1:9000"}}
    url, options = fsync.resolve("s3://b/x/", storage_options=given, secret="another")
    assert (url, options) == ("s3://b/x/", {**given, "secret": "another"})
    assert fsync.resolve("s3://b/x/", storage_options=None) == ("s3://b/x/", {})


def test_options_win_over_the_address() -> None:
    url, options = fsync.resolve("s3://AK:secret@b/x/", key="other", secret="another")
    assert (url, options["key"], options["secret"]) == ("s3://b/x/", "other", "another")
    with pytest.raises(AddressError):
        fsync.resolve("")
