"""Show a run on stderr while it goes: bars on a terminal, a line every ten seconds elsewhere, and what went wrong."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from fsync.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

#: seconds between two progress lines where there is no terminal
_INTERVAL = 10.0
#: failures that are told as they happen; all further ones are counted
FAILURES_SHOWN = 10
#: seconds that a rate is averaged over
_WINDOW = 15.0
_DONE = {
    "copy": "copied",
    "update": "updated",
    "delete": "deleted",
    "delete_src": "removed at the source",
    "metadata": "permissions of",
}
_VERBS = {"sync": "Syncing", "check": "Comparing"}


def amount(size: float) -> str:
    """Return bytes for people: ``512 B``, ``11.4 MiB``; 1024-based."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} PiB"


def exactly(size: int) -> str:
    """Return bytes for people and for calculators: ``12 bytes``, ``11.4 MiB (12000000 bytes)``."""
    count = f"{size} byte{'' if size == 1 else 's'}"
    return count if size < 1024 else f"{amount(size)} ({count})"


def duration(seconds: float) -> str:
    """Return a time to wait for people: ``0:07``, ``1:02:03``, ``3 d 04:00:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """A context manager whose :meth:`listen` takes a run's events and shows them.

    ``quiet`` leaves failures only; ``verbose`` adds a line for each action. ``stream`` is stderr unless given; ``bars``
    says whether it is drawn on, by default where it is a terminal. No line ever contains a raw control character.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, stream: TextIO | None = None, bars: bool | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet, self._verbose = quiet, verbose
        wanted = _is_terminal(self._stream) if bars is None else bars
        self._bars = wanted and not quiet
        self._console: Console | None = None
        self._live: Live | None = None
        self._figures: Mapping[str, Any] = {}
        self._rates = _Rates()
        self._last_line = time.monotonic()
        self._failures = 0
        self._dry = False
        #: what the empty key stands for: the name of a source or destination that is one object
        self._names = {"source": "", "destination": ""}

    def __enter__(self) -> Self:
        if self._bars:
            from rich.console import Console
            from rich.live import Live

            # a colour system is chosen by rich from the terminal; the bars vanish at the end, the summary stays
            self._console = Console(file=self._stream, force_terminal=True, highlight=False)
            self._live = Live(
                console=self._console,
                get_renderable=self._picture,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # events ----------------------------------------------------------------------------------------------------

    def listen(self, event: Mapping[str, Any]) -> None:
        """Take one event; kinds that are not shown pass by."""
        take = getattr(self, f"_on_{event['event']}", None)
        if take is not None:
            take(event)

    def _on_start(self, event: Mapping[str, Any]) -> None:
        self._names = {side: _last_name(event[side]) for side in self._names}
        doing = _VERBS[event["verb"]]
        self._tell(f"{doing} {printable(event['source'])} -> {printable(event['destination'])}, {event['rule']}")

    def _on_notice(self, event: Mapping[str, Any]) -> None:
        self._tell(f"fsync: NOTE: {printable(event['text'])}")

    def _on_failed(self, event: Mapping[str, Any]) -> None:
        self._failures += 1
        if self._failures <= FAILURES_SHOWN or self._verbose:
            self.line(f"fsync: ERROR: cannot {event['action']} {self.name_of(event)}: {printable(event['error'])}")
        elif self._failures == FAILURES_SHOWN + 1:
            self.line(f"fsync: ERROR: more than {FAILURES_SHOWN} entries failed; further ones are counted")

    def _on_done(self, event: Mapping[str, Any]) -> None:
        if self._verbose:
            self.line(f"{_DONE[event['action']]:<7} {self.name_of(event)}  ({exactly(event['bytes'])})")

    def _on_vanished(self, event: Mapping[str, Any]) -> None:
        if self._verbose:
            self.line(f"vanished {self.name_of(event)}: it was listed, but is gone")

    def _on_not_copied(self, event: Mapping[str, Any]) -> None:
        if self._verbose:
            self.line(f"not copied {self.name_of(event)}: {printable(event['why'])}")

    def _on_plan(self, _event: Mapping[str, Any]) -> None:
        self._dry = True

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        self._figures = event
        self._rates.add(event["seconds"], moved(event), event["done"])
        now = time.monotonic()
        if not self._bars and now - self._last_line >= _INTERVAL:
            self._last_line = now
            self._tell(", ".join(self._listed() + (self._copied() if event["planned"] else [])))

    def name_of(self, event: Mapping[str, Any]) -> str:
        """Return an event's key for people; an object that is itself the address goes by its name."""
        side = "destination" if event.get("action") == "delete" else "source"
        return printable(event["key"]) or self._names[side]

    # lines -----------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Write one line, above the bars where there are some."""
        if self._live is not None and self._console is not None:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def _tell(self, text: str) -> None:
        if not self._quiet:
            self.line(text)

    def _listed(self) -> list[str]:
        """Return what is known of the listing."""
        figures = self._figures
        still = " so far (still listing)" if figures["listing"] else ""
        told = [f"listed {figures['listed']:,}{still}"]
        if figures["skipped"]:
            told.append(f"skipped {figures['skipped']:,}")
        return told

    def _copied(self) -> list[str]:
        """Return what is known of the copies."""
        figures = self._figures
        if self._dry:
            return [f"to do {figures['planned']:,} objects, {amount(figures['planned_bytes'])}"]
        told = [f"{figures['done']:,} of {figures['planned']:,} objects"]
        if figures["planned_bytes"]:
            told.append(f"{amount(moved(figures))} of {amount(figures['planned_bytes'])}")
            told.append(f"{amount(self._rates.bytes)}/s")
        else:
            told.append(f"{self._rates.objects:,.0f}/s")
        if figures["deleted"]:
            told.append(f"deleted {figures['deleted']:,}")
        if figures["deleted_src"]:
            told.append(f"removed at the source {figures['deleted_src']:,}")
        if figures["failed"]:
            told.append(f"{figures['failed']:,} failed")
        left = None if figures["listing"] else self._rates.left(figures)
        return told if left is None else [*told, f"ETA {duration(left)}"]

    def _under_way(self) -> list[str]:
        """Return a line for each large object under way."""
        return [
            f"  {amount(one['moved'])} of {amount(one['bytes'])}  {self.name_of(one)}" for one in self._figures["large"]
        ]

    def _picture(self) -> Group | str:
        """Return what is drawn below the lines."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        figures = self._figures
        if not figures:
            return ""
        rows: list[Any] = [Text(", ".join(self._listed()), overflow="ellipsis", no_wrap=True)]
        if figures["planned"] and not self._dry:
            share, whole = _share(figures)
            # what is planned still grows while the listing goes on: a percentage would go backwards
            told = "" if figures["listing"] else f"{share * 100 // whole}%"
            bar = Table.grid(padding=(0, 1))
            bar.add_row(ProgressBar(total=whole, completed=share, width=40, pulse=bool(figures["listing"])), told)
            rows.append(bar)
        if figures["planned"]:
            style = "bold red" if figures["failed"] else ""
            rows.append(Text(", ".join(self._copied()), style=style, overflow="ellipsis", no_wrap=True))
        rows += [Text(told, style="dim", overflow="ellipsis", no_wrap=True) for told in self._under_way()]
        return Group(*rows)


class _Rates:
    """Bytes and objects a second over the last seconds, and the time that the rest will take."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()
        self.bytes = self.objects = 0.0

    def add(self, seconds: float, size: int, objects: int) -> None:
        """Take the totals at one moment."""
        samples = self._samples
        samples.append((seconds, size, objects))
        while samples[-1][0] - samples[0][0] > _WINDOW:
            samples.popleft()
        passed = seconds - samples[0][0]
        if passed > 0:
            self.bytes = (size - samples[0][1]) / passed
            self.objects = (objects - samples[0][2]) / passed

    def left(self, figures: Mapping[str, Any]) -> float | None:
        """Return the seconds that the remaining copies take at the present rates, None where nothing tells."""
        rest = figures["planned_bytes"] - moved(figures), figures["planned"] - figures["done"] - figures["failed"]
        known = [
            amount / rate
            for amount, rate in zip(rest, (self.bytes, self.objects), strict=True)
            if amount > 0 and rate > 0
        ]
        return max(known, default=None)


def moved(figures: Mapping[str, Any]) -> int:
    """Return the bytes that have been moved, those of unfinished objects too.

    What a store copies itself is known when it is done only; what is moved again after an error is not planned twice.
    """
    return min(max(int(figures["moved"]), int(figures["bytes"])), int(figures["planned_bytes"]))


def _share(figures: Mapping[str, Any]) -> tuple[int, int]:
    """Return how much of the planned copies is done, in bytes, or in objects where there are no bytes."""
    if figures["planned_bytes"]:
        return moved(figures), figures["planned_bytes"]
    return figures["done"], figures["planned"]


def _last_name(address: str) -> str:
    return printable(address.rpartition("/")[2])


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
