"""--start and --end: keys outside do not exist, on either side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import fsync
from fsync.api import run as run_here
from fsync.keyrange import KeyRange
from fsync.storage.scan import Scan
from fsync.traits import KeyOrder
from tests.safety.conftest import KINDS, Maker
from tests.safety.places import contents, fill, run
from tests.servers.s3 import S3Server

_TREE = {"a": b"1", "b": b"2", "b.x": b"3", "b/": b"", "c/e": b"4", "c/f": b"5", "c/g/h": b"6", "d": b"7", "e/x": b"8"}
_SOURCE = {key: data for key, data in _TREE.items() if not key.endswith("/") and key != "b"} | {"b0": b"9"}


def _inside(start: str | None, end: str | None) -> set[str]:
    return {key for key in _SOURCE if (start is None or key >= start) and (end is None or key <= end)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "end"), [("c/e", "c/f"), ("b.x", None), (None, "d"), ("c", "c/g"), ("d0", "dz")])
def test_both_ends_are_included_and_deletions_stay_inside(
    place: Maker, kind: str, start: str | None, end: str | None
) -> None:
    source, target = place(kind, "source"), place(kind, "target")
    source.fill(_SOURCE)
    extras = {"a.old": b"x", "c/e.old": b"x", "c/g.old": b"x", "z": b"x"}
    target.fill(extras)
    inside = _inside(start, end)
    ended = run(source, target, start=start, end=end, delete_dst=True)
    assert ended.code == (0 if inside else 4), ended
    kept = {
        key for key in extras if not inside or not ((start is None or key >= start) and (end is None or key <= end))
    }
    assert set(target.data()) == inside | kept
    again = run(source, target, start=start, end=end, delete_dst=True)
    assert again.code == ended.code
    if again.result is not None and inside:
        assert (again.result.reasons, again.result.skipped) == ({}, len(inside))


def test_a_dangling_link_before_the_range_protects_what_lies_below_it(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {"b": b"1"}), fill(tmp_path / "d", {"a/x": b"2", "a/y": b"2"})
    (source / "a").symlink_to("nowhere")
    ended = run(f"{source}/", f"{target}/", start="a/", delete_dst=True)
    assert ended.code == 0, ended
    assert contents(target) == {"a/x": b"2", "a/y": b"2", "b": b"1"}


def test_directories_and_links_obey_the_range_too(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a/": b"", "b/": b"", "c/f": b"1", "d/": b""})
    (source / "b.link").symlink_to("x")
    (source / "z.link").symlink_to("x")
    ended = run(f"{source}/", f"{tmp_path}/d/", start="b", end="c/f", dirs=True, links=True)
    assert ended.code == 0, ended
    assert sorted(os.listdir(tmp_path / "d")) == ["b", "b.link", "c"]


def test_prefix_mode_and_ls_compare_what_follows_the_prefix(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"te": b"0", "tea": b"1", "test/a": b"2", "test/z": b"3", "text": b"4"})
    ended = run(f"{source}/te", f"{tmp_path}/d/ab", start="a", end="st/m")
    assert ended.code == 0, ended
    assert contents(tmp_path / "d") == {"aba": b"1", "abst/a": b"2"}
    keys = fsync.ls(f"{source}/te", start="st/a", end="st/z").column("key").to_pylist()
    assert keys == [b"st/a", b"st/z"]
    assert run(f"{source}/", f"{tmp_path}/d/", start="b", end="a").code == 2


def test_local_directories_outside_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "s", {f"{name}/{deep}/f": b"x" for name in "abcde" for deep in "xy"})
    read: list[bytes] = []
    names = Scan._names
    monkeypatch.setattr(Scan, "_names", lambda self, path: (read.append(path), names(self, path))[1])
    assert run(f"{source}/", f"{tmp_path}/d/", start="b/y/f", end="c/x/f", dry=True).code == 0
    top = os.fsencode(source)
    wanted = [b"/", b"/b/", b"/b/y/", b"/c/", b"/c/x/"]
    assert [path for path in read if path.startswith(top)] == [top + path for path in wanted]


@pytest.mark.parametrize(("start", "end"), [("m00030", "m00035"), ("m00050", None), (None, "m00003"), ("\ue000", None)])
def test_an_ordered_store_begins_and_ends_its_listing_near_the_range(
    moto_s3: S3Server, bucket: Any, start: str | None, end: str | None
) -> None:
    from fsync.address import parse
    from fsync.filters import Rules
    from fsync.listing import Listing
    from fsync.storage import open_storage
    from fsync.storage.running import Running
    from fsync.storage.s3_columns import columns_of

    name = bucket(moto_s3)
    keys = [f"m{number:05}" for number in range(60)] + ["\ud7ff", "\ue000", "\ue001"]
    for key in keys:
        moto_s3.client().put_object(Bucket=name, Key=f"p/{key}", Body=b"x")

    async def listed() -> tuple[list[bytes], int]:
        storage: Any = await open_storage(parse(f"s3://{name}/p/", options=moto_s3.storage_options), Running())
        try:
            await storage.probe()
            storage._order(KeyOrder.BYTES)
            answers, call = 0, storage.call_s3

            async def counted(method: str, **arguments: Any) -> Any:
                nonlocal answers
                answer = await call(method, **arguments, **({"MaxKeys": 5} if method == "list_objects_v2" else {}))
                answers += len(columns_of(answer).key)
                return answer

            storage.call_s3 = counted
            within = KeyRange(start and start.encode(), end and end.encode())
            pages = Listing(storage, Rules(), follow=True, within=within).pages()
            found = [key async for page in pages for key in page.column("key").to_pylist()]
            return found, answers
        finally:
            await storage.close()
            storage.running.shutdown()

    found, answered = run_here(listed())
    inside = [key.encode() for key in keys if (start is None or key >= start) and (end is None or key <= end)]
    assert found == inside
    # what is asked for beyond it: the look-ahead
    assert answered <= len(inside) + 5 * 5
    if end is None:
        assert answered <= len(inside) + 1
