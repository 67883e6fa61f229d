"""What a run did: counted while it happens, told as events, kept as a table, given back as a result."""

from __future__ import annotations

import base64
import builtins
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fsync.errors import Redactor, printable

if TYPE_CHECKING:
    import pyarrow as pa

    from fsync.spool import Spool
    from fsync.storage.running import Large
    from fsync.tables import TableFile

#: what a listener gets: one JSON-able mapping an event, with ``v`` and ``event``; fields are only ever added
Listener = Callable[[dict[str, Any]], None]
VERSION = 1
#: failures that a result names; all of them are in its table
_NAMED = 100
#: bytes from which an object under way is told by itself, and how many are told at once
_LARGE = 64 << 20
_TOLD = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """One object that was not handled, and why."""

    key: bytes
    action: str
    error: str

    def __str__(self) -> str:
        return f"{printable(self.key)}: {self.error}"


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one run did.

    ``copied`` were missing at the destination, ``updated`` replaced, ``deleted`` removed there, ``deleted_src`` removed
    at the source; ``skipped`` were the same or not wanted; ``excluded`` dropped by key rules on either side;
    ``vanished`` listed but gone when they were to be copied; ``metadata`` had only their permissions changed;
    ``protected`` exist at the source but are nothing to copy.
    ``bytes`` were moved by completed copies. ``verified_by`` counts the completed copies by what proved them;
    ``reasons`` the planned actions by reason.
    ``complete`` says that both listings ended and everything planned was tried. A dry run counts what it would do.
    """

    copied: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    excluded: int = 0
    failed: int = 0
    vanished: int = 0
    protected: int = 0
    extra: int = 0
    metadata: int = 0
    deleted_src: int = 0
    bytes: int = 0
    verified_by: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    notices: tuple[str, ...] = ()
    complete: bool = False
    dry: bool = False
    seconds: float = 0.0
    exit_code: int = 0
    _rows: Spool | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        # what a check or a dry run counts was not done
        state = ("dry run" if self.dry else "complete") if self.complete else "incomplete"
        return (
            f"<SyncResult {state}: copied={self.copied} updated={self.updated} deleted={self.deleted} "
            f"skipped={self.skipped} failed={self.failed} bytes={self.bytes} exit_code={self.exit_code}>"
        )

    def table(self) -> pa.Table:
        """Return one row a planned action: the plan's columns, then ``status``, ``error`` and ``verified_by``."""
        import pyarrow as pa

        from fsync.schema import RESULT_WORDS

        batches = [] if self._rows is None else list(self._rows)
        return pa.Table.from_batches(batches, RESULT_WORDS)

    def changed_keys(self) -> Iterator[builtins.bytes]:
        """Yield the keys of the destination that were copied, updated or deleted, in no particular order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in () if self._rows is None else self._rows:
            done = pc.equal(batch.column("status"), "done")
            here = pc.not_equal(batch.column("action").cast(pa.string()), "delete_src")
            yield from batch.filter(pc.and_(done, here)).column("key").to_pylist()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the table as JSON-able values."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "bytes": self.bytes,
            "verified_by": dict(self.verified_by),
            "reasons": dict(self.reasons),
            "failures": [
                {**key_fields(item.key), "action": item.action, "error": item.error} for item in self.failures
            ],
            "notices": list(self.notices),
            "complete": self.complete,
            "dry": self.dry,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }


#: the count that a finished action adds to, by the action's name
DONE = {
    "COPY": "copied",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "DELETE_SRC": "deleted_src",
    "METADATA": "metadata",
}
_COUNTS = (
    "copied",
    "updated",
    "deleted",
    "deleted_src",
    "skipped",
    "excluded",
    "failed",
    "vanished",
    "protected",
    "extra",
    "metadata",
)


def key_fields(key: bytes) -> dict[str, str]:
    """Return a key for JSON: ``key`` as text, and ``key_base64`` too where the bytes are not UTF-8."""
    try:
        return {"key": key.decode()}
    except UnicodeDecodeError:
        return {"key": printable(key), "key_base64": base64.b64encode(key).decode()}


def _tally(column: pa.Array) -> Iterator[tuple[int, int]]:
    for item in column.value_counts().to_pylist():
        yield item["values"], item["counts"]


class Report:
    """The running account of one run."""

    def __init__(self, listener: Listener | None, redact: Redactor, *, dry: bool, details: bool = True) -> None:
        self._listener, self.redact, self._dry = listener, redact, dry
        #: somebody wants an event for each completed action
        self.details = details and listener is not None
        self._began = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.verified: Counter[str] = Counter()
        self.bytes = 0
        self.planned_bytes = 0
        self.failures: list[Failure] = []
        self.notices: list[str] = []
        self.rows: Spool | None = None
        self.file: TableFile | None = None
        self.listing = True

    @property
    def listening(self) -> bool:
        """Tell whether anybody wants events."""
        return self._listener is not None

    @property
    def keeps_rows(self) -> bool:
        """Tell whether single results are wanted, for a table or a file."""
        return self.rows is not None or self.file is not None

    def keep(self, rows: pa.RecordBatch) -> None:
        """Take single results, a RESULT_WORDS batch."""
        if self.rows is not None:
            self.rows.append(rows)
        if self.file is not None:
            self.file.write(rows)

    def close(self) -> None:
        """Finish the file of single results, if there is one; again, it does nothing."""
        if self.file is not None:
            self.file.close()

    @property
    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._began

    def emit(self, event: str, **values: Any) -> None:
        """Tell one event."""
        if self._listener is not None:
            self._listener({"v": VERSION, "event": event, **values})

    def notice(self, text: str) -> None:
        """Tell something that a person should read once."""
        clean = self.redact(text)
        self.notices.append(clean)
        self.emit("notice", text=clean)

    def done(self, key: bytes, action: int, size: int, verified: str) -> None:
        """Count one completed action."""
        from fsync.schema import Action

        name = Action(action).name
        self.counts[DONE[name]] += 1
        self.bytes += size
        self.verified[verified] += 1
        if self.details:
            self.emit("done", **key_fields(key), action=name.lower(), bytes=size)

    def done_rows(self, rows: pa.RecordBatch, verified: str) -> None:
        """Count the completed actions of a PLAN batch, each of its listed size."""
        import pyarrow.compute as pc

        from fsync.schema import Action

        if self.details:
            columns = (rows.column(name).to_pylist() for name in ("key", "action", "size"))
            for key, action, size in zip(*columns, strict=True):
                self.done(key, action, size or 0, verified)
            return
        for action, count in _tally(rows.column("action")):
            self.counts[DONE[Action(action).name]] += count
        self.bytes += pc.sum(rows.column("size")).as_py() or 0
        self.verified[verified] += rows.num_rows

    def fail(self, key: bytes, action: str, error: str) -> None:
        """Count one failed action."""
        self.counts["failed"] += 1
        failure = Failure(key, action, self.redact(error))
        if len(self.failures) < _NAMED:
            self.failures.append(failure)
        self.emit("failed", **key_fields(key), action=action, error=failure.error)

    def plan(self, rows: pa.RecordBatch) -> None:
        """Count planned rows (a PLAN batch); a dry run tells each."""
        import pyarrow.compute as pc

        from fsync.schema import Action, Reason, having, in_words

        self.counts["planned"] += rows.num_rows
        copied = rows.filter(having(rows.column("action"), Action.COPY, Action.UPDATE))
        self.planned_bytes += pc.sum(copied.column("size")).as_py() or 0
        for reason, count in _tally(rows.column("reason")):
            self.reasons[Reason(reason).name.lower()] += count
        if not self._dry:
            return
        for action, count in _tally(rows.column("action")):
            self.counts[DONE[Action(action).name]] += count
        if self.listening:
            words = in_words(rows)
            names = ("key", "action", "reason", "kind", "size", "dst_kind", "dst_size")
            columns = (words.column(name).to_pylist() for name in names)
            for key, action, reason, kind, size, dst_kind, dst_size in zip(*columns, strict=True):
                gone = action == "delete"
                self.emit(
                    "plan",
                    **key_fields(key),
                    action=action,
                    reason=reason,
                    bytes=dst_size if gone else size,
                    kind=dst_kind if gone else kind,
                    dst_bytes=dst_size,
                )

    def restart(self) -> None:
        """Forget what a listing counted that has to be read again; what was planned and done stays."""
        for name in ("listed", "considered", "destination", "skipped", "excluded", "protected", "extra", "unknown"):
            self.counts[name] = 0

    def tell_progress(self, moved: int, large: Iterable[tuple[bytes, Large]] = ()) -> None:
        """Tell the figures of a progress display, if anybody listens.

        ``moved`` are bytes written so far, ``large`` the large objects under way, of which a few are told.
        """
        if self._listener is None:
            return
        halves = [
            {**key_fields(key), "bytes": one.size, "moved": one.written}
            for key, one in large
            if one.size >= _LARGE and one.written < one.size
        ]
        self.emit("progress", **self.progress(), moved=moved, large=halves[:_TOLD])

    def progress(self) -> dict[str, Any]:
        """Return the figures of a progress display; ``listing`` is False once both listings have ended."""
        return {
            "listing": self.listing,
            "listed": self.counts["listed"],
            "planned": self.counts["planned"],
            "planned_bytes": self.planned_bytes,
            "done": self.counts["copied"] + self.counts["updated"] + self.counts["metadata"],
            "bytes": self.bytes,
            "skipped": self.counts["skipped"],
            "failed": self.counts["failed"],
            "deleted": self.counts["deleted"],
            "deleted_src": self.counts["deleted_src"],
            "seconds": round(self.seconds, 3),
        }

    def result(self, *, complete: bool, exit_code: int) -> SyncResult:
        """Close the account, and tell it as the last event."""
        result = SyncResult(
            **{name: self.counts[name] for name in _COUNTS},
            bytes=self.planned_bytes if self._dry else self.bytes,
            verified_by={means: count for means, count in sorted(self.verified.items()) if means},
            reasons=dict(self.reasons.most_common()),
            failures=tuple(self.failures),
            notices=tuple(self.notices),
            complete=complete,
            dry=self._dry,
            seconds=self.seconds,
            exit_code=exit_code,
            _rows=self.rows,
        )
        if self._listener is not None:
            self.emit("summary", **result.to_dict())
        return result
