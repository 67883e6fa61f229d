"""``fsync storages``: which storages there are, what reaches them, what each keeps of an entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fsync.cli import output
from fsync.cli.arguments import Command
from fsync.options import options_from
from fsync.schemes import DISTRIBUTIONS, SCHEMES
from fsync.storage import has_module, traits_of
from fsync.traits import MtimeKind, Rename, Traits

#: storages that nothing can be written to
_SOURCES = {"http"}
_TIMES = {MtimeKind.SETTABLE: "kept", MtimeKind.UPLOAD: "upload time", MtimeKind.NONE: "none"}
_UNITS = (("s", 10**9), ("ms", 10**6), ("us", 1000), ("ns", 1))

_HEAD = (
    *("STORAGE", "PACKAGE", "MTIME", "DIGEST", "PERMS", "LINKS", "EMPTY DIRS", "FINAL NAME BY", "SERVER-SIDE COPY"),
)
_LEGEND = """
MTIME          kept: fsync sets the source's time; upload time: the storage knows only when it was written
PERMS, LINKS   mode, owner and group with --perms, links as links with --links
EMPTY DIRS     with --dirs, as directories or (object stores) as zero-byte markers
FINAL NAME BY  how a written object gets its name; IN PLACE: until it is complete, half of it can be seen under it
hdfs           needs Hadoop's libhdfs besides the package
*              through plain fsspec calls, and so is PROTOCOL://... of every other protocol that fsspec or an
               installed package registers: with upload times, and objects written in place
"""


def storages_command(command: Command) -> int:
    """Run ``fsync storages`` and return its exit code."""
    options = options_from(command.options, verb="storages", from_cli=True)
    found = list(storages())
    if options.json:
        for storage in found:
            output.write_json(storage)
        return 0
    lines = [*_table([_HEAD, *(_cells(storage) for storage in found)]), *_LEGEND.splitlines(), "", "SCHEMES"]
    lines += [f"{storage['storage']:<9} {' '.join(_addresses(storage))}" for storage in found]
    output.write("\n".join(lines) + "\n")
    return 0


def storages() -> Iterator[dict[str, Any]]:
    """Yield each storage family as a JSON-able mapping, without importing its package.

    ``installed`` is the version at hand, None where ``install`` is the line that installs the package; ``written`` is
    how an object gets its final name: ``rename``, ``put``, ``in place``, None for a source only.
    """
    schemes: dict[str, list[str]] = {}
    for scheme, facts in SCHEMES.items():
        schemes.setdefault(facts.family, []).append(scheme)
    for family, names in schemes.items():
        package = DISTRIBUTIONS.get(family)
        installed = None if package is None else _installed(package)
        traits = traits_of(family)
        yield {
            "storage": family,
            "schemes": names,
            "package": package,
            "installed": installed,
            "install": None if package is None or installed else f"pip install {package}",
            "plain": not has_module(family),
            "mtime": traits.mtime.value,
            "mtime_precision_ns": None if traits.mtime is MtimeKind.NONE else traits.mtime_tick,
            "digest": traits.digest,
            "permissions": traits.permissions,
            "links": traits.links,
            "empty_directories": "directories" if traits.file_like else "markers",
            "written": None if family in _SOURCES else _written(traits),
            "server_side_copy": traits.server_side_copy,
        }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _written(traits: Traits) -> str:
    if traits.rename is Rename.ATOMIC:
        return "rename"
    return "put" if traits.final_put else "in place"


_WRITTEN = {
    "rename": "atomic rename",
    "put": "atomic PUT",
    "in place": "IN PLACE",
    None: "source only",
}


def _cells(storage: Mapping[str, Any]) -> Sequence[str]:
    """Return a storage's line of the table."""
    if storage["package"] is None:
        package = "built in"
    else:
        package = storage["install"] or f"{storage['package']} {storage['installed']}"
    mtime = _TIMES[MtimeKind(storage["mtime"])]
    if storage["mtime_precision_ns"]:
        mtime += f", {_precision(storage['mtime_precision_ns'])}"
    return (
        storage["storage"] + (" *" if storage["plain"] else ""),
        package,
        mtime,
        storage["digest"] or "-",
        _yes(storage["permissions"]),
        _yes(storage["links"]),
        "-" if storage["written"] is None else storage["empty_directories"],
        _WRITTEN[storage["written"]],
        _yes(storage["server_side_copy"]),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _addresses(storage: Mapping[str, Any]) -> list[str]:
    first = ["PATH"] if storage["storage"] == "local" else ["[USER@]HOST:PATH"] if storage["storage"] == "sftp" else []
    return [*first, *(f"{scheme}://" for scheme in storage["schemes"])]


def _precision(nanoseconds: int) -> str:
    unit, length = next((unit, length) for unit, length in _UNITS if nanoseconds >= length)
    return f"{nanoseconds // length} {unit}"


def _yes(value: bool) -> str:
    return "yes" if value else "-"
