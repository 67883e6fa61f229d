"""What SeaweedFS does otherwise than other servers that speak S3 (seen with 4.48): names it loses, listings it ends."""

from __future__ import annotations

import re
from typing import Any

from fsync.address import Address
from fsync.errors import ListingError
from fsync.storage.s3_columns import columns_of
from fsync.storage.s3_listing import Ask

#: characters that XML cannot hold
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def refused(key: bytes) -> str | None:
    """Return why SeaweedFS cannot hold a key: it keeps files in directories, some of them its own."""
    components = key.split(b"/")
    if b"\\" in key or any(component in (b"", b".", b"..") for component in components):
        return "SeaweedFS would store it under another name, or without its content"
    if any(len(component) > 255 for component in components):
        return "the name has a component of more than 255 bytes"
    if any(component == b".uploads" or component.endswith(b".versions") for component in components[:-1]):
        return "SeaweedFS keeps its own data in directories of that name and lists nothing of them"
    return None


async def proven(answer: dict[str, Any], ask: Ask, address: Address, **arguments: Any) -> dict[str, Any]:
    """Return an answer of SeaweedFS, or a longer one in its place, behind which the listing goes on where it should.

    Where one with a prefix is full to the last row and that is the marker of a directory, SeaweedFS (seen with 4.48)
    says that nothing follows, whatever does: a full last page is asked for again with more rows. Its tokens are the
    last key or prefix, and what XML cannot hold is replaced in them: the name itself takes the place of such a token.
    """
    while not answer.get("IsTruncated"):
        most, asked = answer.get("MaxKeys", 0), arguments.get("MaxKeys", 0)
        if len(columns_of(answer).key) + len(answer.get("CommonPrefixes", ())) < most:
            break
        if most < asked or not most:
            raise ListingError(f"cannot list {address.given}: SeaweedFS does not say whether its listing goes on")
        arguments["MaxKeys"] = 2 * most
        answer = await ask(**arguments)
    token = answer.get("NextContinuationToken", "")
    if "\ufffd" in token:
        keys = columns_of(answer).key
        prefixes = answer.get("CommonPrefixes", ())
        names = [*(key.decode() for key in keys[-1:]), *(common["Prefix"] for common in prefixes[-1:])]
        meant = [name for name in names if _NOT_XML.sub("\ufffd", name) == token]
        if len(meant) != 1:
            raise ListingError(f"cannot list {address.given}: SeaweedFS does not say where its listing goes on")
        answer["NextContinuationToken"] = meant[0]
    return answer
