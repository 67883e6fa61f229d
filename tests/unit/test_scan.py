"""The listing of a local tree: order, links, what is no file, and when an entry came under its name."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsync.errors import ListingError, SourceNotFound
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import Kind
from fsync.storage.lookup import Lookup
from fsync.storage.partial import partial_name
from fsync.storage.rows import DIRECTORY, FILE, LINK, OTHER
from fsync.storage.scan import Scan
from fsync.storage.scanning import page_of
from fsync.storage.walk import PAGE_ROWS
from tests.strategies import hostile_components, parents, trees, undecodable_components
from tests.unit.pages import keys_of, rows_of

#: 2001: long before this test
_OLD = 1_000_000_000 * 1_000_000_000
#: how far a file's time may lag behind the clock
_TICK = 20_000_000

Rows = dict[bytes, dict[str, Any]]


def scan(
    root: Path | bytes | str,
    *,
    follow: bool = True,
    prunes: Callable[[bytes], bool] | None = None,
    within: KeyRange = EVERY_KEY,
) -> Scan:
    return Scan(os.fsencode(root), str(root), follow=follow, prunes=prunes, page_rows=PAGE_ROWS, within=within)


def looked_up(root: bytes | str, keys: list[bytes], *, follow: bool = True) -> Any:
    return Lookup(os.fsencode(root), str(root), follow=follow, prunes=None).rows(keys)


def pages(found: Scan) -> Iterator[pa.RecordBatch]:
    """Yield what a scan lists."""
    while (rows := found.more()) is not None:
        yield page_of(rows.packed())


def listed(root: Path, *, follow: bool = True) -> Rows:
    """Return the rows below a directory by key."""
    rows = rows_of(pages(scan(f"{root}/", follow=follow)))
    assert [row["key"] for row in rows] == sorted({row["key"] for row in rows})
    return {row["key"]: row for row in rows}


def kinds(rows: Rows) -> dict[bytes, tuple[Kind, bytes | None]]:
    return {key: (Kind(row["kind"]), row["link"]) for key, row in rows.items()}


def write(path: Path, data: bytes = b"x", mtime: int = _OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime, mtime))
    return path


# order -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(trees(components=hostile_components | undecodable_components, most=25))
def test_every_entry_once_in_the_order_of_the_keys(tree: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = os.fsencode(name) + b"/"
        for key, data in tree.items():
            os.makedirs(os.path.dirname(root + key), exist_ok=True)
            Path(os.fsdecode(root + key)).write_bytes(data)
        rows = rows_of(pages(scan(root)))
    directories = {parent + b"/" for key in tree for parent in parents(key)}
    assert [row["key"] for row in rows] == sorted({*tree, *directories})
    for row in rows:
        if row["key"] in tree:
            assert (row["kind"], row["size"]) == (Kind.FILE, len(tree[row["key"]]))
        else:
            assert (row["kind"], row["size"]) == (Kind.DIRECTORY, 0)


def test_pages_go_on_where_they_ended(tmp_path: Path) -> None:
    names = [f"d{number % 3}/{number:05}" for number in range(2 * PAGE_ROWS + 10)]
    for directory in ("d0", "d1", "d2"):
        (tmp_path / directory).mkdir()
    for name in names:
        os.close(os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY))
    found = list(pages(scan(f"{tmp_path}/")))
    # a short one first, with which copying begins
    assert [page.num_rows for page in found] == [1024, PAGE_ROWS, PAGE_ROWS - 1024 + 13]
    assert keys_of(found) == sorted([*(name.encode() for name in names), b"d0/", b"d1/", b"d2/"])


def test_the_codes_are_those_of_the_schema() -> None:
    assert (FILE, DIRECTORY, LINK, OTHER) == (Kind.FILE, Kind.DIRECTORY, Kind.LINK, Kind.OTHER)


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"12345", 1_234_567_890_123_456_789)
    path.chmod(0o640)
    row = listed(tmp_path)[b"a"]
    facts = path.stat()
    assert (row["size"], row["mtime"], row["mode"]) == (5, 1_234_567_890_123_456_789, facts.st_mode)
    assert row["changed"] == facts.st_ctime_ns
    assert row["etag"] is row["digest"] is row["link"] is None


def test_a_prefix_is_a_beginning_of_names(tmp_path: Path) -> None:
    for name in ("te", "te.txt", "test/a", "t", "x/te"):
        write(tmp_path / f"{name}.d" / "f" if name == "te" else tmp_path / name)
    assert keys_of(pages(scan(f"{tmp_path}/te"))) == [b".d/", b".d/f", b".txt", b"st/", b"st/a"]
    assert keys_of(pages(scan(f"{tmp_path}/test"))) == [b"/", b"/a"]
    assert keys_of(pages(scan(f"{tmp_path}/te.txt"))) == [b""]
    assert keys_of(pages(scan(f"{tmp_path}/none"))) == []


def test_what_is_pruned_is_told_and_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x")
    write(tmp_path / "b" / "y")
    asked: list[bytes] = []

    def prunes(key: bytes) -> bool:
        asked.append(key)
        return key == b"a/"

    assert keys_of(pages(scan(f"{tmp_path}/", prunes=prunes))) == [b"a/", b"b/", b"b/y"]
    assert asked == [b"a/", b"b/"]


# links and what is no file ---------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A tree with every kind of link."""
    root = tmp_path / "root"
    write(root / "file", b"12")
    write(root / "sub" / "inner", b"345")
    write(tmp_path / "outside" / "o", b"6789")
    for name, target in {
        "to-file": "file", "to-sub": "sub", "to-outside": "../outside", "chain": "to-file", "dangling": "nowhere",
        "self": "self", "sub/up": "..", "sub/here": ".",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    return root


def test_links_are_followed(linked: Path) -> None:
    rows = listed(linked)
    assert kinds(rows) == {
        b"chain": (Kind.FILE, None),
        b"dangling": (Kind.OTHER, b"dangling"),
        b"file": (Kind.FILE, None),
        b"self": (Kind.OTHER, b"loop"),
        b"sub/": (Kind.DIRECTORY, None),
        b"sub/here/": (Kind.OTHER, b"loop"),
        b"sub/inner": (Kind.FILE, None),
        b"sub/up/": (Kind.OTHER, b"loop"),
        b"to-file": (Kind.FILE, None),
        b"to-outside/": (Kind.DIRECTORY, None),
        b"to-outside/o": (Kind.FILE, None),
        b"to-sub/": (Kind.DIRECTORY, None),
        b"to-sub/here/": (Kind.OTHER, b"loop"),
        b"to-sub/inner": (Kind.FILE, None),
        b"to-sub/up/": (Kind.OTHER, b"loop"),
    }
    assert [rows[key]["size"] for key in (b"chain", b"to-file", b"to-outside/o", b"to-sub/inner")] == [2, 2, 4, 3]
    assert rows[b"dangling"]["size"] is rows[b"dangling"]["mtime"] is None


def test_links_are_told_as_links(linked: Path) -> None:
    rows = listed(linked, follow=False)
    assert kinds(rows) == {
        b"chain": (Kind.LINK, b"to-file"),
        b"dangling": (Kind.LINK, b"nowhere"),
        b"file": (Kind.FILE, None),
        b"self": (Kind.LINK, b"self"),
        b"sub/": (Kind.DIRECTORY, None),
        b"sub/here": (Kind.LINK, b"."),
        b"sub/inner": (Kind.FILE, None),
        b"sub/up": (Kind.LINK, b".."),
        b"to-file": (Kind.LINK, b"file"),
        b"to-outside": (Kind.LINK, b"../outside"),
        b"to-sub": (Kind.LINK, b"sub"),
    }
    facts = os.lstat(linked / "to-file")
    assert (rows[b"to-file"]["size"], rows[b"to-file"]["mtime"]) == (4, facts.st_mtime_ns)


@pytest.mark.parametrize("where", ["", "sub/"])
@pytest.mark.parametrize("target", ["file/below", "x" * 300], ids=["through a file", "too long"])
def test_a_link_that_leads_nowhere_in_another_way_dangles_too(tmp_path: Path, where: str, target: str) -> None:
    write(tmp_path / where / "file")
    (tmp_path / where / "link").symlink_to(target)
    assert kinds(listed(tmp_path))[f"{where}link".encode()] == (Kind.OTHER, b"dangling")


def test_what_is_no_file_is_special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to-fifo").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        rows = listed(tmp_path)
    assert kinds(rows) == dict.fromkeys((b"fifo", b"socket", b"to-fifo"), (Kind.OTHER, b"special"))
    assert kinds(listed(tmp_path, follow=False))[b"to-fifo"] == (Kind.LINK, b"fifo")


def test_one_directory_by_two_ways_is_listed_twice(tmp_path: Path) -> None:
    write(tmp_path / "d" / "f")
    (tmp_path / "one").symlink_to("d")
    (tmp_path / "two").symlink_to("d")
    assert set(listed(tmp_path)) == {b"d/", b"d/f", b"one/", b"one/f", b"two/", b"two/f"}


def test_a_circle_of_two_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "to-b").symlink_to("../b")
    (tmp_path / "b" / "to-a").symlink_to("../a")
    assert kinds(listed(tmp_path)) == {
        b"a/": (Kind.DIRECTORY, None),
        b"a/to-b/": (Kind.DIRECTORY, None),
        b"a/to-b/to-a/": (Kind.OTHER, b"loop"),
        b"b/": (Kind.DIRECTORY, None),
        b"b/to-a/": (Kind.DIRECTORY, None),
        b"b/to-a/to-b/": (Kind.OTHER, b"loop"),
    }


def test_unfinished_files_are_invisible_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / os.fsdecode(partial_name(b"a", "0123456789abcdef")))
    write(tmp_path / "d" / os.fsdecode(partial_name(b"x" * 255, "0" * 16)))
    write(tmp_path / ".a.partial")
    found = scan(f"{tmp_path}/")
    assert keys_of(pages(found)) == [b".a.partial", b"a", b"d/"]
    assert found.partials == 2


# what is not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["missing/", "missing/deep/x", "file/", "file/x"])
def test_a_root_that_is_missing_is_an_error(tmp_path: Path, root: str) -> None:
    write(tmp_path / "file")
    with pytest.raises(SourceNotFound, match=root):
        list(pages(scan(f"{tmp_path}/{root}")))


def on_scandir(monkeypatch: pytest.MonkeyPatch, what: dict[Path, Callable[[], object]]) -> None:
    """Let something happen right before a directory is listed."""
    original = os.scandir

    def scandir(path: Any) -> Any:
        for directory, happens in what.items():
            if isinstance(path, bytes) and path.rstrip(b"/") == os.fsencode(directory):
                happens()
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_directory_that_vanishes_is_told_as_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x", "b/y", "c/z"):
        write(tmp_path / name)
    on_scandir(monkeypatch, {tmp_path / "b": lambda: shutil.rmtree(tmp_path / "b")})
    assert kinds(listed(tmp_path)) == {
        b"a/": (Kind.DIRECTORY, None),
        b"a/x": (Kind.FILE, None),
        b"b/": (Kind.OTHER, b"vanished"),
        b"c/": (Kind.DIRECTORY, None),
        b"c/z": (Kind.FILE, None),
    }


def test_a_directory_that_is_there_but_cannot_be_listed_ends_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "b" / "y")

    def fail() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    on_scandir(monkeypatch, {tmp_path / "b": fail})
    with pytest.raises(ListingError, match=r"cannot list .*/b/: No such file or directory"):
        listed(tmp_path)


def test_a_directory_that_turns_into_a_file_ends_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "b" / "y")

    def replace() -> None:
        shutil.rmtree(tmp_path / "b")
        write(tmp_path / "b")

    on_scandir(monkeypatch, {tmp_path / "b": replace})
    with pytest.raises(ListingError, match="Not a directory"):
        listed(tmp_path)


def test_an_error_in_the_middle_ends_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "b" / "y")

    def fail() -> None:
        raise OSError(5, "Input/output error")

    on_scandir(monkeypatch, {tmp_path / "b": fail})
    with pytest.raises(ListingError, match="Input/output error"):
        listed(tmp_path)


def test_a_file_that_vanishes_is_told_as_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # after its directory's names are read, the directory before it is listed
    write(tmp_path / "a" / "x")
    path = write(tmp_path / "b")
    on_scandir(monkeypatch, {tmp_path / "a": path.unlink})
    assert kinds(listed(tmp_path))[b"b"] == (Kind.OTHER, b"vanished")


def test_a_file_that_turns_into_a_directory_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a" / "x")
    path = write(tmp_path / "b")

    def replace() -> None:
        path.unlink()
        write(path / "y")

    on_scandir(monkeypatch, {tmp_path / "a": replace})
    assert kinds(listed(tmp_path))[b"b"][0] is Kind.OTHER


# when an entry came under its name -------------------------------------------------------------------------------


@pytest.fixture
def after(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Give a function that waits for the clock of file times to tick and returns the time."""

    def wait() -> int:
        time.sleep(0.03)
        return time.time_ns() - _TICK

    yield wait  # noqa: PT022 - one name for what the tests share


def test_a_new_file_changed_when_it_was_written(tmp_path: Path, after: Callable[[], int]) -> None:
    before = after()
    write(tmp_path / "f")
    assert before <= listed(tmp_path)[b"f"]["changed"] <= time.time_ns()


def test_a_file_under_a_new_name_has_changed(tmp_path: Path, after: Callable[[], int]) -> None:
    write(tmp_path / "one")
    before = after()
    os.rename(tmp_path / "one", tmp_path / "two")
    row = listed(tmp_path)[b"two"]
    assert row["mtime"] == _OLD
    assert row["changed"] >= before


def test_everything_in_a_directory_under_a_new_name_has_changed(tmp_path: Path, after: Callable[[], int]) -> None:
    write(tmp_path / "one" / "sub" / "f")
    write(tmp_path / "other" / "f")
    before = after()
    os.rename(tmp_path / "one", tmp_path / "two")
    rows = listed(tmp_path)
    assert rows[b"two/sub/f"]["changed"] >= before
    assert rows[b"other/f"]["changed"] < before
    assert rows[b"two/sub/f"]["mtime"] == _OLD


def test_a_file_beside_a_new_one_has_not_changed(tmp_path: Path, after: Callable[[], int]) -> None:
    write(tmp_path / "d" / "f")
    before = after()
    write(tmp_path / "d" / "g")
    rows = listed(tmp_path)
    assert rows[b"d/f"]["changed"] < before <= rows[b"d/g"]["changed"]


@pytest.mark.parametrize("target", ["file", "directory"])
def test_what_a_link_leads_to_changes_with_the_link(tmp_path: Path, target: str, after: Callable[[], int]) -> None:
    for name in ("one", "two"):
        write(tmp_path / name if target == "file" else tmp_path / name / "f")
    (tmp_path / "link").symlink_to("one")
    before = after()
    os.unlink(tmp_path / "link")
    (tmp_path / "link").symlink_to("two")
    rows = listed(tmp_path)
    below = b"" if target == "file" else b"/f"
    assert rows[b"link" + below]["changed"] >= before
    assert rows[b"two" + below]["changed"] < before
    assert rows[b"link" + below]["mtime"] == _OLD


def test_a_link_changes_with_what_it_leads_to(tmp_path: Path, after: Callable[[], int]) -> None:
    write(tmp_path / "file")
    (tmp_path / "link").symlink_to("file")
    before = after()
    write(tmp_path / "file", b"y")
    assert listed(tmp_path)[b"link"]["changed"] >= before


def test_a_time_in_the_future_says_nothing_of_the_change(tmp_path: Path, after: Callable[[], int]) -> None:
    before = after()
    future = time.time_ns() + 10**18
    write(tmp_path / "f", mtime=future)
    row = listed(tmp_path)[b"f"]
    assert row["mtime"] == future
    assert before <= row["changed"] <= time.time_ns()


def test_a_time_before_1970(tmp_path: Path) -> None:
    write(tmp_path / "f", mtime=-(10**17) - 1)
    assert listed(tmp_path)[b"f"]["mtime"] == -(10**17) - 1


def test_a_time_that_no_column_holds_does_not_end_the_listing(tmp_path: Path) -> None:
    write(tmp_path / "f")
    os.utime(tmp_path / "f", (13_569_465_600, 13_569_465_600))
    if (tmp_path / "f").stat().st_mtime != 13_569_465_600:
        pytest.skip("the file system keeps no times after 2262")
    assert listed(tmp_path)[b"f"]["size"] == 1


# parts of a tree ---------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(trees(components=hostile_components | undecodable_components, most=20), st.data())
def test_one_directory_and_single_rows_are_as_in_the_whole(tree: dict[bytes, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = os.fsencode(name) + b"/"
        for key, content in tree.items():
            os.makedirs(os.path.dirname(top + key), exist_ok=True)
            Path(os.fsdecode(top + key)).write_bytes(content)
        whole = rows_of(pages(scan(top)))
        keys = [row["key"] for row in whole]
        assert rows_of([page_of(looked_up(top, keys).packed())]) == whole
        directories = [key for key in keys if key.endswith(b"/")]
        if directories:
            under = data.draw(st.sampled_from(directories))
            part = rows_of(pages(scan(top, within=KeyRange(under=under))))
            assert part == [row for row in whole if row["key"].startswith(under)]
        if keys:
            start, end = sorted(data.draw(st.tuples(st.sampled_from(keys), st.sampled_from(keys))))
            within = KeyRange(start, end)
            part = rows_of(pages(scan(top, within=within)))
            assert [row for row in part if within.holds(row["key"])] == [
                row for row in whole if start <= row["key"] <= end
            ]


@pytest.mark.parametrize("follow", [True, False])
def test_single_rows_of_links_loops_and_nothing(tmp_path: Path, follow: bool) -> None:
    write(tmp_path / "d/f")
    for link, target in {"file": "d/f", "dir": "d", "nowhere": "x", "d/up": "..", "self": "self"}.items():
        (tmp_path / link).symlink_to(target)
    absent = [b"d/f/", b"d/f/x", b"d/up/d/f", b"none", b"none/x", b"n" * 300]
    asked = [b"d", b"d/", b"d/f", b"dir", b"dir/f", b"dir/up", b"d/up", b"file", b"nowhere", b"self", *absent]
    rows = looked_up(f"{tmp_path}/", asked, follow=follow)
    found = kinds({row["key"]: row for row in rows_of([page_of(rows.packed())])})
    assert found == kinds(listed(tmp_path, follow=follow))


def test_directories_outside_the_range_are_not_entered(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / name / "f")
    for closed in "ad":
        (tmp_path / closed).rename(tmp_path / f"{closed}{closed}")
    entered: list[bytes] = []

    def prunes(directory: bytes) -> bool:
        entered.append(directory)
        return False

    list(pages(scan(f"{tmp_path}/", prunes=prunes, within=KeyRange(b"b/f", b"c/f"))))
    assert entered == [b"b/", b"c/"]
    with pytest.raises(SourceNotFound, match="does not exist"):
        list(pages(scan(f"{tmp_path}/", within=KeyRange(under=b"none/"))))
    with pytest.raises(SourceNotFound, match="is not a directory"):
        list(pages(scan(f"{tmp_path}/", within=KeyRange(under=b"b/f/"))))
