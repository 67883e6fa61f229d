"""--max-failure: after so many failures nothing new is started, what is under way ends, nothing is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

import fsync
from tests.faults.scripted import FAULTS, Held, Row, Script, ScriptedFileSystem
from tests.safety.places import OLD, fill, run

_KEYS = [f"k{number:03}" for number in range(600)]


def broken(keys: list[str]) -> tuple[Script, ScriptedFileSystem]:
    """Return a store of which none of ``keys`` can be read, and all else can."""
    held = {key: Held(b"1", OLD) for key in _KEYS}
    script = Script(held, [[Row(key, 1, OLD) for key in _KEYS]], reads=dict.fromkeys(keys, FAULTS["denied"]))
    return script, ScriptedFileSystem.of("one", script)


def test_exactly_so_many(tmp_path: Path) -> None:
    target = fill(tmp_path / "target", {"extra": b"e"})
    _, fs = broken(_KEYS[5:])
    ended = run((fs, "/"), f"{target}/", max_failure=3, threads=1, delete_dst=True)
    assert ended.code == 1
    assert isinstance(ended.error, fsync.TooManyFailures)
    result = ended.result
    assert result is not None
    assert (result.copied, result.failed, result.complete, result.deleted) == (5, 3, False, 0)
    assert sorted(path.name for path in target.iterdir()) == ["extra", *_KEYS[:5]]
    status = result.table().column("status").to_pylist()
    left = status.count("not tried")
    assert (status.count("done"), status.count("failed"), len(status)) == (5, 3, 8 + left)
    assert (
        f"3 entries failed, and --max-failure is 3; {left} further ones that were planned were not tried" in ended.text
    )


def test_what_is_under_way_ends(tmp_path: Path) -> None:
    _, fs = broken(_KEYS[50:])
    ended = run((fs, "/"), f"{tmp_path}/target/", max_failure=3, threads=8)
    assert ended.result is not None
    assert ended.result.copied == 50
    assert 3 <= ended.result.failed < 3 + 8


@pytest.mark.parametrize("limit", [0, -1, 11])
def test_no_limit_or_one_that_is_not_reached(tmp_path: Path, limit: int) -> None:
    _, fs = broken(_KEYS[:10])
    ended = run((fs, "/"), f"{tmp_path}/target/", max_failure=limit, retries=0)
    assert ended.code == 1
    assert ended.result is not None
    assert (ended.result.failed, ended.result.copied, ended.result.complete) == (10, 590, True)


def test_between_local_trees(tmp_path: Path) -> None:
    # with the longer prefix of the destination these names do not fit
    names = {"x" * 250 + str(number): b"1" for number in range(5)}
    source = fill(tmp_path / "source", {**names, "xa": b"1"})
    ended = run(f"{source}/x", f"{tmp_path}/target/longer", max_failure=2)
    assert ended.result is not None
    assert (ended.code, ended.result.failed) == (1, 2)
    status = ended.result.table().column("status").to_pylist()
    # what has changed just now is copied last
    assert sorted(status) in (["done", *["failed"] * 2, *["not tried"] * 3], [*["failed"] * 2, *["not tried"] * 4])


def test_removals_that_fail_count_too(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"f": b"1"})
    keys = [f"e{number:04}" for number in range(2500)]
    held = {key: Held(b"1", OLD) for key in keys}
    script = Script(held, [[Row(key, 1, OLD) for key in keys]], removals={keys[3]: FAULTS["denied"]})
    ended = run(f"{source}/", (ScriptedFileSystem.of("one", script), "/"), max_failure=1, delete_dst=True, retries=0)
    assert ended.code == 1
    assert ended.result is not None
    assert (ended.result.failed, ended.result.deleted, ended.result.complete) == (1, 999, False)
