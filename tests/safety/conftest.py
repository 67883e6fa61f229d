"""Places for the safety tests: each kind of storage as an end of a sync."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.safety.places import LocalPlace, MemoryPlace, Place, S3Place
from tests.servers.s3 import S3Server

KINDS = ("local", "memory", "seaweed", "moto")
Maker = Callable[[str, str], Place]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """A factory: ``place(kind, name)`` makes an empty place; S3 servers start when they are first asked for."""

    def make(kind: str, name: str) -> Place:
        if kind == "local":
            return LocalPlace(tmp_path / name)
        if kind == "memory":
            return MemoryPlace()
        server: S3Server = request.getfixturevalue("seaweed" if kind == "seaweed" else "moto_s3")
        new_bucket: Callable[[S3Server], str] = request.getfixturevalue("bucket")
        return S3Place(server, new_bucket(server))

    return make


@pytest.fixture(params=KINDS)
def destination(request: pytest.FixtureRequest, place: Maker) -> Place:
    """An empty destination of each kind in turn."""
    return place(request.param, "destination")
