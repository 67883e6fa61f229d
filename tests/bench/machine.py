"""What must be known of the machine to read the figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from tests.bench.programs import Program


def facts(directory: Path, server: str) -> dict[str, str]:
    """Return the machine's facts in words; ``directory`` is where the race takes place, ``server`` what serves it."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"Linux {platform.release()}, files on {_filesystem(directory)}",
        "Python": platform.python_version(),
        "S3 server": f"SeaweedFS, on loopback: {server}",
    }


def versions(programs: list[Program]) -> dict[str, str]:
    """Return what each program says of itself."""
    return {one.name: one.says() for one in programs}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _filesystem(directory: Path) -> str:
    """Return the kind of the file system that a directory is on."""
    real = directory.resolve()
    mounted = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    return max(mounted, key=lambda part: len(part.mountpoint)).fstype
