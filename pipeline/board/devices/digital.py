"""A digital signal on a pin: a level over time, from whatever it comes."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal, steps


class Digital(Device):
    pin: Pin
    level: Signal  # 0 or 1

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        for time, value in steps(self.level):
            board.at(time, lambda value=value: board.gpio.drive(pin, int(value >= 0.5)))
