"""A door to an S3 server that notes what is asked through it: over http or TLS, addressed as server or as proxy."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_OWN = {"connection", "transfer-encoding", "server", "date"}


@dataclass(frozen=True)
class Asked:
    """One request; ``by`` is ``obstore`` or ``botocore``, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def by(self) -> str:
        """Who sent it."""
        return "obstore" if self.headers["user-agent"].startswith("object_store/") else "botocore"

    @property
    def key(self) -> str:
        """The key of access that signed it, with the scope of its signature; "" if nothing did."""
        authorization = self.headers.get("authorization", "")
        return authorization.partition("Credential=")[2].partition(",")[0]


@dataclass
class Recorder:
    """A running door; ``answer`` stands in for the server's where it gives a status and a body.

    Where ``cut`` holds, the answer ends behind its headers; ``header`` takes the place of the server's of that name.
    """

    endpoint: str
    asked: list[Asked] = field(default_factory=list)
    answer: Any = None
    cut: Callable[[Asked], Any] | None = None
    header: tuple[str, str] | None = None

    def bodies(self, by: str | None = None) -> list[Asked]:
        """Return the requests for single objects, those of one client or all."""
        found = [one for one in self.asked if one.method in ("GET", "PUT") and "list-type" not in one.target]
        return [one for one in found if by in (None, one.by)]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""
        if not isinstance(sys.exception(), (OSError, ValueError)):
            super().handle_error(request, client_address)


@contextmanager
def record(upstream: str, certificate: Path | None = None) -> Iterator[Recorder]:
    """Open a door to the server at ``upstream``; ``certificate`` is a PEM file with a key for TLS."""
    host = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # else every answer waits for the acknowledgement of its headers
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            """Remember the connection: its end is waited for."""
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            """Forget the connection."""
            connections.discard(self.connection)
            super().finish()

        def log_message(self, format: str, *_: Any) -> None:
            """Say nothing."""

        def handle_expect_100(self) -> bool:
            """Ask for the body at once."""
            going_on = super().handle_expect_100()
            self.wfile.flush()
            return going_on

        def _pass(self) -> None:
            parts = urlsplit(self.path)
            target = self.path[len(f"{parts.scheme}://{parts.netloc}") :] if parts.scheme else self.path
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, dict(headers))
            recorder.asked.append(asked)
            given = recorder.answer(asked) if recorder.answer else None
            if given is None:
                connection = http.client.HTTPConnection(host, timeout=30)
                headers.pop("expect", None)
                connection.request(self.command, target, body, headers)
                answer = connection.getresponse()
                status, sent, content = answer.status, answer.getheaders(), answer.read()
                connection.close()
            else:
                status, content = given
                sent = [("Content-Length", str(len(content)))]
            self.send_response(status)
            for name, value in sent:
                if recorder.header and name.lower() == recorder.header[0].lower():
                    # written in latin-1: its bytes are those of UTF-8
                    self.send_header(name, recorder.header[1].encode().decode("latin-1"))
                elif name.lower() not in _OWN:
                    self.send_header(name, value)
            self.end_headers()
            if recorder.cut and recorder.cut(asked):
                self.close_connection = True
                return
            self.wfile.write(content)
            self.wfile.flush()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815  the names are http.server's

    connections: set[socket.socket] = set()
    server = _Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    recorder = Recorder(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        for connection in list(connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        # waits for the threads of all connections
        server.server_close()
