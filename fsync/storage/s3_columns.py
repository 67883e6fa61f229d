"""The rows of a ListObjectsV2 answer as Arrow columns, taken out of its XML before botocore makes objects of them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa

#: under this name :func:`take_columns` adds its :class:`Columns` to an answer
COLUMNS = "fsync.Columns"

_MICROSECONDS = pa.timestamp("us", tz="UTC")

_QUOTE = rb"(?:&quot;|&#34;|\")"
_FIELDS = {
    b"Key": rb"([^<]*)",
    b"Size": rb"([0-9]+)",
    b"LastModified": rb"([^<]*)",
    b"ETag": _QUOTE + rb"([0-9A-Za-z-]+)" + _QUOTE,
}
_NAMES = b"|".join(_FIELDS)
#: any elements but the fields of a row and its end
_OTHERS = rb"[^<]*(?:<(?!/?(?:Contents|%s)>)[^<]*)*" % _NAMES
_FIRST_ROW = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)
_TAGS = re.compile(rb"</?[A-Za-z]+>")
_REFERENCE = re.compile(rb"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));|&")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
#: bytes that an XML parser refuses, or makes something else of
_CONTROLS = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0D, 0x20)])


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of one answer: whole keys as the store has them, times in microseconds, ETags without their quotes."""

    key: list[bytes]
    size: pa.Int64Array
    mtime: pa.TimestampArray
    etag: pa.StringArray


class _UnusualPage(Exception):
    """The page holds something that only an XML parser can read."""


def columns_of(answer: dict[str, Any]) -> Columns:
    """Return the rows of an answer, whichever parser took them out; KeyError for a row without a key."""
    taken: Columns | None = answer.get(COLUMNS)
    return taken or columns_of_contents(answer.get("Contents", []))


def columns_of_contents(contents: list[dict[str, Any]]) -> Columns:
    """Turn the rows of an answer as botocore gives them into columns; KeyError for a row without a key."""
    return Columns(
        [item["Key"].encode("utf-8", "surrogateescape") for item in contents],
        pa.array([item.get("Size") for item in contents], pa.int64()),
        pa.array([item.get("LastModified") for item in contents], _MICROSECONDS),
        pa.array([item.get("ETag", "").strip('"') or None for item in contents], pa.string()),
    )


def take_columns(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the rows out of an answer: botocore's event ``before-parse.s3.ListObjectsV2``.

    What is left of the body goes through botocore's own parser and its search for an ``<Error>`` in an answer of
    status 200. A page that is unusual in any way is left to botocore as a whole.
    """
    if response_dict["status_code"] == 200 and (found := columns_of_body(response_dict["body"])):
        customized_response_dict[COLUMNS], response_dict["body"] = found


def columns_of_body(body: bytes) -> tuple[Columns, bytes] | None:
    """Return the rows of a page and the page without them; None for one that is not of the usual form.

    One pattern matches a whole row, so the columns are of one length and a field is of its own row. A row that it
    does not match is still in what is left, and then the page is not taken.
    """
    first = _FIRST_ROW.search(body)
    # a declaration of entities, a comment or marked text could make something else of what the pattern sees
    if first is None or b"<!" in body:
        return None
    tags = _TAGS.findall(first[1])
    fields = [tag[1:-1] for tag in tags if tag[1:-1] in _FIELDS]
    if sorted(fields) not in (sorted(_FIELDS), sorted(_FIELDS.keys() - {b"ETag"})):
        return None
    step = len(fields) + 1
    pieces = _alike(tuple(tags)).split(body)
    if b"<Contents" in b"".join(pieces[::step]):
        # the slower pattern lets other elements come and go from row to row
        pieces = _in_order(tuple(fields)).split(body)
    rest = b"".join(pieces[::step])
    encoded = b"<EncodingType>url</EncodingType>" in rest
    if b"<Contents" in rest or b":Contents" in rest or (not encoded and b"EncodingType" in rest):
        return None
    found = {name: pieces[place::step] for place, name in enumerate(fields, 1)}
    try:
        etags = found.get(b"ETag")
        return Columns(
            _keys(found[b"Key"], encoded=encoded),
            pa.array(found[b"Size"], pa.string()).cast(pa.int64()),
            pa.array(found[b"LastModified"], pa.string()).cast(_MICROSECONDS),
            pa.nulls(len(found[b"Key"]), pa.string()) if etags is None else pa.array(etags, pa.string()),
        ), rest
    except (_UnusualPage, UnicodeDecodeError, pa.ArrowInvalid):
        return None


@functools.lru_cache(32)
def _alike(tags: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what matches a row of exactly these opening and closing tags."""
    row = b"".join(tag + _FIELDS.get(tag[1:-1], rb"[^<]*") for tag in tags)
    return re.compile(rb"<Contents>[^<]*" + row + rb"</Contents>")


@functools.lru_cache(32)
def _in_order(fields: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what matches a row whose fields come in this order, any other elements between them."""
    row = b"".join(_OTHERS + b"<%s>%s</%s>" % (name, _FIELDS[name], name) for name in fields)
    return re.compile(rb"<Contents>" + row + _OTHERS + rb"</Contents>")


def _keys(keys: list[bytes], *, encoded: bool) -> list[bytes]:
    together = b"\n".join(keys)
    if len(together.translate(None, _CONTROLS)) != len(together):
        raise _UnusualPage
    if b"&" in together:
        keys = [_REFERENCE.sub(_referred, key) if b"&" in key else key for key in keys]
    if encoded and (b"%" in together or b"+" in together):
        # in this encoding a blank is a plus, and a plus is %2B
        keys = [unquote_to_bytes(key.replace(b"+", b" ")) if b"%" in key or b"+" in key else key for key in keys]
    b"\n".join(keys).decode()
    return keys


def _referred(reference: re.Match[bytes]) -> bytes:
    name, decimal, hexadecimal = reference.groups()
    if name:
        return _NAMED[name]
    if not decimal and not hexadecimal:
        raise _UnusualPage
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number < 0x20 and number not in (0x09, 0x0A, 0x0D):
        raise _UnusualPage
    if 0xD800 <= number < 0xE000 or number in (0xFFFE, 0xFFFF) or number > 0x10FFFF:
        raise _UnusualPage
    return chr(number).encode()
