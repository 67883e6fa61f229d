"""The words of the command line for people: the lines of a dry run and a check, and the summary that ends a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fsync.display import amount, exactly
from fsync.errors import printable


class _Row(NamedTuple):
    """One count of the summary: its name when something was done, in a dry run and in a check, and what it means."""

    name: str
    done: str
    planned: str
    found: str
    meaning: str = ""


_ROWS = (
    _Row("copied", "copied", "would copy", "missing"),
    _Row("updated", "updated", "would update", "different"),
    _Row("metadata", "permissions", "permissions", "permissions", "other mode or owner, the content is the same"),
    _Row("deleted", "deleted", "would delete", "extra"),
    _Row("deleted_src", "deleted src", "delete src", "", "removed at the source, because the destination has it"),
    _Row("skipped", "skipped", "would skip", "the same"),
    _Row("excluded", "excluded", "excluded", "excluded", "dropped by --include and --exclude"),
    _Row("extra", "extra", "extra", "", "at the destination only"),
    _Row("vanished", "vanished", "vanished", "vanished", "listed, then gone"),
    _Row("protected", "not copied", "not copied", "not compared", "links to nothing and special files"),
    _Row("failed", "failed", "failed", "failed"),
)
#: what skipped means, where something is copied
_SKIPPED = "the same, or not wanted"
#: counts that a check tells even if they are 0
_ALWAYS = {"sync": ("copied",), "check": ("copied", "updated", "deleted")}
#: how a check calls what a sync would do
_FOUND = {"copy": "missing", "delete": "extra"}
#: reasons of planned actions that copy nothing
_NO_COPIES = frozenset({"extra", "mode", "same", "copied"})
#: least number of planned copies that a hint is drawn from
_ENOUGH = 10


def plan_line(event: Mapping[str, Any], name: str) -> str:
    """Return one action of a dry run: ``copy    KEY  (12 bytes, missing)``, ``copy    KEY  (link, missing)``."""
    if event["kind"] not in (None, "file"):
        told = event["kind"]
    elif event["action"] == "metadata":
        return f"{event['action']:<6}  {name}  ({event['reason']})"
    else:
        told = (
            "size unknown" if event["bytes"] is None else f"{event['bytes']:,} byte{'' if event['bytes'] == 1 else 's'}"
        )
    return f"{event['action']:<6}  {name}  ({told}, {event['reason']})"


def difference_line(event: Mapping[str, Any], name: str) -> str:
    """Return one difference that a check found, the source's size first.

    ``missing  KEY``, ``extra    KEY``, ``differs  KEY  (size 3 -> 5)``, ``differs  KEY  (mtime)``.
    """
    found = _FOUND.get(event["action"])
    if found is not None:
        return f"{found:<7}  {name}"
    sizes = f" {event['bytes']} -> {event['dst_bytes']}" if event["reason"] == "size" else ""
    return f"differs  {name}  ({event['reason']}{sizes})"


def total_line(summary: Mapping[str, Any], *, server_side: bool) -> str:
    """Return the line that ends a dry run's actions: objects and bytes, and whether the store copies them itself."""
    copies = summary["copied"] + summary["updated"]
    parts = [f"{copies:,} object{'' if copies == 1 else 's'} to copy", exactly(summary["bytes"])]
    if copies and server_side:
        parts.append("copied inside the store (server-side)")
    if summary["metadata"]:
        parts.append(f"permissions of {summary['metadata']:,} to set")
    if summary["deleted"]:
        parts.append(f"{summary['deleted']:,} to delete")
    if summary["deleted_src"]:
        parts.append(f"{summary['deleted_src']:,} to remove at the source")
    return "total   " + ", ".join(parts)


def summary_lines(summary: Mapping[str, Any], verb: str = "sync") -> list[str]:
    """Return the block that ends a run: counts by action, bytes, reasons, what verified the copies."""
    dry, check = bool(summary["dry"]), verb == "check"
    rows = [(_title(summary, dry, check), "")]
    for row in _ROWS:
        title = row.found if check else row.planned if dry else row.done
        count = summary[row.name]
        if title and (count or row.name in _ALWAYS[verb]):
            meaning = _SKIPPED if row.name == "skipped" and not check else row.meaning
            rows.append((f"  {title:<12} {count:>9,}", meaning))
    if (summary["copied"] or summary["updated"]) and not check:
        rate = "" if dry or summary["seconds"] <= 0 else f", {amount(summary['bytes'] / summary['seconds'])}/s"
        rows.append((f"  {'would move' if dry else 'moved':<12} {exactly(summary['bytes'])}{rate}", ""))
    for title, counts in (("reasons", summary["reasons"]), ("verified by", summary["verified_by"])):
        if counts:
            rows.append((f"  {title:<12} " + ", ".join(f"{word} {count:,}" for word, count in counts.items()), ""))
    lines = [f"{left}  {right}" if right else left for left, right in rows]
    hint = _hint(summary, "differences" if check else "copies")
    return [*lines, hint] if hint else lines


def failed_line(count: int) -> str:
    """Return the line that ends a run with failures."""
    return f"{count} {'entry' if count == 1 else 'entries'} failed; running the same command again tries them again"


def one_line(text: str) -> str:
    """Return a message as one printable line."""
    return printable(" ".join(text.split("\n")))


def _title(summary: Mapping[str, Any], dry: bool, check: bool) -> str:
    took = f"{summary['seconds']:.1f} s"
    if not summary["complete"]:
        return f"Stopped before the end, after {took}:"
    if check:
        whole = not summary["failed"]
        found = "Differences found" if summary["exit_code"] else "Equal"
        return f"{found}, {took}:" if whole else f"Not everything could be compared, {took}:"
    if dry:
        return f"Dry run, nothing was touched, {took}:"
    return f"Done with failures in {took}:" if summary["failed"] else f"Done in {took}:"


def _hint(summary: Mapping[str, Any], things: str) -> str:
    planned = sum(count for reason, count in summary["reasons"].items() if reason not in _NO_COPIES)
    by_time = summary["reasons"].get("mtime", 0)
    if by_time < _ENOUGH or by_time * 2 <= planned:
        return ""
    if things == "differences":
        return (
            f"{by_time:,} of {planned:,} differences are of time alone, sizes being equal: "
            "--size-only leaves them out, --checksum compares the content"
        )
    return (
        f"{by_time:,} of {planned:,} copies were planned for their time alone, sizes being equal: "
        "where sizes tell enough, --size-only spares them"
    )
