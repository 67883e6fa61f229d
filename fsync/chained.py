"""Read addresses that only fsspec's registry understands: protocols outside our table, and chained URLs.

The packages of such protocols are imported here, when such an address is given and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsync.credentials import split_scheme, split_userinfo
from fsync.schemes import SCHEMES

_NEAREST = (
    "fsync storages lists what it reaches; for anything else mount it and give the path of the mount, "
    "or use its S3 gateway (minio://HOST:PORT/BUCKET/) or its WebDAV server (webdav://HOST/PATH/)"
)


def read_foreign(text: str, options: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return protocol, root and storage options of a URL that fsspec alone can read.

    A chain (``simplecache::s3://bucket/dir/``, ``zip://in/::memory://x.zip``) becomes the options ``target_protocol``,
    ``target_options`` and ``fo`` of its first link, as ``fsspec.core.url_to_fs`` has it; options named like a link's
    protocol are that link's. Raises ValueError for protocols that fsspec does not know or whose package is missing.
    """
    remaining = dict(options)
    given = [_link(part) for part in text.split("::")]
    links: list[tuple[str, str, dict[str, Any]]] = []
    path = ""
    for number, link in reversed(list(enumerate(given))):
        protocol, rest = split_scheme(link) or ("file", link)
        _no_credentials(protocol, rest, chained=len(given) > 1)
        cls = _filesystem_class(protocol)
        own = remaining.pop(protocol, {}) if len(given) > 1 else {}
        if number == 0:
            own = {**own, **remaining}
        # a link without a path of its own (simplecache::) reads its target's
        read, found = _read(cls, protocol, link)
        path = read or (path if _is_transparent(cls) else "")
        links.insert(0, (protocol, path, {**found, **own}))
    merged: dict[str, Any] = {}
    for protocol, path, found in reversed(links[1:]):
        merged = {"target_options": {**found, **merged}, "target_protocol": protocol, "fo": path.rstrip("/") or path}
    protocol, path, found = links[0]
    return protocol, path, {**found, **merged}


def _link(part: str) -> str:
    return part if "://" in part or "/" in part else part + "://"


def _read(cls: Any, protocol: str, link: str) -> tuple[str, dict[str, Any]]:
    """Return path and options as the package reads them."""
    try:
        path, found = str(cls._strip_protocol(link)), dict(cls._get_kwargs_from_urls(link))
    except Exception as error:  # noqa: BLE001 - whatever a package raises may repeat the URL, secrets included
        raise ValueError(f"{cls.__name__} cannot read it as {protocol}:// ({type(error).__name__})") from None
    ends = link.endswith("/") and not link.endswith("://")
    return (path + "/" if path and ends and not path.endswith("/") else path), found


def _is_transparent(cls: Any) -> bool:
    from fsspec.implementations.chained import ChainedFileSystem

    return issubclass(cls, ChainedFileSystem)


def _no_credentials(protocol: str, rest: str, *, chained: bool) -> None:
    scheme = SCHEMES.get(protocol)
    if chained and scheme and scheme.family in ("s3", "oss", "cos", "gcs") and split_userinfo(rest)[0] is not None:
        raise ValueError(f"a chain takes its credentials as storage options: {protocol}.key=..., {protocol}.secret=...")


def _filesystem_class(protocol: str) -> Any:
    from fsspec.registry import get_filesystem_class

    try:
        return get_filesystem_class(protocol)
    except ValueError:
        raise ValueError(f"no storage is known as {protocol}://; {_NEAREST}") from None
    except ImportError as error:
        raise ValueError(f"the package for {protocol}:// is missing: {error}") from None
