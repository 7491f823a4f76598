"""Somebody's browser, which visits the program's own web server.

Logged: ("net", "answer", (path, status, body)) for each visit; the status is None where nobody answered, or not in HTTP.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Device
from pipeline.board.devices._net import by_time, number, split_message
from pipeline.board.hardware.sockets import Peer

PATIENCE = 5_000_000  # microseconds without a word ...
PAUSE = 1_000_000  # ... and after the last one, where the server neither closes nor says how long its answer is
MAX_ANSWER = 64 << 10  # bytes

Ask = (
    Annotated[tuple[float, str, str], Field(strict=False)] | Annotated[tuple[float, str, str, str], Field(strict=False)]
)


class Browser(Peer):
    """One visit."""

    def __init__(self, path: str):
        self.path, self.data, self.done, self.turn = path, b"", False, 0

    def ask(self, method: str, body: str | None) -> None:
        content = (body or "").encode()
        kind = "application/json" if (body or "")[:1] in ("{", "[") else "application/x-www-form-urlencoded"
        extra = f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n" if body is not None else ""
        self.line.arrive(
            f"{method} {self.path} HTTP/1.1\r\nHost: 192.168.1.42\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n{extra}"
            f"Connection: close\r\n\r\n".encode()
            + content
        )
        self.wait(PATIENCE)

    def wait(self, microseconds: int) -> None:
        self.turn += 1
        turn = self.turn
        self.board.after(microseconds, lambda: turn == self.turn and self.leave())

    def received(self, data):
        if self.done:
            return
        self.data += data
        message = split_message(self.data)
        length = number(message[1].get("content-length", "")) if message else None
        if len(self.data) > MAX_ANSWER or (message and length is not None and len(message[2]) >= length):
            self.leave()
        else:
            self.wait(PAUSE)

    def closed(self, lost):
        self.leave()

    def leave(self) -> None:
        """Takes what came for the answer."""
        if self.done:
            return
        self.done, self.line.ended = True, True
        words, _, body = split_message(self.data) or ([], {}, self.data)
        status = number(words[1]) if len(words) > 1 and words[0].startswith("HTTP/") else None
        self.board.note("net", "answer", (self.path, status, body.decode("utf-8", "replace")))


class HttpClient(Device):
    asks: Annotated[list[Ask], AfterValidator(by_time)]  # [seconds, method, path] or [seconds, method, path, body]
    port: int = Field(default=80, ge=1, le=65535)

    def attach(self, board):
        for when, method, path, *body in self.asks:
            board.at(
                round(when * 1_000_000),
                lambda method=method, path=path, body=body: self.visit(board, method, path, *body),
            )

    def visit(self, board, method: str, path: str, body: str | None = None) -> None:
        browser = Browser(path)
        if board.sockets.visit(self.port, browser):
            browser.ask(method, body)
        else:
            board.note("net", "answer", (path, None, ""))
