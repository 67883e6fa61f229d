"""One row: every program in turn, round after round, each run checked before it counts."""

from __future__ import annotations

import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import meter
from tests.bench.datasets import Found
from tests.bench.ground import Ground, Lane
from tests.bench.programs import Job, Place, Program
from tests.bench.rows import Row, Where

#: seconds after which a run is given up
_LONGEST = 900.0
#: what the server's clock must move on before a copy is younger than its source to everybody
_TICK = 1.1


@dataclass
class Runs:
    """What one program took for one row, a value a round; ``failure`` says why it is out of it.

    ``wall`` and ``cpu`` are seconds, ``memory`` bytes, ``allocated`` the bytes that a local destination takes.
    """

    command: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    allocated: list[int] = field(default_factory=list)
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Return the median of the time."""
        return statistics.median(self.wall)


@dataclass
class Result:
    """A row's outcome: when, at what load of the machine (runnable processes before the first run), and the runs."""

    row: str
    date: str
    load: float
    rounds: int
    runs: dict[str, Runs]

    def best_peer(self) -> str | None:
        """Return the fastest program but fsync."""
        peers = [name for name, runs in self.runs.items() if name != "fsync" and not runs.failure]
        return min(peers, key=lambda name: self.runs[name].seconds, default=None)

    def ratio(self) -> float | None:
        """Return fsync's time against the best peer's; None where one of the two is missing."""
        own, peer = self.runs.get("fsync"), self.best_peer()
        if own is None or own.failure or peer is None:
            return None
        return own.seconds / self.runs[peer].seconds

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Result:
        """Return the outcome that :meth:`as_json` gave."""
        return cls(**{**given, "runs": {name: Runs(**runs) for name, runs in given["runs"].items()}})


def race(row: Row, programs: Sequence[Program], rounds: int, ground: Ground) -> Result:
    """Let all programs that can do a row's job do it ``rounds`` times, in another order each round."""
    with ground.lane(row) as lane:
        racing = {one.name: Runs(shown) for one in programs if (shown := command_shown(row, one))}
        runners = [one for one in programs if one.name in racing]
        if row.again:
            lane.destination()
        time.sleep(_TICK)
        today = dt.datetime.now(dt.UTC).date().isoformat()
        result = Result(row.name, today, round(os.getloadavg()[0], 2), rounds, racing)
        for number in range(rounds):
            first = number % len(runners)
            for one in [*runners[first:], *runners[:first]]:
                if not racing[one.name].failure:
                    run_once(lane, one, racing[one.name], number, ground)
    return result


def run_once(lane: Lane, program: Program, runs: Runs, number: int, ground: Ground) -> None:
    """Let one program do a row's job once; note what it took, or why it counts no more."""
    destination = lane.destination()
    dataset = lane.row.dataset
    # its return proves that a program has compared all the rest
    missing = dataset.key(number * 7919 % dataset.files)
    if lane.row.again:
        destination.remove(missing)
    job = lane.job(destination)
    words = program.words(job)
    assert words is not None
    measured, said = _measure([program.find() or program.executable, *words], program.environment(job), ground)
    found = destination.found()
    runs.failure = _failure(measured, said, found, Found(dataset.files, dataset.bytes))
    if not runs.failure:
        runs.wall.append(round(measured["wall"], 4))
        runs.cpu.append(round(measured["cpu"], 3))
        runs.memory.append(int(measured["memory"]))
        if found.allocated is not None:
            runs.allocated.append(found.allocated)
    if lane.row.again and runs.failure:
        # the next program finds what this one should have left
        destination.restore(missing, lane.directory)
    lane.leave(destination)


def _measure(command: Sequence[str], more: Mapping[str, str], ground: Ground) -> tuple[dict[str, float], str]:
    """Run a command under the meter; give what that measured, and the last line that the command said."""
    result, log = ground.directory / "result.json", ground.directory / "log.txt"
    # nobody pays for what the one before has left to be written
    os.sync()
    subprocess.run(
        [sys.executable, "-I", "-S", meter.__file__, str(result), str(log), str(_LONGEST), *command],
        env={**ground.environment(), **more},
        check=True,
    )
    lines = log.read_text(errors="replace").strip().splitlines()
    return json.loads(result.read_text()), lines[-1] if lines else ""


def _failure(measured: Mapping[str, float], said: str, found: Found, whole: Found) -> str:
    """Return why a run does not count, nothing if it does."""
    if measured["code"]:
        return f"exit code {measured['code']:.0f}: {said}"
    if (found.files, found.bytes) != (whole.files, whole.bytes):
        return f"{found.files} of {whole.files} files and {found.bytes} of {whole.bytes} bytes have arrived"
    return ""


def command_shown(row: Row, program: Program) -> str:
    """Return a program's command line for a row, with words for the places; nothing if it cannot do the job."""
    source = Place("SRC/") if row.source is Where.LOCAL else Place("BUCKET/tree/", "HOST")
    other = "OTHERHOST" if row.destination is Where.OTHER else "HOST"
    destination = Place("DST/") if row.destination is Where.LOCAL else Place("BUCKET2/tree/", other)
    words = program.words(Job(source, destination, row.in_flight, row.again))
    return "" if words is None else " ".join([program.executable, *words])
