"""A push button to ground or to 3V3, with or without the bounce of a real one."""

from typing import Literal

from pydantic import Field

from pipeline.board.devices import Device, Pin, Times

BOUNCES = (300, 900, 1_400, 2_600, 3_500, 5_200)  # microseconds after contact, in which it opens and closes


class Button(Device):
    pin: Pin
    pressed: Times  # when, seconds
    hold: float = Field(default=0.2, gt=0, alias="for")  # how long each time
    to: Literal["ground", "3V3"] = "ground"
    bounces: bool = False

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin, down = board.spec.pin(self.pin), 0 if self.to == "ground" else 1
        for when in self.pressed:
            start, end = round(when * 1_000_000), round((when + self.hold) * 1_000_000)
            board.at(start, lambda: board.gpio.drive(pin, down))
            board.at(end, lambda: board.gpio.drive(pin, None))
            for number, after in enumerate(BOUNCES if self.bounces else ()):
                level = down if number % 2 else None
                board.at(start + after, lambda level=level: board.gpio.drive(pin, level))
                board.at(end + after, lambda level=level: board.gpio.drive(pin, None if level == down else down))
