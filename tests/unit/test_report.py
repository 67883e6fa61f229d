"""The account of a run: counts, events, tables, and what a result shows of itself."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from fsync.comparison import Comparison, Times
from fsync.diff import decide
from fsync.errors import Redactor
from fsync.executor import result_rows
from fsync.join import Window
from fsync.report import Failure, Report, SyncResult, key_fields
from fsync.schema import RESULT_WORDS, empty_page
from fsync.spool import Spool
from fsync.transfer import Outcome, Status
from tests.unit.pages import page


def rows(*keys: bytes) -> pa.RecordBatch:
    return decide(Window(page(*keys), empty_page()), Comparison(Times.NONE)).rows


def account(*, dry: bool = False) -> tuple[Report, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return Report(events.append, Redactor(["hide-me"]), dry=dry), events


def filled(report: Report) -> SyncResult:
    """Account for a run in which everything happened once, and close it."""
    report.rows = Spool(RESULT_WORDS)
    plan = rows(b"done", b"failed\xff", b"vanished")
    outcomes = [
        Outcome(b"done", Status.DONE, 1, "size"),
        Outcome(b"failed\xff", Status.FAILED, error="no hide-me"),
        Outcome(b"vanished", Status.VANISHED),
    ]
    report.plan(plan)
    report.rows.append(result_rows(plan, outcomes, report))
    report.counts.update(copied=1, vanished=1, skipped=4, excluded=2)
    report.verified.update(["size", ""])
    report.bytes = 1
    report.fail(b"failed\xff", "copy", "no hide-me")
    report.notice("hide-me or not")
    return report.result(complete=True, exit_code=1)


def test_a_result_is_json() -> None:
    told = filled(account()[0]).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert (told["copied"], told["skipped"], told["excluded"], told["vanished"], told["failed"]) == (1, 4, 2, 1, 1)
    assert (told["bytes"], told["complete"], told["dry"], told["exit_code"]) == (1, True, False, 1)
    assert told["verified_by"] == {"size": 1}
    assert told["reasons"] == {"missing": 3}
    assert told["notices"] == ["**** or not"]
    assert told["failures"] == [
        {"key": "failed\\xff", "key_base64": "ZmFpbGVk/w==", "action": "copy", "error": "no ****"}
    ]
    assert told["seconds"] >= 0
    assert {"deleted", "updated", "protected", "extra"} <= told.keys()


def test_the_table_of_a_result() -> None:
    table = filled(account()[0]).table()
    assert table.schema.equals(RESULT_WORDS)
    assert table.column("key").to_pylist() == [b"done", b"failed\xff", b"vanished"]
    assert table.column("status").to_pylist() == ["done", "failed", "vanished"]
    assert table.column("error").to_pylist() == [None, "no ****", None]
    assert table.column("action").to_pylist() == ["copy"] * 3


def test_changed_keys_are_those_that_were_done() -> None:
    result = filled(account()[0])
    assert list(result.changed_keys()) == [b"done"]
    assert list(result.changed_keys()) == [b"done"]


def test_a_result_without_rows() -> None:
    result = SyncResult()
    assert result.table().schema.equals(RESULT_WORDS)
    assert result.table().num_rows == 0
    assert list(result.changed_keys()) == []
    assert json.dumps(result.to_dict())


@pytest.mark.parametrize("complete", [True, False])
def test_the_repr_is_small(complete: bool) -> None:
    failures = tuple(Failure(b"key%d" % number, "copy", "why" * 50) for number in range(100))
    result = SyncResult(copied=10**9, failed=100, failures=failures, notices=("x" * 900,), complete=complete)
    assert len(repr(result)) < 200
    assert "\n" not in repr(result)
    assert f"copied={10**9}" in repr(result)
    assert ("incomplete" in repr(result)) is not complete


def test_the_repr_of_a_dry_run_says_so() -> None:
    assert repr(SyncResult(deleted=1, dry=True, complete=True)).startswith("<SyncResult dry run: ")
    assert repr(SyncResult(deleted=1, dry=True)).startswith("<SyncResult incomplete: ")


def test_a_failure_in_one_line() -> None:
    assert str(Failure(b"a\n\xff", "copy", "why")) == "a\\x0a\\xff: why"


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (b"a/b", {"key": "a/b"}),
        ("\u00e9\n".encode(), {"key": "\u00e9\n"}),
        (b"\xe9", {"key": "\\xe9", "key_base64": "6Q=="}),
    ],
)
def test_keys_in_json(key: bytes, fields: dict[str, str]) -> None:
    assert key_fields(key) == fields


# events ----------------------------------------------------------------------------------------------------------


def test_every_event_is_one_json_line_with_a_version() -> None:
    report, events = account()
    filled(report)
    report.tell_progress(9)
    assert [event["event"] for event in events] == ["failed", "notice", "summary", "progress"]
    for event in events:
        assert event["v"] == 1
        assert "\n" not in json.dumps(event)
        assert "hide-me" not in json.dumps(event)


def test_the_last_event_is_the_result() -> None:
    report, events = account()
    told = filled(report).to_dict()
    assert events[-1] == {"v": 1, "event": "summary", **told}


def test_nobody_listening_is_no_error() -> None:
    report = Report(None, Redactor(), dry=False)
    assert not report.listening
    assert filled(report).failed == 1


def test_failures_are_named_up_to_a_number_and_all_counted() -> None:
    report, events = account()
    for number in range(250):
        report.fail(b"%d" % number, "copy", "why")
    result = report.result(complete=True, exit_code=1)
    assert result.failed == 250
    assert len(result.failures) == 100
    assert sum(event["event"] == "failed" for event in events) == 250


def test_a_dry_run_tells_and_counts_what_would_be_done() -> None:
    report, events = account(dry=True)
    report.plan(rows(b"a", b"b\xff"))
    result = report.result(complete=True, exit_code=0)
    assert (result.dry, result.copied, result.bytes) == (True, 2, 2)
    plans = [event for event in events if event["event"] == "plan"]
    told = {"v": 1, "event": "plan", "key": "a", "action": "copy", "reason": "missing", "bytes": 1}
    assert {name: plans[0][name] for name in told} == told
    assert plans[1]["key_base64"] == "Yv8="


def test_a_real_run_counts_what_was_done_and_not_what_was_planned() -> None:
    report, events = account()
    report.plan(rows(b"a", b"b"))
    result = report.result(complete=True, exit_code=0)
    assert (result.copied, result.bytes, result.reasons) == (0, 0, {"missing": 2})
    assert not any(event["event"] == "plan" for event in events)


def test_a_restart_keeps_what_was_planned_and_done() -> None:
    report, _ = account()
    report.plan(rows(b"a"))
    report.counts.update(listed=5, considered=5, destination=5, skipped=4, excluded=3, protected=2, extra=1, copied=1)
    report.restart()
    counts = {name: count for name, count in report.counts.items() if count}
    assert counts == {"planned": 1, "copied": 1}


def test_progress_has_what_a_display_needs() -> None:
    report, events = account()
    report.plan(rows(b"a", b"b"))
    report.counts.update(listed=7, copied=1, updated=1, deleted=1, skipped=3)
    report.tell_progress(9)
    event = events[-1]
    assert (event["listed"], event["planned"], event["planned_bytes"]) == (7, 2, 2)
    assert (event["done"], event["deleted"], event["skipped"], event["failed"]) == (2, 1, 3, 0)
    assert (event["listing"], event["moved"]) == (True, 9)
