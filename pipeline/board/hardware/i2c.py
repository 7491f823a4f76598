"""I2C: the buses of the board and those that a program makes of two pins (SoftI2C), and the chips that answer on them.

A transfer is one operation and lasts as long as its bits. Logged: ("i2c", bus, ("write" or "read", address, bytes)) where a chip answered,
and ("i2c", bus, ("scan", None, the addresses found)). A bus is its number, one of a program's own "scl/sda". The same read with the same
answer, over and over within POLLED, is a program that waits: it is logged once, and its steps grow as those of a pin that is polled.
"""

from dataclasses import dataclass

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

OVERHEAD = 50  # microseconds that MicroPython takes for a transfer besides its bits
ANSWER = 2_000  # bytes that fit into an answer; the rest is asked for
POLLED = 20_000  # microseconds
MOST = 1 << 16  # bytes in a transfer
FASTEST = 5_000_000  # hertz
CLOCK = 125_000_000  # of the RP2040, which a bus divides by a whole number
EIO, ENODEV = 5, 19
INPUTS = ("miso", "rx", "cts")
ADDRESSES = range(0x08, 0x78)


class Target:
    """What devices derive from to answer on the bus."""

    def hears(self, address: int) -> bool:
        """Whether it answers to `address` just now."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Takes what the board writes in one transfer."""

    def read(self, count: int) -> bytes:
        """The `count` bytes that the board reads in one transfer."""
        raise NotImplementedError


@dataclass
class Bus:
    key: str
    scl: PinName
    sda: PinName
    frequency: int
    timeout: int
    soft: bool
    open: str = ""  # of a transfer byte by byte: "" none, "address" comes next, "write", "read", "nobody"
    target: Target | None = None
    address: int = 0
    written: bytes = b""

    @property
    def where(self) -> int | str:
        return self.key if self.soft else int(self.key)


def wires(board: Board, bus: str, given: dict[str, str]) -> dict[str, PinName | None]:
    """The canonical pins of a bus by their part, which it takes: those `given` as text, "" for the default. A bus that the board does not
    have is a program's own and can have any. Raises Refused for a pin that cannot be."""
    known = board.spec.buses.get(bus)
    found: dict[str, PinName | None] = {}
    for part, text in given.items():
        allowed = known.pins.get(part, []) if known else []
        if text == "":
            found[part] = allowed[0] if allowed else None
            continue
        pin = found[part] = board.gpio.of(text).name
        if known and not known.anywhere and pin not in allowed:
            raise Refused("ValueError", f"bad {part.upper()} pin")
        if pin in board.spec.input_only and part not in INPUTS:
            raise Refused("ValueError", "pin can only be input")
    for pin in found.values():
        if pin is not None:
            board.gpio.claim(pin)
    return found


def bytes_wanted(text: str) -> int:
    """How many bytes a program wants to read; a board's memory is not for more."""
    count = int(text)
    if not 0 <= count <= MOST:
        raise Refused("MemoryError", f"memory allocation failed, allocating {count} bytes")
    return count


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.buses: dict[str, Bus] = {}
        self.targets: list[tuple[Target, PinName | None, PinName | None]] = []
        self._rest = b""
        self._asked, self._when = (), 0  # the last read with its answer
        self.operations = {
            "i2c.init": self._init,
            "i2c.soft": self._soft,
            "i2c.show": self._show,
            "i2c.scan": self._scan,
            "i2c.write": self._write,
            "i2c.read": self._read,
            "i2c.mem": self._mem,
            "i2c.rest": lambda _: self._answer(self._rest),
            "i2c.start": self._start,
            "i2c.stop": self._stop,
            "i2c.out": self._out,
            "i2c.in": self._in,
        }

    # --- for devices --------------------------------------------------------------------------------------------------

    def attach(self, target: Target, scl: PinName | None = None, sda: PinName | None = None) -> None:
        """Connects a chip: to these pins, or with None to whichever pins the program has its bus on."""
        self.targets.append((target, scl, sda))

    def find(self, bus: Bus, address: int) -> Target | None:
        """The chip that answers: it hears the address, and the bus is on the pins that it is wired to."""
        if any(self.board.gpio.pin(pin).mode != "alt" for pin in (bus.scl, bus.sda)):
            return None  # the program has made something else of the pin
        return next(
            (
                target
                for target, scl, sda in self.targets
                if scl in (None, bus.scl) and sda in (None, bus.sda) and target.hears(address)
            ),
            None,
        )

    # --- setting up ---------------------------------------------------------------------------------------------------

    def _init(self, arguments: str) -> str:
        number, frequency, scl, sda, timeout = arguments.split(",")
        if number == "-1" and self.board.spec.port == "esp32":
            self.board.printed(b"Warning: I2C(-1, ...) is deprecated, use SoftI2C(...) instead\n")
            return self._soft(f"{frequency},{scl},{sda},{timeout}")
        if f"i2c{number}" not in self.board.spec.buses:
            raise Refused("ValueError", f"I2C({number}) doesn't exist")
        before = self.buses.get(number)
        kept = {"scl": str(before.scl), "sda": str(before.sda)} if before else {"scl": "", "sda": ""}
        pins = wires(self.board, f"i2c{number}", {"scl": scl or kept["scl"], "sda": sda or kept["sda"]})
        assert pins["scl"] is not None and pins["sda"] is not None, "each bus of a board has its default pins"
        self.buses[number] = Bus(
            number, pins["scl"], pins["sda"], max(1, min(FASTEST, int(frequency))), int(timeout), soft=False
        )
        self.board.advance(self.board.now + OVERHEAD)
        return number

    def _soft(self, arguments: str) -> str:
        frequency, scl, sda, timeout = arguments.split(",")
        if not scl or not sda:
            raise Refused("TypeError", f"'{'sda' if scl else 'scl'}' argument required")
        pins = wires(self.board, "", {"scl": scl, "sda": sda})
        assert pins["scl"] is not None and pins["sda"] is not None, "both were given"
        key = f"{pins['scl']}/{pins['sda']}"
        half = max(1, min(500_000, 500_000 // max(1, int(frequency))))  # a bit's, microseconds
        self.buses[key] = Bus(key, pins["scl"], pins["sda"], 500_000 // half, int(timeout), soft=True)
        self.board.advance(self.board.now + OVERHEAD)
        return key

    def _show(self, key: str) -> str:
        bus = self.buses[key]
        if bus.soft:
            return f"SoftI2C(scl={bus.scl}, sda={bus.sda}, freq={bus.frequency})"
        if self.board.spec.port == "rp2":
            real = CLOCK // ((CLOCK + bus.frequency // 2) // bus.frequency)
            return f"I2C({key}, freq={real}, scl={bus.scl}, sda={bus.sda}, timeout={bus.timeout})"
        return f"I2C({key}, scl={bus.scl}, sda={bus.sda}, freq={bus.frequency}, timeout={bus.timeout})"

    # --- whole transfers ----------------------------------------------------------------------------------------------

    def _takes(self, bus: Bus, size: int) -> None:
        """Lets the time of an address and `size` bytes pass: nine bits each, start and stop."""
        self.board.sleep(self._time(bus, size))

    def _time(self, bus: Bus, size: int) -> int:
        return OVERHEAD + (9 * (size + 1) + 2) * 1_000_000 // bus.frequency

    def _target(self, bus: Bus, address: int, empty: bool = False) -> Target:
        """The chip at `address`; the error where none answers is the port's own."""
        target = self.find(bus, address)
        if target is None:
            self._takes(bus, 0)
            raise Refused("OSError", EIO if self.board.spec.port == "rp2" and not bus.soft and not empty else ENODEV)
        return target

    def _scan(self, key: str) -> str:
        bus = self.buses[key]
        found = bytes(address for address in ADDRESSES if self.find(bus, address))
        self.board.note("i2c", bus.where, ("scan", None, found))
        self.board.sleep(len(ADDRESSES) * (OVERHEAD // 5 + 11 * 1_000_000 // bus.frequency))
        return found.hex()

    def _write(self, arguments: str) -> None:
        key, address, data = arguments.split(",")
        bus, address, data = self.buses[key], int(address), bytes.fromhex(data)
        target = self._target(bus, address, empty=not data)
        self.board.note("i2c", bus.where, ("write", address, data))
        self._takes(bus, len(data))
        target.write(data)

    def _read(self, arguments: str) -> str:
        key, address, count = arguments.split(",")
        return self._fetch(self.buses[key], int(address), bytes_wanted(count))

    def _mem(self, arguments: str) -> str:
        """Writes the memory's address and reads on from there."""
        key, address, memory, count = arguments.split(",")
        bus, address, memory, count = self.buses[key], int(address), bytes.fromhex(memory), bytes_wanted(count)
        self._target(bus, address).write(memory)
        return self._fetch(bus, address, count, memory)

    def _fetch(self, bus: Bus, address: int, count: int, memory: bytes | None = None) -> str:
        data = self._target(bus, address).read(count)
        asked = (bus.key, address, memory, data)
        if asked == self._asked and self.board.now - self._when < POLLED:
            self.board.poll(self._time(bus, count + (0 if memory is None else len(memory) + 1)))
        else:
            if memory is not None:
                self.board.note("i2c", bus.where, ("write", address, memory))
            self.board.note("i2c", bus.where, ("read", address, data))
            self._takes(bus, count + (0 if memory is None else len(memory) + 1))
        self._asked, self._when = asked, self.board.now
        return self._answer(data)

    def _answer(self, data: bytes) -> str:
        self._rest = data[ANSWER:]
        return data[:ANSWER].hex()

    # --- byte by byte, which only a program's own bus can do ----------------------------------------------------------

    def _start(self, key: str) -> None:
        bus = self.buses[key]
        self._finish(bus)
        bus.open = "address"
        self.board.advance(self.board.now + OVERHEAD)

    def _stop(self, key: str) -> None:
        bus = self.buses[key]
        self._finish(bus)
        bus.open = ""
        self.board.advance(self.board.now + OVERHEAD)

    def _finish(self, bus: Bus) -> None:
        """Hands the chip what was written to it since the start."""
        if bus.open == "write" and bus.target:
            self.board.note("i2c", bus.where, ("write", bus.address, bus.written))
            bus.target.write(bus.written)

    def _out(self, arguments: str) -> str:
        """Writes bytes, the first after a start being the address; answers how many were acknowledged."""
        key, data = arguments.split(",")
        bus, data, heard = self.buses[key], bytes.fromhex(data), 0
        self._takes(bus, len(data) - 1)
        if bus.open == "address" and data:
            bus.address, bus.written = data[0] >> 1, b""
            bus.target = self.find(bus, bus.address)
            bus.open = "nobody" if bus.target is None else "read" if data[0] & 1 else "write"
            heard, data = int(bus.target is not None), data[1:]
        if bus.open == "write":
            bus.written += data
            heard += len(data)
        return str(heard)

    def _in(self, arguments: str) -> str:
        key, count = arguments.split(",")
        bus, count = self.buses[key], bytes_wanted(count)
        if bus.open != "read":  # nobody pulls the line low
            self._takes(bus, count - 1)
            return self._answer(b"\xff" * count)
        return self._fetch(bus, bus.address, count)
