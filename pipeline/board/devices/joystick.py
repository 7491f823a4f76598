"""A joystick: two knobs, and a button to ground that it may have."""

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Times
from pipeline.board.devices._analog import SUPPLY, Share, put
from pipeline.board.devices.button import Button


class Joystick(Device):
    x: Pin
    y: Pin
    button: Pin | None = None
    right: Share = 0.5  # x: 0 left, 1 right
    up: Share = 0.5  # y: 0 down, 1 up
    pressed: Times = Field(default=[])

    def pins(self):
        return {"x": self.x, "y": self.y, **({} if self.button is None else {"button": self.button})}

    def rules(self):
        return [(self.button is not None or not self.pressed, "pressed: it has no button; give its pin as button")]

    def attach(self, board):
        put(board, self.x, self.right, lambda share: SUPPLY * share)
        put(board, self.y, self.up, lambda share: SUPPLY * share)
        if self.button is not None:
            Button(pin=self.button, pressed=self.pressed).attach(board)
