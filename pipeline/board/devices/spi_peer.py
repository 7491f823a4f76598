"""A chip on SPI that answers commands with bytes, all in hexadecimal digits: {"9F": "EF4018"} is a flash memory that says who it is."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Device, Pin
from pipeline.board.hardware.spi import Target


def digits(text: str) -> str:
    try:
        bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text!r} must be bytes in hexadecimal digits, such as '9F'") from None
    return text


Hex = Annotated[str, AfterValidator(digits)]


class SpiPeer(Device):
    select: Pin | None = None  # its chip select; left out: it always listens
    sck: Pin | None = None  # the board's pins that its wires go to; left out: whichever the program takes
    mosi: Pin | None = None
    miso: Pin | None = None
    answers: dict[Hex, Hex] = Field(default={})  # what it was sent since it was selected -> what it then sends
    echo: bool = False  # sends back each byte at once, as a wire from MOSI to MISO does

    def pins(self):
        return {name: pin for name in ("select", "sck", "mosi", "miso") if (pin := getattr(self, name)) is not None}

    def attach(self, board):
        pins = {name: board.spec.pin(pin) for name, pin in self.pins().items()}
        select = pins.pop("select", None)
        board.spi.attach(Chip(self), select, pins)


class Chip(Target):
    def __init__(self, script: SpiPeer):
        self.answers = {bytes.fromhex(question): bytes.fromhex(answer) for question, answer in script.answers.items()}
        self.echo, self.remembers = script.echo, max(map(len, self.answers), default=0) + 1  # more than any question
        self.heard, self.sends = b"", b""

    def select(self):
        self.heard, self.sends = b"", b""

    def transfer(self, data):
        if self.echo:
            return data
        back = bytearray()
        for byte in data:
            back += self.sends[:1] or b"\0"
            self.sends = self.sends[1:]
            self.heard = (self.heard + bytes([byte]))[: self.remembers]
            self.sends = self.answers.get(self.heard, self.sends)
        return bytes(back)
