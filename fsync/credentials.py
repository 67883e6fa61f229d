"""Take credentials out of the text of an address, and find the secrets among storage options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

HIDDEN = "****"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:key|secret|token|password|passwd|passphrase|pw|sas|signature|credentials?|authorization|cookie)"
    r"(?:[_-]|$)|connection_?string|(?:access|secret|private|account|api)_?key|(?:session|sas)_?token|url_?query",
    re.IGNORECASE,
)
#: options whose names look like secrets but hold file names, ids or switches
_NO_SECRET = frozenset({"client_keys", "server_host_key_algs", "key_size", "ssekmskeyid", "private_key_id"})
#: gcsfs's words for ways to authenticate
_TOKEN_WORDS = ("anon", "google_default", "cloud", "browser", "cache")
_PART_OF_CONNECTION = re.compile(r"(?:AccountKey|SharedAccessSignature|SharedAccessKey)=([^;]+)", re.IGNORECASE)


def split_scheme(text: str) -> tuple[str, str] | None:
    """Return the scheme in lower case and what follows ``://``, or None for a text without a scheme."""
    match = _SCHEME.fullmatch(text)
    return (match[1].lower(), match[2]) if match else None


def split_userinfo(rest: str, *, colon_paths: bool = False) -> tuple[str | None, str]:
    """Split what follows ``://`` into credentials (undecoded; None if there are none) and the remainder.

    Credentials end at the last ``@`` before the first ``/``. If there is none and the text before that ``/`` has the
    form ``AK:...`` and is no host:port, they end at the first ``@`` after it, because secrets hold raw slashes.
    ``colon_paths`` takes ``host:/path`` and ``host:port:/path`` as hosts too, as SFTP addresses have them.
    """
    head, slash, _ = rest.partition("/")
    if "@" in head:
        end = head.rindex("@")
    elif slash and ":" in head and not head.lower().startswith("arn:") and not _is_host(head, colon_paths):
        end = rest.find("@")
    else:
        end = -1
    return (None, rest) if end < 0 else (rest[:end], rest[end + 1 :])


def _is_host(head: str, colon_paths: bool) -> bool:
    return _HOST_PORT.fullmatch(head.removesuffix(":") if colon_paths else head) is not None


def decoded(text: str) -> str:
    """Decode ``%XX`` where every ``%`` starts an escape; otherwise the text is meant as it stands. ``+`` stays."""
    return text if _BROKEN_ESCAPE.search(text) else unquote(text, errors="surrogateescape")


def masked(text: str) -> str:
    """Return an address that could not be understood, with everything that may be a secret hidden.

    Hides more than :func:`split_userinfo` would find: up to the last ``@``, all of an ``AK:SK`` without ``@``, and the
    query of a URL.
    """
    split = split_scheme(text)
    if split is None:
        before, at, after = text.rpartition("@")
        return f"{HIDDEN}@{after}" if at and ":" in before.partition("/")[0] else text
    name, rest = split
    _, at, after = rest.rpartition("@")
    head = rest.partition("/")[0]
    if at:
        rest = f"{HIDDEN}@{after}"
    elif ":" in head and not head.lower().startswith("arn:") and not _is_host(head, True):
        rest = HIDDEN
    url, question, _ = rest.partition("?")
    return f"{name}://{url}{question}{HIDDEN if question else ''}"


def secrets_in(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield every secret among storage options, at any depth, chosen by the options' names."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif name == "auth" and isinstance(value, Sequence) and not isinstance(value, str):
            yield from (part for part in value[1:] if isinstance(part, str))
        elif secret_name(str(name)) and not (name == "token" and value in _TOKEN_WORDS):
            yield from _texts(value)
        elif isinstance(value, (list, tuple)):
            yield from (secret for item in value if isinstance(item, Mapping) for secret in secrets_in(item))


def secret_name(name: str) -> bool:
    """Tell whether a storage option of this name holds a secret."""
    return name not in _NO_SECRET and (name == "auth" or _SECRET_NAME.search(name) is not None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        if value:
            yield value
            yield from _PART_OF_CONNECTION.findall(value)
        if value.startswith(("Basic ", "Bearer ")):
            yield value.split(" ", 1)[1]
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
