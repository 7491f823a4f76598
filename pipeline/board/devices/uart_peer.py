"""Somebody at the other end of a UART: says things at times, and answers what the board sends."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.board.devices import Device, Pin, in_order
from pipeline.board.hardware.uart import Format, Peer
from pipeline.core.schema import Text

ANSWERS_AFTER = 1_000  # microseconds

Byte = Annotated[int, Field(ge=0, le=255)]
Message = str | list[Byte]  # text, or bytes for what is none


def moment(step: Any) -> Any:
    if (
        not isinstance(step, list)
        or len(step) != 2
        or not isinstance(step[0], int | float)
        or isinstance(step[1], int | float)
    ):
        raise ValueError(f"must be [time, text], not {step}")
    return step


Says = Annotated[
    list[Annotated[tuple[float, Message], Field(strict=False), BeforeValidator(moment)]], AfterValidator(in_order)
]


class UartPeer(Device):
    uart: Annotated[int, Field(ge=0)] | None = None  # which UART; left out: the one that has the pins, or any
    tx: Pin | None = None  # the board's pins that its wires go to
    rx: Pin | None = None
    baudrate: Annotated[int, Field(ge=300, le=3_000_000)] = 9_600
    sends: Says = Field(default=[])  # [time in seconds, text]
    answers: dict[Text, Message] = Field(default={})  # what the board sends -> what comes back
    echo: bool = False  # sends back whatever comes, as a wire from TX to RX does

    def pins(self):
        return {name: pin for name, pin in (("tx", self.tx), ("rx", self.rx)) if pin is not None}

    def attach(self, board):
        Talker(board, self)


def raw(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)


class Talker(Peer):
    def __init__(self, board, script: UartPeer):
        self.format = Format(script.baudrate)
        self.board, self.echo = board, script.echo
        self.answers = {raw(question): raw(answer) for question, answer in script.answers.items()}
        tx, rx = (None if pin is None else board.spec.pin(pin) for pin in (script.tx, script.rx))
        self.line = board.uart.attach(self, script.uart, tx, rx)
        self.said, self.longest = b"", max(map(len, self.answers), default=0)
        for time, message in script.sends:
            board.at(round(time * 1_000_000), lambda message=message: self.line.send(raw(message)))

    def receive(self, data):
        if self.echo:
            self.line.send(data)
        for byte in data if self.answers else b"":
            self.said = (self.said + bytes([byte]))[-self.longest :]
            for question, answer in self.answers.items():
                if self.said.endswith(question):
                    self.said = b""
                    self.board.after(ANSWERS_AFTER, lambda answer=answer: self.line.send(answer))
                    break
