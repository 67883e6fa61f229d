"""--delete-excluded: what the key rules leave out goes at the destination, and nothing else that would have stayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.safety.conftest import KINDS, Maker
from tests.safety.places import contents, fill, run

_SOURCE = {"a": b"1", "a.tmp": b"2", "d/b": b"3", "d/b.tmp": b"4", "cache/x": b"5"}


@pytest.mark.parametrize("kind", KINDS)
def test_excluded_entries_go_though_the_source_has_them(place: Maker, kind: str) -> None:
    source, target = place(kind, "source"), place(kind, "target")
    source.fill(_SOURCE)
    target.fill({**_SOURCE, "old.tmp": b"6", "extra": b"7"})
    rules = {"exclude": ["*.tmp", "cache/"]}
    kept = run(source, target, delete_dst=True, **rules)
    assert kept.code == 0, kept
    assert set(target.data()) == {*_SOURCE, "old.tmp"}
    ended = run(source, target, delete_dst=True, delete_excluded=True, **rules)
    assert ended.code == 0, ended
    assert target.data() == {"a": b"1", "d/b": b"3"}
    assert set(source.data()) == set(_SOURCE)


def test_everything_else_stays_as_safe_as_it_was(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", _SOURCE)
    (source / "link").symlink_to("nowhere")
    target = fill(tmp_path / "d", {**_SOURCE, "link/x": b"protected", "old.tmp": b"6"})
    over = run(f"{source}/", f"{target}/", exclude="*.tmp", delete_dst=True, delete_excluded=True, max_delete=2)
    assert over.code == 4
    assert set(contents(target)) == {*_SOURCE, "link/x", "old.tmp"}
    ranged = run(f"{source}/", f"{target}/", exclude="*.tmp", delete_dst=True, delete_excluded=True, end="b")
    assert ranged.code == 0, ranged
    assert set(contents(target)) == {*_SOURCE, "link/x", "old.tmp"} - {"a.tmp"}
    ended = run(f"{source}/", f"{target}/", exclude="*.tmp", delete_dst=True, delete_excluded=True)
    assert ended.code == 0, ended
    assert set(contents(target)) == {"a", "d/b", "cache/x", "link/x"}


def test_in_prefix_mode_excluded_names_of_the_source_are_no_strangers(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {"te1/a": b"1", "te2/b": b"2"}), fill(tmp_path / "d", {"te2/b": b"2"})
    ended = run(f"{source}/te", f"{target}/te", exclude="2/", delete_dst=True, delete_excluded=True)
    assert ended.code == 0, ended
    assert contents(target) == {"te1/a": b"1"}


def test_an_excluded_dangling_link_protects_what_the_rules_keep_below_it(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {"b": b"1"}), fill(tmp_path / "d", {"a/x": b"2", "b": b"1"})
    (source / "a").symlink_to("nowhere")
    ended = run(f"{source}/", f"{target}/", exclude="a", match_full_path=True, delete_dst=True)
    assert ended.code == 0, ended
    assert contents(target) == {"a/x": b"2", "b": b"1"}
