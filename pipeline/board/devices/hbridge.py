"""A motor on an H-bridge, which notes its speed from -1 to 1: two pins for the directions, and one that enables it where there is one."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Hbridge(Device):
    forward: Pin
    backward: Pin
    enable: Pin | None = None

    def pins(self):
        return {
            "forward": self.forward,
            "backward": self.backward,
            **({} if self.enable is None else {"enable": self.enable}),
        }

    def attach(self, board):
        forward, backward, *enable = (board.spec.pin(pin) for pin in self.pins().values())
        speed = 0.0

        def changed(_) -> None:
            nonlocal speed
            on = board.pwm.high(enable[0]) if enable else 1
            now = round((board.pwm.high(forward) - board.pwm.high(backward)) * on, 3)
            if now != speed:
                speed = now
                board.note("device", f"motor {forward}/{backward}", now)

        for pin in (forward, backward, *enable):
            board.gpio.watch(pin, changed)
