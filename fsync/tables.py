"""Tables in files: reports and listings as JSON Lines, CSV or Parquet, by the file's ending."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import FatalError, OptionError
from fsync.pacing import describe
from fsync.report import key_fields
from fsync.schema import concatenate


class TableFile:
    """A table written batch by batch; the file has its name only once it is closed.

    Parquet keeps the columns as they are. JSON Lines and CSV have times as ISO 8601 text in UTC, and ``key`` as text,
    with ``key_base64`` besides (JSON Lines) or ``\\xNN`` escapes (CSV) where its bytes are not UTF-8.

    A file that cannot be written any more is a FatalError; what it has stays under ``PATH.partial``.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._ending = os.path.splitext(path)[1].lower()
        self._path, self._partial, self._schema = path, f"{path}.partial", schema
        if os.path.isdir(path):
            raise OptionError(f"--report {path}: is a directory")
        try:
            # closed by close()
            self._file: IO[bytes] = open(self._partial, "wb")  # noqa: SIM115
        except OSError as error:
            raise OptionError(f"--report {path}: cannot be written: {error.strerror}") from None
        self._writer: Any = None
        self._broken = False
        if self._ending == ".parquet":
            import pyarrow.parquet

            self._writer = pyarrow.parquet.ParquetWriter(self._file, schema)
        elif self._ending == ".csv":
            import pyarrow.csv

            self._writer = pyarrow.csv.CSVWriter(self._file, _as_text(concatenate([], schema)).schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        with self._writing():
            if self._ending == ".parquet":
                self._writer.write_batch(batch)
            elif self._ending == ".csv":
                self._writer.write_batch(_as_text(batch))
            else:
                self._file.writelines(_lines(batch))

    def close(self) -> None:
        """Finish the file and give it its name, unless it could not be written; again, it does nothing."""
        if self._broken or self._file.closed:
            with suppress(OSError):
                self._file.close()
            return
        with self._writing():
            if self._writer is not None:
                self._writer.close()
            self._file.close()
            os.replace(self._partial, self._path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._broken = True
            raise FatalError(
                f"stopped: --report {self._path} cannot be written: {describe(error)}; give it a place with more room"
            ) from error


def _as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch without binary, dictionary and time columns."""
    names, columns = [], []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_binary(column.type):
            column = pa.array([_text(value) for value in column.to_pylist()], pa.string())
        elif pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        elif pa.types.is_timestamp(column.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        names.append(name)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names)


def _text(value: bytes | None) -> str | None:
    return None if value is None else key_fields(value)["key"]


def _lines(batch: pa.RecordBatch) -> list[bytes]:
    keys = batch.column("key").to_pylist()
    rest = _as_text(batch.drop_columns(["key"])).to_pylist()
    return [
        json.dumps({**key_fields(key), **row}, ensure_ascii=True).encode() + b"\n"
        for key, row in zip(keys, rest, strict=True)
    ]
