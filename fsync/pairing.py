"""Decide whether two addresses can be used together: their spellings, and whether one holds the other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from fsync.address import Address
from fsync.credentials import secret_name
from fsync.errors import AddressError, printable
from fsync.schemes import OBJECT_FAMILIES

_AWS = re.compile(r"(?:.*\.)?amazonaws\.com(?P<china>\.cn)?")
_PORTS = {"http": 80, "https": 443}
_DEFAULT_PORT = {"sftp": 22, "ftp": 21, "smb": 445, "hdfs": 8020}


def reconcile(
    src: Address,
    dst: Address,
    *,
    src_is_directory: bool | None = None,
    dst_is_directory: bool | None = None,
    src_is_file: bool | None = None,
) -> tuple[Address, Address]:
    """Return the pair in one spelling: both directories, or both prefixes.

    The facts are what the storages said of the addresses as given, None where nobody asked: an existing directory
    counts as if it ended in ``/``; ``src_is_file`` says that SRC's text names one object and nothing else begins with
    it (or ``--exact``), so that into ``dir/`` it becomes ``dir/NAME``. Two prefixes stay two prefixes. Raises
    AddressError with both spellings where neither or both readings are possible.
    """
    if src.is_directory == dst.is_directory:
        return src, dst
    if src.is_directory:
        if dst_is_directory:
            return src, dst.as_directory()
    elif src_is_directory and not src_is_file:
        return src.as_directory(), dst
    elif src_is_file and not src_is_directory:
        name = src.root.rpartition("/")[2]
        return src, replace(dst, root=dst.root + name, given=dst.given + printable(name))
    with_slash, without = ("SRC", "DST") if src.is_directory else ("DST", "SRC")
    raise AddressError(
        f"{with_slash} ends in / (a directory) and {without} does not (everything that begins with it); "
        f"give {_line(src.as_directory(), dst.as_directory())} for the content of a directory, "
        f"or {_line(_as_prefix(src), _as_prefix(dst))} for all names with that beginning"
    )


def check_pair(
    src: Address, dst: Address, *, src_real: str | None = None, dst_real: str | None = None, exact: bool = False
) -> None:
    """Refuse two addresses of which one is, holds, or (as prefixes) begins with the other.

    ``src_real`` and ``dst_real`` are the roots with all links resolved, spelled like ``Address.root``, where the
    pipeline knows them; they are compared besides the roots themselves. ``exact`` takes SRC as exactly one object, so
    that only the same place is refused. Raises AddressError.
    """
    if store(src) != store(dst):
        return
    pairs = [(_comparable(src, src.root), _comparable(dst, dst.root))]
    if src_real is not None or dst_real is not None:
        pairs.append((_comparable(src, src_real or src.root), _comparable(dst, dst_real or dst.root)))
    for one, other in pairs:
        if one == other:
            raise AddressError(f"SRC and DST are the same place: {src.given}")
        if not exact and (one.startswith(other) or other.startswith(one)):
            _refuse(src, dst, inner_is_src=one.startswith(other))


def _refuse(src: Address, dst: Address, *, inner_is_src: bool) -> None:
    inner, outer = ("SRC", "DST") if inner_is_src else ("DST", "SRC")
    if src.is_directory and dst.is_directory:
        raise AddressError(
            f"{inner} lies inside {outer} ({_line(src, dst)}): give two places of which neither holds the other"
        )
    raise AddressError(
        f"without a slash at its end {outer} means every name that begins with it, so {inner} too: "
        f"give {_line(src.as_directory(), dst.as_directory())}"
    )


def store(address: Address) -> tuple[Any, ...]:
    """Return what tells one store from another, credentials aside: equal for addresses whose roots can be compared."""
    options, family = address.storage_options, address.family
    if family == "memory" and not getattr(address.filesystem, "global_store", True):
        return (family, id(address.filesystem.store))
    if family in ("local", "memory"):
        return (family,)
    if family == "generic":
        kind = type(address.filesystem).__qualname__ if address.filesystem is not None else ""
        return (family, address.protocol, kind, _public(options))
    if family == "http":
        return (family,)
    if family == "s3":
        client = options.get("client_kwargs") or {}
        return (family, _endpoint(options.get("endpoint_url") or client.get("endpoint_url"), client.get("region_name")))
    if family == "oss":
        # one bucket has several hosts: public, internal, accelerated
        host = _host(options.get("endpoint"))
        return (family, "" if host.endswith(".aliyuncs.com") else host)
    if family == "cos":
        host = _host(options.get("endpoint"))
        return (family, "" if host.endswith((".myqcloud.com", ".tencentcos.cn")) else host)
    if family == "gcs":
        return (family, _host(options.get("endpoint_url")))
    if family == "azure":
        account = re.search(r"AccountName=([^;]+)", str(options.get("connection_string") or ""), re.IGNORECASE)
        return (family, options.get("account_name") or (account[1] if account else ""))
    if family == "webdav":
        return (family, _host(options.get("base_url")), urlsplit(str(options.get("base_url") or "")).path.strip("/"))
    relative = family == "sftp" and not address.root.startswith("/")
    host = _machine(str(options.get("host", "")))
    user = options.get("username") if relative else None
    return (family, host, options.get("port") or _DEFAULT_PORT.get(family), relative, user)


def _endpoint(url: Any, region: Any) -> str:
    host = _host(url)
    match = _AWS.fullmatch(host.partition(":")[0])
    if not host or match:
        china = match["china"] if match else str(region or "").startswith("cn-")
        return "aws-cn" if china else "aws"
    return host


def _host(url: Any) -> str:
    """Return ``host:port`` of an endpoint given with or without scheme; user names aside."""
    text = str(url or "").strip().lower()
    if not text:
        return ""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    port = port or _PORTS.get(parts.scheme, 0)
    return _machine(parts.hostname or "") + ("" if port in _PORTS.values() else f":{port}")


def _machine(host: str) -> str:
    name = host.lower().rstrip(".")
    return "127.0.0.1" if name in ("localhost", "::1", "[::1]") else name


def _public(options: Mapping[str, Any]) -> str:
    """Spell options without the ones that are credentials, for comparison only."""
    return repr(sorted((name, _public(value) if isinstance(value, Mapping) else value)
                       for name, value in options.items() if not secret_name(str(name))))  # fmt: skip


def _comparable(address: Address, root: str) -> str:
    """Return a root in which one place has one spelling: object keys as they are, paths without ``//`` and ``.``."""
    if address.family in OBJECT_FAMILIES or address.family == "generic":
        return root
    if address.family == "http":
        scheme, _, rest = root.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{_host(f'{scheme}://{authority}')}{slash}{path}"
    directory = root == "" or root.endswith("/")
    parts: list[str] = []
    for part in root.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts) + ("/" if directory and parts else "")


def _as_prefix(address: Address) -> Address:
    bare = address.root.rstrip("/")
    bare_object = address.family in OBJECT_FAMILIES and bare == address.bucket
    if bare_object or not bare:
        return address
    return replace(address, root=bare, given=address.given.rstrip("/"))


def _line(src: Address, dst: Address) -> str:
    return f"fsync sync {shlex.quote(src.given)} {shlex.quote(dst.given)}"
