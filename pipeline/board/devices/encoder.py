"""A rotary encoder: one click is a whole cycle of its two contacts, clockwise when A falls while B is high. Contacts close to ground."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Step, Times, in_order
from pipeline.board.devices.button import Button

QUARTER = 5_000  # microseconds between two changes of a contact
CLICK = 6 * QUARTER  # four changes and a rest


class Encoder(Device):
    a: Pin  # also CLK
    b: Pin  # also DT
    button: Pin | None = None  # also SW
    turns: Annotated[
        list[Step], AfterValidator(in_order)
    ]  # [time, clicks]: so many from then on, negative anticlockwise
    pressed: Times = Field(default=[])

    def pins(self):
        return {"a": self.a, "b": self.b, **({} if self.button is None else {"button": self.button})}

    def rules(self):
        return [
            (self.button is not None or not self.pressed, "pressed: it has no button; give its pin as button"),
            (all(clicks == int(clicks) for _, clicks in self.turns), "turns: an encoder turns by whole clicks"),
        ]

    def attach(self, board):
        a, b = board.spec.pin(self.a), board.spec.pin(self.b)
        for pin in (a, b):
            board.gpio.drive(pin, 1)
        for time, clicks in self.turns:
            first, second = (a, b) if clicks > 0 else (b, a)
            for click in range(abs(int(clicks))):
                start = round(time * 1_000_000) + click * CLICK
                for number, (pin, level) in enumerate(((first, 0), (second, 0), (first, 1), (second, 1))):
                    board.at(start + number * QUARTER, lambda pin=pin, level=level: board.gpio.drive(pin, level))
        if self.button is not None:
            Button(pin=self.button, pressed=self.pressed).attach(board)
