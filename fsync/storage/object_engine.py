"""Bodies of objects through obstore: one request each way by a compiled client, under exactly the key that is meant.

obstore's ``object_store`` takes a key for a path: it drops empty components and slashes at the ends, refuses ``.``,
``..`` and control characters. Keys that it would change are not for it (:func:`is_clean`); all others it sends as they
are. Its lister merges and drops names, so keys never come from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import unescape

from fsync.errors import ShortRead

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, GetResult

#: an empty component, ``.`` or ``..``, or a control character
_UNCLEAN = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\x7f-\x9f]")

#: words for what an object says of itself (those of Amazon's API) -> obstore's
_WORDS = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "StorageClass": "Storage-Class",
}
_OURS = {theirs: ours for ours, theirs in _WORDS.items()}
_TAKEN = frozenset(theirs.lower() for theirs in _OURS)
#: a header's value that arrives as it was sent
_PLAIN_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PLAIN_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")

#: bytes of a body that can be sent and answered within one timeout; longer ones are given time by their length
_QUICK = 256 << 10
#: bytes a second that a connection is expected to take at least
_SLOWEST = 32 << 10
#: bytes of the longest body that is sent in one request
_LONGEST = 16 << 20
#: bytes of a piece of a range
_PIECE = 128 << 10

#: seconds after which a whole request has failed, however steadily its bytes drip
_WHOLE_REQUEST = 3600

Credentials = Callable[[], dict[str, Any]]

_STATUS = re.compile(r"^\s+status: (\d{3}),$", re.MULTILINE)
_KIND = re.compile(r"^\s+kind: (\w+),$", re.MULTILINE)
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_LOST = frozenset({"Connect", "Request", "Interrupted", "Decode", "Unknown"})


@dataclass(slots=True, kw_only=True)
class Target:
    """Where a bucket is and how it is spoken to, in obstore's words.

    ``family`` names a store class in :data:`STORES`, ``config`` and ``client`` are its configuration, complete: what is
    left out would be taken from the environment. ``credentials`` is asked, on any thread, for keys that hold for a
    while, None where requests are not signed.
    """

    family: str
    bucket: str
    timeout: float
    config: dict[str, Any]
    client: dict[str, Any] = field(default_factory=dict)
    credentials: Credentials | None = None


#: family -> the class of obstore.store
STORES = {"s3": "S3Store"}


def is_clean(key: str) -> bool:
    """Tell whether obstore leaves a whole key (prefix included) as it is."""
    return _UNCLEAN.search(key) is None


def attributes_of(described: Mapping[str, Any]) -> Attributes | None:
    """Return what a PUT says of an object in obstore's words, None where it cannot say all of it."""
    attributes: Attributes = {}
    for word, value in described.items():
        if word == "Metadata":
            own = {name.lower(): text for name, text in value.items()}
            if len(own) < len(value) or not own.keys().isdisjoint(_TAKEN) or not all(map(_PLAIN_NAME.fullmatch, own)):
                return None
            attributes.update(own)
        elif word in _WORDS:
            attributes[_WORDS[word]] = value
        else:
            return None
    return attributes if all(map(_PLAIN_VALUE.fullmatch, attributes.values())) else None


def described_by(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return what a GET told of an object in the words of :func:`attributes_of`'s argument, storage class left out."""
    described: dict[str, Any] = {}
    own: dict[str, str] = {}
    for name, value in attributes.items():
        if name in _OURS:
            described[_OURS[name]] = value
        else:
            own[name] = value
    described.pop("StorageClass", None)
    if own:
        described["Metadata"] = own
    return described


class ObjectEngine:
    """One bucket through obstore; a request is made once, and its errors look like botocore's to :mod:`fsync.pacing`.

    Keys must be clean. ``etag`` pins the version that is read; bodies of more than ``_LONGEST`` bytes are not sent.
    """

    def __init__(self, target: Target) -> None:
        import obstore

        self._obstore = obstore
        #: whether requests carry a digest of their body that a server may check
        self.signed = target.credentials is not None and not target.config.get("unsigned_payload")
        self._quick = _store(target, target.timeout)
        self._patient = _store(target, target.timeout + _LONGEST / _SLOWEST)

    async def get(
        self, key: str, etag: str | None, size: int, span: tuple[int, int] | None = None
    ) -> tuple[dict[str, Any], bytes | memoryview]:
        """Return what an object says of itself, and its bytes or, uncopied, those of ``span``, ``(start, stop)``.

        Raises ShortRead, before anything is read, for an object of more than ``size`` bytes.
        """
        try:
            result = await self._obstore.get_async(self._quick, key, options=_pinned(etag, span))
            _check_size(result, size)
            body = await result.buffer_async()
            return described_by(result.attributes), body.to_bytes() if span is None else memoryview(body)
        except ShortRead:
            raise
        except Exception as error:
            raise translated(error) from error

    def get_now(self, key: str, etag: str | None, size: int) -> tuple[dict[str, Any], bytes]:
        """Do what :meth:`get` does in one blocking call, on any thread."""
        try:
            result = self._obstore.get(self._quick, key, options=_pinned(etag))
            _check_size(result, size)
            return described_by(result.attributes), result.buffer().to_bytes()
        except ShortRead:
            raise
        except Exception as error:
            raise translated(error) from error

    def pieces_now(self, key: str, etag: str | None, size: int, span: tuple[int, int]) -> Generator[memoryview]:
        """Yield the bytes of a range as they come, by blocking calls, on any thread; raises as :meth:`get` does."""
        try:
            result = self._obstore.get(self._quick, key, options=_pinned(etag, span))
            _check_size(result, size)
            for piece in result.stream(min_chunk_size=_PIECE):
                yield memoryview(piece)
        except ShortRead:
            raise
        except Exception as error:
            raise translated(error) from error

    async def put(self, key: str, data: bytes, attributes: Attributes) -> str:
        """Write an object in one request, signed over the digest of its bytes; return its ETag without quotes."""
        store = self._quick if len(data) <= _QUICK else self._patient
        try:
            answer = await self._obstore.put_async(store, key, data, attributes=attributes, use_multipart=False)
        except Exception as error:
            raise translated(error) from error
        return (answer["e_tag"] or "").strip('"')

    def put_now(self, key: str, data: bytes, attributes: Attributes) -> str:
        """Do what :meth:`put` does in one blocking call, on any thread."""
        store = self._quick if len(data) <= _QUICK else self._patient
        try:
            answer = self._obstore.put(store, key, data, attributes=attributes, use_multipart=False)
        except Exception as error:
            raise translated(error) from error
        return (answer["e_tag"] or "").strip('"')

    def copy_now(self, key: str, target: str) -> None:
        """Copy an object of the bucket that the engine is named after to a key of the one that it reaches.

        One blocking call, on any thread; an error that comes with status 200 is one too.
        """
        try:
            self._obstore.copy(self._patient, key, target)
        except Exception as error:
            raise translated(error) from error


def _pinned(etag: str | None, span: tuple[int, int] | None = None) -> GetOptions:
    options: GetOptions = {"if_match": f'"{etag}"'} if etag else {}
    if span is not None:
        options["range"] = span
    return options


def _check_size(result: GetResult, size: int) -> None:
    if result.meta["size"] > size:
        raise ShortRead(f"the server sends more than the {size} bytes of the listing")


def _store(target: Target, patience: float) -> Any:
    """Open a store that waits ``patience`` seconds for the next byte of an answer."""
    import obstore.store

    client = {
        "connect_timeout": timedelta(seconds=min(target.timeout, 20)),
        "read_timeout": timedelta(seconds=patience),
        "timeout": timedelta(seconds=max(_WHOLE_REQUEST, patience)),
        **target.client,
    }
    return getattr(obstore.store, STORES[target.family])(
        target.bucket,
        config=target.config,
        client_options=client,
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=patience)},
        credential_provider=target.credentials,
    )


class ServiceError(Exception):
    """An error answer of the storage; ``response`` has the form of botocore's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(": ".join(filter(None, (code, message))) or f"the storage answered with HTTP status {status}")
        self.response = {
            "Error": {"Code": code or str(status), "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


def translated(error: Exception) -> Exception:
    """Turn an error of obstore into one whose class, status and code say what happened.

    Only the part that obstore adds for developers is looked at: in what precedes it, a key could pass for words of the
    answer. What is not understood stays as it is.
    """
    facts = str(error).rpartition("\n\nDebug source:\n")[2]
    if facts == str(error):
        return error
    status = _STATUS.search(facts)
    if status is not None:
        answer = facts[status.end() :]
        code, message = _CODE.search(answer), _MESSAGE.search(answer)
        return ServiceError(
            int(status[1]),
            code[1] if code else "",
            unescape(message[1].replace('\\"', '"'), {"&quot;": '"', "&apos;": "'"}) if message else "",
        )
    kind = _KIND.search(facts)
    if kind is not None and kind[1] == "Timeout":
        return TimeoutError("no answer in time")
    if kind is not None and kind[1] in _LOST:
        return ConnectionError(
            "the storage cannot be reached" if kind[1] == "Connect" else "the connection was lost before the answer"
        )
    return error
