"""A hobby servo, which notes the angle that it was sent to: 0.5 ms to 2.5 ms are 0 to 180 degrees."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Servo(Device):
    pin: Pin

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)

        def moved(_) -> None:
            channel = board.pwm.channels.get(pin)
            if channel is not None:
                pulse = channel.duty() / channel.frequency * 1000       # milliseconds
                if 0.4 <= pulse <= 2.6:
                    board.note("device", f"servo {pin}", round((pulse - 0.5) / 2 * 180))
        board.gpio.watch(pin, moved)
