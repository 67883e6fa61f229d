"""--log-file: everything that a run tells, appended, whatever stderr shows; secrets are not in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|NOTE|DEBUG|WARNING|ERROR) +(.*)")


def told(path: Path) -> list[tuple[str, str]]:
    """Return level and text of every line."""
    found = [_LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(found)
    return [(match[1], match[2]) for match in found if match]


def test_all_that_happens_is_appended_even_if_nothing_is_shown(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "dangling").symlink_to("nowhere")
    ended = run("sync", "--quiet", "--log-file", "run.log", "a/", "b/")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    first = told(tmp_path / "run.log")
    assert {("INFO", "copied  d/two  (2 bytes)"), ("INFO", "not copied dangling: dangling")} <= set(first)
    assert any(text.startswith("Syncing a/ -> b/") for _, text in first)
    assert any(text.startswith("Done in") for _, text in first)
    ended = run("sync", "--json", "--log-file", "run.log", "a/", "b/")
    assert ended.code == 0
    both = told(tmp_path / "run.log")
    assert both[: len(first)] == first
    assert len(both) > len(first)
    assert not any("two" in text for _, text in both[len(first) :])


def test_failures_are_told_one_by_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(15):
        (tmp_path / "a" / ("x" * 250 + f"{number:02}")).touch()
    ended = run("sync", "--log-file", "run.log", "a/x", "b/longer")
    assert ended.code == 1
    assert ended.err.count("fsync: ERROR: cannot copy") == 10
    lines = told(tmp_path / "run.log")
    assert sum(level == "ERROR" and text.startswith("cannot copy") for level, text in lines) == 15
    assert lines[-1] == ("ERROR", "15 entries failed; running the same command again tries them again")


def test_what_ends_a_run_is_its_last_line(run: Run, tmp_path: Path) -> None:
    ended = run("sync", "--log-file", "run.log", "missing/", "b/")
    assert ended.code == 3
    assert told(tmp_path / "run.log")[-1] == ("ERROR", ended.err.removeprefix("fsync: ERROR: ").rstrip())


def test_a_check_has_a_log_too(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("check", "--log-file", "run.log", "a/", "b/").code == 5
    assert any(text.startswith("Differences found") for _, text in told(tmp_path / "run.log"))


@pytest.mark.parametrize("name", ["a/run.log", "b/run.log", "a/d/../run.log", "missing/run.log", ""])
def test_a_place_that_cannot_be_is_refused_before_anything_is_touched(
    run: Run, tree: Path, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    ended = run("sync", "--log-file", name, "a/", "b/")
    assert ended.code == 2
    assert ended.err.startswith("fsync: ERROR: --log-file ")
    assert ended.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_beside_a_directory_whose_name_begins_alike(run: Run, tree: Path, tmp_path: Path) -> None:
    assert run("sync", "--log-file", "a.log", "a/", "b/").code == 0
    assert told(tmp_path / "a.log")


def test_a_full_disk_does_not_end_the_run(run: Run, tree: Path, tmp_path: Path) -> None:
    ended = run("sync", "--quiet", "--log-file", "/dev/full", "a/", "b/")
    assert ended.code == 0
    assert (tmp_path / "b/one").read_bytes() == b"1"
    assert ended.err.count("cannot write to --log-file /dev/full: No space left on device") >= 1


def test_no_secret_reaches_it(run: Run, tree: Path, tmp_path: Path) -> None:
    run("sync", "--retries", "0", "--log-file", "run.log", "a/", "minio://AKEXAMPLE:TOPSECRETVALUE@127.0.0.1:1/bucket/")
    text = (tmp_path / "run.log").read_text()
    assert told(tmp_path / "run.log")[-1][0] == "ERROR"
    assert "TOPSECRETVALUE" not in text
