"""One answer of a web server in the scripted internet: what a request for a URL gets. Several may share a host.

Logged: ("net", "request", (method, URL, body)) for each request, an unknown path's too, which gets 404.
"""

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from pipeline.board.devices import Device
from pipeline.board.devices._net import number, split_message
from pipeline.board.hardware.sockets import Peer
from pipeline.core.schema import Text

MAX_REQUEST = 64 << 10  # bytes; who sends more is hung up on
REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Site:
    """All answers of one host and port, by path."""

    def __init__(self, base: str):
        self.base = base
        self.routes: dict[str, HttpServer] = {}

    def find(self, path: str) -> "HttpServer | None":
        return self.routes.get(path) or self.routes.get(path.partition("?")[0])


class Visit(Peer):
    """One connection: one request, one response."""

    def __init__(self, site: Site):
        self.site, self.data, self.done = site, b"", False

    def received(self, data):
        self.data += data
        message = split_message(self.data)
        if self.done or (message is None and len(self.data) <= MAX_REQUEST):
            return
        words, headers, body = message or ([], {}, b"")
        length = number(headers.get("content-length", "0"))
        if len(words) != 3 or length is None or length > MAX_REQUEST:
            self.answer(400, "")
        elif len(body) >= length:
            method, path, _ = words
            self.board.note("net", "request", (method, self.site.base + path, body[:length].decode("utf-8", "replace")))
            route = self.site.find(path)
            if route:
                self.answer(
                    route.status, route.text, {"Content-Type": route.kind, **route.headers}, head=method == "HEAD"
                )
            else:
                self.answer(404, "not found")

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None, head: bool = False):
        self.done, body = True, text.encode()
        lines = {"Content-Type": "text/plain", "Content-Length": len(body), "Connection": "close", **(headers or {})}
        said = [
            f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
            *(f"{name}: {value}" for name, value in lines.items()),
            "",
            "",
        ]
        self.send("\r\n".join(said).encode() + (b"" if head else body))
        self.close()


class HttpServer(Device):
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$")]
    status: int = Field(default=200, ge=100, le=599)
    body: str | dict[str, Any] | list[Any] = ""  # keys and lists are answered as JSON
    type: Text | None = None  # of its content; left out: by the body
    headers: dict[str, str] = Field(default_factory=dict)
    at: float = Field(default=0, ge=0)  # from when it answers so, seconds
    until: float | None = Field(
        default=None, ge=0
    )  # when it stops; a server without any answer left refuses connections

    @property
    def text(self) -> str:
        return self.body if isinstance(self.body, str) else json.dumps(self.body)

    @property
    def kind(self) -> str:
        return self.type or ("text/plain" if isinstance(self.body, str) else "application/json")

    def attach(self, board):
        where = urlsplit(self.url)
        secure, host = where.scheme == "https", where.hostname
        port = where.port or (443 if secure else 80)
        site = board.sockets.device(host, port)
        if site is None:
            site = Site(f"{where.scheme}://{where.netloc}")
            board.sockets.serve(host, port, site, lambda: Visit(site) if site.routes else None, tls=secure)
        path = (where.path or "/") + (f"?{where.query}" if where.query else "")
        board.at(round(self.at * 1_000_000), lambda: site.routes.update({path: self}))
        if self.until is not None:
            board.at(round(self.until * 1_000_000), lambda: site.routes.get(path) is self and site.routes.pop(path))
