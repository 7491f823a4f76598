"""An MCP3008: eight inputs for voltages up to 3.3 V, with 10 bits, over SPI."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Device, Pin, Signal
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.spi import Target

REFERENCE, STEPS, INPUTS = 3.3, 1024, 8

Volts = Annotated[Signal, AfterValidator(within(0, REFERENCE))]


class Mcp3008(Device):
    select: Pin | None = None  # its chip select; left out: it is tied low
    inputs: Annotated[dict[str, Volts], Field(min_length=1)]  # "0" to "7" -> volts

    def pins(self):
        return {"select": self.select}

    def rules(self):
        strange = [name for name in self.inputs if name not in map(str, range(INPUTS))]
        return [(not strange, f"inputs: {', '.join(strange)}: they are called 0 to 7, in quotes")]

    def attach(self, board):
        select = None if self.select is None else board.spec.pin(self.select)
        board.spi.attach(
            Chip(board, {int(name): over_time(signal) for name, signal in self.inputs.items()}), select, {}
        )


class Chip(Target):
    """A 1 begins a question; four bits say which input, and after one bit's pause ten bits come back."""

    def __init__(self, board, inputs):
        self.board, self.inputs = board, inputs
        self.asked: list[int] = []  # the bits from the first 1 on

    def select(self):
        self.asked = []

    def raw(self, channel: int) -> int:
        signal = self.inputs.get(channel)
        return min(STEPS - 1, int(signal(self.board.now) / REFERENCE * STEPS)) if signal else 0

    def value(self) -> int:
        single, *number = self.asked[1:5]
        channel = number[0] << 2 | number[1] << 1 | number[2]
        return self.raw(channel) if single else max(0, self.raw(channel) - self.raw(channel ^ 1))

    def transfer(self, data):
        back = bytearray()
        for byte in data:
            answer = 0
            for n in range(7, -1, -1):
                place = len(self.asked) - 7  # of the ten bits, once the question and the pause are over
                answer = answer << 1 | (self.value() >> 9 - place & 1 if 0 <= place < 10 else 0)
                if (self.asked or byte >> n & 1) and len(self.asked) < 17:
                    self.asked.append(byte >> n & 1)
            back.append(answer)
        return bytes(back)
