"""Alibaba OSS and Tencent COS on loopback: a proxy that translates their requests to plain S3, and the answers back.

The client's signature is not checked; each request is signed anew for the S3 server behind, whose content a test
prepares and reads with botocore. OSS clients address an IP endpoint as ``/BUCKET/KEY``. COS clients always ask
``BUCKET.ENDPOINT``, so they come through the environment's ``http_proxy``, whatever the endpoint is called.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus
from xml.sax.saxutils import unescape

import yarl
from aiohttp import ClientSession, ClientTimeout, web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers.process import answers, running
from tests.servers.s3 import REGION, S3Server

TOP = Path(__file__).parents[2]
#: headers that belong to one connection or to the client's own signature
_OWN = {
    "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "date", "expect", "host",
    "keep-alive", "proxy-authorization", "proxy-connection", "server", "te", "transfer-encoding", "upgrade",
    "user-agent",
}  # fmt: skip
#: what follows the prefix of a dialect's header and has no equal in S3
_UNTOLD = {"acl", "additional-headers", "content-sha256", "date", "forbid-overwrite", "object-acl", "security-token",
           "storage-class"}  # fmt: skip
_UNASKED = {"objectMeta", "security-token", "sequential"}
#: parameters that OSS clients send empty for "from the beginning"
_PLACES = {"continuation-token", "start-after"}
_HEALTH = "/-/ready"
#: what OSS tells of each bucket besides its name and date
_OF_A_BUCKET = (
    "<Location>oss-local</Location><ExtranetEndpoint>127.0.0.1</ExtranetEndpoint>"
    "<IntranetEndpoint>127.0.0.1</IntranetEndpoint><StorageClass>Standard</StorageClass>"
)
_BUCKET_INFO = (
    "<BucketInfo><Bucket><Name>{0}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate>"
    + _OF_A_BUCKET
    + "<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>"
    "<AccessControlList><Grant>private</Grant></AccessControlList></Bucket></BucketInfo>"
)
_WRONG_POSITION = (
    "<Error><Code>PositionNotEqualToLength</Code><Message>position is not the length</Message>"
    "<RequestId>0</RequestId><HostId>local</HostId></Error>"
)


@dataclass(frozen=True)
class Answer:
    """What the S3 server said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Proxy:
    """One dialect in front of one S3 server."""

    def __init__(self, dialect: str, upstream: str, key: str, secret: str) -> None:
        self.dialect, self.upstream, self.prefix = dialect, upstream, f"x-{dialect}-"
        self.credentials = Credentials(key, secret)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Keep one client session towards the S3 server."""
        async with ClientSession(timeout=ClientTimeout(total=60), auto_decompress=False) as self.http:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of the dialect."""
        path, query = self._target(request)
        if path == _HEALTH:
            return web.Response()
        if "bucketInfo" in query:
            return self._told(200, _BUCKET_INFO.format(path.strip("/")))
        body = await request.read()
        if "append" in query:
            return await self._append(path, int(query.get("position", "0")), body)
        key = path.strip("/").partition("/")[2]
        if request.method == "PUT" and not key:
            body = b""  # each dialect words the creation of a bucket in its own way
        headers = self._to_s3(request.headers)
        answer = await self._ask(request.method, path, query, headers, body)
        copied = "x-amz-copy-source" in headers
        told = self._from_s3(answer.headers)
        if request.method == "HEAD":
            response = web.StreamResponse(status=answer.status, headers=told)
            await response.prepare(request)
            await response.write_eof()
            return response
        told.pop("Content-Length", None)
        listing = request.method == "GET" and (not key or "uploadId" in query)
        content = answer.body
        if answer.status >= 300 or request.method == "POST" or listing or copied:
            content = self._reworded(content.decode(), query).encode()
        etag = re.search(r"<ETag>(.*?)</ETag>", content.decode()) if copied else None
        if etag:
            told.setdefault("ETag", _plain(etag[1]))
        return web.Response(status=answer.status, body=content, headers=told)

    def _target(self, request: web.Request) -> tuple[str, dict[str, str]]:
        """Return ``/BUCKET/KEY``, decoded, and the parameters that S3 has too."""
        text = re.sub(r"\Ahttp://[^/]*", "", request.raw_path) or "/"
        raw, _, asked = text.partition("?")
        host = request.headers.get("Host", "").partition(":")[0]
        if self.dialect == "cos" and not host[:1].isdigit():
            raw = f"/{host.partition('.')[0]}{raw}"
        pairs = (part.partition("=") for part in asked.split("&") if part)
        query = {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}
        for name in [*_UNASKED, *(place for place in _PLACES if not query.get(place))]:
            query.pop(name, None)
        return unquote(raw), query

    def _to_s3(self, headers: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for name, value in headers.items():
            lower = name.lower()
            own, _, rest = lower.partition(self.prefix)
            if lower in _OWN or (not own and rest in _UNTOLD) or lower == "content-md5":
                continue
            if not own and rest:
                lower = f"x-amz-{rest}"
            if lower == "x-amz-copy-source" and self.dialect == "cos":
                host, _, path = value.partition("/")
                value = f"/{host.partition('.')[0]}/{path}"
            found[lower] = value.upper() if lower.endswith("-directive") else value
        return found

    def _from_s3(self, headers: Mapping[str, str]) -> dict[str, str]:
        kind = "Normal" if self.dialect == "oss" else "normal"
        found = {f"{self.prefix}request-id": "0", f"{self.prefix}object-type": kind}
        for name, value in headers.items():
            lower = name.lower()
            if lower in _OWN - {"content-length"}:
                continue
            # the COS SDK knows each header in one spelling only
            spelt = "ETag" if lower == "etag" else name.title()
            found[self.prefix + lower[6:] if lower.startswith("x-amz-") else spelt] = value
        return found

    def _reworded(self, text: str, query: Mapping[str, str]) -> str:
        """Return an XML answer as the dialect's SDK reads it: no namespace, milliseconds, fields of its own."""
        text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
        text = re.sub(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", r"\1.000Z", text)
        if "<EncodingType>url</EncodingType>" in text:
            coded = r"(?<=<)(Key|Prefix|Marker|NextMarker|Delimiter)>([^<]*)"
            text = re.sub(coded, lambda match: f"{match[1]}>{match[2].replace('+', '%20')}", text)
        if self.dialect == "oss":
            text = re.sub(r"<(StorageClass|BucketRegion)>[^<]*</\1>", "", text)
            text = text.replace("</Contents>", "<Type>Normal</Type><StorageClass>Standard</StorageClass></Contents>")
            text = text.replace("</Bucket>", f"{_OF_A_BUCKET}</Bucket>")
        for name in ("Resource", "RequestId", "TraceId", "HostId"):
            if "<Error>" in text and f"<{name}>" not in text:
                text = text.replace("</Error>", f"<{name}>0</{name}></Error>")
        if "delete" in query and query.get("encoding-type") == "url":
            text = re.sub(r"<Key>([^<]*)", lambda match: f"<Key>{quote(_plain(match[1]), safe='/')}", text)
            text = text.replace("<DeleteResult>", "<DeleteResult><EncodingType>url</EncodingType>")
        return text

    async def _append(self, path: str, position: int, body: bytes) -> web.Response:
        """Do OSS's AppendObject, which S3 lacks, by reading and writing the whole object."""
        old = await self._ask("GET", path, {}, {}, b"")
        held = old.body if old.status == 200 else b""
        if position != len(held):
            return self._told(409, _WRONG_POSITION, {"x-oss-next-append-position": str(len(held))})
        answer = await self._ask("PUT", path, {}, {}, held + body)
        headers = self._from_s3(answer.headers)
        headers.pop("Content-Length", None)
        headers |= {"x-oss-next-append-position": str(position + len(body)), "x-oss-object-type": "Appendable"}
        return web.Response(status=answer.status, headers=headers)

    def _told(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
        known = {f"{self.prefix}request-id": "0", "Content-Type": "application/xml", **(headers or {})}
        return web.Response(status=status, body=text.encode(), headers=known)

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Send one request, signed for the S3 server."""
        coded = "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))
        url = self.upstream + quote(path, safe="/~") + (f"?{coded}" if coded else "")
        signed = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        S3SigV4Auth(self.credentials, "s3", REGION).add_auth(signed)
        async with self.http.request(
            method, yarl.URL(url, encoded=True), data=body if method in ("PUT", "POST") else None,
            headers=dict(signed.headers.items()), allow_redirects=False,
        ) as response:  # fmt: skip
            return Answer(response.status, dict(response.headers), await response.read())


def _plain(text: str) -> str:
    return unescape(text, {"&#34;": '"', "&#39;": "'", "&quot;": '"', "&apos;": "'"})


@dataclass(frozen=True)
class DialectServer:
    """A running proxy; ``upstream`` is the S3 server that holds what clients of the dialect see."""

    dialect: str
    endpoint: str
    upstream: S3Server


@contextmanager
def serve(dialect: str, upstream: S3Server, directory: Path) -> Iterator[DialectServer]:
    """Run a proxy for ``oss`` or ``cos`` in front of an S3 server."""

    def command(ports: list[int]) -> list[str]:
        words = [dialect, str(ports[0]), upstream.endpoint, upstream.key, upstream.secret]
        return [sys.executable, "-m", "tests.servers.dialect_proxy", *words]

    with running(
        command, ports=1, ready=answers(_HEALTH), directory=directory, name=dialect, env={"PYTHONPATH": str(TOP)}
    ) as (_, ports):
        yield DialectServer(dialect, f"http://127.0.0.1:{ports[0]}", upstream)


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dialect", choices=("oss", "cos"))
    parser.add_argument("port", type=int)
    for name in ("upstream", "key", "secret"):
        parser.add_argument(name)
    words = parser.parse_args()
    proxy = Proxy(words.dialect, words.upstream, words.key, words.secret)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{rest:.*}", proxy.handle)
    async with proxy.session():
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", words.port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
