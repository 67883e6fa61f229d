"""The programs of the race: how each is told to do a job, with the best settings it has for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.servers.process import program
from tests.servers.s3 import REGION


@dataclass(frozen=True)
class Place:
    """A tree in a directory, or in a bucket at ``host`` (``HOST:PORT``); ``path`` ends in ``/``."""

    path: str
    host: str | None = None

    @property
    def local(self) -> bool:
        """Tell whether it is a directory."""
        return self.host is None


@dataclass(frozen=True)
class Job:
    """What to do from one place to another: ``again`` if the destination has nearly all of it."""

    source: Place
    destination: Place
    in_flight: int
    again: bool = False

    @property
    def local(self) -> bool:
        """Tell whether no server takes part."""
        return self.source.local and self.destination.local


#: a program's words for a job, without its own name; None where it cannot do it
Words = Callable[[Job], list[str] | None]


@dataclass(frozen=True)
class Program:
    """One program: its name, the executable, the words that ask for its version, and how it is told to do a job."""

    name: str
    executable: str
    version: str
    words: Words
    #: what is to be known of its command lines
    remark: str = ""
    #: further environment for a job
    environment: Callable[[Job], Mapping[str, str]] = field(default=lambda _: {})

    def find(self) -> str | None:
        """Return the executable's path, None where it is not installed."""
        try:
            return program(self.executable)
        except FileNotFoundError:
            return None

    def says(self) -> str:
        """Return what it calls its version."""
        path = self.find()
        if path is None:
            return ""
        shown = subprocess.run([path, self.version], capture_output=True, text=True, timeout=30, check=True)
        return shown.stdout.strip().splitlines()[0]


def _juicefs(job: Job) -> list[str]:
    return ["sync", "--threads", str(job.in_flight), _minio(job.source), _minio(job.destination)]


def _minio(place: Place) -> str:
    return place.path if place.local else f"minio://{place.host}/{place.path}"


def _rclone(job: Job) -> list[str]:
    number = str(job.in_flight)
    # within one server both ends are one remote, so that it copies there
    one = job.source.host == job.destination.host
    words = ["sync", "--transfers", number, "--checkers", number]
    if not job.local:
        words += ["--s3-no-check-bucket", "--s3-no-head", "--fast-list"]
        if job.again:
            words += ["--size-only"]
    return [*words, _remote("src", job.source), _remote("src" if one else "dst", job.destination)]


def _remote(name: str, place: Place) -> str:
    return place.path if place.local else f"{name}:{place.path}"


def _rclone_environment(job: Job) -> dict[str, str]:
    found = {"RCLONE_CONFIG": ""}
    for name, place in (("SRC", job.source), ("DST", job.destination)):
        found |= {
            f"RCLONE_CONFIG_{name}_TYPE": "s3",
            f"RCLONE_CONFIG_{name}_PROVIDER": "SeaweedFS",
            f"RCLONE_CONFIG_{name}_ENV_AUTH": "true",
            f"RCLONE_CONFIG_{name}_REGION": REGION,
            f"RCLONE_CONFIG_{name}_ENDPOINT": f"http://{place.host}",
        }
    return found


def _s5cmd(job: Job) -> list[str] | None:
    hosts = {place.host for place in (job.source, job.destination) if place.host}
    if len(hosts) != 1:
        return None
    verb = ["sync", "--size-only"] if job.again else ["cp"]
    source = job.source.path if job.source.local else f"s3://{job.source.path}*"
    destination = job.destination.path if job.destination.local else f"s3://{job.destination.path}"
    return ["--endpoint-url", f"http://{hosts.pop()}", "--numworkers", str(job.in_flight), *verb, source, destination]


def _rsync(job: Job) -> list[str] | None:
    return ["-rt", "--sparse", job.source.path, job.destination.path] if job.local else None


def _cp(job: Job) -> list[str] | None:
    if not job.local or job.again:
        return None
    return ["-r", "--preserve=timestamps", job.source.path + ".", job.destination.path]


#: fsync comes first: the others are its peers
PROGRAMS: tuple[Program, ...] = (
    Program("fsync", "fsync", "--version", _juicefs, "juicefs's own line"),
    Program("juicefs", "juicefs", "version", _juicefs, "compares sizes alone"),
    Program(
        "rclone",
        "rclone",
        "version",
        _rclone,
        "`--s3-no-head` saves the look at each upload, `--size-only` the request for each object's own time",
        _rclone_environment,
    ),
    Program(
        "s5cmd", "s5cmd", "version", _s5cmd, "copies with `cp`, which compares nothing and is faster than its `sync`"
    ),
    Program("rsync", "rsync", "--version", _rsync, "local trees only; one at a time"),
    Program("cp", "cp", "--version", _cp, "local trees only; one at a time, compares nothing"),
)
