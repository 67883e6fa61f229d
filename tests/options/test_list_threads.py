"""``--list-threads`` and ``--list-depth``: the same listing by several requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec.implementations.memory
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsync
from fsync.address import parse
from fsync.api import run
from fsync.cli import main
from fsync.errors import AccessDenied
from fsync.storage.generic import GenericStorage
from tests.servers.s3 import S3Server
from tests.strategies import keys
from tests.unit.pages import rows_of, running


def walked(fs: Any, threads: int, prunes: Callable[[bytes], bool] | None = None, below: str = "") -> Any:
    async def look() -> Any:
        storage = GenericStorage(parse((fs, f"/tree/{below}")), shared)
        await storage.open()
        return rows_of([page async for page in storage.pages(prunes=prunes)])

    with running(list_threads=threads) as shared:
        return run(look())


def memory() -> Any:
    fs = fsspec.filesystem("memory", skip_instance_cache=True)
    fs.store, fs.pseudo_dirs = {}, [""]
    return fs


@given(st.sets(keys(), min_size=1, max_size=25), st.integers(2, 6))
def test_a_walk_gives_what_one_thread_gives(names: set[bytes], threads: int) -> None:
    fs = memory()
    for name in sorted(names):
        path = f"/tree/{name.decode()}"
        if not any(path.startswith(other + "/") or other.startswith(path + "/") for other in fs.store):
            fs.store[path] = fsspec.implementations.memory.MemoryFile(fs, path, b"x")
    one = walked(fs, 1)
    assert walked(fs, threads) == one
    assert {b"/tree/" + row["key"] for row in one if row["kind"] == 0} == {path.encode() for path in fs.store}


class Counting:
    """Counts the ``ls`` calls of a filesystem, and fails in one directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, failing: str = "") -> None:
        self.asked: list[str] = []
        self.under_way = self.most = 0
        plain = GenericStorage.call

        async def call(storage: GenericStorage, method: str, *args: Any, **kwargs: Any) -> Any:
            if method != "ls":
                return await plain(storage, method, *args, **kwargs)
            self.asked.append(args[0])
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await asyncio.sleep(0.002)
                if args[0] == failing:
                    raise PermissionError(failing)
                return await plain(storage, method, *args, **kwargs)
            finally:
                self.under_way -= 1

        monkeypatch.setattr(GenericStorage, "call", call)


def tree() -> Any:
    fs = memory()
    for directory in "abcdefgh":
        for below in "xyz":
            fs.pipe_file(f"/tree/{directory}/{below}/f", b"1")
    return fs


def test_a_walk_lists_the_coming_directories_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fs, counting = tree(), Counting(monkeypatch)
    found = walked(fs, 4)
    assert counting.most == 4
    assert len(counting.asked) == len(set(counting.asked)) == 1 + 8 + 24
    assert len(found) == 8 + 24 + 24
    counting.most = 0
    assert walked(fs, 1) == found
    assert counting.most == 1


def test_directories_that_rules_drop_are_not_listed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    fs, counting = tree(), Counting(monkeypatch)
    found = walked(fs, 4, prunes=lambda key: key.startswith(b"c/"))
    assert not any("/c" in asked for asked in counting.asked)
    assert {row["key"] for row in found if row["key"].startswith(b"c/")} == {b"c/"}


def test_an_error_of_one_directory_is_the_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    fs, counting = tree(), Counting(monkeypatch, failing="/tree/g/y")
    with pytest.raises(AccessDenied):
        walked(fs, 4)
    assert counting.under_way == 0


def test_a_bucket_is_synchronised_alike(s3_server: S3Server, bucket: Callable[[S3Server], str]) -> None:
    source, one, several = bucket(s3_server), bucket(s3_server), bucket(s3_server)
    client = s3_server.client()
    for key in ("a", "a-", "a/b", "a0", "d/e/f", "d/e0", "x/y/z/w", "x/skip/q", "x.y"):
        client.put_object(Bucket=source, Key=key, Body=key.encode())
    for target in (one, several):
        for key in ("old", "d/old", "x/skip/old"):
            client.put_object(Bucket=target, Key=key, Body=b"?")
    options: Any = {"storage_options": s3_server.storage_options, "exclude": ["skip/"], "delete_dst": True}
    plain = fsync.sync(f"s3://{source}/", f"s3://{one}/", **options)
    sharded = fsync.sync(f"s3://{source}/", f"s3://{several}/", list_threads=4, list_depth=2, **options)
    assert (sharded.copied, sharded.deleted, sharded.failed) == (plain.copied, plain.deleted, plain.failed) == (8, 2, 0)
    listings = [{item["Key"] for item in client.list_objects_v2(Bucket=name)["Contents"]} for name in (one, several)]
    assert listings[0] == listings[1] >= {"x/skip/old", "x/y/z/w"}
    again = fsync.sync(f"s3://{source}/", f"s3://{several}/", list_threads=4, list_depth=2, **options)
    assert (again.copied, again.updated, again.deleted) == (0, 0, 0)


@pytest.mark.parametrize("option", ["--list-threads", "--list-depth"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_no_thread_at_all_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    (tmp_path / "a").mkdir()
    assert main(["sync", f"{option}={value}", f"{tmp_path}/a/", f"{tmp_path}/b/"]) == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_local_tree_says_that_it_is_listed_by_one_thread(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    notices: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "notice":
            notices.append(event["text"])

    result = fsync.sync(f"{tmp_path}/a/", f"{tmp_path}/b/", list_threads=3, progress=listen)
    assert result.copied == 1
    assert [text for text in notices if "--list-threads" in text] == [
        f"--list-threads: {tmp_path}/a/ is listed by one thread all the same"
    ]
