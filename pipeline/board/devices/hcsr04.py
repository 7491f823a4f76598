"""HC-SR04: measures a distance by how long an echo takes.

After a pulse of 10 µs on its trigger it sends a burst, and holds its echo pin high for as long as the sound was under way; for 38 ms
where nothing came back (data sheet, Elecfreaks).
"""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal
from pipeline.board.devices._values import over_time

SOUND = 0.0343          # centimetres in a microsecond, at 20 °C
DELAY = 450             # microseconds from the end of the trigger to the echo pin's rise
SHORTEST = 5            # of a trigger, microseconds; 10 are asked for
NEAREST, FARTHEST, NOTHING = 2.0, 400.0, 38_000


class Hcsr04(Device):
    trigger: Pin
    echo: Pin
    distance: Signal        # centimetres; beyond 400 nothing comes back

    def pins(self):
        return {"trigger": self.trigger, "echo": self.echo}

    def attach(self, board):
        trigger, echo, distance = board.spec.pin(self.trigger), board.spec.pin(self.echo), over_time(self.distance)
        rose: list[int] = []
        busy = [0]
        board.gpio.drive(echo, 0)

        def triggered(level) -> None:
            if level:
                rose[:] = [board.now]
            elif rose and board.now - rose.pop() >= SHORTEST and board.now >= busy[0]:
                centimetres = distance(board.now)
                length = NOTHING if centimetres > FARTHEST else round(2 * max(NEAREST, centimetres) / SOUND)
                start = board.now + DELAY
                busy[0] = start + length
                board.at(start, lambda: board.gpio.drive(echo, 1))
                board.at(start + length, lambda: board.gpio.drive(echo, 0))
        board.gpio.watch(trigger, triggered)
