"""``fsync ls``: one line an entry, as text or JSON, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fsync.cli import output
from fsync.cli.arguments import Command
from fsync.cli.faults import Hide
from fsync.cli.logs import logging_to
from fsync.cli.output import complain
from fsync.errors import printable
from fsync.options import options_from

if TYPE_CHECKING:
    import pyarrow as pa

_SIZE_WIDTH = 12


def ls_command(command: Command, hide: Hide) -> int:
    """Run ``fsync ls`` and return its exit code; raises FsyncError for what ended it early."""
    options = options_from(command.options, verb="ls", from_cli=True)
    from fsync.api import list_pages
    from fsync.loops import pumped

    (address,) = command.addresses
    name = printable(address.rpartition("/")[2])
    with logging_to(lambda text: complain(hide(text)), verbose=options.verbose):
        for page in pumped(list_pages(address, options)):
            if options.json:
                for entry in entries(page):
                    output.write_json(entry)
            else:
                output.write("".join(f"{line}\n" for line in lines(page, name)))
    return 0


def lines(page: pa.RecordBatch, name: str) -> Iterator[str]:
    """Yield ``SIZE  TIME  KEY`` of each entry; ``name`` is shown for the object that is itself the address."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = pc.utf8_lpad(pc.fill_null(page.column("size").cast(pa.string()), "-"), _SIZE_WIDTH)
    seconds = pc.utf8_slice_codeunits(times(page), 0, 19)
    stamps = pc.fill_null(pc.binary_join_element_wise(seconds, "Z", ""), "-".ljust(20))
    for size, stamp, key in zip(sizes.to_pylist(), stamps.to_pylist(), page.column("key").to_pylist(), strict=True):
        yield f"{size}  {stamp}  {printable(key) or name}"


def entries(page: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield each entry as a JSON-able mapping; times are ISO 8601 in UTC with nanoseconds."""
    import pyarrow.compute as pc

    from fsync.report import key_fields
    from fsync.schema import page_in_words

    words = page_in_words(page)
    stamps = pc.binary_join_element_wise(times(page), "Z", "").to_pylist()
    columns = [words.column(column).to_pylist() for column in ("key", "kind", "size", "etag", "digest")]
    for stamp, key, kind, size, etag, digest in zip(stamps, *columns, strict=True):
        yield {**key_fields(key), "kind": kind, "size": size, "mtime": stamp, "etag": etag, "digest": digest}


def times(page: pa.RecordBatch) -> pa.Array:
    """Return a page's modification times as ``YYYY-MM-DDTHH:MM:SS.nnnnnnnnn``.

    Cast rather than formatted: Arrow's strftime looks for a time zone database, even for UTC.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    naive = page.column("mtime").cast(pa.int64()).cast(pa.timestamp("ns"))
    return pc.replace_substring(naive.cast(pa.string()), " ", "T")
