"""A passive buzzer, which notes the tone that it sounds: hertz, 0 for silence."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Buzzer(Device):
    pin: Pin

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        sounds = [0]

        def changed(_) -> None:
            channel = board.pwm.channels.get(pin)
            hertz = channel.frequency if channel is not None and 0.01 < channel.duty() < 0.99 else 0
            if hertz != sounds[0]:
                sounds[0] = hertz
                board.note("device", f"buzzer {pin}", hertz)
        board.gpio.watch(pin, changed)
