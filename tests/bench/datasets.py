"""What is copied: trees described in a line, made from nothing, and looked at again where they have arrived."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.programs import Place

_BLOCK = 1 << 20
#: from so many files on a tree is scaled by their number, below by their size
_MANY = 1000
#: the time that all files carry, in seconds since 1970: trees made twice are the same to everybody
_TIME = 1_700_000_000


@dataclass(frozen=True)
class Dataset:
    """``files`` files of ``size`` bytes each, 100 a directory, named so that every storage lists them in one order.

    ``apart`` puts a block of data at every so many bytes and leaves holes between; 0 is data throughout.
    """

    files: int
    size: int
    apart: int = 0

    @property
    def name(self) -> str:
        """A name for a directory or a bucket."""
        return f"{self.files}x{self.size}" + ("-sparse" if self.apart else "")

    @property
    def bytes(self) -> int:
        """The bytes of all files together, holes included."""
        return self.files * self.size

    @property
    def words(self) -> str:
        """Return it as people write it."""
        size, unit = self.size, "B"
        for larger in ("KiB", "MiB", "GiB"):
            if size % 1024 == 0:
                size, unit = size // 1024, larger
        return f"{self.files:,} x {size:,} {unit}"

    @property
    def many(self) -> bool:
        """Tell whether its cost is that of its files and not that of their bytes."""
        return self.files >= _MANY

    def scaled(self, factor: float) -> Dataset:
        """Return a smaller tree of the same kind."""
        if factor == 1:
            return self
        if self.many:
            return replace(self, files=max(12, round(self.files * factor)))
        if self.size < _BLOCK:
            return self
        size = max(2 * _BLOCK, round(self.size * factor))
        return replace(self, size=size, apart=self.apart and max(2 * _BLOCK, round(self.apart * factor)))

    def key(self, number: int) -> str:
        """Return the name of one file."""
        return f"d{number // 100:05}/f{number:07}"

    def make(self, directory: Path) -> None:
        """Write the tree into a directory."""
        block = random.Random(self.name).randbytes(_BLOCK + self.files)
        for number in range(self.files):
            path = directory / self.key(number)
            if number % 100 == 0:
                path.parent.mkdir(parents=True)
            with path.open("wb", buffering=0) as file:
                if self.size < _BLOCK:
                    file.write(block[number : number + self.size])
                else:
                    for offset in range(0, self.size, self.apart or _BLOCK):
                        file.seek(offset)
                        file.write(block[number : number + min(_BLOCK, self.size - offset)])
                    file.truncate(self.size)
                os.utime(file.fileno(), (_TIME, _TIME))


@dataclass(frozen=True)
class Found:
    """What stands somewhere: files, their bytes, and, on a disk, the bytes that they take there."""

    files: int
    bytes: int
    allocated: int | None = None


class Tree:
    """A directory that one program copies from or to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        self.place = Place(f"{directory}/")

    def fill(self, dataset: Dataset, directory: Path) -> None:
        """Make a tree here; it is the same as the one that stands in ``directory``."""
        dataset.make(self._directory)

    def found(self) -> Found:
        """Count what stands here."""
        files = size = allocated = 0
        left = [str(self._directory)]
        while left:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                        continue
                    facts = entry.stat(follow_symlinks=False)
                    files += 1
                    size += facts.st_size
                    allocated += facts.st_blocks * 512
        return Found(files, size, allocated)

    def remove(self, key: str) -> None:
        """Remove one file."""
        (self._directory / key).unlink()

    def restore(self, key: str, directory: Path) -> None:
        """Put one file back from the tree in a directory."""
        shutil.copy2(directory / key, self._directory / key)

    def drop(self) -> None:
        """Remove the directory with all it holds."""
        shutil.rmtree(self._directory)
