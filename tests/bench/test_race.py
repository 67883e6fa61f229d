"""The harness itself, on tiny trees: everybody is measured, nobody wins without working, the page says it all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.datasets import Dataset, Tree
from tests.bench.ground import Ground
from tests.bench.page import page, reached, table
from tests.bench.programs import PROGRAMS, Job, Program
from tests.bench.race import Result, Runs, race
from tests.bench.rows import ROWS, Row, Where

#: one of each kind: another endpoint, a tree that is there, a slow line, holes
_TRIED = ["across", "again-s3", "far-down", "local-sparse"]
_LITTLE = Row("little", "{tree}", Dataset(12, 100), Where.LOCAL, Where.LOCAL, target=1.0)
_AGAIN = Row("again", "{tree}", Dataset(12, 100), Where.LOCAL, Where.LOCAL, again=True)


@pytest.mark.timeout(300)  # some forty processes and two servers, one after the other
def test_a_quick_race_measures_everybody_who_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "page.md"
    main([*_TRIED, "--quick", "--output", str(output), "--directory", str(tmp_path)])
    stored = json.loads(output.with_suffix(".json").read_text())
    results = {one["row"]: Result.from_json(one) for one in stored["results"]}
    assert set(results) == set(_TRIED)
    there = {one.name for one in PROGRAMS if one.find()}
    assert {"fsync", "juicefs", "cp"} <= there
    for name, result in results.items():
        assert {"fsync", "juicefs"} <= set(result.runs) <= there
        for runs in result.runs.values():
            assert runs.failure == "", f"{name}: {runs.command}: {runs.failure}"
            assert (len(runs.wall), len(runs.cpu), len(runs.memory)) == (1, 1, 1)
            assert runs.wall[0] > 0
            assert runs.memory[0] > 0
    assert results["far-down"].runs["fsync"].wall[0] > 0.06
    assert results["local-sparse"].runs["fsync"].allocated
    text = output.read_text()
    assert all(f"## {row.title}" in text for row in ROWS if row.name in _TRIED)
    assert str(tmp_path) not in text
    assert str(tmp_path) not in output.with_suffix(".json").read_text()
    assert set(stored["versions"]) == there
    shown = capsys.readouterr().out
    assert shown.count("of best peer") == len(_TRIED)
    assert not list(tmp_path.glob("fsync-bench-*")), "the race leaves its ground as it was"


def _idle(job: Job) -> list[str]:
    return ["idle"]


def _failing(job: Job) -> list[str]:
    return ["-c", "echo no such thing >&2; exit 7"]


def test_nobody_wins_by_not_working(tmp_path: Path) -> None:
    peers = [
        *(one for one in PROGRAMS if one.name in ("fsync", "cp")),
        Program("idle", "true", "--version", _idle),
        Program("failing", "sh", "--version", _failing),
    ]
    with Ground(tmp_path / "ground") as ground:
        copied = race(_LITTLE, peers, 2, ground)
        again = race(_AGAIN, peers, 2, ground)
    for result in (copied, again):
        assert "of 12 files" in result.runs["idle"].failure
        assert result.runs["failing"].failure == "exit code 7: no such thing"
        assert result.runs["idle"].wall == []
    assert len(copied.runs["cp"].wall) == 2
    assert copied.best_peer() == "cp"
    assert list(again.runs) == ["fsync", "idle", "failing"], "cp compares nothing: it takes no part in a re-sync"
    # the file that the idle one has left out is put back for the next
    assert len(again.runs["fsync"].wall) == 2
    assert again.best_peer() is None
    assert again.ratio() is None
    assert not (tmp_path / "ground").exists()
    assert "idle is out" in table(_LITTLE, copied)


def test_the_page_says_what_was_reached() -> None:
    row = next(row for row in ROWS if row.name == "large-up")
    runs = {
        "fsync": Runs("fsync sync SRC/ minio://HOST/BUCKET/", [3.0, 1.0, 2.0], [1, 1, 1], [10**8, 2 * 10**8, 10**8]),
        "juicefs": Runs("juicefs sync ...", [4.0, 4.0, 4.0], [1, 1, 1], [10**8] * 3),
        "rclone": Runs("rclone sync ...", failure="exit code 1: broken"),
    }
    result = Result("large-up", "2026-01-01", 0.1, 3, runs)
    assert result.ratio() == 0.5
    assert reached(row, result)
    text = page([result], {"processor": "one"}, {"fsync": "fsync 1"}, ["rsync"])
    assert "| 2.00 s | juicefs 4.00 s | 0.50 | ≤ 1.0 of best peer, < 250 MB | yes |" in text
    assert "rclone is out: exit code 1: broken" in text
    assert "missing here: rsync" in text
    runs["fsync"].memory[1] = 3 * 10**8
    assert not reached(row, result), "the most memory of any round counts"


def test_trees_made_twice_are_the_same_and_keep_their_holes(tmp_path: Path) -> None:
    sparse = Dataset(1, 64 << 20, 16 << 20)
    first, second = Tree(tmp_path / "a"), Tree(tmp_path / "b")
    first.fill(sparse, tmp_path)
    second.fill(sparse, tmp_path)
    one, two = (tmp_path / side / sparse.key(0) for side in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_mtime_ns == two.stat().st_mtime_ns
    found = first.found()
    assert (found.files, found.bytes) == (1, 64 << 20)
    assert found.allocated is not None
    assert found.allocated < 8 << 20


@pytest.mark.parametrize("words", [["no-such-row"], ["--rounds", "0"], ["--scale", "0"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err
