"""Places for the two ends of a matrix test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.matrix.sides import S3, SIDES, Local, Memory, Places, Side
from tests.servers.s3 import S3Server

pytest.register_assert_rewrite("tests.matrix.pair")

#: names of the two ends and of what lies beside the destination, as hostile as an address may be
_SOURCE, _DESTINATION = "src dir #1%41+\u00e9", "dst [*] {0};&'q'"
_BESIDE = (_DESTINATION + "-backup", "canary")


@pytest.fixture
def places(tmp_path: Path, request: pytest.FixtureRequest, bucket: Callable[[S3Server], str]) -> Iterator[Places]:
    """A factory: ``places(source, destination)`` makes two new ends, and other things beside the destination.

    Two S3 ends on one server are in one bucket, which is the test's own.
    """
    numbers = itertools.count()
    buckets: dict[str, str] = {}
    ends: list[S3] = []

    def made(name: str, above: str, place: str) -> Side:
        kind = SIDES[name]
        if kind is Local:
            return Local(tmp_path / above, place)
        if kind is Memory:
            return Memory(f"{tmp_path.name}/{above}", place)
        assert issubclass(kind, S3)
        server: S3Server = request.getfixturevalue("seaweed" if name == "seaweed" else "moto_s3")
        if name not in buckets:
            buckets[name] = bucket(server)
        ends.append(kind(server, buckets[name], above, place))
        return ends[-1]

    def make(source: str, destination: str) -> tuple[Side, Side]:
        above = str(next(numbers))
        for place in _BESIDE:
            made(destination, above, place).fill({b"x": b"canary", b"a/b": b"another"})
        return made(source, above, _SOURCE), made(destination, above, _DESTINATION)

    yield make
    for path in [path for path in MemoryFileSystem.store if path.startswith(f"/{tmp_path.name}/")]:
        del MemoryFileSystem.store[path]
    for end in ends:
        # the bucket is emptied by a listing of versions, which moto does not survive where keys hold control characters
        for key in end.mtimes():
            end.remove(key)
