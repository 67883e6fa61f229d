"""moto as an S3 server: quick, keys in byte order, everything in memory, any key and secret accepted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import answers, running
from tests.servers.s3 import S3Server


@contextmanager
def serve(directory: Path) -> Iterator[S3Server]:
    """Run moto's own server."""

    def command(ports: list[int]) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0])]

    with running(command, ports=1, ready=answers("/moto-api/"), directory=directory, name="moto") as (process, ports):
        yield S3Server("moto", f"http://127.0.0.1:{ports[0]}", "testing", "testing-secret", process)
