"""Sleeping, resetting, and what the processor says of itself.

Logged: ("sleep", "deep" or "light", milliseconds or None), before a deep one ("wake", "ext0" or "ext1", (pins, level)) of what an ESP32 has
set to wake it, ("reset", "", None). A real board begins again after a reset or a deep sleep; here the run ends, as such a program does all that
it does until then.
"""

from pipeline.board.board import Board, Refused
from pipeline.board.boards import stubs_version
from pipeline.board.wasi import Stop

MEANT = RESET, DEEP_SLEEP = "it reset the board", "it went into deep sleep"  # ends that a program may well mean
HERTZ = {"rp2": 125_000_000, "esp32": 160_000_000}
ESP32 = (20, 40, 80, 160, 240)  # megahertz
WAKING = {0, 2, 4, 12, 13, 14, 15, 25, 26, 27, *range(32, 40)}  # pins of an ESP32 that are awake while it sleeps
CRYSTAL = 12_000  # kilohertz, of an rp2
SERIAL = {"rp2": "e66164084329a62c", "esp32": "246f28a1b2c4"}
FLASH = {"rp2": (4096, 212), "esp32": (4096, 512)}  # block size and blocks of the file system


def rp2_can(kilohertz: int) -> bool:
    """Whether the clock's multiplier and its two dividers can give it."""
    dividers = [first * second for first in range(1, 8) for second in range(1, first + 1)]
    return any(CRYSTAL * multiplier == kilohertz * divider for multiplier in range(63, 134) for divider in dividers)


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.hertz = HERTZ[board.spec.port]
        self.waking: dict[str, tuple[tuple[int, ...], int]] = {}  # source -> (pins, level)
        self.operations = {
            "sleep.light": self._light,
            "sleep.deep": self._deep,
            "wake": self._wake,
            "reset": self._reset,
            "irq.on": self._on,
            "freq": self._frequency,
            "serial": lambda _: SERIAL[board.spec.port],
            "uname": self._name,
            "flash": self._flash,
        }

    def _light(self, milliseconds: str) -> None:
        """Without a time it sleeps until something wakes it, which is nothing here."""
        self.board.note("sleep", "light", int(milliseconds) if milliseconds else None)
        self.board.sleep(max(0, int(milliseconds) * 1000) if milliseconds else self.board.end - self.board.now + 1)

    def _wake(self, arguments: str) -> None:
        """SOURCE,pins,level"""
        source, pins, level = arguments.split(",")
        numbers = tuple(map(int, pins.split()))
        if not WAKING.issuperset(numbers):
            raise Refused("ValueError", "invalid pin")
        self.waking[source] = numbers, int(level)

    def _deep(self, milliseconds: str) -> None:
        for source, (pins, level) in self.waking.items():
            if pins:
                self.board.note("wake", source, (pins, level))
        self.board.note("sleep", "deep", int(milliseconds) if milliseconds else None)
        raise Stop(DEEP_SLEEP)

    def _reset(self, _: str) -> None:
        self.board.note("reset", "", None)
        raise Stop(RESET)

    def _on(self, arguments: str) -> str:
        """Switches interrupts on or off; the answer is how they were."""
        before = self.board.interrupts_on
        self.board.interrupts_on = arguments == "1"
        return str(int(before))

    def _frequency(self, arguments: str) -> str | None:
        if not arguments:
            return str(self.hertz)
        hertz = int(arguments)
        if self.board.spec.port == "rp2":
            if not rp2_can(hertz // 1000):
                raise Refused("ValueError", "cannot change frequency")
        elif hertz // 1_000_000 not in ESP32:
            raise Refused("ValueError", "frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
        self.hertz = hertz
        return None

    def _name(self, _: str) -> str:
        """What os.uname says, a line each."""
        spec = self.board.spec
        release = stubs_version(spec).split(".post")[0]
        return "\n".join((spec.port, spec.port, release, f"v{release} on 2026-01-01", spec.machine))

    def _flash(self, _: str) -> str:
        return "{},{}".format(*FLASH[self.board.spec.port])
