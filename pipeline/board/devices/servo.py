"""A hobby servo, which notes the angle that it is sent to: pulses of 0.5 ms to 2.5 ms are 0 to 180 degrees, by PWM or by hand."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device

LOWEST, HIGHEST = 40, 400  # hertz; at others it does not move
SHORTEST, LONGEST = 400, 2_600  # microseconds; the ends are not made to the microsecond


class Servo(Device):
    pin: Pin

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        angle, rose = None, 0

        def pulse(microseconds: float) -> None:
            nonlocal angle
            wanted = min(180, max(0, round((microseconds - 500) * 180 / 2_000)))
            if SHORTEST <= microseconds <= LONGEST and wanted != angle:
                angle = wanted
                board.note("device", f"servo {pin}", angle)

        def changed(level: int | None) -> None:
            nonlocal rose
            state = board.pwm.state(pin)
            if state is not None:
                hertz, duty = state
                if LOWEST <= hertz <= HIGHEST:
                    pulse(duty / hertz * 1_000_000)
            elif level == 1:
                rose = board.now
            elif level == 0:
                pulse(board.now - rose)

        board.gpio.watch(pin, changed)
