"""Packages that others import only because they are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fsync.schemes import SCHEMES

#: families whose packages do without httpx
_WITHOUT = ("s3", "local", "http")


def spare_imports(words: Sequence[str]) -> None:
    """Keep httpx out of this process where no address among the words of its command line needs it.

    aiobotocore can work on httpx instead of aiohttp, which it never does here; a tenth of a run's start would be
    httpx and its command line. Only for a process of the program's own.
    """
    # an address may also be the value of an option: endpoint_url=https://...
    names = [word.partition("://")[0].rpartition("=")[2].lower() for word in words if "://" in word]
    schemes = [SCHEMES.get(name) for name in names]
    if all(scheme is not None and scheme.family in _WITHOUT for scheme in schemes):
        # what stands so in the table of modules cannot be found
        sys.modules.setdefault("httpx", None)  # type: ignore[arg-type]
