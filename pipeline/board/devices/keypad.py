"""A matrix of keys: a pressed one connects its row with its column. Noted: ("device", "keypad", key) when it is pressed.

A program scans it without end, so what happens on its pins is not logged.
"""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, in_order, pair

KEYS = ["123A", "456B", "789C", "*0#D"]
Press = Annotated[tuple[float, float | str], Field(strict=False), BeforeValidator(pair)]  # [time, key]


def name(key: float | str) -> str:
    """A key as it stands on the pad: YAML takes 5 for a number."""
    return key if isinstance(key, str) else f"{key:g}"


class Keypad(Device):
    rows: Annotated[list[Pin], Field(min_length=1)]
    columns: Annotated[list[Pin], Field(min_length=1)]
    keys: list[str] = KEYS  # a text for each row; three columns have no letters
    pressed: Annotated[list[Press], AfterValidator(in_order)]
    hold: float = Field(default=0.2, gt=0, alias="for")

    def pins(self):
        return {
            f"{what}.{number}": pin for what in ("rows", "columns") for number, pin in enumerate(getattr(self, what))
        }

    def places(self) -> dict[str, tuple[int, int]]:
        """Key -> its row and column."""
        return {
            key: (row, column)
            for row, text in enumerate(self.keys[: len(self.rows)])
            for column, key in enumerate(text[: len(self.columns)])
        }

    def rules(self):
        known = self.places()
        return [
            (name(key) in known, f"pressed: there is no key {name(key)}; there are {' '.join(known)}")
            for _, key in self.pressed
        ]

    def attach(self, board):
        rows, columns = ([board.gpio.pin(board.spec.pin(pin)) for pin in each] for each in (self.rows, self.columns))
        down: set[tuple[int, int]] = set()
        for pin in (*rows, *columns):
            pin.scanned = True

        def settle(*_) -> None:
            """What drives one side of a pressed key is seen at its other side; low wins."""
            seen = {}
            for row, column in down:
                for here, there in ((rows[row], columns[column]), (columns[column], rows[row])):
                    driven = here.driven()
                    if driven is not None and there.driven() is None:
                        seen[there.name] = min(driven, seen.get(there.name, 1))
            for pin in (*rows, *columns):
                board.gpio.drive(pin.name, seen.get(pin.name))

        def press(key: str) -> None:
            down.add(self.places()[key])
            board.note("device", "keypad", key)
            settle()

        def release(key: str) -> None:
            down.discard(self.places()[key])
            board.changed()
            settle()

        for pin in (*rows, *columns):
            board.gpio.watch(pin.name, settle)
        for time, given in self.pressed:
            start, key = round(time * 1_000_000), name(given)
            board.at(start, lambda key=key: press(key))
            board.at(start + round(self.hold * 1_000_000), lambda key=key: release(key))
