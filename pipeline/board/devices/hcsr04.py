"""HC-SR04: measures a distance by how long an echo takes.

After a pulse of 10 µs on its trigger it sends a burst, and holds its echo pin high for as long as the sound was under way; for 38 ms
where nothing came back (data sheet, Elecfreaks).
"""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal, steps
from pipeline.board.devices._values import over_time

SOUND = 0.0343  # centimetres in a microsecond, at 20 °C
DELAY = 450  # microseconds from the end of the trigger to the echo pin's rise
SHORTEST = 5  # of a trigger, microseconds; 10 are asked for
NEAREST, FARTHEST, NOTHING = 2.0, 400.0, 38_000


def positive(signal):
    for _, value in steps(signal):
        if value < 0:
            raise ValueError(
                f"{value:g} is no distance; give centimetres, more than {FARTHEST:g} where nothing is in sight"
            )
    return signal


class Hcsr04(Device):
    trigger: Pin
    echo: Pin
    distance: Annotated[Signal, AfterValidator(positive)]  # centimetres; beyond 400 nothing comes back

    def pins(self):
        return {"trigger": self.trigger, "echo": self.echo}

    def attach(self, board):
        trigger, echo, distance = board.spec.pin(self.trigger), board.spec.pin(self.echo), over_time(self.distance)
        rose, busy = None, 0
        board.gpio.drive(echo, 0)

        def triggered(level: int | None) -> None:
            nonlocal rose, busy
            if level:
                rose = board.now
            elif rose is not None and board.now - rose >= SHORTEST and board.now >= busy:
                centimetres, start = distance(board.now), board.now + DELAY
                busy = start + (NOTHING if centimetres > FARTHEST else round(2 * max(NEAREST, centimetres) / SOUND))
                board.at(start, lambda: board.gpio.drive(echo, 1))
                board.at(busy, lambda: board.gpio.drive(echo, 0))

        board.gpio.watch(trigger, triggered)
