"""Multipart uploads that are open: written down before their first part, so that a later run can finish or abort them.

A run that begins an upload has one file, ``RUNID.jsonl``, in ``$XDG_STATE_HOME/fsync/uploads`` (default
``~/.local/state``). It is locked while the run lives, so a file whose lock can be had belongs to a run that is over.
One JSON object a line: ``{"upload", "place", "key", "version", "part_size"}`` when an upload begins, ``{"upload",
"part", "etag"}`` for each part (numbered from 0) that is there, ``{"upload", "ended"}`` when it was completed or
aborted. ``place`` names endpoint and bucket, ``version`` the source's; no secret is ever in it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from fsync.errors import printable

_log = logging.getLogger("fsync")


@dataclass(slots=True)
class OpenUpload:
    """One upload that a run which is over has left open; ``parts`` maps numbers to the ETags they were given."""

    upload: str
    place: str
    key: str
    version: Any
    part_size: int
    parts: dict[int, str] = field(default_factory=dict)


class Journal:
    """The account of one run's uploads, and what earlier runs have left; used by one thread."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._file: IO[str] | None = None
        self._open: set[str] = set()
        self._left: dict[str, OpenUpload] = {}
        self._held: list[tuple[IO[str], set[str]]] | None = None
        self._works = True

    # this run's uploads ----------------------------------------------------------------------------------------

    def began(self, one: OpenUpload) -> None:
        """Write down an upload before its first part, with the parts that it has already."""
        self._open.add(one.upload)
        facts = {"place": one.place, "key": one.key, "version": one.version, "part_size": one.part_size}
        self._write({"upload": one.upload, **facts})
        for number, etag in one.parts.items():
            self.part(one.upload, number, etag)

    def part(self, upload: str, number: int, etag: str) -> None:
        """Write down that a part is there."""
        self._write({"upload": upload, "part": number, "etag": etag})

    def ended(self, upload: str) -> None:
        """Write down that an upload is over, completed or aborted."""
        if upload in self._open:
            self._open.discard(upload)
            self._write({"upload": upload, "ended": True})

    def _write(self, line: Mapping[str, Any]) -> None:
        if not self._works:
            return
        try:
            if self._file is None:
                os.makedirs(directory(), mode=0o700, exist_ok=True)
                path = os.path.join(directory(), f"{self._run_id}.jsonl")
                self._file = open(path, "w", encoding="ascii")  # noqa: SIM115 - closed with the run
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            self._works = False
            _log.info("open uploads are not written down, so a killed run leaves them: %s", error)

    # those of earlier runs -------------------------------------------------------------------------------------

    def adopt(self, place: str, key: str, version: Any, part_size: int) -> OpenUpload | None:
        """Return an upload that an earlier run left open for this version of this object; it is this run's now."""
        wanted = (place, key, _as_read(version), part_size)
        for one in self._leftovers().values():
            if (one.place, one.key, one.version, one.part_size) == wanted:
                del self._left[one.upload]
                self.began(one)
                return one
        return None

    def strays(self, place: str, prefix: str) -> list[OpenUpload]:
        """Return the uploads at a place, of keys that begin with ``prefix``, which nobody will finish."""
        return [one for one in self._leftovers().values() if one.place == place and one.key.startswith(prefix)]

    def forget(self, one: OpenUpload) -> None:
        """Take note that a stray was aborted."""
        self._left.pop(one.upload, None)

    def _leftovers(self) -> dict[str, OpenUpload]:
        if self._held is None:
            self._held = []
            for file in _of_the_dead(self._run_id):
                found = _read(file)
                self._left |= found
                self._held.append((file, set(found)))
        return self._left

    def close(self) -> None:
        """Remove the files of whatever is not open any more, and let go of the others."""
        for file, uploads in self._held or ():
            if not uploads & self._left.keys():
                _remove(file)
            file.close()
        self._held, self._left = None, {}
        if self._file is not None:
            if not self._open:
                _remove(self._file)
            self._file.close()
            self._file = None


def directory() -> str:
    """Return where journals are kept."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "fsync", "uploads")


def _remove(file: IO[str]) -> None:
    """Remove a journal, which another run may have taken for a dead one's before it was locked."""
    with suppress(FileNotFoundError):
        os.unlink(file.name)


def _of_the_dead(run_id: str) -> Iterator[IO[str]]:
    """Yield the journals of runs that are over, locked."""
    try:
        names = sorted(os.listdir(directory()))
    except OSError:
        return
    for name in names:
        if not name.endswith(".jsonl") or name == f"{run_id}.jsonl":
            continue
        try:
            file = open(os.path.join(directory(), name), "r+", encoding="ascii")  # noqa: SIM115 - yielded open
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # its run lives, or another run is looking at it
            file.close()
            continue
        yield file


def _read(lines: Iterable[str]) -> dict[str, OpenUpload]:
    """Return the uploads of a journal that did not end; a last line that was cut off is not read."""
    found: dict[str, OpenUpload] = {}
    for line in lines:
        try:
            facts = json.loads(line)
            if "part" in facts:
                found[facts["upload"]].parts[int(facts["part"])] = facts["etag"]
            elif "ended" in facts:
                found.pop(facts["upload"], None)
            else:
                found[facts["upload"]] = OpenUpload(**facts)
        except (ValueError, KeyError, TypeError):
            _log.info("a line of a journal of uploads cannot be read: %s", printable(line[:80]))
    return found


def _as_read(version: Any) -> Any:
    """Return a version as it comes back from JSON."""
    return json.loads(json.dumps(version))
