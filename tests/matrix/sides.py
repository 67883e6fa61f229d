"""The two ends of a matrix test: a place in a real storage, edited and read without fsync."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from hypothesis import strategies as st

from tests.servers.s3 import S3Server
from tests.strategies import (
    Append,
    Copy,
    Edit,
    Remove,
    Rename,
    RenameDirectory,
    Rewrite,
    Touch,
    Tree,
    Write,
    hostile_components,
    pathless_components,
    undecodable_components,
)


class Side(ABC):
    """A directory, prefix or bucket part of its own, beside which other things lie that nobody may touch.

    ``file_like``: no key can be a directory of another one. ``sets_mtime``: fsync can give entries their source's time.
    ``own_times``: an entry renamed or copied keeps its time. ``resolves_clashes``: a file can take the place of a
    directory, and the other way round. ``tick`` is the precision of listed times, in nanoseconds.
    """

    name: ClassVar[str]
    file_like: ClassVar[bool]
    sets_mtime: ClassVar[bool] = False
    own_times: ClassVar[bool] = False
    resolves_clashes: ClassVar[bool] = False
    tick: ClassVar[int]
    #: components of keys that an independent writer can store
    components: ClassVar[st.SearchStrategy[bytes]]

    @property
    @abstractmethod
    def address(self) -> str:
        """The place as fsync takes it, with a slash at the end."""

    @property
    def storage_options(self) -> dict[str, Any]:
        """What the address needs besides."""
        return {}

    @classmethod
    @abstractmethod
    def holds(cls, key: bytes) -> bool:
        """Tell whether a key is in the storage's declared domain, other keys left aside."""

    @abstractmethod
    def write(self, key: bytes, data: bytes) -> None:
        """Give a key this content, now."""

    @abstractmethod
    def remove(self, key: bytes) -> None:
        """Remove a key."""

    @abstractmethod
    def read_all(self) -> dict[bytes, bytes]:
        """Return everything that stands in the place, unfinished things of a sync included."""

    @abstractmethod
    def mtimes(self) -> dict[bytes, int]:
        """Return the listed time of every key, in nanoseconds since 1970."""

    @abstractmethod
    def outside(self) -> object:
        """Return what lies beside the place, to be compared later; unfinished uploads count as beside."""

    @abstractmethod
    def age(self) -> None:
        """Make what stands here older than anything that follows, where times can be set."""

    def fill(self, tree: Tree) -> None:
        """Write a whole tree."""
        for key, data in tree.items():
            self.write(key, data)

    def edit(self, edit: Edit) -> None:
        """Do one edit as this storage's own programs do it: object stores write again what they rename or touch."""
        match edit:
            case Write(key, data) | Rewrite(key, data):
                self.write(key, data)
            case Append(key, data):
                self.write(key, self.read(key) + data)
            case Touch(key, _):
                self.write(key, self.read(key))
            case Remove(key):
                self.remove(key)
            case Rename(key, to):
                self.write(to, self.read(key))
                self.remove(key)
            case Copy(key, to):
                self.write(to, self.read(key))
            case RenameDirectory(directory, to):
                for key in sorted(self.read_all()):
                    if key.startswith(directory + b"/"):
                        self.edit(Rename(key, to + key[len(directory) :]))

    @abstractmethod
    def read(self, key: bytes) -> bytes:
        """Return the content of one key."""


def is_path(key: bytes) -> bool:
    """Tell whether a key is a path of names."""
    return b"\0" not in key and not any(part in (b"", b".", b"..") for part in key.split(b"/"))


def is_utf8(key: bytes) -> bool:
    """Tell whether a key is text."""
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def short_names(key: bytes) -> bool:
    """Tell whether no component has more than 255 bytes."""
    return all(len(part) <= 255 for part in key.split(b"/"))


class Local(Side):
    """A local directory; every time that a write leaves is unlike all others here.

    Two files of one size and one mtime are the same file to the quick check of local trees, as they are to rsync's,
    and the kernel's clock gives writes that follow each other closely one time.
    """

    name = "local"
    file_like = True
    sets_mtime = True
    own_times = True
    resolves_clashes = True
    tick = 1
    components = hostile_components | undecodable_components

    def __init__(self, above: Path, name: str) -> None:
        self.root = os.fsencode(above / name)
        os.makedirs(self.root)
        self._used: set[int] = set()

    @property
    def address(self) -> str:
        return os.fsdecode(self.root) + "/"

    @classmethod
    def holds(cls, key: bytes) -> bool:
        return is_path(key) and short_names(key)

    def _path(self, key: bytes) -> bytes:
        return os.path.join(self.root, key)

    def _place(self, key: bytes) -> bytes:
        """Return a key's path where its directory exists and no directory without files has its name."""
        path = self._path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.isdir(path):
            assert not any(files for _, _, files in os.walk(path))
            shutil.rmtree(path)
        return path

    def _stamp(self, path: bytes, mtime: int | None = None) -> None:
        mtime = os.stat(path).st_mtime_ns if mtime is None else mtime
        while mtime in self._used:
            mtime += 1
        self._used.add(mtime)
        os.utime(path, ns=(mtime, mtime))

    def write(self, key: bytes, data: bytes) -> None:
        path = self._place(key)
        with open(path, "wb") as file:
            file.write(data)
        self._stamp(path)

    def read(self, key: bytes) -> bytes:
        with open(self._path(key), "rb") as file:
            return file.read()

    def remove(self, key: bytes) -> None:
        os.unlink(self._path(key))

    def edit(self, edit: Edit) -> None:
        match edit:
            case Append(key, data):
                with open(self._path(key), "ab") as file:
                    file.write(data)
                self._stamp(self._path(key))
            case Rewrite(key, data):
                path = self._path(key)
                before = os.stat(path).st_mtime_ns
                with open(path, "r+b") as file:
                    file.write(data)
                os.utime(path, ns=(before, before))
            case Touch(key, mtime):
                self._stamp(self._path(key), mtime)
            case Rename(key, to):
                os.rename(self._path(key), self._place(to))
            case RenameDirectory(directory, to):
                os.rename(self._path(directory), self._place(to))
            case Copy(key, to):
                shutil.copy2(self._path(key), self._place(to))
            case _:
                super().edit(edit)

    def _files(self) -> dict[bytes, bytes]:
        found = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(directory, name)
                found[os.path.relpath(path, self.root)] = path
        return found

    def read_all(self) -> dict[bytes, bytes]:
        return {key: Path(os.fsdecode(path)).read_bytes() for key, path in self._files().items()}

    def mtimes(self) -> dict[bytes, int]:
        return {key: os.lstat(path).st_mtime_ns for key, path in self._files().items()}

    def age(self) -> None:
        for number, path in enumerate(self._files().values()):
            self._stamp(path, 1_000_000_000_000_000_000 + number)

    def outside(self) -> object:
        above = os.path.dirname(self.root)
        seen = {}
        for directory, _, names in os.walk(above):
            if not (directory + b"/").startswith(self.root + b"/"):
                for name in names:
                    path = os.path.join(directory, name)
                    seen[path] = (os.lstat(path).st_mtime_ns, Path(os.fsdecode(path)).read_bytes())
                seen[directory] = (0, b"")
        return seen


class Memory(Side):
    """A directory of fsspec's memory store, whose dict is written and read directly."""

    name = "memory"
    file_like = True
    tick = 1_000
    components = hostile_components | pathless_components

    def __init__(self, above: str, name: str) -> None:
        self._above, self.root = f"/{above}/", f"/{above}/{name}/"
        self._store = MemoryFileSystem.store
        self._fs = MemoryFileSystem(skip_instance_cache=True)

    @property
    def address(self) -> str:
        return f"memory:/{self.root}"

    @classmethod
    def holds(cls, key: bytes) -> bool:
        return is_path(key) and is_utf8(key)

    def _path(self, key: bytes) -> str:
        return self.root + key.decode()

    def write(self, key: bytes, data: bytes) -> None:
        # not by way of the filesystem: it cuts slashes off the names that it is given
        path = self._path(key)
        self._store[path] = MemoryFile(self._fs, path, data)

    def read(self, key: bytes) -> bytes:
        data: bytes = self._store[self._path(key)].getvalue()
        return data

    def remove(self, key: bytes) -> None:
        del self._store[self._path(key)]

    def _own(self) -> dict[bytes, Any]:
        return {
            path[len(self.root) :].encode(): file for path, file in self._store.items() if path.startswith(self.root)
        }

    def read_all(self) -> dict[bytes, bytes]:
        return {key: file.getvalue() for key, file in self._own().items()}

    def mtimes(self) -> dict[bytes, int]:
        return {key: round(file.modified.timestamp() * 1_000_000) * 1_000 for key, file in self._own().items()}

    def age(self) -> None:
        """Do nothing: times cannot be set, and everything that follows is later."""

    def outside(self) -> object:
        return {
            path: (file.modified, file.getvalue())
            for path, file in self._store.items()
            if path.startswith(self._above) and not path.startswith(self.root)
        }


class S3(Side):
    """A prefix of a bucket, reached with a plain client."""

    tick = 1_000_000_000
    server: S3Server

    def __init__(self, server: S3Server, bucket: str, above: str, name: str) -> None:
        self.server, self._bucket = server, bucket
        self._above, self._prefix = f"{above}/", f"{above}/{name}"
        self._client = server.client()

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}/"

    @property
    def storage_options(self) -> dict[str, Any]:
        return self.server.storage_options

    def _key(self, key: bytes) -> str:
        return f"{self._prefix}/{key.decode()}"

    def write(self, key: bytes, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=data)

    def fill(self, tree: Tree) -> None:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(self.write, key, data) for key, data in tree.items()]:
                done.result()

    def read(self, key: bytes) -> bytes:
        data: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()
        return data

    def remove(self, key: bytes) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def _listed(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._above)
        return [item for page in pages for item in page.get("Contents", ())]

    def _own(self) -> dict[bytes, dict[str, Any]]:
        start = self._prefix + "/"
        return {item["Key"][len(start) :].encode(): item for item in self._listed() if item["Key"].startswith(start)}

    def read_all(self) -> dict[bytes, bytes]:
        listed = list(self._own())
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(listed, pool.map(self.read, listed), strict=True))

    def mtimes(self) -> dict[bytes, int]:
        return {key: round(item["LastModified"].timestamp() * 1000) * 1_000_000 for key, item in self._own().items()}

    def age(self) -> None:
        """Do nothing: times cannot be set, and everything that follows is later."""

    def outside(self) -> object:
        uploads = self._client.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [upload["Key"] for upload in uploads], [
            (item["Key"], item["LastModified"], item["ETag"])
            for item in self._listed()
            if not item["Key"].startswith(self._prefix + "/")
        ]


class Moto(S3):
    """moto: any text without a newline, in byte order; a key may be below another one."""

    name = "moto"
    file_like = False
    resolves_clashes = True
    components = hostile_components | pathless_components

    @classmethod
    def holds(cls, key: bytes) -> bool:
        return is_utf8(key) and b"\n" not in key and 0 < len(key) <= 900


class SeaweedFS(S3):
    """SeaweedFS: paths of names, backslash no character of a name; a key may be below another one.

    What lies in a directory ``.uploads`` or ``*.versions`` is its own, and it does not list it.
    """

    name = "seaweed"
    file_like = False
    resolves_clashes = True
    components = hostile_components

    @classmethod
    def holds(cls, key: bytes) -> bool:
        if any(part == b".uploads" or part.endswith(b".versions") for part in key.split(b"/")[:-1]):
            return False
        return is_utf8(key) and is_path(key) and short_names(key) and b"\\" not in key and len(key) <= 900


def holdable(side: type[Side]) -> Callable[[bytes], bool]:
    """Return whether an independent writer can store a key at a source: more than fsync would write there."""
    if side is Memory:
        return lambda key: is_utf8(key) and key != b"" and not key.endswith(b"/")
    return side.holds


#: the classes of sides by their names
SIDES: Mapping[str, type[Side]] = {side.name: side for side in (Local, Memory, SeaweedFS, Moto)}
#: every source with every destination; two S3 ends of one kind are on one server
PAIRS = list(product(SIDES, SIDES))

#: makes two new ends from the names of their sides
Places = Callable[[str, str], tuple[Side, Side]]


def is_marker(key: bytes, data: bytes) -> bool:
    """Tell whether an object stands for a directory."""
    return not data and key.endswith(b"/")
