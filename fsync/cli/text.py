"""The words of the command line for people: the lines of a dry run, and the summary that ends a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsync.display import amount, exactly
from fsync.errors import printable

#: the summary's rows: count, its name when something was done, and in a dry run
_ROWS = (
    ("copied", "copied", "would copy"),
    ("updated", "updated", "would update"),
    ("deleted", "deleted", "would delete"),
    ("skipped", "skipped", "would skip"),
    ("excluded", "excluded", "excluded"),
    ("extra", "extra", "extra"),
    ("vanished", "vanished", "vanished"),
    ("protected", "not copied", "not copied"),
    ("failed", "failed", "failed"),
)
_MEANINGS = {
    "skipped": "the same, or not wanted",
    "excluded": "dropped by --include and --exclude",
    "extra": "at the destination only",
    "vanished": "listed, then gone",
    "protected": "links to nothing and special files",
}
#: least number of planned copies that a hint is drawn from
_ENOUGH = 10


def plan_line(event: Mapping[str, Any], name: str) -> str:
    """Return one action of a dry run: ``copy    KEY  (12 bytes, missing)``."""
    size = event["bytes"]
    told = "size unknown" if size is None else exactly(size)
    return f"{event['action']:<6}  {name}  ({told}, {event['reason']})"


def total_line(summary: Mapping[str, Any]) -> str:
    """Return the line that ends a dry run's actions: objects and bytes."""
    copies = summary["copied"] + summary["updated"]
    parts = [f"{copies} object{'' if copies == 1 else 's'} to copy", exactly(summary["bytes"])]
    if summary["deleted"]:
        parts.append(f"{summary['deleted']} to delete")
    return "total   " + ", ".join(parts)


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the block that ends a run: counts by action, bytes, reasons, what verified the copies."""
    dry = bool(summary["dry"])
    rows = [(_title(summary, dry), "")]
    for name, done, planned in _ROWS:
        count = summary[name]
        if count or name == "copied":
            rows.append((f"  {planned if dry else done:<12} {count:>9,}", _MEANINGS.get(name, "")))
    if summary["copied"] or summary["updated"]:
        rate = "" if dry or summary["seconds"] <= 0 else f", {amount(summary['bytes'] / summary['seconds'])}/s"
        rows.append((f"  {'would move' if dry else 'moved':<12} {exactly(summary['bytes'])}{rate}", ""))
    for name, counts in (("reasons", summary["reasons"]), ("verified by", summary["verified_by"])):
        if counts:
            rows.append((f"  {name:<12} " + ", ".join(f"{word} {count:,}" for word, count in counts.items()), ""))
    lines = [f"{left}  {right}" if right else left for left, right in rows]
    hint = _hint(summary)
    return [*lines, hint] if hint else lines


def failed_line(count: int) -> str:
    """Return the line that ends a run with failures."""
    return f"{count} {'entry' if count == 1 else 'entries'} failed; running the same command again tries them again"


def one_line(text: str) -> str:
    """Return a message as one printable line."""
    return printable(" ".join(text.split("\n")))


def _title(summary: Mapping[str, Any], dry: bool) -> str:
    took = f"{summary['seconds']:.1f} s"
    if not summary["complete"]:
        return f"Stopped before the end, after {took}:"
    if dry:
        return f"Dry run, nothing was touched, {took}:"
    return f"Done with failures in {took}:" if summary["failed"] else f"Done in {took}:"


def _hint(summary: Mapping[str, Any]) -> str:
    planned = sum(count for reason, count in summary["reasons"].items() if reason != "extra")
    by_time = summary["reasons"].get("mtime", 0)
    if by_time < _ENOUGH or by_time * 2 <= planned:
        return ""
    return (
        f"{by_time:,} of {planned:,} copies were planned for their time alone, sizes being equal: "
        "where sizes tell enough, --size-only spares them"
    )
