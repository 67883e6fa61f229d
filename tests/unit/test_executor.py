"""Bounded work in flight: every row has one outcome, and no pass plans what an earlier one has planned."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsync.api import run
from fsync.comparison import Comparison, Times
from fsync.diff import decide
from fsync.errors import FatalError, Redactor, TooManyFailures
from fsync.executor import Executor, Planned, keep_plan, result_rows
from fsync.join import Window
from fsync.pacing import Pacing
from fsync.report import Report
from fsync.schema import RESULT_WORDS, empty_page
from fsync.spool import Spool
from fsync.storage.entry import Entry
from fsync.storage.running import Failures, Running
from fsync.traits import KeyOrder
from fsync.transfer import Outcome, Status
from tests.faults.scripted import FAULTS, Held, Losing, Script, ScriptedStorage
from tests.unit.pages import keys_of, page, running


def plan(*keys: bytes, update: bool = False, **facts: Any) -> pa.RecordBatch:
    """Return a PLAN batch that copies (or updates) these keys."""
    source = page(*({"key": key, "mtime": 5, **facts} for key in keys))
    destination = page(*({"key": key, "size": 9, "mtime": 5} for key in keys)) if update else empty_page()
    return decide(Window(source, destination), Comparison(Times.EQUAL)).rows


# planned keys ----------------------------------------------------------------------------------------------------


def parts(keys: list[bytes], sizes: list[int]) -> list[list[bytes]]:
    result = []
    for size in sizes:
        result.append(keys[:size])
        keys = keys[size:]
    return [*result, keys]


_passes = st.lists(
    st.tuples(st.sets(st.binary(max_size=2), max_size=15).map(sorted), st.lists(st.integers(0, 5), max_size=5)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100)
@given(_passes)
def test_no_key_is_planned_twice_over_restarts(passes: list[tuple[list[bytes], list[int]]]) -> None:
    planned = Planned(spill_dir=None)
    ever: set[bytes] = set()
    for number, (keys, sizes) in enumerate(passes):
        if number:
            planned.restart()
        taken: list[bytes] = []
        for part in parts(keys, sizes):
            fresh = planned.fresh(plan(*part))
            planned.add(fresh)
            taken += keys_of([fresh])
        assert taken == [key for key in keys if key not in ever]
        ever.update(taken)
    assert sorted(keys_of(planned.spool())) == sorted(ever)


def test_a_pass_that_was_broken_off_counts_as_far_as_it_got() -> None:
    planned = Planned(spill_dir=None)
    planned.add(planned.fresh(plan(b"b", b"d")))
    planned.restart()
    assert keys_of([planned.fresh(plan(b"a", b"b"))]) == [b"a"]
    assert keys_of([planned.fresh(plan(b"c", b"d", b"e"))]) == [b"c", b"e"]


def test_many_planned_keys_over_restarts() -> None:
    # enough for the keys of a pass to be in a file
    planned = Planned(spill_dir=None)
    keys = [b"%0100d" % number for number in range(100_000)]
    for start in range(0, len(keys), 10_000):
        planned.add(planned.fresh(plan(*keys[start : start + 10_000 : 2])))
    planned.restart()
    fresh = [planned.fresh(plan(*keys[start : start + 7000])) for start in range(0, len(keys), 7000)]
    assert keys_of(fresh) == keys[1::2]
    for batch in fresh:
        planned.add(batch)
    planned.restart()
    assert planned.fresh(plan(*keys[:5000])).num_rows == 0
    assert planned.spool().rows == len(keys)


# running ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["in the loop", "on threads"], autouse=True)
def brisk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let all that follows happen both ways: objects carried by coroutines, and small ones by blocking calls."""
    monkeypatch.setattr(ScriptedStorage, "brisk", request.param)
    return bool(request.param)


class Run:
    """An executor between scripted stores, and what it tells."""

    def __init__(self, source: Script, destination: Script, backup: Script | None = None, **limits: Any) -> None:
        self.source, self.destination, self.backup, self.limits = source, destination, backup, limits
        self.events: list[dict[str, Any]] = []
        self.report = Report(self.events.append, Redactor(["hide-me"]), dry=False)
        self.report.rows = Spool(RESULT_WORDS)
        self.protected: list[bytes] = []
        self.clashes: list[tuple[pa.RecordBatch, Outcome]] = []

    def submit(self, *plans: pa.RecordBatch) -> Run:
        """Copy and wait; raises what ended the run."""
        with running(timeout=10, **self.limits) as shared:

            def opened(script: Script, name: str) -> ScriptedStorage:
                return ScriptedStorage(script, shared, name=name, order=KeyOrder.BYTES)

            async def work() -> None:
                executor = Executor(
                    opened(self.source, "s"), opened(self.destination, "d"),
                    opened(self.backup, "b") if self.backup else None, self.report, self.protected.extend,
                )  # fmt: skip
                try:
                    for rows in plans:
                        await executor.submit(rows)
                    await executor.drain()
                except FatalError:
                    await executor.cancel()
                    raise
                self.clashes = executor.clashes

            run(work())
        return self

    def table(self) -> dict[bytes, dict[str, Any]]:
        rows = self.report.result(complete=True, exit_code=0).table()
        names = ("action", "reason", "status", "error", "verified_by")
        return {row["key"]: {name: row[name] for name in names} for row in rows.drop_columns(
            ["mtime", "changed", "dst_mtime"]).to_pylist()}  # fmt: skip


def store(*keys: str, mtime: int = 5) -> Script:
    return Script({key: Held(b"x", mtime) for key in keys})


def test_copies_are_counted_and_told() -> None:
    done = Run(store("a", "b", "c"), store("c")).submit(plan(b"a", b"b"), plan(b"c", update=True))
    assert done.destination.data() == {"a": b"x", "b": b"x", "c": b"x"}
    assert (done.report.counts["copied"], done.report.counts["updated"], done.report.bytes) == (2, 1, 3)
    assert done.report.verified == Counter({"size": 3})
    told = [event for event in done.events if event["event"] == "done"]
    assert {(event["key"], event["action"], event["bytes"]) for event in told} == {
        ("a", "copy", 1), ("b", "copy", 1), ("c", "update", 1),
    }  # fmt: skip
    table = done.table()
    assert table[b"a"] == {
        "action": "copy", "reason": "missing", "status": "done", "error": None, "verified_by": "size",
    }  # fmt: skip
    assert table[b"c"]["reason"] == "size"


def test_one_failure_is_one_objects_alone() -> None:
    attempt = Run(store("a", "b", "c"), store())
    attempt.source.reads["b"] = lambda: PermissionError(13, "no hide-me")
    attempt.submit(plan(b"a", b"b", b"c"))
    assert sorted(attempt.destination.held) == ["a", "c"]
    assert attempt.report.counts["failed"] == 1
    (failure,) = attempt.report.failures
    assert (failure.key, failure.action, failure.error) == (b"b", "copy", "no ****")
    assert attempt.table()[b"b"]["status"] == "failed"
    assert attempt.table()[b"b"]["error"] == "no ****"
    assert attempt.table()[b"b"]["verified_by"] is None


def test_a_source_that_is_gone_is_protected_and_no_failure() -> None:
    attempt = Run(store("a"), store()).submit(plan(b"a", b"gone"))
    assert attempt.protected == [b"gone"]
    assert (attempt.report.counts["vanished"], attempt.report.counts["failed"]) == (1, 0)
    assert attempt.table()[b"gone"]["status"] == "vanished"


def test_clashes_are_collected_and_not_accounted_for() -> None:
    attempt = Run(store("a", "b", "c"), store())
    attempt.destination.writes["b"] = lambda: NotADirectoryError(20, "Not a directory")
    attempt.submit(plan(b"a", b"b", b"c"))
    assert [keys_of([rows]) for rows, _ in attempt.clashes] == [[b"b"]]
    assert attempt.clashes[0][1].status is Status.CLASH
    assert attempt.report.counts["failed"] == 0
    assert sorted(attempt.table()) == [b"a", b"c"]


def test_a_fatal_error_ends_the_run() -> None:
    attempt = Run(store(*(f"{number:05}" for number in range(5000))), store(), threads=1)
    attempt.destination.writes["00000"] = lambda: OSError(28, "No space left on device")
    keys = [b"%05d" % number for number in range(5000)]
    with pytest.raises(FatalError, match="stopped at 00000: No space left on device"):
        attempt.submit(*(plan(*keys[start : start + 512]) for start in range(0, 5000, 512)))
    # what was under way ends, nothing new begins
    assert len(attempt.destination.held) < 5000


def test_attempts_are_few_where_failures_are_limited(brisk: bool) -> None:
    keys = [b"%05d" % number for number in range(400)]
    attempt = Run(store(*(key.decode() for key in keys)), store(), threads=4, failures=Failures(3))
    for key in keys:
        attempt.destination.writes[key.decode()] = FAULTS["denied"]
    with pytest.raises(TooManyFailures, match="--max-failure is 3"):
        attempt.submit(*(plan(*keys[start : start + 40]) for start in range(0, 400, 40)))
    assert 3 <= attempt.report.counts["failed"] <= 3 + 2 * 4
    assert not attempt.destination.held


def test_a_passing_fault_is_tried_again() -> None:
    attempt = Run(store("a", "b"), store(), pacing=Pacing(retries=2, first=0.001))
    faults = [FAULTS["connection reset"], FAULTS["timeout"]]

    def fault() -> Exception:
        if len(faults) == 1:
            del attempt.destination.writes["a"]
        return faults.pop()()

    attempt.destination.writes["a"] = fault
    attempt.submit(plan(b"a", b"b"))
    assert not faults
    assert attempt.destination.data() == {"a": b"x", "b": b"x"}
    assert attempt.report.counts["failed"] == 0


def test_what_is_replaced_is_kept_first() -> None:
    attempt = Run(Script({"a": Held(b"new", 5), "b": Held(b"new", 5), "c": Held(b"new", 5)}),
                  Script({"a": Held(b"old-older", 5), "b": Held(b"old-older", 5)}), Script({}))  # fmt: skip
    assert attempt.backup is not None
    attempt.backup.writes["b"] = FAULTS["denied"]
    attempt.submit(plan(b"c", size=3), plan(b"a", b"b", update=True, size=3))
    assert attempt.backup.data() == {"a": b"old-older"}
    assert attempt.destination.data() == {"a": b"new", "b": b"old-older", "c": b"new"}
    assert "no backup of it could be made" in attempt.table()[b"b"]["error"]


def test_many_rows_all_have_an_outcome() -> None:
    keys = [b"%05d" % number for number in range(3000)]
    attempt = Run(store(*(key.decode() for key in keys)), store()).submit(plan(*keys))
    assert len(attempt.destination.held) == 3000
    assert attempt.report.counts["copied"] == len(attempt.table()) == 3000
    assert all(count == 1 for count in attempt.destination.written.values())


class Stuck(ScriptedStorage):
    """A store that begins to give one key, and never gets on with it."""

    async def read(self, entry: Entry) -> bytes:
        """Read a key."""
        if entry.key == b"0000":
            await asyncio.Event().wait()
        return await super().read(entry)

    def read_now(self, entry: Entry) -> bytes:
        """Read a key."""
        if entry.key == b"0000" and self.brisk:
            self.running.stop.wait(20)
        return super().read_now(entry)


def test_objects_are_told_while_another_takes_long_and_those_of_a_broken_off_batch_too() -> None:
    keys = [b"%04d" % number for number in range(200)]
    truth, copied = store(*(key.decode() for key in keys)), store()
    report = Report(None, Redactor(), dry=False)
    report.rows = Spool(RESULT_WORDS)

    async def work(shared: Running) -> int:
        source = Stuck(truth, shared, name="s", order=KeyOrder.BYTES)
        destination = ScriptedStorage(copied, shared, name="d", order=KeyOrder.BYTES)
        executor = Executor(source, destination, None, report, lambda _: None)
        await executor.submit(plan(*keys))
        for _ in range(500):
            if len(copied.held) == 199:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        meanwhile = report.counts["copied"]
        await executor.cancel()
        return meanwhile

    with running(timeout=10, threads=4) as shared:
        meanwhile = run(work(shared))
    assert meanwhile > 150
    # the run ends here, and tells all that it has done
    assert report.counts["copied"] == len(copied.held) == 199
    assert sorted(report.result(complete=False, exit_code=130).changed_keys()) == keys[1:]


@pytest.mark.parametrize("backup", [False, True])
def test_keys_below_one_another_are_not_written_at_once(monkeypatch: pytest.MonkeyPatch, backup: bool) -> None:
    keys = sorted(key for n in range(20) for key in (b"%02d" % n, b"%02d-" % n, b"%02d/b" % n, b"%02d/b/c" % n))
    monkeypatch.setattr(Losing, "at_once", [])
    report = Report(None, Redactor(), dry=False)

    async def work(shared: Running) -> None:
        source = Losing(store(*(key.decode() for key in keys)), shared, name="s", order=KeyOrder.BYTES)
        plain = ScriptedStorage(store(), shared, name="d", order=KeyOrder.BYTES)
        losing = Losing(store(), shared, name="l", order=KeyOrder.BYTES)
        ends = (plain, losing) if backup else (losing, None)
        executor = Executor(source, *ends, report, lambda _: None)
        # the order of the plan is not that of the keys where some have to wait for a clock
        await executor.submit(plan(*keys[1::2]))
        await executor.submit(plan(*keys[::2]))
        await executor.drain()

    with running(timeout=10, threads=8) as shared:
        run(work(shared))
    assert report.counts["copied"] == len(keys)
    assert not Losing.at_once


@pytest.mark.parametrize("then", ["submit", "drain"])
def test_what_nobody_has_foreseen_ends_the_run_although_nobody_waits_then(then: str) -> None:
    report = Report(None, Redactor(), dry=False)
    report.rows = Spool(RESULT_WORDS)

    def full(rows: pa.RecordBatch) -> None:
        raise OSError(28, "No space left on device")

    async def work(shared: Running) -> None:
        source = ScriptedStorage(store("a", "b"), shared, name="s", order=KeyOrder.BYTES)
        destination = ScriptedStorage(store(), shared, name="d", order=KeyOrder.BYTES)
        executor = Executor(source, destination, None, report, lambda _: None, copied=full)
        await executor.submit(plan(b"a"))
        # the next page of the listing takes its time
        await asyncio.sleep(0.1)
        await (executor.submit(plan(b"b")) if then == "submit" else executor.drain())

    with running(timeout=10, threads=4) as shared, pytest.raises(OSError, match="No space left"):
        run(work(shared))


@pytest.mark.parametrize("late", [False, True])
def test_a_cancellation_that_nobody_asked_for_ends_the_run_as_an_error(late: bool, brisk: bool) -> None:
    report = Report(None, Redactor(), dry=False)
    copied = store()

    class Leaking(ScriptedStorage):
        brisk = False

        async def read(self, entry: Entry) -> bytes:
            if entry.key == b"a":
                raise asyncio.CancelledError
            return await super().read(entry)

    async def work(shared: Running) -> None:
        source = Leaking(store("a", "b"), shared, name="s", order=KeyOrder.BYTES)
        executor = Executor(
            source, ScriptedStorage(copied, shared, name="d", order=KeyOrder.BYTES), None, report, lambda _: None
        )
        await executor.submit(plan(b"a", b"b"))
        await asyncio.sleep(0.1 if late else 0)
        await executor.drain()

    with running(timeout=10, threads=4) as shared, pytest.raises(FatalError, match="nobody had asked"):
        run(work(shared))
    # what had ended is told
    assert report.counts["copied"] == len(copied.held)


def test_what_no_thread_could_be_had_for_is_not_taken_for_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("fsync-crew"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    keys = [b"%04d" % number for number in range(100)]
    attempt = Run(store(*(key.decode() for key in keys)), store(), pacing=Pacing(retries=0)).submit(plan(*keys))
    counts = attempt.report.counts
    assert counts["copied"] == len(attempt.destination.held)
    assert counts["copied"] + counts["failed"] == len(keys)


# rows ------------------------------------------------------------------------------------------------------------


def test_rows_of_results() -> None:
    report = Report(None, Redactor(["hide-me"]), dry=False)
    outcomes = [Outcome(b"a", Status.DONE, 1, "md5"), Outcome(b"b", Status.FAILED, error="no hide-me")]
    rows = result_rows(plan(b"a", b"b"), outcomes, report)
    assert rows.schema.equals(RESULT_WORDS)
    assert rows.column("status").to_pylist() == ["done", "failed"]
    assert rows.column("error").to_pylist() == [None, "no ****"]
    assert rows.column("verified_by").to_pylist() == ["md5", None]


def test_rows_of_a_dry_run() -> None:
    report = Report(None, Redactor(), dry=True)
    keep_plan(plan(b"a"), report)
    report.rows = Spool(RESULT_WORDS)
    keep_plan(plan(b"a", b"b"), report)
    result = report.result(complete=True, exit_code=0)
    assert result.table().column("status").to_pylist() == ["planned", "planned"]
    assert list(result.changed_keys()) == []
