"""Bring log records to stderr as single lines, in step with the progress display."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fsync.cli.text import one_line


class _Lines(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line; other packages' records name their logger."""
        try:
            whose = "" if record.name.partition(".")[0] == "fsync" else f"[{record.name}] "
            error = record.exc_info[1] if record.exc_info else None
            why = f": {type(error).__name__}: {error}" if error is not None else ""
            self._write(f"fsync: {record.levelname}: {whose}{one_line(record.getMessage() + why)}")
        except Exception:  # noqa: BLE001  a record that cannot be formatted must not end the run
            self.handleError(record)


@contextmanager
def logging_to(write: Callable[[str], None], *, verbose: bool) -> Iterator[None]:
    """Send warnings of every package, and with ``verbose`` all of fsync's own records, to ``write`` for a while.

    May be entered again with another ``write``: each gets the records of its own level.
    """
    handler = _Lines(write)
    root, ours = logging.getLogger(), logging.getLogger("fsync")
    level = ours.level
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    root.addHandler(handler)
    logging.captureWarnings(True)
    handler.addFilter(lambda record: verbose or record.name != "py.warnings")
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        ours.setLevel(level)
        root.removeHandler(handler)
