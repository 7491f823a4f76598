"""A motor on an H-bridge, which notes its speed from -1 to 1: two pins for the directions, and one that enables it where there is one."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Hbridge(Device):
    forward: Pin
    backward: Pin
    enable: Pin | None = None

    def pins(self):
        return {"forward": self.forward, "backward": self.backward, **({} if self.enable is None else {"enable": self.enable})}

    def attach(self, board):
        forward, backward = board.spec.pin(self.forward), board.spec.pin(self.backward)
        enable = None if self.enable is None else board.spec.pin(self.enable)
        speed = [0.0]

        def share(pin) -> float:
            channel = board.pwm.channels.get(pin)
            return channel.duty() if channel is not None else float(board.gpio.pin(pin).driven() or 0)

        def changed(_) -> None:
            now = round((share(forward) - share(backward)) * (1.0 if enable is None else share(enable)), 3)
            if now != speed[0]:
                speed[0] = now
                board.note("device", f"motor {forward}/{backward}", now)
        for pin in (forward, backward, *(() if enable is None else (enable,))):
            board.gpio.watch(pin, changed)
