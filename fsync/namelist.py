"""The names that ``--files-from`` gives: read from a text, a report or Python, sorted, each once; and the log of rows.

A text has one name a line: blanks at a line's end are cut off, empty lines count for nothing, there are no comments,
globs or escapes. A text with a NUL byte in it is separated by NUL bytes instead, and nothing is cut off. Of a report
(``.jsonl``, ``.csv``, ``.parquet``) the rows that failed are taken, but for deletions; of a table without a status,
all rows.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import IO, Any

import pyarrow as pa

from fsync.errors import OptionError, printable
from fsync.schema import PAGE, Kind, page_from_columns
from fsync.sorting import sorted_pages
from fsync.spool import Spool, close_unkept, spilling
from fsync.values import TABLE_ENDINGS

_BLOCK = 1 << 20
#: names handled together
_ROWS = 8192
#: what a CSV report shows of bytes that are no text
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")

NAMES = pa.schema([PAGE.field("key")])


class NameReader:
    """Reads one list of names.

    ``whole`` says that names follow a directory's ``/`` (else a prefix, of which a leading ``/`` is a part);
    ``file_like`` that empty components and ``.`` mean nothing. ``trimmed`` counts the names that lost blanks, ``left``
    the failed deletions of a report, which no list can repeat.
    """

    def __init__(self, given: Any, *, whole: bool, file_like: bool) -> None:
        self._given, self._whole, self._file_like = given, whole, file_like
        self.trimmed = 0
        self.left = 0

    async def read(self, *, memory: int, directory: str | None) -> Spool:
        """Return the distinct names in the order of their bytes, as batches of one column; raises OptionError."""
        names = Spool(NAMES, directory=directory)
        last: bytes | None = None
        async for page in sorted_pages(self._pages(), memory=memory, directory=directory):
            kept = []
            for name in page.column("key").to_pylist():
                if name != last:
                    kept.append(name)
                last = name
            names.append(pa.RecordBatch.from_arrays([pa.array(kept, pa.binary())], schema=NAMES))
        return names

    async def _pages(self) -> AsyncIterator[pa.RecordBatch]:
        held: list[bytes] = []
        for name in self._names():
            held.append(name)
            if len(held) == _ROWS:
                yield _page(held)
                held = []
        if held:
            yield _page(held)

    def _names(self) -> Iterator[bytes]:
        given = self._given
        if not isinstance(given, str):
            for name in given:
                yield self._normal(_bytes(name))
        elif given != "-" and given.lower().endswith(TABLE_ENDINGS):
            yield from self._failed_rows(given)
        else:
            for name in self._texts(given):
                yield self._normal(name)

    def _normal(self, name: bytes) -> bytes:
        """Return a name as a key; the empty one is the whole address."""
        components = name.split(b"/")
        if b".." in components:
            raise OptionError(f"--files-from names {printable(name)}: a name with .. would lead out of SRC")
        start = b"" if self._whole or not name.startswith(b"/") else b"/"
        if not self._file_like:
            return name[1:] if self._whole and name.startswith(b"/") else name
        kept = b"/".join(component for component in components if component not in (b"", b"."))
        ends = components[-1] in (b"", b".")
        return start + kept + (b"/" if ends and kept else b"")

    def _texts(self, path: str) -> Iterator[bytes]:
        with _opened(path) as file:
            rest, separator = b"", b""
            while block := file.read(_BLOCK):
                separator = separator or (b"\0" if b"\0" in block else b"\n")
                *lines, rest = (rest + block).split(separator)
                for line in lines:
                    yield from self._line(line, separator)
            yield from self._line(rest, separator)

    def _line(self, line: bytes, separator: bytes) -> Iterator[bytes]:
        if separator != b"\0":
            if b"\0" in line:
                raise OptionError("--files-from: a NUL byte in the middle of a text: separate all names by NUL bytes")
            trimmed = line.rstrip(b" \t\r\f\v")
            self.trimmed += bool(trimmed) and len(trimmed) < len(line.removesuffix(b"\r"))
            line = trimmed
        if line:
            yield line

    def _failed_rows(self, path: str) -> Iterator[bytes]:
        try:
            for key, status, action in _reader_of(path)(path):
                if status is not None and status != "failed":
                    continue
                if status is not None and action == "delete":
                    self.left += 1
                    continue
                yield key
        except (KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
            raise OptionError(f"--files-from {path} is no report of fsync: {error}") from None
        except OSError as error:
            raise OptionError(f"--files-from {path} cannot be read: {error.strerror or error}") from None


_Row = tuple[bytes, str | None, str | None]


def _reader_of(path: str) -> Any:
    return {".jsonl": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}[os.path.splitext(path)[1].lower()]


def _json_rows(path: str) -> Iterator[_Row]:
    with open(path, "rb") as file:
        for line in file:
            row = json.loads(line)
            if not isinstance(row, Mapping):
                raise ValueError("a line is no JSON object")
            encoded = row.get("key_base64")
            yield base64.b64decode(encoded) if encoded else _text(row["key"]), row.get("status"), row.get("action")


def _csv_rows(path: str) -> Iterator[_Row]:
    import csv

    csv.field_size_limit(1 << 24)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if _ESCAPED.search(row["key"]):
                raise ValueError(
                    f"it shows {row['key']} with escapes, which may stand for other bytes; use a .jsonl or .parquet one"
                )
            yield _text(row["key"]), row.get("status"), row.get("action")


def _parquet_rows(path: str) -> Iterator[_Row]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        there = set(file.schema_arrow.names)
        if "key" not in there:
            raise KeyError("key")
        names = [name for name in ("key", "status", "action") if name in there]
        for batch in file.iter_batches(batch_size=_ROWS, columns=names):
            for row in batch.to_pylist():
                yield _bytes(row["key"]), row.get("status"), row.get("action")


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("a key is no text")
    return value.encode("utf-8", "surrogateescape")


def _bytes(name: Any) -> bytes:
    if not isinstance(name, (str, bytes, os.PathLike)) or not name:
        raise OptionError(f"--files-from holds {name!r}, which is no name")
    return os.fsencode(name)


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        return open(path, "rb")
    except OSError as error:
        raise OptionError(f"--files-from {path} cannot be read: {error.strerror}") from None


def _page(names: Iterable[bytes]) -> pa.RecordBatch:
    keys = list(names)
    return page_from_columns(
        {"key": keys, "kind": pa.repeat(pa.scalar(int(Kind.FILE), pa.int8()), len(keys))}, len(keys)
    )


class RowLog:
    """Pages written once and read by number as often as needed, in a file below ``directory``."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        with spilling(directory):
            self._file = tempfile.TemporaryFile(dir=directory, prefix="fsync-")  # noqa: SIM115  closed by close()
        self._ends = [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, page: pa.RecordBatch) -> None:
        """Add a page."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, PAGE) as writer:
            writer.write_batch(page)
        written = sink.getvalue()
        with spilling(self._directory):
            self._file.write(written)
            self._file.flush()
        self._ends.append(self._ends[-1] + written.size)

    def __getitem__(self, number: int) -> pa.RecordBatch:
        start, end = self._ends[number], self._ends[number + 1]
        return pa.ipc.open_stream(os.pread(self._file.fileno(), end - start, start)).read_next_batch()

    def close(self) -> None:
        """Let go of the file."""
        close_unkept(self._file)
