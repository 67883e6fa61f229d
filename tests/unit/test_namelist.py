"""Lists of names: how a text is cut into them, what a name means, and the log of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fsync.api import run
from fsync.errors import OptionError
from fsync.namelist import NameReader, RowLog
from tests.unit.pages import keys_of, page


def names(given: Any, *, whole: bool = True, file_like: bool = True) -> list[bytes]:
    reader = NameReader(given, whole=whole, file_like=file_like)
    return keys_of(run(reader.read(memory=1 << 20, directory=None)))


def in_file(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"\n\n \n\r\n", []),
        (b"b\na", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a  \nb\t\n c\n", [b" c", b"a", b"b"]),
        (b"a\na\n/a\n./a\n", [b"a"]),
        (b"# no comment\n*\n\\n\n", [b"# no comment", b"*", b"\\n"]),
        (b"d/\nd//x/./y\n", [b"d/", b"d/x/y"]),
        (b"/\n", [b""]),
        (b".\n", [b""]),
        (b"\xff\n", [b"\xff"]),
        (b"a \0b\nc\0", [b"a ", b"b\nc"]),
    ],
)
def test_a_text_is_cut_into_names(tmp_path: Path, text: bytes, expected: list[bytes]) -> None:
    assert names(in_file(tmp_path / "list", text)) == expected


def test_a_long_text_is_read_in_pieces(tmp_path: Path) -> None:
    lines = [b"%07d-%s" % (number, b"x" * 300) for number in range(9000)]
    assert names(in_file(tmp_path / "list", b"\n".join(reversed(lines)))) == lines


def test_in_an_object_store_every_character_counts() -> None:
    assert names(["a//b", "./a", "/c", "//d", "e/"], file_like=False) == [b"./a", b"/d", b"a//b", b"c", b"e/"]


def test_behind_a_prefix_a_leading_slash_is_part_of_the_name() -> None:
    for file_like in (True, False):
        assert names(["/x", "st/a"], whole=False, file_like=file_like) == [b"/x", b"st/a"]


@pytest.mark.parametrize("given", [["a/../b"], [".."], ["../x"], ["a", ""], [b""], [5], [None]])
def test_a_bad_name_is_refused(given: list[Any]) -> None:
    with pytest.raises(OptionError, match="--files-from"):
        names(given)


@pytest.mark.parametrize(
    ("name", "text"),
    [("none", None), ("r.jsonl", b"no json\n"), ("r.jsonl", b"[1]\n"), ("r.jsonl", b'{"size": 1}\n'),
     ("r.csv", b"a,b\n1,2\n"), ("r.csv", b"key,status\n\\xff,failed\n"), ("r.parquet", b"PAR1"), ("r.parquet", None)],
)  # fmt: skip
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, name: str, text: bytes | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(OptionError, match="--files-from") as caught:
        names(str(path))
    assert "\n" not in str(caught.value)


def test_of_a_report_what_failed_is_taken_but_for_deletions(tmp_path: Path) -> None:
    rows = [("a", "done", "copy"), ("b\n", "failed", "copy"), ("c ", "failed", "update"), ("d", "failed", "delete")]
    lines = [json.dumps({"key": key, "status": status, "action": action}) for key, status, action in rows]
    reader = NameReader(in_file(tmp_path / "r.jsonl", "\n".join(lines).encode()), whole=True, file_like=True)
    assert keys_of(run(reader.read(memory=1 << 20, directory=None))) == [b"b\n", b"c "]
    assert reader.left == 1
    assert names(in_file(tmp_path / "ls.jsonl", b'{"key": "x"}\n{"key": "?", "key_base64": "/w=="}\n')) == [
        b"x",
        b"\xff",
    ]


def test_blanks_that_are_cut_off_are_counted(tmp_path: Path) -> None:
    reader = NameReader(in_file(tmp_path / "list", b"a \r\nb\r\n  \nc\t\n"), whole=True, file_like=True)
    assert keys_of(run(reader.read(memory=1 << 20, directory=None))) == [b"a", b"b", b"c"]
    assert reader.trimmed == 2


def test_a_log_gives_back_its_pages_in_any_order() -> None:
    log = RowLog(None)
    pages: list[pa.RecordBatch] = [page(b"a", b"b"), page(b"c"), page({"key": b"d/", "kind": 1})]
    for one in pages:
        log.append(one)
    assert len(log) == 3
    assert [log[number] for number in (2, 0, 1, 0)] == [pages[2], pages[0], pages[1], pages[0]]
    log.close()
