"""Run the race: ``python -m tests.bench --help``."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.ground import TOP, Ground
from tests.bench.machine import facts, versions
from tests.bench.page import page, table
from tests.bench.programs import PROGRAMS
from tests.bench.race import Result, race
from tests.bench.rows import ROWS
from tests.servers.process import program

_ROUNDS = 5
_QUICK = 0.001


def main(words: Sequence[str] | None = None) -> None:
    """Race what the command line asks for, print each row as it ends, and write the page."""
    given = _arguments(words)
    rows = [row for row in ROWS if not given.rows or row.name in given.rows]
    programs = [one for one in PROGRAMS if one.find()]
    missing = [one.name for one in PROGRAMS if one not in programs]
    if missing:
        print(f"not installed, and so missing: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="fsync-bench-", dir=given.directory) as scratch:
        directory = Path(scratch)
        server = subprocess.run([program("weed"), "version"], capture_output=True, text=True, check=True)
        known = {"machine": facts(directory, server.stdout.splitlines()[0]), "versions": versions(programs)}
        results = _earlier(given.output, known)
        with Ground(directory / "ground") as ground:
            for row in rows:
                small = row.scaled(given.scale)
                results[row.name] = race(small, programs, given.rounds, ground)
                print(table(small, results[row.name]), flush=True)
                if given.output is not None:
                    _write(given.output, results, known, missing)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Race fsync against its peers.")
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"which rows (default: all): {' '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"rounds of each row (default: {_ROUNDS})")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the sizes of the trees (default: 1)")
    parser.add_argument("--quick", action="store_true", help=f"one round at scale {_QUICK}: does the harness work?")
    parser.add_argument(
        "--directory", type=Path, help="where the trees are made (default: the system's temporary directory)"
    )
    parser.add_argument(
        "--output", type=Path,
        help="Markdown page to write, with the figures beside it as JSON; rows that are not run now stay "
        "(default: docs/benchmarks.md if the trees have their full size)",
    )  # fmt: skip
    given = parser.parse_args(words)
    unknown = set(given.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if given.rounds < 1 or given.scale <= 0:
        parser.error("--rounds and --scale are more than 0")
    if given.quick:
        given.rounds, given.scale = 1, _QUICK
    if given.output is None and given.scale == 1:
        given.output = TOP / "docs" / "benchmarks.md"
    return given


def _earlier(output: Path | None, known: dict[str, dict[str, str]]) -> dict[str, Result]:
    """Return the results that stand beside a page, if they are of this machine and these programs."""
    if output is None or not output.with_suffix(".json").exists():
        return {}
    stored = json.loads(output.with_suffix(".json").read_text())
    if {name: stored[name] for name in known} != known:
        print(f"{output} is of another machine or other programs: its rows go")
        return {}
    return {one["row"]: Result.from_json(one) for one in stored["results"]}


def _write(output: Path, results: dict[str, Result], known: dict[str, dict[str, str]], missing: list[str]) -> None:
    output.write_text(page(results.values(), known["machine"], known["versions"], missing))
    stored = {**known, "results": [result.as_json() for result in results.values()]}
    output.with_suffix(".json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
