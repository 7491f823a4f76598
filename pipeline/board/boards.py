"""What each board is: its pins and what they can do, and the package of stubs that says which names its MicroPython has.

One file a board in configs/boards/; a new one needs no code.
"""

from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.core.config import parse
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import SHA256, File, Name, Text

FOLDER = Path(__file__).parents[2] / "configs" / "boards"

Pin = int | str         # a number, or a name where the pin has none


class Stubs(File):
    """A package of the index that tells which names the board's MicroPython has."""
    name: Name
    version: Text
    sha256: Annotated[str, Field(pattern=SHA256)]       # of its wheel


class Bus(File):
    """The pins that one I2C, SPI or UART of the hardware can have, by their part; the first of each is the default."""
    pins: dict[str, list[int]]


class Range(File):
    lowest: Annotated[int, Field(ge=1)]
    highest: Annotated[int, Field(ge=1)]


class BoardSpec(File):
    title: Text
    port: Name                                          # MicroPython's: rp2, esp32
    machine: Text                                       # os.uname().machine
    stubs: list[Stubs]
    heap: Annotated[int, Field(ge=16_384)]              # bytes that MicroPython has for a program there
    pins: list[int]
    named: dict[str, Pin]                               # other names of pins: LED: 25, or LED: LED where it is no numbered pin
    input_only: list[int]
    adc: dict[str, Pin]                                 # channel -> pin
    pwm: Range                                          # of its frequency, hertz
    buses: dict[str, Bus]                               # "i2c0", "spi1", "uart0"
    epoch: Annotated[int, Field(ge=0)]                  # what its clock says at the start, seconds since 1970
    lacks: list[Text]                                   # names that the stubs have and the board has not

    def pin(self, name: Pin) -> Pin | None:
        """The canonical name of a pin given as a number, its digits, GP15 or a name; None where the board has none."""
        return self.names.get(str(name))

    @cached_property
    def names(self) -> dict[str, Pin]:
        prefix = "GP" if self.port == "rp2" else "GPIO"
        return {**{str(n): n for n in self.pins}, **{f"{prefix}{n}": n for n in self.pins}, **{str(pin): pin for pin in self.named.values()},
                **self.named}


def known() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> BoardSpec:
    """Raises UserError for a board that is not known."""
    if name not in known():
        raise UserError(f"there is no board {name!r}{suggestion(name, known())}")
    return parse(FOLDER / f"{name}.yaml", BoardSpec)
