"""A stepper motor with four coils, which notes its position in steps; half steps count half."""

from typing import Annotated

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device

# The eight half steps of the coils, in order.
COILS = [(1, 0, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 0), (0, 0, 1, 1), (0, 0, 0, 1), (1, 0, 0, 1)]


class Stepper(Device):
    coils: Annotated[list[Pin], Field(min_length=4, max_length=4)]

    def pins(self):
        return {f"coils.{number}": pin for number, pin in enumerate(self.coils)}

    def attach(self, board):
        names = [board.spec.pin(pin) for pin in self.coils]
        phase: list[int] = []
        position = [0.0]

        def settled(at: int) -> None:
            state = tuple(board.gpio.pin(name).driven() or 0 for name in names)
            if at != changes[0] or state not in COILS:
                return
            now = COILS.index(state)
            if phase:
                moved = (now - phase[0] + 4) % 8 - 4
                if moved and moved != -4:
                    position[0] += moved / 2
                    board.note("device", f"stepper {names[0]}", position[0])
            phase[:] = [now]

        changes = [0]

        def changed(_) -> None:         # the four pins change one after the other; what they settle at counts
            changes[0] += 1
            board.after(200, lambda at=changes[0]: settled(at))
        for name in names:
            board.gpio.watch(name, changed)
