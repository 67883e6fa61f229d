"""The outcome for people: a table on the terminal after each row, and docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from tests.bench.programs import PROGRAMS
from tests.bench.race import Result, Runs
from tests.bench.rows import ROWS, Row

_MEGA = 10**6


def table(row: Row, result: Result) -> str:
    """Return one row's figures as lines of plain text."""
    cells = [("", "median", "from", "to", "CPU", "memory", "of best peer"), *_cells(row, result)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for name, *figures in cells:
        line = [name.ljust(widths[0]), *(word.rjust(width) for word, width in zip(figures, widths[1:], strict=True))]
        lines.append("  ".join(line))
    return "\n".join([row.title, *("  " + line.rstrip() for line in lines), *("  " + note for note in _notes(result))])


def page(
    results: Iterable[Result], facts: Mapping[str, str], versions: Mapping[str, str], missing: Sequence[str]
) -> str:
    """Return docs/benchmarks.md: rows in their usual order, each with all its programs and their command lines."""
    known = {result.row: result for result in results}
    done = [(row, known[row.name]) for row in ROWS if row.name in known]
    lines = [
        "# Benchmarks",
        "",
        "Written by `tox -e bench` (`tests/bench/`); how to read it and what to set is in `docs/performance.md`.",
        "",
        "All programs of a row run in turn, round after round, in another order each round, with the same number of",
        "objects in flight, each into a fresh destination. A run counts if the destination holds every file and byte",
        "afterwards. Re-syncs find one file missing and have to put it back. Seconds are medians of the wall time of a",
        "whole process; CPU is user and system time, memory the peak, of all processes of a program together.",
        "",
        *(f"* {name}: {fact}" for name, fact in facts.items()),
        *(f"* {name}: {says}" for name, says in versions.items()),
        *([f"* not installed, and so missing here: {', '.join(missing)}"] if missing else []),
        "",
        "| job | fsync | best peer | ratio | target | reached |",
        "|---|---|---|---|---|---|",
        *(_summary(row, result) for row, result in done),
    ]
    for row, result in done:
        lines += [
            "",
            f"## {row.title}",
            "",
            f"{result.rounds} rounds, {result.date}, load before the first {result.load}.",
        ]
        lines += ["", "| program | median s | from | to | CPU s | MB | of best peer |", "|---|---|---|---|---|---|---|"]
        lines += ["| " + " | ".join(line) + " |" for line in _cells(row, result)]
        lines += ["", *(f"* {note}" for note in _notes(result)), "", "```bash"]
        lines += [runs.command for runs in result.runs.values()]
        lines += ["```"]
    lines += ["", "## About the command lines", ""]
    lines += [f"* {one.name}: {one.remark}." for one in PROGRAMS if one.remark]
    lines += ["* Keys, regions and rclone's remotes (`src:`, `dst:`) are given in the environment.", ""]
    return "\n".join(_without_gaps(lines))


def _without_gaps(lines: Iterable[str]) -> Iterable[str]:
    before = "-"
    for line in lines:
        if line or before:
            yield line
        before = line


def _summary(row: Row, result: Result) -> str:
    own, peer, ratio = result.runs.get("fsync"), result.best_peer(), result.ratio()
    mine = "-" if own is None or own.failure else f"{own.seconds:.2f} s"
    other = "-" if peer is None else f"{peer} {result.runs[peer].seconds:.2f} s"
    shown = "-" if ratio is None else f"{ratio:.2f}"
    return f"| {row.title} | {mine} | {other} | {shown} | {target(row)} | {'yes' if reached(row, result) else 'no'} |"


def target(row: Row) -> str:
    """Return what fsync wants to reach in a row."""
    wanted = [
        "" if row.target is None else f"≤ {row.target} of best peer",
        "" if row.seconds is None else f"≤ {row.seconds} s",
        "" if row.megabytes is None else f"< {row.megabytes} MB",
    ]
    return ", ".join(word for word in wanted if word)


def reached(row: Row, result: Result) -> bool:
    """Tell whether fsync reached all that it wanted to in a row."""
    own, ratio = result.runs.get("fsync"), result.ratio()
    if own is None or own.failure:
        return False
    return (
        (row.target is None or (ratio is not None and ratio <= row.target))
        and (row.seconds is None or own.seconds <= row.seconds)
        and (row.megabytes is None or max(own.memory) < row.megabytes * _MEGA)
    )


def _cells(row: Row, result: Result) -> list[tuple[str, ...]]:
    peer = result.best_peer()
    lines = []
    for name, runs in sorted(
        result.runs.items(), key=lambda item: (bool(item[1].failure), item[1].failure or item[1].seconds)
    ):
        if runs.failure:
            lines.append((name, *["-"] * 6))
            continue
        against = "-" if peer is None else f"{runs.seconds / result.runs[peer].seconds:.2f}"
        figures = (runs.seconds, min(runs.wall), max(runs.wall), statistics.median(runs.cpu))
        lines.append((name, *(f"{figure:.2f}" for figure in figures), f"{max(runs.memory) / _MEGA:.0f}", against))
    return lines


def _notes(result: Result) -> list[str]:
    """Return what the figures do not say: who failed, and who filled the holes of a sparse file."""
    return [note for name, runs in result.runs.items() if (note := _note(name, runs, result))]


def _note(name: str, runs: Runs, result: Result) -> str:
    if runs.failure:
        return f"{name} is out: {runs.failure}"
    least = min((min(other.allocated) for other in result.runs.values() if other.allocated), default=0)
    if runs.allocated and max(runs.allocated) > 1.5 * least + _MEGA:
        return f"{name} takes {max(runs.allocated) / _MEGA:.0f} MB on the disk where {least / _MEGA:.0f} MB would do"
    return ""
