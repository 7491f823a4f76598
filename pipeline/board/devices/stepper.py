"""A stepper motor, which notes its position in steps: on four coils, where half steps count half, or on a driver with step and direction."""

from typing import Annotated

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device

# The eight half steps of the coils, in order.
COILS: list[tuple[int, ...]] = [
    (1, 0, 0, 0),
    (1, 1, 0, 0),
    (0, 1, 0, 0),
    (0, 1, 1, 0),
    (0, 0, 1, 0),
    (0, 0, 1, 1),
    (0, 0, 0, 1),
    (1, 0, 0, 1),
]
SETTLED = 200  # microseconds: the four pins change one after the other; what they come to rest at counts


class Stepper(Device):
    coils: Annotated[list[Pin], Field(min_length=4, max_length=4)] | None = None
    step: Pin | None = None
    direction: Pin | None = None  # high is forwards

    def pins(self):
        named = {"step": self.step, "direction": self.direction}
        return {f"coils.{number}": pin for number, pin in enumerate(self.coils or [])} | {
            name: pin for name, pin in named.items() if pin is not None
        }

    def rules(self):
        kinds = (self.coils is not None, self.step is not None, self.direction is not None)
        return [
            (
                kinds in ((True, False, False), (False, True, True)),
                "coils: give four of them, or step and direction instead",
            )
        ]

    def attach(self, board):
        names = [board.spec.pin(pin) for pin in self.pins().values()]
        position = 0.0

        def move(steps: float) -> None:
            nonlocal position
            position += steps
            board.note("device", f"stepper {names[0]}", position)

        if self.coils is not None:
            self.on_coils(board, names, move)
        else:
            step, direction = names
            board.gpio.watch(
                step, lambda level: move(1 if board.gpio.pin(direction).driven() else -1) if level == 1 else None
            )

    def on_coils(self, board, names, move):
        phase, changes = None, 0

        def settled(at: int) -> None:
            nonlocal phase
            state = tuple(board.gpio.pin(name).driven() or 0 for name in names)
            if at != changes or state not in COILS:
                return
            before, phase = phase, COILS.index(state)
            if before is not None and (phase - before) % 4:  # to the opposite, or to where it is, nothing turns
                move(((phase - before + 4) % 8 - 4) / 2)

        def changed(_) -> None:
            nonlocal changes
            changes += 1
            board.after(SETTLED, lambda at=changes: settled(at))

        for name in names:
            board.gpio.watch(name, changed)
