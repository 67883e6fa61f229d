"""SeaweedFS as an S3 server: real multipart uploads and permissions, listings in directory order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import answers, program, running
from tests.servers.s3 import S3Server

#: a user who may read and list, nothing else
READ_ONLY = ("ro", "rosk")

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": "ak", "secretKey": "sk"}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
        {
            "name": "readonly",
            "credentials": [{"accessKey": READ_ONLY[0], "secretKey": READ_ONLY[1]}],
            "actions": ["Read", "List"],
        },
    ]
}


@contextmanager
def serve(directory: Path, *, volume_megabytes: int = 64, growth: int = 1) -> Iterator[S3Server]:
    """Run master, volume server, filer and S3 gateway in one process; its data goes when the block ends.

    A bucket gets ``growth`` volumes at once, of so many megabytes each: few for tests, which make a bucket each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "s3.json").write_text(json.dumps(_IDENTITIES))
    data = directory / "data"
    data.mkdir()
    weed = program("weed")

    def command(ports: list[int]) -> list[str]:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = ports
        # Every gRPC port is named: the default is the HTTP port plus 10,000, which may be another test's.
        # The sockets are named too (relative to the directory): the default is a fixed place for all processes.
        return [
            weed,
            "-logtostderr=true",
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            f"-master.volumeSizeLimitMB={volume_megabytes}",
            "-master.volumePreallocate=false",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-volume.max=1000",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            "-filer.localSocket=filer.sock",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.config=s3.json",
            "-s3.localSocket=s3.sock",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    env = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": str(growth)}
    left_behind: set[Path] = set()
    try:
        with running(
            command, ports=8, ready=answers("/healthz"), directory=directory, name="seaweed", env=env, timeout=60
        ) as (process, ports):
            left_behind = process.unix_sockets()
            yield S3Server("seaweed", f"http://127.0.0.1:{ports[0]}", "ak", "sk", process)
    finally:
        shutil.rmtree(data)
        # The gRPC ports have sockets too, in a place that cannot be chosen, and the program leaves them there.
        for socket in left_behind:
            socket.unlink(missing_ok=True)
