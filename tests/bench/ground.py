"""The ground of the race: servers, sources and fresh destinations below one directory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.buckets import Bucket
from tests.bench.datasets import Dataset, Tree
from tests.bench.programs import Job, Place
from tests.bench.rows import Row, Where
from tests.servers import seaweed
from tests.servers.process import answers, running
from tests.servers.s3 import REGION, S3Server

TOP = Path(__file__).parents[2]
#: as a server of its own would have it: volumes of a gigabyte, several at a time
_VOLUME_MEGABYTES, _GROWTH = 1024, 4


class Ground:
    """What all rows share; everything goes when the block ends.

    Trees of many files are not removed before that: a file system that has just freed many inodes is slow for a while
    to give them out again.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()
        self._sources: dict[str, Path] = {}
        self._buckets: dict[str, Bucket] = {}
        self._made = 0

    def __enter__(self) -> Ground:
        self.directory.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, self.directory)
        (self.directory / "home").mkdir()
        self._server = self._serve(self._stack, "server")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self, stack: ExitStack, name: str) -> S3Server:
        directory = self.directory / name
        return stack.enter_context(seaweed.serve(directory, volume_megabytes=_VOLUME_MEGABYTES, growth=_GROWTH))

    def _new(self) -> str:
        self._made += 1
        return f"t{self._made:05}"

    def environment(self) -> dict[str, str]:
        """Return the environment of every program: an empty home, and the keys of the servers."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": self._server.key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _source(self, dataset: Dataset) -> Path:
        if dataset.name not in self._sources:
            self._sources[dataset.name] = self.directory / "sources" / dataset.name
            dataset.make(self._sources[dataset.name])
        return self._sources[dataset.name]

    def _source_bucket(self, dataset: Dataset) -> Bucket:
        if dataset.name not in self._buckets:
            bucket = self._buckets[dataset.name] = Bucket(self._server, self._new())
            bucket.fill(dataset, self._source(dataset))
        return self._buckets[dataset.name]

    @contextmanager
    def lane(self, row: Row) -> Iterator[Lane]:
        """Prepare a row's source; what serves this row alone goes when the block ends."""
        with ExitStack() as stack:
            source = self._source(row.dataset)
            place = Place(f"{source}/") if row.source is Where.LOCAL else self._source_bucket(row.dataset).place
            server = self._server
            if row.destination is Where.OTHER:
                server = self._serve(stack, f"server-{self._new()}")
            host = stack.enter_context(self._behind(server, row.delay)) if row.delay else None
            lane = Lane(row, place, source, lambda: self._destination(row, server), host)
            stack.callback(lane.close)
            yield lane

    def _destination(self, row: Row, server: S3Server) -> Tree | Bucket:
        name = self._new()
        return Tree(self.directory / "trees" / name) if row.destination is Where.LOCAL else Bucket(server, name)

    @contextmanager
    def _behind(self, server: S3Server, seconds: float) -> Iterator[str]:
        """Put a delay in front of a server; give its ``HOST:PORT``."""
        upstream = server.host.rpartition(":")[2]

        def command(ports: list[int]) -> list[str]:
            return [sys.executable, "-m", "tests.bench.delay", str(ports[0]), upstream, str(seconds)]

        with running(
            command, ports=1, ready=answers("/healthz"), directory=self.directory / self._new(), name="delay",
            env={"PYTHONPATH": str(TOP)},
        ) as (_, ports):  # fmt: skip
            yield f"127.0.0.1:{ports[0]}"


@dataclass
class Lane:
    """One row's source, and its destinations: one for each run, or the same for all where it holds the tree already.

    ``directory`` holds the source's files wherever the row copies from.
    """

    row: Row
    _place: Place
    directory: Path
    _make: Callable[[], Tree | Bucket]
    _host: str | None
    _made: list[Tree | Bucket] = field(default_factory=list)

    def destination(self) -> Tree | Bucket:
        """Return where the next run copies to."""
        if self.row.again and self._made:
            return self._made[0]
        made = self._make()
        self._made.append(made)
        if self.row.again:
            made.fill(self.row.dataset, self.directory)
        return made

    def job(self, destination: Tree | Bucket) -> Job:
        """Return what a program is to do."""
        source, target = (
            replace(place, host=self._host) if place.host and self._host else place
            for place in (self._place, destination.place)
        )
        return Job(source, target, self.row.in_flight, self.row.again)

    def leave(self, destination: Tree | Bucket) -> None:
        """Remove a destination at once where that is a matter of few files."""
        if not (self.row.dataset.many or self.row.again):
            self._made.remove(destination)
            destination.drop()

    def close(self) -> None:
        """Remove the buckets; trees stay until all rows are done."""
        for made in self._made:
            if isinstance(made, Bucket):
                made.drop()
