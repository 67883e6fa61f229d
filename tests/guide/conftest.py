"""The guide's storages for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guide.world import World, buckets
from tests.servers.dialect_proxy import DialectServer
from tests.servers.s3 import S3Server


@pytest.fixture
def world(moto_s3: S3Server, oss: DialectServer, cos: DialectServer, tmp_path: Path) -> Iterator[World]:
    """Storages A, B and C, all empty, an empty home and working directory."""
    places = [tmp_path / name for name in ("jfs", "work", "home")]
    for place in places:
        place.mkdir()
    with buckets(moto_s3):
        yield World(moto_s3, oss, cos, *places)
