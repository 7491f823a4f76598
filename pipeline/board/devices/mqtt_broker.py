"""An MQTT broker (3.1.1): hands on what the program publishes, and what others publish at times of a script.

Logged: ("net", "subscribe", topic), ("net", "publish", (topic, payload)) of the program, ("net", "message", (topic, payload)) that it is sent,
("net", "will", (topic, payload)) where it was lost without a goodbye.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Device
from pipeline.board.devices._net import by_time
from pipeline.board.hardware.sockets import Peer
from pipeline.core.schema import Text

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PING, DISCONNECT = 1, 3, 8, 10, 12, 14
MAX_PACKET = 64 << 10  # bytes
BAD_LOGIN = 5

Message = Annotated[tuple[float, Text, str], Field(strict=False)]


def fits(topic: str, pattern: str) -> bool:
    """Whether a subscription takes a topic: + is any one level, # at the end all that follow."""
    levels, wanted = topic.split("/"), pattern.split("/")
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: len(wanted) - 1]
    return len(levels) == len(wanted) and all(want in ("+", level) for level, want in zip(levels, wanted, strict=True))


def field(data: bytes) -> bytes:
    """With its length before it."""
    return len(data).to_bytes(2, "big") + data


def take(data: bytes) -> tuple[bytes, bytes]:
    """(the field that `data` begins with, the rest)."""
    end = 2 + int.from_bytes(data[:2], "big")
    return data[2:end], data[end:]


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:  # seven bits a byte, the lowest first; the eighth says that more follow
        size, low = divmod(size, 128)
        length += bytes([low | 128 * bool(size)])
        if not size:
            return bytes([first]) + length + body


def split_packet(data: bytes) -> tuple[int, bytes, bytes] | None:
    """(first byte, body, what follows) of the packet that `data` begins with; None where it is not whole yet."""
    size = 0
    for number, byte in enumerate(data[1:5]):
        size |= (byte & 127) << 7 * number
        if byte < 128:
            start = 2 + number
            return (data[0], data[start : start + size], data[start + size :]) if len(data) >= start + size else None
    return None


class Session(Peer):
    """One connection of the program's."""

    def __init__(self, broker: "MqttBroker", sessions: list["Session"], kept: dict[str, bytes]):
        self.broker, self.sessions, self.kept = broker, sessions, kept
        self.data, self.topics, self.will = b"", [], None

    def received(self, data):
        self.data += data
        while found := split_packet(self.data):
            first, body, self.data = found
            self.take(first, body)
        if len(self.data) > MAX_PACKET:
            self.end()

    def closed(self, lost):
        if self in self.sessions:
            self.sessions.remove(self)
            if self.will:
                self.board.note("net", "will", (self.will[0], text(self.will[1])))
                self.spread(*self.will)

    def end(self) -> None:
        self.data = b""
        self.close()
        self.closed(lost=True)

    def take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == CONNECT:
            self.connect(body)
        elif self not in self.sessions:
            self.close()  # whoever does not say who it is first is not listened to
        elif kind == PUBLISH:
            topic, rest = take(body)
            if first & 6:  # QoS 1 and 2 have a number
                self.send(packet(0x40, rest[:2]))
                rest = rest[2:]
            self.board.note("net", "publish", (text(topic), text(rest)))
            if first & 1:
                self.kept[text(topic)] = rest
            self.spread(text(topic), rest)
        elif kind == SUBSCRIBE:
            topic, _ = take(body[2:])
            self.topics.append(text(topic))
            self.board.note("net", "subscribe", text(topic))
            self.send(packet(0x90, body[:2] + b"\0"))
            for name, payload in self.kept.items():
                if fits(name, text(topic)):
                    self.deliver(name, payload)
        elif kind == UNSUBSCRIBE:
            topic, _ = take(body[2:])
            self.topics = [each for each in self.topics if each != text(topic)]
            self.send(packet(0xB0, body[:2]))
        elif kind == PING:
            self.send(packet(0xD0, b""))
        elif kind == DISCONNECT:
            self.will = None
            self.closed(lost=False)

    def connect(self, body: bytes) -> None:
        _, rest = take(body)  # the protocol's name
        flags, (_, rest) = rest[1], take(rest[4:])  # the client's
        if flags & 4:
            topic, rest = take(rest)
            payload, rest = take(rest)
            self.will = (text(topic), payload)
        user, rest = take(rest) if flags & 128 else (b"", rest)
        password = take(rest)[0] if flags & 64 else b""
        broker = self.broker
        if broker.user is not None and (text(user), text(password)) != (broker.user, broker.password or ""):
            self.send(packet(0x20, bytes([0, BAD_LOGIN])))
            self.close()
        else:
            self.sessions.append(self)
            self.send(packet(0x20, b"\0\0"))

    def spread(self, topic: str, payload: bytes) -> None:
        for session in self.sessions:
            session.deliver(topic, payload)

    def deliver(self, topic: str, payload: bytes) -> None:
        if any(fits(topic, pattern) for pattern in self.topics):
            self.board.note("net", "message", (topic, text(payload)))
            self.send(packet(0x30, field(topic.encode()) + payload))


class MqttBroker(Device):
    host: Text
    port: int = Field(default=1883, ge=1, le=65535)
    user: Text | None = None  # left out: anybody may connect
    password: str | None = None
    messages: Annotated[list[Message], AfterValidator(by_time)] = Field(
        default_factory=list
    )  # [seconds, topic, payload] of others

    def attach(self, board):
        sessions: list[Session] = []
        kept: dict[str, bytes] = {}
        board.sockets.serve(self.host, self.port, self, lambda: Session(self, sessions, kept), tls=self.port == 8883)
        for when, topic, payload in self.messages:
            board.at(
                round(when * 1_000_000),
                lambda topic=topic, payload=payload: [each.deliver(topic, payload.encode()) for each in sessions],
            )
