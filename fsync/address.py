"""Turn what a user gives as SRC or DST into an :class:`Address`: a storage family, a root, and storage options.

Every form of the guide's ``[NAME://][ACCESS_KEY:SECRET_KEY[:TOKEN]@]BUCKET[.ENDPOINT][/PREFIX]``, of plain fsspec URLs
and of ``[user@]host:path`` is read here, without I/O but for one question: does a local path with a colon exist.
Keys and paths are never percent-decoded, not in ``file://`` either (as fsspec has it); credentials are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fsync.credentials import HIDDEN, masked, secrets_in, split_scheme, split_userinfo
from fsync.errors import AddressError, printable
from fsync.readers import READERS, SFTP_REST, Text, names_directory, read_sftp
from fsync.schemes import IDENTITY, NEAREST, OBJECT_FAMILIES, PACKAGES, SCHEMES

_ARN_BUCKET = re.compile(r"arn:[^/]*:(?:accesspoint|outpost)[/:][^/]+(?:/(?:accesspoint|bucket)/[^/]+)?")
_PASSWORD_WITH_SLASH = re.compile(r"[^/:]+:[^/:][^/]*/[^@]*@[^/:@]+:.*", re.DOTALL)
_CHAIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::.*://", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a run.

    ``family`` names the module in ``fsync/storage``; ``protocol`` is fsspec's; ``root`` is the text in front of every
    key, in the filesystem's own path form, so that an entry's path is always ``root + key``: ``bucket/pre/``,
    ``/abs/dir/``, ``bucket/te``; "" is a file server's own root (or an SSH login's directory). Undecodable bytes of
    local names are surrogate escapes. ``given`` is what the user typed, printable, secrets replaced by ``****``.
    ``filesystem`` is the user's own instance of an ``(fs, path)`` pair.
    """

    family: str
    protocol: str
    root: str = field(repr=False)
    storage_options: Mapping[str, Any] = field(repr=False, hash=False)
    given: str
    filesystem: Any = field(default=None, repr=False, hash=False)

    @property
    def url(self) -> str:
        """Return the fsspec URL of the root, without secrets; ``pd.read_parquet(url, storage_options=...)`` reads it.

        A local root is its plain path, which pandas takes whatever the name; as ``file://`` a name with ``::`` would be
        a chained URL to fsspec. A path relative to an SSH login is written ``/~/PATH``: fsspec has no URL for it.
        """
        if self.family in ("local", "http"):
            return self.root
        if self.family == "memory":
            return "memory:/" + self.root
        if self.family not in ("sftp", "hdfs", "ftp", "smb"):
            return f"{self.protocol}://{self.root}"
        host, port = str(self.storage_options.get("host", "")), self.storage_options.get("port")
        # fsspec cuts bracketed hosts in two, and "default" is what a URL says by naming none
        authority = "" if ":" in host or (self.family == "hdfs" and host == "default") else host
        authority += f":{port}" if authority and port else ""
        return f"{self.protocol}://{authority}{self.root if self.root.startswith('/') else '/~/' + self.root}"

    @property
    def is_directory(self) -> bool:
        """Tell whether keys are what follows a ``/``; else the root is a prefix."""
        return self.root == "" or self.root.endswith("/")

    @property
    def bucket(self) -> str:
        """Return the bucket or container of an object address, "" of any other."""
        if self.family not in OBJECT_FAMILIES:
            return ""
        arn = _ARN_BUCKET.match(self.root)
        return arn[0] if arn else self.root.partition("/")[0]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the secret values among the storage options, for :class:`fsync.errors.Redactor`."""
        return tuple(dict.fromkeys(secrets_in(self.storage_options)))

    def as_directory(self) -> Address:
        """Return the same address with a trailing ``/``."""
        if self.is_directory:
            return self
        return replace(self, root=self.root + "/", given=self.given + "/")

    def join(self, key: bytes | str) -> str:
        """Return the path of ``key`` on the address's filesystem, undecodable bytes as surrogate escapes."""
        return self.root + (key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key)


def parse(
    given: Any,
    *,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    exists: Callable[[str], bool] = os.path.lexists,
    no_https: bool = False,
) -> Address:
    """Read an address: a text, a path object, a UPath or ObjectStoragePath, or an ``(fs, path)`` pair.

    ``options`` are storage options that win over what address and ``environ`` (default: the process's) say, merged
    deeply. ``exists`` answers whether a local path exists, for a bare ``host:path`` only. ``no_https`` is juicefs's
    switch: plain http where neither scheme nor endpoint say otherwise. Raises AddressError, never with a secret in it.
    """
    options = dict(options or {})
    if isinstance(given, tuple) and len(given) == 2 and hasattr(given[0], "storage_options"):
        return _of_filesystem(given[0], given[1], options)
    if all(hasattr(given, name) for name in ("protocol", "path", "storage_options")):
        return _of_upath(given, options)
    if isinstance(given, os.PathLike):
        return _local(os.fsdecode(given), options)
    if not isinstance(given, str):
        raise AddressError(f"an address is a text, a path or an (fs, path) pair, not {type(given).__name__}")
    if not given:
        raise AddressError("an address is empty: give ./ for the current directory")
    if "\0" in given:
        raise AddressError(f"{printable(masked(given))}: an address cannot hold a NUL character")
    environ = os.environ if environ is None else environ
    try:
        return _of_text(given, options, environ, exists, no_https)
    except ValueError as error:
        raise AddressError(f"{printable(masked(given))}: {error}") from None


def _of_text(
    given: str, options: dict[str, Any], environ: Mapping[str, str], exists: Callable[[str], bool], no_https: bool
) -> Address:
    split = split_scheme(given)
    if split is None:
        head = given.partition("/")[0]
        if ":" not in head or exists(given):
            return _local(given, options)
    if split is None and not _CHAIN.match(given):
        if head.lower() in ("file:", "local:"):
            return _local(given.partition(":")[2], options, given)
        return _bare_host(given, options, environ)
    if split is None or (split[0] not in SCHEMES and split[0] not in NEAREST):
        from fsync.chained import read_foreign

        protocol, root, settled = read_foreign(given, options)
        return Address("generic", protocol, root, settled, printable(masked(given)))
    name, rest = split
    if name not in SCHEMES:
        raise ValueError(f"fsync does not speak {name}:// itself: {NEAREST[name]}")
    scheme = SCHEMES[name]
    if scheme.family == "local":
        return _local(_file_path(name, rest), options, given)
    userinfo = None
    if scheme.family != "memory":
        userinfo, rest = split_userinfo(rest, colon_paths=scheme.family == "sftp")
    text = Text(name, scheme, userinfo, rest, options, environ, no_https)
    protocol, root, found = READERS[scheme.family](text)
    # a name alone is no secret, except over HTTP, where tokens are given as names
    bare_name = userinfo is None or (":" not in userinfo and scheme.family not in ("http", "webdav"))
    shown = given if bare_name else f"{name}://{HIDDEN}@{rest}"
    return Address(scheme.family, protocol, root, _settled(scheme.family, found, options), printable(shown))


# local paths


def _local(path: str, options: Mapping[str, Any], given: str | None = None) -> Address:
    if "\0" in path or not path:
        raise AddressError("a local path cannot be empty or hold a NUL character: give ./ for the current directory")
    expanded = os.path.expanduser(path) if given is None else path
    try:
        root = os.path.abspath(expanded)
    except OSError as error:
        raise AddressError(f"{printable(path)}: the current directory is gone: {error.strerror}") from None
    # POSIX lets two leading slashes mean something else; no system fsync runs on does
    root = "/" + root.lstrip("/") if root.startswith("//") else root
    if names_directory(expanded) and not root.endswith("/"):
        root += "/"
    return Address("local", "file", root, dict(options), printable(path if given is None else given))


def _file_path(name: str, rest: str) -> str:
    if rest.startswith("localhost/"):
        return rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise ValueError(f"{name}:// takes an absolute path: {name}:///DIR/, or ./DIR/ without {name}://")
    return rest


# SSH


def _bare_host(given: str, options: Mapping[str, Any], environ: Mapping[str, str]) -> Address:
    """Read ``[user[:password]@]host:[port:]path``; no local path is called so."""
    head = given.partition("/")[0]
    before, at, after = head.rpartition("@")
    both = "give ./PATH for a local path, or HOST:PATH or sftp://HOST[:PORT]/PATH for one over SSH"
    if at and ":" in before and ":" not in after:
        raise ValueError(f"no local path has this name, and as a host it lacks the colon before the path: {both}")
    if not at and _PASSWORD_WITH_SLASH.fullmatch(given):
        raise ValueError(f"the text before @ may be a password or a path: {both}")
    name = head.partition(":")[0].lower()
    if not at and (name in SCHEMES or name in NEAREST):
        raise AddressError(
            f"{name}:{HIDDEN}: no local path has this name: "
            f"give {name}://..., or sftp://{name}/PATH for a host of that name"
        )
    has_user = bool(at) and ":" in after
    userinfo, rest = (before, given[len(before) + 1 :]) if has_user else (None, given)
    match = SFTP_REST.fullmatch(rest)
    if match is None or " " in match["host"]:
        raise ValueError(f"no local path has this name, and it names no host: {both}")
    if match["port"] and not match["colon"]:
        raise ValueError("the number may be a port or a directory: give HOST:PORT:/PATH or HOST:./DIRECTORY/PATH")
    text = Text("", SCHEMES["sftp"], userinfo, rest, options, environ, False)
    protocol, root, found = read_sftp(text)
    shown = given if userinfo is None or ":" not in userinfo else f"{HIDDEN}@{rest}"
    return Address("sftp", protocol, root, _settled("sftp", found, options), printable(shown))


# path objects and (fs, path) pairs


def _of_upath(given: Any, options: Mapping[str, Any]) -> Address:
    """Read a UPath, or an Airflow ObjectStoragePath, whose filesystem alone knows the connection's credentials."""
    protocol, path = str(given.protocol or "file"), str(given.path)
    known = {name: value for name, value in given.storage_options.items() if name != "conn_id"}
    if getattr(given, "conn_id", None) or given.storage_options.get("conn_id"):
        return _of_filesystem(given.fs, path, options)
    return _of_path(protocol, path, known, options)


def _of_filesystem(fs: Any, path: Any, options: Mapping[str, Any]) -> Address:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    protocol = next((name for name in protocols if name in SCHEMES), protocols[0])
    family = SCHEMES[protocol].family if protocol in SCHEMES else "generic"
    modules = [cls.__module__ + "." for cls in type(fs).__mro__]
    if not any(module.startswith(f"{package}.") for module in modules for package in PACKAGES.get(family, ())):
        family = "generic"
    text = os.fsdecode(path) if isinstance(path, os.PathLike) else str(path)
    split = split_scheme(text)
    if split and split[0] in protocols and family != "http":
        text = text[len(split[0]) + 3 :] if family in OBJECT_FAMILIES | {"local"} else _stripped(fs, text)
    address = _of_path(protocol, text, fs.storage_options, options, family)
    return replace(address, filesystem=fs)


def _stripped(fs: Any, text: str) -> str:
    path = str(fs._strip_protocol(text))
    return path + "/" if text.endswith("/") and not path.endswith("/") else path


def _of_path(
    protocol: str, path: str, known: Mapping[str, Any], options: Mapping[str, Any], family: str = ""
) -> Address:
    """Build an address from a path in a filesystem's own form."""
    if "\0" in path:
        raise AddressError(f"{protocol}://{printable(path)}: an address cannot hold a NUL character")
    scheme = SCHEMES.get(protocol)
    family = family or (scheme.family if scheme else "generic")
    merged = _merged(known, options)
    if family == "local":
        return replace(_local(path, merged, path), given=printable(path))
    if family in OBJECT_FAMILIES:
        path = path.lstrip("/")
        if not path:
            raise AddressError(f"{protocol}:// names no bucket: give {protocol}://BUCKET/PREFIX/")
        path = path if "/" in path else path + "/"
    elif family == "memory":
        path = "/" + path.lstrip("/")
    elif family == "webdav":
        path = path.lstrip("/")
    protocol = scheme.protocol if scheme and family != "generic" else protocol
    shown = masked(path if split_scheme(path) else f"{protocol}://{path}")
    return Address(family, protocol, path, merged, printable(shown))


# options


def _settled(family: str, found: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Merge explicit options over what the address says, without mixing two credentials."""
    for identity, rest in IDENTITY.get(family, {}).items():
        if options.get(identity) and options[identity] != found.get(identity):
            for name in rest:
                found.pop(name, None)
    return _merged(found, options)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: _merged(value, {}) if isinstance(value, Mapping) else value for name, value in under.items()}
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged
