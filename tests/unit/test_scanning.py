"""A large local tree is read by a helper process from some point on; the listing is the same whatever becomes of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from fsync.errors import ListingError
from fsync.schema import Kind
from fsync.storage.child import DIED, Child
from fsync.storage.rows import Packed
from fsync.storage.running import Running
from fsync.storage.scan import Scan
from fsync.storage.scanning import Scanning, page_of

_FILES = 30_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files, a few of them odd, in directories of very different sizes."""
    root = tmp_path_factory.mktemp("tree")
    for number in range(_FILES):
        directory = root / f"d{number % 7 if number % 3 else 9}"
        if number < 50:
            directory.mkdir(exist_ok=True)
        os.close(os.open(directory / f"f{number:05}", os.O_CREAT | os.O_WRONLY))
    (root / "d9" / "dangling").symlink_to("nowhere")
    (root / "d9" / "loop").symlink_to(".")
    os.mkfifo(root / "e")
    os.utime(root / "d1" / "f00001", ns=(-5, -5))
    return root


Look = Callable[[int], None]


def listing(root: Path, *, processes: int, look: Look | None = None, follow: bool = True) -> tuple[pa.Table, Running]:
    """Return all rows of a listing; ``look`` is called after each page with the number of rows so far."""
    running = Running(processes=processes)

    async def collect() -> list[pa.RecordBatch]:
        pages: list[pa.RecordBatch] = []
        async for page in Scanning(os.fsencode(f"{root}/"), str(root), running, follow=follow, prunes=None).pages():
            pages.append(page)
            if look is not None:
                look(sum(one.num_rows for one in pages))
        return pages

    try:
        return pa.Table.from_batches(asyncio.run(collect())).combine_chunks(), running
    finally:
        running.shutdown()


def scanners() -> list[psutil.Process]:
    """Return the helpers that read trees for this test process."""
    return [child for child in psutil.Process().children() if _is_scanner(child)]


def _is_scanner(child: psutil.Process) -> bool:
    try:
        return any("serving.scan()" in word for word in child.cmdline())
    except psutil.Error:
        # it has ended
        return False


@pytest.mark.parametrize("follow", [True, False])
def test_a_helper_lists_what_one_process_lists(tree: Path, follow: bool) -> None:
    alone, without = listing(tree, processes=0, follow=follow)
    helped, running = listing(tree, processes=1, follow=follow)
    assert (without.scanners, running.scanners) == (0, 1)
    assert alone.num_rows > _FILES
    assert helped.equals(alone)
    assert scanners() == []


def test_a_helper_that_dies_costs_nothing(tree: Path) -> None:
    killed = []

    def kill(rows: int) -> None:
        for child in scanners() if rows > 12_000 and not killed else ():
            child.kill()
            child.wait()
            killed.append(child.pid)

    helped, _ = listing(tree, processes=1, look=kill)
    assert killed
    assert helped.equals(listing(tree, processes=0)[0])


def test_a_listing_that_is_dropped_leaves_no_helper(tree: Path) -> None:
    running = Running(processes=1)

    async def some() -> None:
        pages = Scanning(os.fsencode(f"{tree}/"), str(tree), running, follow=True, prunes=None).pages()
        rows = 0
        while rows < 15_000:
            rows += (await anext(pages)).num_rows
        assert len(scanners()) == 1
        await pages.aclose()  # type: ignore[attr-defined]

    asyncio.run(some())
    running.shutdown()
    assert scanners() == []


def test_an_error_in_the_helper_is_the_listings(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "f").touch()
    scan = Scan(os.fsencode(f"{tmp_path}/"), str(tmp_path), follow=True, prunes=None, page_rows=4)
    assert scan.more() is not None
    # what the kernel refuses to look at, in the place of what was listed
    scan._stack[0].names[-1] = b"x" * 300  # type: ignore[index]
    child = Child("scan")
    child.send(scan)
    answers = []
    while not isinstance(answer := child.receive(), (Exception, Scan)):
        assert isinstance(answer, Packed)
        answers.append(page_of(answer))
    child.kill()
    child.close()
    assert answers
    assert isinstance(answer, ListingError)
    assert "File name too long" in str(answer)
    with pytest.raises((*DIED, ValueError)):
        child.receive()


def test_what_is_unknown_is_null(tree: Path) -> None:
    rows = {row["key"]: row for row in listing(tree, processes=0)[0].drop_columns(["mtime", "changed"]).to_pylist()}
    assert (rows[b"e"]["kind"], rows[b"e"]["size"], rows[b"e"]["link"]) == (Kind.OTHER, None, b"special")
    assert (rows[b"d9/dangling"]["link"], rows[b"d9/loop/"]["link"]) == (b"dangling", b"loop")
    assert (rows[b"d1/"]["kind"], rows[b"d1/"]["size"], rows[b"d1/f00001"]["size"]) == (Kind.DIRECTORY, 0, 0)
    assert rows[b"e"]["mode"] is None
    assert rows[b"d1/f00001"]["mode"] is not None


@pytest.mark.parametrize("serve", ["scan", "copy"])
def test_a_helper_whose_owner_has_gone_says_nothing(serve: str, capfd: pytest.CaptureFixture[str]) -> None:
    child = Child(serve)
    child.end_input()
    child.close()
    assert capfd.readouterr().err == ""
