"""What each board is: its pins and what they can do, and the package of stubs that says which names its MicroPython has.

One file a board in configs/boards/; a new one needs no code, and a line in boards.lock where its stubs are not there yet.
"""

import re
import sys
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.core.config import parse
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import File, Name, Text

FOLDER = Path(__file__).parents[2] / "configs" / "boards"
LOCK = Path(__file__).parents[2] / "boards.lock"  # the packages of stubs: name==version --hash=sha256:...
STUBS = Path(sys.prefix, "share", "robo", "stubs")  # where scripts/setup.py puts them, as name-version

Pin = int | str  # a number, or a name where the pin has none


class Bus(File):
    """The pins that one I2C, SPI or UART of the hardware can have, by their part; the first of each is the default.

    With `anywhere` (the ESP32's buses) any other pin of the board will do as well, so that only the defaults are listed.
    """

    pins: dict[str, list[int]]
    anywhere: bool = False


class Range(File):
    lowest: Annotated[int, Field(ge=1)]
    highest: Annotated[int, Field(ge=1)]


class BoardSpec(File):
    title: Text
    port: Name  # MicroPython's: rp2, esp32
    machine: Text  # os.uname().machine
    stubs: Name  # the package that says which names its MicroPython has, of boards.lock
    heap: Annotated[int, Field(ge=16_384)]  # bytes that MicroPython has for a program there
    pins: list[int]
    named: dict[str, Pin]  # other names of pins: LED: 25, or LED: LED where it is no numbered pin
    input_only: list[int]
    adc: dict[str, Pin]  # channel -> pin
    pwm: Range  # of its frequency, hertz
    buses: dict[str, Bus]  # "i2c0", "spi1", "uart0"
    epoch: Annotated[int, Field(ge=0)]  # what its clock says at the start, seconds since 1970
    lacks: list[Text]  # names that the stubs have and the board has not: machine.ADC.read
    keywords: dict[Text, list[Text]]  # function or class -> arguments that a call can name, which the stubs do not say
    libraries: list[Text]  # modules that people install on it, which the simulated board then has too

    def pin(self, name: Pin) -> Pin | None:
        """The canonical name of a pin given as a number, its digits, GP15 or a name; None where the board has none."""
        return self.names.get(str(name))

    @cached_property
    def names(self) -> dict[str, Pin]:
        numbered = ("", "GP", "GPIO") if self.port == "rp2" else ("", "GPIO")
        return {
            **{f"{prefix}{n}": n for prefix in numbered for n in self.pins},
            **{str(pin): pin for pin in self.named.values()},
            **self.named,
        }


def known() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[!.]*.yaml"))


@cache
def load(name: str) -> BoardSpec:
    """Raises UserError for a board that is not known."""
    if name not in known():
        raise UserError(f"there is no board {name!r}{suggestion(name, known())}")
    return parse(FOLDER / f"{name}.yaml", BoardSpec)


def stubs_version(spec: BoardSpec) -> str:
    """The version of its stubs that boards.lock pins, which is MicroPython's. Raises UserError where it has none."""
    if pinned := re.search(rf"^{re.escape(spec.stubs)}==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE):
        return pinned[1]
    raise UserError(f"configs/boards: stubs: {LOCK.name} has no line for {spec.stubs}")


def stubs(spec: BoardSpec) -> Path:
    """The folder of its stubs. Raises UserError where they are not installed."""
    folder = STUBS / f"{spec.stubs}-{stubs_version(spec)}"
    if not folder.is_dir():
        raise UserError(
            f"the simulated board needs the package {folder.name}, which is not in {STUBS}: run `make setup`"
        )
    return folder
