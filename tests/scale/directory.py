"""One local directory of very many files: ``python -m tests.scale.directory DIRECTORY ROWS`` makes it and plans it.

The directory is both ends of a plan, so that two listings of it are under way at once; a line of JSON tells what was
found and taken, making the files left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from fsync import pipeline
from fsync.address import parse
from fsync.comparison import comparison_for
from fsync.ends import Ends
from fsync.errors import Redactor
from fsync.filters import Rules
from fsync.options import options_from
from fsync.report import Report
from fsync.storage.local import LocalStorage
from fsync.storage.running import Running
from tests.scale.synthetic import taken


def make(directory: Path, rows: int) -> None:
    """Make empty files, unless they are there."""
    directory.mkdir(exist_ok=True)
    inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(rows):
        os.close(os.open(f"part-{number:09}-0a1b2c3d4e5f.snappy.parquet", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
    os.close(inside)


async def planned(directory: Path) -> dict[str, int]:
    """Plan a sync of the directory with itself and count."""
    running = Running()
    one, two = (LocalStorage(parse(f"{directory}/"), running) for _ in range(2))
    options = options_from({"delete_dst": True}, verb="sync")
    report = Report(None, Redactor(), dry=True)
    ends = Ends(one, two, None, options, Rules.parse(()), report, comparison_for(one.traits, two.traits, options))
    plans = [batch.num_rows async for batch in pipeline.plan(ends)]
    running.shutdown()
    return {"planned": sum(plans), "listed": report.counts["listed"], "destination": report.counts["destination"]}


def main() -> None:
    """Do what the command line says."""
    directory, rows = Path(sys.argv[1]), int(sys.argv[2])
    make(directory, rows)
    spent, began = time.process_time(), time.monotonic()
    found = asyncio.run(planned(directory))
    figures = taken(began)
    print(json.dumps({**found, **figures, "cpu": round(figures["cpu"] - spent, 2)}))


if __name__ == "__main__":
    main()
