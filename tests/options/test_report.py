"""--report: one row an action (ls: an entry), the same in every format as in the result's table."""

from __future__ import annotations

import base64
import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import fsync
from fsync.errors import OptionError
from tests.safety.conftest import Maker
from tests.safety.places import LocalPlace, contents, fill, run, snapshot

ENDINGS = (".jsonl", ".csv", ".parquet")
_ENDING = pytest.mark.parametrize("ending", ENDINGS)


def _printed(key: bytes) -> str:
    """Write a key as text, undecodable bytes and control characters as ``\\xNN``."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        text = key.decode("utf-8", "surrogateescape")
        return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Return a table's rows with texts for binary values and times."""
    columns: dict[str, list[Any]] = {}
    for field in table.schema:
        column = table.column(field.name)
        if pa.types.is_timestamp(field.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        values = column.to_pylist()
        if pa.types.is_binary(field.type):
            values = [None if value is None else _printed(value) for value in values]
        columns[field.name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def check_file(path: Path, table: pa.Table) -> None:
    """Hold a file to a table, row by row and in its order."""
    keys = table.column("key").to_pylist()
    expected = plain(table)
    if path.suffix == ".parquet":
        read = pq.read_table(path)
        assert read.column_names == table.column_names
        assert read.column("key").to_pylist() == keys
        assert plain(read) == expected
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in expected]
        assert rows == texts
        assert list(rows[0] if rows else table.column_names) == table.column_names
    else:
        lines = path.read_bytes().splitlines()
        assert all(line.isascii() for line in lines)
        rows = [json.loads(line) for line in lines]
        for row, key in zip(rows, keys, strict=True):
            encoded = row.pop("key_base64", None)
            assert (base64.b64decode(encoded) if encoded else row["key"].encode()) == key
        assert rows == expected
    assert not Path(f"{path}.partial").exists()


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a destination with work of every kind, and names that are hard to write down."""
    source = fill(tmp_path / "source", {"new": b"1", "same": b"1", "differs": b"longer", 'a "b", c': b"2", "l\n": b"3"})
    target = fill(tmp_path / "target", {"same": b"1", "differs": b"old", "extra": b"4", "mode": b"5"})
    for name in (b"\xff\xe9", b"\xc3\xa9/\xe2\x82\xac"):
        path = os.path.join(os.fsencode(source), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(b"6")
    os.symlink(b"\xffto", os.path.join(os.fsencode(source), b"link"))
    fill(source, {"mode": b"5"})
    (source / "mode").chmod(0o600)
    return source, target


@_ENDING
def test_a_sync(ends: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    source, target = ends
    path = tmp_path / f"report{ending}"
    ended = run(f"{source}/", f"{target}/", delete_dst=True, links=True, perms=True, report=str(path))
    assert ended.code == 0, ended
    assert ended.result is not None
    table = ended.result.table()
    assert sorted(set(table.column("action").to_pylist())) == ["copy", "delete", "metadata", "update"]
    assert table.num_rows == 9
    check_file(path, table)
    again = run(f"{source}/", f"{target}/", delete_dst=True, links=True, perms=True, report=str(path))
    assert again.result is not None
    assert again.result.table().num_rows == 0
    check_file(path, again.result.table())


@_ENDING
@pytest.mark.parametrize("verb", ["dry", "check"])
def test_what_is_only_told(ends: tuple[Path, Path], tmp_path: Path, ending: str, verb: str) -> None:
    source, target = ends
    path = tmp_path / f"report{ending}"
    before = snapshot(target)
    if verb == "dry":
        result = fsync.sync(f"{source}/", f"{target}/", dry=True, delete_dst=True, report=path)
    else:
        result = fsync.check(f"{source}/", f"{target}/", report=path)
    assert result.table().num_rows > 5
    assert set(result.table().column("status").to_pylist()) == {"planned"}
    check_file(path, result.table())
    assert snapshot(target) == before


@_ENDING
def test_failures(tmp_path: Path, ending: str) -> None:
    source = fill(tmp_path / "source", {"clash": b"file", "good": b"1"})
    target = fill(tmp_path / "target", {"clash/kept": b"k"})
    path = tmp_path / f"report{ending}"
    ended = run(f"{source}/", f"{target}/", report=str(path))
    assert ended.code == 1
    assert ended.result is not None
    table = ended.result.table()
    assert sorted(table.column("key").to_pylist()) == [b"clash", b"good"]
    assert sum(bool(error) for error in table.column("error").to_pylist()) == ended.result.failed == 1
    check_file(path, table)


def test_the_status_of_every_failure_is_failed(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source", {"clash": b"file"}), fill(tmp_path / "target", {"clash/kept": b"k"})
    ended = run(f"{source}/", f"{target}/")
    assert ended.result is not None
    assert ended.result.table().column("status").to_pylist() == ["failed"]


@_ENDING
def test_a_run_that_is_stopped_has_written_what_it_did(tmp_path: Path, ending: str) -> None:
    source = fill(tmp_path / "source", {"new": b"1"})
    target = fill(tmp_path / "target", {"extra": b"4", "more": b"5"})
    path = tmp_path / f"report{ending}"
    ended = run(f"{source}/", f"{target}/", delete_dst=True, max_delete=1, report=str(path))
    assert ended.code == 4
    assert contents(target) == {"new": b"1", "extra": b"4", "more": b"5"}
    assert ended.result is not None
    assert ended.result.table().column("key").to_pylist() == [b"new"]
    check_file(path, ended.result.table())


@_ENDING
def test_many_rows_of_several_batches(tmp_path: Path, ending: str) -> None:
    source = fill(tmp_path / "source", {f"f{number:04}": b"x" for number in range(1500)})
    path = tmp_path / f"report{ending}"
    ended = run(f"{source}/", f"{tmp_path}/target/", report=str(path))
    assert ended.result is not None
    assert ended.result.table().num_rows == 1500
    check_file(path, ended.result.table())


@_ENDING
def test_a_listing(ends: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    source, _ = ends
    (source / "link").unlink()
    path = tmp_path / f"report{ending}"
    table = fsync.ls(f"{source}/", report=path, exclude="same")
    assert len(table) >= 8
    check_file(path, table)


@_ENDING
def test_a_listing_of_objects(place: Maker, tmp_path: Path, ending: str) -> None:
    source = place("moto", "source")
    source.fill({"a": b"1", "d/b": b"22"})
    path = tmp_path / f"report{ending}"
    table = fsync.ls(source.address, storage_options=source.options, report=path, limit=1)
    assert table.column("key").to_pylist() == [b"a"]
    check_file(path, table)


# places that cannot hold it --------------------------------------------------------------------------------------


def _bad_places(tmp_path: Path) -> dict[str, Path]:
    fill(tmp_path / "places", {"file": b"", "taken.csv/": b""})
    return {
        "no directory": tmp_path / "places" / "nowhere" / "r.jsonl",
        "below a file": tmp_path / "places" / "file" / "r.csv",
        "a directory": tmp_path / "places" / "taken.csv",
        "ending": tmp_path / "places" / "r.txt",
    }


@pytest.mark.parametrize("name", ["no directory", "below a file", "a directory", "ending"])
def test_a_bad_place_is_refused_before_anything_is_touched(place: Maker, tmp_path: Path, name: str) -> None:
    source, target = place("local", "source"), place("local", "target")
    source.fill({"a": b"1"})
    path = _bad_places(tmp_path)[name]
    before = snapshot(tmp_path)
    ended = run(source, f"{target.address}new/", report=str(path))
    assert ended.code == 2, ended
    assert str(path) in ended.text
    for call in (
        lambda: fsync.check(source.address, target.address, report=path),
        lambda: fsync.ls(source.address, report=path),
    ):
        with pytest.raises(OptionError):
            call()
    assert snapshot(tmp_path) == before


@_ENDING
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_report_inside_one_of_the_trees(tmp_path: Path, ending: str, side: str) -> None:
    # it is neither taken for an extra nor copied: the run itself has put it there
    source, target = fill(tmp_path / "source", {"a": b"1"}), fill(tmp_path / "target", {"extra": b"e"})
    path = tmp_path / side / f"report{ending}"
    ended = run(f"{source}/", f"{target}/", delete_dst=True, report=str(path))
    if ended.code == 2:
        # to refuse it is right as well
        assert contents(target) == {"extra": b"e"}
        return
    assert ended.code == 0, ended
    assert ended.result is not None
    check_file(path, ended.result.table())
    assert {key for key in contents(target) if not key.startswith("report")} == {"a"}
    assert not list(tmp_path.rglob("*.partial"))


def test_a_report_that_was_there_stays_until_it_is_replaced(place: Maker, tmp_path: Path) -> None:
    source, target = place("local", "source"), place("local", "target")
    assert isinstance(source, LocalPlace)
    path = tmp_path / "report.jsonl"
    path.write_text("earlier")
    ended = run(source.missing(), target, report=str(path))
    assert ended.code == 3
    assert path.read_text() in ("", "earlier")
    source.fill({"a": b"1"})
    ended = run(source, target, report=str(path))
    assert ended.result is not None
    check_file(path, ended.result.table())


def test_a_plan_as_a_reader_writes_its_report_too(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", {"a": b"1"})
    path = tmp_path / "plan.jsonl"
    try:
        rows = fsync.plan(f"{source}/", f"{tmp_path}/target/", report=path).read_all()
    except OptionError:
        return
    assert rows.num_rows == 1
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a"]


@_ENDING
@pytest.mark.parametrize("count", [1000, 20])
def test_a_full_disk_ends_the_run_and_nothing_is_deleted(tmp_path: Path, ending: str, count: int) -> None:
    """As full as a limit on the size of files makes it; few rows are not written before the file is closed."""
    fill(tmp_path / "source", {f"f{number:04}": b"x" for number in range(count)})
    target = fill(tmp_path / "target", {"extra": b"e"})
    room = 10_000 if count > 20 else 900
    done = subprocess.run(
        [sys.executable, "-m", "fsync", "sync", "--delete-dst", "--report", f"report{ending}", "source/", "target/"],
        check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("fsync: ")]
    told = f"stopped: --report report{ending} cannot be written: File too large; give it a place with more room"
    assert errors == [f"fsync: ERROR: {told}"]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / f"report{ending}").exists()
    assert (target / "extra").exists() or count == 20
    # what was done is told all the same
    assert "Stopped before the end" in done.stderr
    assert (["copied", "20"] in [line.split() for line in done.stderr.splitlines()]) == (count == 20)
