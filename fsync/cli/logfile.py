"""``--log-file``: what a run tells on stderr, every level of it, appended with time and level."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO, cast

from fsync.cli.faults import Hide
from fsync.cli.output import complain
from fsync.display import Display
from fsync.errors import OptionError

_LEVEL = re.compile(r"fsync: ([A-Z]+): ")


class LogFile(io.TextIOBase):
    """An open log, a stream of lines: ``2026-01-31T12:00:00.123Z ERROR cannot copy KEY: why``, secrets taken out.

    Raises OptionError if the file cannot be opened; one that cannot be written later is told of once, and the run
    goes on. Lines that say no level have INFO.
    """

    def __init__(self, path: str, hide: Hide) -> None:
        self._hide, self._path = hide, path
        self._broken = False
        try:
            # line by line: two runs may share a file
            self._file = open(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise OptionError(f"--log-file {path} cannot be opened: {error.strerror}") from None
        self.display = Display(verbose=True, stream=cast("TextIO", self), bars=False)

    def write(self, text: str) -> int:
        """Append one line."""
        level = _LEVEL.match(text)
        words = self._hide(text[level.end() if level else 0 :].rstrip("\n"))
        now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        try:
            self._file.write(f"{now}Z {level[1] if level else 'INFO':<7} {words}\n")
        except OSError as error:
            if not self._broken:
                self._broken = True
                complain(f"fsync: WARNING: cannot write to --log-file {self._path}: {error.strerror}")
        return len(text)

    def lines(self, texts: Iterable[str]) -> None:
        """Append several lines."""
        for text in texts:
            self.write(text)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            try:
                self._file.close()
            except OSError as error:
                complain(f"fsync: WARNING: cannot write to --log-file {self._path}: {error.strerror}")
        super().close()
