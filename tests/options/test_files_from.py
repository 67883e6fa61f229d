"""--files-from: what a list names, and nothing else, is looked at, copied, and can be deleted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fsync
from fsync.storage.s3 import S3Storage
from fsync.storage.scan import Scan
from tests.safety.conftest import KINDS, Maker
from tests.safety.places import OLD, contents, fill, run

_TREE = {"a": b"1", "dir!": b"2", "dir.txt": b"3", "dir/sub/y": b"4", "dir/x": b"5", "other/z": b"6", "z": b"7"}


@pytest.mark.parametrize("kind", KINDS)
def test_objects_and_directories_that_are_named_and_nothing_else(place: Maker, kind: str) -> None:
    source, target = place(kind, "source"), place(kind, "target")
    source.fill(_TREE)
    target.fill({"dir/old": b"x", "other/old": b"x", "old": b"x", "z": b"other"})
    listed = ["a", "dir", "dir/x", "/other/z", "dir.txt", "a", "dir!", "dir/sub/"]
    ended = run(source, target, files_from=listed, delete_dst=True)
    assert ended.code == 0, ended
    assert target.data() == {
        **{key: data for key, data in _TREE.items() if key != "z"}, "other/old": b"x", "old": b"x", "z": b"other"
    }  # fmt: skip
    again = run(source, target, files_from=listed, delete_dst=True)
    assert again.result is not None
    assert (again.code, again.result.reasons, again.result.skipped) == (0, {}, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_names_fail_and_delete_nothing_unless_they_may_be_missing(place: Maker, kind: str) -> None:
    source, target = place(kind, "source"), place(kind, "target")
    source.fill(_TREE)
    target.fill({"dir/old": b"x", "gone": b"x", "gone.d/f": b"x"})
    listed = ["gone", "dir/", "gone.d/", "a/b"]
    ended = run(source, target, files_from=listed, delete_dst=True)
    assert ended.code == 1
    assert ended.result is not None
    assert sorted(failure.key for failure in ended.result.failures) == [b"a/b", b"gone", b"gone.d/"]
    assert set(target.data()) == {"dir/old", "dir/x", "dir/sub/y", "gone", "gone.d/f"}
    ended = run(source, target, files_from=listed, delete_dst=True, ignore_missing=True)
    assert ended.code == 0, ended
    assert "3 of the names in the list: a/b, gone, gone.d/" in ended.text
    assert set(target.data()) == {"dir/x", "dir/sub/y", "gone", "gone.d/f"}


def test_rules_ranges_and_limits_still_apply(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {**_TREE, "dir/x.tmp": b"t", "a.tmp": b"t"})
    listed = ["a.tmp", "a", "dir/", "other/", "z"]
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"exclude": "*.tmp"}, {"a", "dir/sub/y", "dir/x", "other/z", "z"}),
        ({"exclude": ["dir/", "z"]}, {"a", "a.tmp"}),
        ({"start": "dir/x", "end": "other/z"}, {"dir/x", "dir/x.tmp", "other/z"}),
        ({"limit": 3}, {"a", "a.tmp", "dir/sub/y"}),
        ({"max_size": 0}, set()),
    ]
    for number, (rules, expected) in enumerate(cases):
        target = tmp_path / f"d{number}"
        ended = run(f"{source}/", f"{target}/", files_from=listed, **rules)
        assert ended.code == 0, ended
        assert set(contents(target)) == expected, rules


def test_what_is_named_alone_is_never_deleted_even_with_delete_excluded(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a.tmp": b"1", "d/b.tmp": b"2", "d/c": b"3"})
    target = fill(tmp_path / "d", {"a.tmp": b"1", "d/b.tmp": b"2", "d/c": b"3"})
    ended = run(
        f"{source}/", f"{target}/", files_from=["a.tmp", "d"], exclude="*.tmp", delete_dst=True, delete_excluded=True
    )
    assert ended.code == 0, ended
    assert set(contents(target)) == {"a.tmp", "d/c"}


def test_links_are_copied_as_they_are_dangling_ones_too(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"d/f": b"1"})
    for link, leads in {"file": "d/f", "dir": "d", "nowhere": "none"}.items():
        (source / link).symlink_to(leads)
    listed = ["file", "dir", "nowhere"]
    ended = run(f"{source}/", f"{tmp_path}/links/", files_from=listed, links=True)
    assert ended.code == 0, ended
    assert {name: os.readlink(tmp_path / "links" / name) for name in listed} == {
        "file": "d/f", "dir": "d", "nowhere": "none"
    }  # fmt: skip
    ended = run(f"{source}/", f"{tmp_path}/followed/", files_from=listed)
    assert ended.code == 0, ended
    assert ended.result is not None
    assert ended.result.protected == 1
    assert contents(tmp_path / "followed") == {"file": b"1", "dir/f": b"1"}
    # a link of the destination is no way into what it leads to
    fill(tmp_path / "elsewhere", {"old": b"x"})
    (tmp_path / "d2").mkdir()
    (tmp_path / "d2/d").symlink_to(tmp_path / "elsewhere")
    ended = run(f"{source}/", f"{tmp_path}/d2/", files_from=["d/", "d/f"], delete_dst=True)
    assert ended.code == 1
    assert contents(tmp_path / "elsewhere") == {"old": b"x"}


def test_directories_as_entries_and_the_whole_address(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"d/empty/": b"", "e/": b"", "f": b"1"})
    assert run(f"{source}/", f"{tmp_path}/d/", files_from=["d"], dirs=True).code == 0
    assert sorted(path.relative_to(tmp_path / "d").as_posix() for path in (tmp_path / "d").rglob("*")) == [
        "d",
        "d/empty",
    ]
    fill(tmp_path / "d", {"old": b"x"})
    ended = run(f"{source}/", f"{tmp_path}/d/", files_from=["f", "/"], dirs=True, delete_dst=True)
    assert ended.code == 0, ended
    assert sorted(os.listdir(tmp_path / "d")) == ["d", "e", "f"]


def test_prefix_mode_check_and_refusals(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"test/a": b"1", "test/b": b"2", "text": b"3", "te": b"4"})
    ended = run(f"{source}/te", f"{tmp_path}/d/ab", files_from=["st/a", "xt"])
    assert ended.code == 0, ended
    assert contents(tmp_path / "d") == {"abst/a": b"1", "abxt": b"3"}
    fill(tmp_path / "d", {"abst/more": b"x"})
    assert fsync.check(f"{source}/te", f"{tmp_path}/d/ab", files_from=["st/a", "xt"]).exit_code == 0
    assert fsync.check(f"{source}/te", f"{tmp_path}/d/ab", files_from=["st"]).exit_code == 5
    assert fsync.check(f"{source}/te", f"{tmp_path}/d/ab", files_from=["none"]).exit_code == 1
    for bad in (["../x"], [""], str(tmp_path / "none")):
        assert run(f"{source}/", f"{tmp_path}/new/", files_from=bad).code == 2
    assert not (tmp_path / "new").exists()


# it lists no more than it must ------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The local directories whose names were read, in the order of reading."""
    seen: list[bytes] = []
    names = Scan._names

    def noted(scan: Scan, path: bytes) -> Any:
        seen.append(path)
        return names(scan, path)

    monkeypatch.setattr(Scan, "_names", noted)
    return seen


def test_local_directories_are_read_only_where_they_are_named(tmp_path: Path, read: list[bytes]) -> None:
    source = fill(tmp_path / "s", {f"{name}/{deep}/f": b"x" for name in "abc" for deep in "xyz"})
    target = fill(tmp_path / "d", {"a/x/old": b"o", "b/old": b"o"})
    listed = ["a/x/f", "b/y", "c/z/f", "c/z/none"]
    ended = run(f"{source}/", f"{target}/", files_from=listed, ignore_missing=True, processes=0)
    assert ended.code == 0, ended
    assert sorted(read) == sorted([os.fsencode(source) + b"/b/y/"])
    assert set(contents(target)) == {"a/x/f", "a/x/old", "b/y/f", "b/old", "c/z/f"}
    read.clear()
    assert run(f"{source}/", f"{target}/", files_from=["b"], exclude="b/", processes=0).code == 0
    assert read == []


def test_an_excluded_directory_with_many_files_costs_nothing(tmp_path: Path, read: list[bytes]) -> None:
    source = fill(tmp_path / "s", {"keep/f": b"1", "big/deep/": b""})
    for number in range(100_000):
        (source / f"big/deep/{number}").touch()
    for mode in (False, True):
        read.clear()
        ended = run(f"{source}/", f"{tmp_path}/d/", exclude="big/**" if mode else "big", match_full_path=mode, dry=True)
        assert ended.code == 0, ended
        assert [path for path in read if b"/big/" in path] == []
        assert os.fsencode(source) + b"/keep/" in read


def test_a_store_is_asked_for_what_is_named(place: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = place("moto", "source"), place("moto", "target")
    source.fill({f"{name}/{number}": b"x" for name in "abc" for number in range(5)})
    asked: list[tuple[str, str]] = []
    call = S3Storage.call_s3

    async def noted(storage: S3Storage, method: str, **arguments: Any) -> Any:
        if method in ("list_objects_v2", "head_object"):
            key = arguments.get("Prefix", arguments.get("Key"))
            asked.append((method[:4], key.removeprefix("some/prefix/")))
        return await call(storage, method, **arguments)

    monkeypatch.setattr(S3Storage, "call_s3", noted)
    ended = run(source, target, files_from=["a/1", "b/", "c/4", "c/9"], ignore_missing=True)
    assert ended.code == 0, ended
    assert set(target.data()) == {"a/1", "c/4", *(f"b/{number}" for number in range(5))}
    addresses = [("list", ""), ("list", "")]
    at_source = [("head", "a/1"), ("list", "b/"), ("list", "b/"), ("head", "c/4"), ("head", "c/9"), ("list", "c/9/")]
    at_destination = [("head", "a/1"), ("list", "b/"), ("head", "c/4")]
    assert sorted(asked) == sorted([*addresses, *at_source, *at_destination])


# in key order, each entry once --------------------------------------------------------------------------------------

_KEYS = st.sampled_from(["a", "a!", "a!b", "a.x", "a/b", "a/b/c", "a/b.c", "a/c", "b", "b!/x", "b/", "b/x", "c/d/e"])


@settings(max_examples=40)
@given(tree=st.sets(_KEYS, min_size=1), listed=st.lists(_KEYS | st.sampled_from(["a/", "c", "c/", "none"]), max_size=8))
def test_any_list_of_any_tree_gives_what_it_names(tree: set[str], listed: list[str]) -> None:
    files = {key for key in tree if not key.endswith("/") and not any(other.startswith(key + "/") for other in tree)}
    with tempfile.TemporaryDirectory() as name:
        source = fill(Path(name) / "s", {key: key.encode() for key in files} | {"zz": b"z"})
        expected = {key for key in files for line in listed if key == line or key.startswith(line.rstrip("/") + "/")}
        ended = run(f"{source}/", f"{name}/d/", files_from=listed, ignore_missing=True)
        assert ended.code == 0, ended
        assert set(contents(Path(name) / "d") if (Path(name) / "d").exists() else {}) == expected
        assert ended.result is not None
        assert ended.result.copied == len(expected)


# what failed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_report_is_a_list_of_what_failed(tmp_path: Path, ending: str) -> None:
    hostile = [b"line\nbreak", b"blank ", b"\xff", b"#x", b"plain"]
    source, target = fill(tmp_path / "s", {"fine": b"1"}), tmp_path / "d"
    for name in hostile:
        path = os.fsencode(source) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"x")
        os.utime(path, ns=(OLD, OLD))
        fill(target / os.fsdecode(name), {"in the way": b"x"})
    report = f"{tmp_path}/failed.{ending}"
    ended = run(f"{source}/", f"{target}/", report=report)
    assert ended.code == 1
    assert ended.result is not None
    assert ended.result.failed == len(hostile)
    for name in hostile:
        (target / os.fsdecode(name) / "in the way").unlink()
        (target / os.fsdecode(name)).rmdir()
    (source / "fine").write_bytes(b"changed")
    again = run(f"{source}/", f"{target}/", files_from=report)
    assert again.code == 0, again
    assert again.result is not None
    assert sorted(again.result.changed_keys()) == sorted(hostile)
    assert (target / "fine").read_bytes() == b"1"
