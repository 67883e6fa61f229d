"""--last: what matches is copied when everything else has been, and not at all if something has failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.safety.conftest import Maker
from tests.safety.places import contents, fill, run

_TREE = {"_SUCCESS": b"", "a": b"1", "t/_SUCCESS": b"1", "t/data": b"2" * 100, "z": b"3"}


@pytest.mark.parametrize("kind", ["local", "moto"])
def test_it_comes_after_everything_else_and_before_deletions(place: Maker, tmp_path: Path, kind: str) -> None:
    source, destination = fill(tmp_path / "source", _TREE), place(kind, "destination")
    destination.write("extra", b"9")
    order: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "done":
            order.append(event["key"])

    ended = run(f"{source}/", destination, last=["_SUCCESS"], delete_dst=True, delete_src_after=True, progress=note)
    assert ended.code == 0, ended
    assert destination.data() == _TREE
    assert set(order[:3]) == {"a", "t/data", "z"}
    assert set(order[3:5]) == {"_SUCCESS", "t/_SUCCESS"}
    assert order[5] == "extra"
    assert contents(source) == {}
    again = run(f"{source}/", destination, last="_SUCCESS", allow_empty_source=True)
    assert again.code == 0, again


def test_a_failure_withholds_it(place: Maker, tmp_path: Path) -> None:
    source, destination = fill(tmp_path / "source", _TREE), place("memory", "destination")
    (source / os.fsdecode(b"bad\xff")).write_bytes(b"3")
    ended = run(f"{source}/", destination, last=["/t/_S*", "*.manifest", "_SUCCESS"])
    assert ended.code == 1, ended
    assert ended.result is not None
    assert ended.result.failed == 3
    assert ended.text.count("not copied: --last copies it only after everything else has succeeded") == 2
    assert set(destination.data()) == {"a", "t/data", "z"}
    os.unlink(source / os.fsdecode(b"bad\xff"))
    assert run(f"{source}/", destination, last=["_SUCCESS"]).code == 0
    assert destination.data() == _TREE


def test_a_clash_among_the_last_is_settled_as_any_other(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1", "m": b"2"})
    destination = fill(tmp_path / "destination", {"m/x": b"9"})
    assert run(f"{source}/", f"{destination}/", last=["m"]).code == 1
    ended = run(f"{source}/", f"{destination}/", last=["m"], delete_dst=True)
    assert ended.code == 0, ended
    assert contents(destination) == {"a": b"1", "m": b"2"}


@pytest.mark.parametrize("given", ["[", ["a", "[[:nonsense:]]"], "", [""], 5])
def test_a_bad_pattern_is_refused_before_anything_is_touched(tmp_path: Path, given: Any) -> None:
    source = fill(tmp_path / "source", _TREE)
    ended = run(f"{source}/", f"{tmp_path}/destination/", last=given)
    assert ended.code == 2, ended
    assert "--last" in ended.text
    assert not (tmp_path / "destination").exists()


def test_a_dry_run_shows_it(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", _TREE)
    ended = run(f"{source}/", f"{tmp_path}/destination/", last=["_SUCCESS"], dry=True)
    assert ended.result is not None
    assert (ended.code, ended.result.copied) == (0, 5)
