"""The guide's storages A, B and C on loopback, and the table by which its command lines reach them.

An address is never touched. What is exchanged:

| in the guide | here |
|---|---|
| ``juicefs sync`` (``sudo`` before it too) | ``fsync sync`` of this checkout, run by bash |
| ``/mnt/jfs/`` | a temporary directory, as the mounted file system |
| ``~`` and ``./`` | HOME and the working directory are temporary directories |
| ``...@aaa.s3.us-west-1.amazonaws.com`` | the options ``client_kwargs.endpoint_url`` and path style: moto |
| ``...@bbb.oss-cn-hangzhou.aliyuncs.com`` | the option ``endpoint``: the OSS proxy |
| ``...@ccc-125000.cos.ap-beijing.myqcloud.com`` | the option ``scheme=http``, and ``http_proxy``: the COS proxy |

Both proxies stand in front of the same moto server.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsync
from tests.servers.dialect_proxy import DialectServer
from tests.servers.s3 import S3Server

TOP = Path(fsync.__file__).resolve().parents[1]
MOUNT = "/mnt/jfs/"
A, B, C = "aaa", "bbb", "ccc-125000"
#: long before any run, so that nothing waits for the tick of a clock
OLD = 1_577_836_800_000_000_000


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    line: str
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a run with ``--json``."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last event of a run with ``--json``."""
        return self.events[-1]

    def well(self) -> Ended:
        """Return itself; a failed test shows the command and what it said."""
        assert self.code == 0, f"{self.line}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True)
class World:
    """The three storages of the guide, a working directory and a home."""

    s3: S3Server
    oss: DialectServer
    cos: DialectServer
    mount: Path
    work: Path
    home: Path

    def endpoint_options(self, address: str) -> list[str]:
        """Return the ``KEY=VALUE`` options with which one of the guide's addresses is reached here."""
        if f"@{A}.s3.us-west-1.amazonaws.com" in address:
            return [f"client_kwargs.endpoint_url={self.s3.endpoint}", "config_kwargs.s3.addressing_style=path"]
        if f"@{B}.oss-cn-hangzhou.aliyuncs.com" in address:
            return [f"endpoint={self.oss.endpoint}"]
        if f"@{C}.cos.ap-beijing.myqcloud.com" in address:
            return ["scheme=http"]
        return []

    def line(self, command: str, *more: str) -> str:
        """Return a command of the guide as it is run here, ``more`` options added."""
        command = command.removeprefix("sudo ")
        verb = command.replace("juicefs sync", "fsync sync", 1).replace(MOUNT, f"{self.mount}/")
        src, dst = shlex.split(command)[-2:]
        options = [f"--src-option {shlex.quote(option)}" for option in self.endpoint_options(src)]
        options += [f"--dst-option {shlex.quote(option)}" for option in self.endpoint_options(dst)]
        return " ".join([verb, *options, *(shlex.quote(word) for word in more)])

    def line_of_one(self, command: str) -> str:
        """Return a command of the guide that has one address, as it is run here."""
        address = shlex.split(command)[-1]
        options = [f"--src-option {shlex.quote(option)}" for option in self.endpoint_options(address)]
        return " ".join([command, *options])

    def bash(self, line: str) -> Ended:
        """Run a line in bash, where ``fsync`` is this checkout's program; no output may show the guide's secret."""
        program = f'fsync() {{ {shlex.quote(sys.executable)} -m fsync "$@"; }}'
        return self._ran(line, ["bash", "-c", f"{program}\n{line}"])

    def python(self, program: str) -> Ended:
        """Run a Python program whose only storage is A, which the SDK's own variable leads here."""
        return self._ran(program, [sys.executable, "-c", program], AWS_ENDPOINT_URL=self.s3.endpoint)

    def _ran(self, line: str, command: list[str], **more: str) -> Ended:
        proxies = {"http_proxy": self.cos.endpoint, "no_proxy": "127.0.0.1"}
        done = subprocess.run(
            command,
            cwd=self.work,
            env={**os.environ, "PYTHONPATH": str(TOP), "HOME": str(self.home), **proxies, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "HIJKLMN" not in done.stdout + done.stderr
        return Ended(line, done.returncode, done.stdout, done.stderr)

    def run(self, command: str, *more: str) -> Ended:
        """Run a command of the guide."""
        return self.bash(self.line(command, *more))

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Store objects without fsync."""
        for key, data in objects.items():
            self.s3.client().put_object(Bucket=bucket, Key=key, Body=data)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return everything in a bucket, read without fsync."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def buckets(server: S3Server) -> Iterator[None]:
    """Keep the guide's three buckets for the length of a ``with`` block."""
    for name in (A, B, C):
        server.make_bucket(name)
    try:
        yield
    finally:
        for name in (A, B, C):
            server.remove_bucket(name)


def plant(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a directory, with an old time."""
    for key, data in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(OLD, OLD))


def grown(root: Path) -> dict[str, bytes]:
    """Return every file below a directory, read without fsync."""
    return {
        os.path.relpath(os.path.join(directory, name), root): Path(directory, name).read_bytes()
        for directory, _, names in os.walk(root)
        for name in names
    }
