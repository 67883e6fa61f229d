"""Places for the tests of single options, the same as for the safety tests, and a directory that anybody may enter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.safety.conftest import place

__all__ = ["place"]


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, write to and list: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="fsync-public-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
