"""A matrix of keys: a pressed one connects its row with its column."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, in_order

KEYS = ["123A", "456B", "789C", "*0#D"]


class Keypad(Device):
    rows: Annotated[list[Pin], Field(min_length=1)]
    columns: Annotated[list[Pin], Field(min_length=1)]
    keys: list[str] = KEYS                                  # a text for each row
    pressed: Annotated[list[list[float | str]], AfterValidator(in_order)]       # [time, key]
    hold: float = Field(default=0.2, gt=0, alias="for")

    def pins(self):
        return {f"{what}.{number}": pin for what in ("rows", "columns") for number, pin in enumerate(getattr(self, what))}

    def attach(self, board):
        rows, columns = ([board.spec.pin(pin) for pin in each] for each in (self.rows, self.columns))
        down: set[tuple[int, int]] = set()

        def settle(*_) -> None:
            """What drives one side of a pressed key is seen at its other side."""
            seen = {}
            for row, column in down:
                for here, there in ((rows[row], columns[column]), (columns[column], rows[row])):
                    driven = board.gpio.pin(here).driven()
                    if driven is not None and board.gpio.pin(there).driven() is None:
                        seen[there] = driven if seen.get(there) is None else min(driven, seen[there])
            for pin in (*rows, *columns):
                board.gpio.drive(pin, seen.get(pin))

        for pin in (*rows, *columns):
            board.gpio.watch(pin, settle)
        for time, key in self.pressed:
            where = next(((r, text.index(str(key))) for r, text in enumerate(self.keys[:len(rows)]) if str(key) in text[:len(columns)]), None)
            if where is None:
                continue
            start = round(time * 1_000_000)
            board.at(start, lambda where=where: (down.add(where), settle()))
            board.at(start + round(self.hold * 1_000_000), lambda where=where: (down.discard(where), settle()))
