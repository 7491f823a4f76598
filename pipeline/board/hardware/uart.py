"""UART: bytes that come and go at their own time, one bit after the other, and the peers at the other end.

Logged: ("uart", number, ("sent" or "received", bytes)); received is what arrived, which is garbage where the two sides differ in their
baud rate: the receiver here samples the line as a real one does.
"""

from dataclasses import dataclass, field
from math import ceil

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName
from pipeline.board.hardware.i2c import wires

FIFO = 32  # bytes that the hardware holds besides the buffers
BUFFER = 256
STEP = 997  # microseconds between two looks of a read that waits ...
STEPS = 20  # ... and how many it takes in one operation
FASTEST = 5_000_000  # baud
MISSING = {"rp2": "doesn't exist", "esp32": "does not exist"}
NEAR = 0.04  # baud rates that differ by less understand each other


@dataclass(frozen=True)
class Format:
    """How a byte stands on the line."""

    baudrate: int = 9_600
    bits: int = 8
    parity: int | None = None  # 0 even, 1 odd
    stop: int = 1

    @property
    def size(self) -> int:
        """Bits of a character, with those around it."""
        return 1 + self.bits + (self.parity is not None) + self.stop

    def time(self, count: int) -> int:
        """Microseconds of `count` characters."""
        return count * self.size * 1_000_000 // self.baudrate

    def levels(self, byte: int) -> list[int]:
        data = [byte >> n & 1 for n in range(self.bits)]
        parity = [] if self.parity is None else [(sum(data) + self.parity) & 1]
        return [0, *data, *parity, *[1] * self.stop]


def heard(data: bytes, sent: Format, expected: Format) -> list[tuple[int, int]]:
    """(microseconds after the first bit, byte) of each that a receiver set to `expected` makes of `data`."""
    pace = sent.baudrate / expected.baudrate  # bits of the sender in one of the receiver
    if abs(pace - 1) < NEAR and (sent.bits, sent.parity) == (expected.bits, expected.parity):
        return [(sent.time(number), byte) for number, byte in enumerate(data, 1)]
    line = [1, *[level for byte in data for level in sent.levels(byte)], 1]
    found, at = [], 1.0
    while (
        start := next((n for n in range(ceil(at), len(line)) if line[n] == 0 and line[n - 1] == 1), None)
    ) is not None:
        samples = [int(start + (n + 0.5) * pace) for n in range(1, expected.bits + 1)]
        byte = sum((line[at] if at < len(line) else 1) << n for n, at in enumerate(samples))
        at = start + (expected.size - expected.stop + 0.5) * pace
        found.append((int(at * 1_000_000 / sent.baudrate), byte))
    return found


class Peer:
    """What devices derive from to be at the other end."""

    format = Format()

    def receive(self, data: bytes) -> None:
        """The board sent this, or it sounded so."""


@dataclass
class Bus:
    number: int
    format: Format | None = None  # None while it is closed
    tx: PinName | None = None
    rx: PinName | None = None
    room: int = BUFFER
    timeout: int = 0  # milliseconds for the first byte of a read
    timeout_char: int = 0  # for each further one
    received: bytearray = field(default_factory=bytearray)
    arrived: int = 0  # bytes in all
    free: int = 0  # when all is sent that was written
    deadline: int = 0  # of the read that waits
    triggers: frozenset[str] = frozenset()
    told: int = 0  # what `any` said last


@dataclass
class Line:
    """The two wires between a peer and the board, named by the board's pins; None: whichever the program takes."""

    uart: "Peripheral"
    peer: Peer
    number: int | None
    tx: PinName | None
    rx: PinName | None
    free: int = 0

    def send(self, data: bytes) -> None:
        """The peer sends, from now on or when it is through with what it sends already."""
        board = self.uart.board
        start = max(board.now, self.free)
        self.free = start + self.peer.format.time(len(data))
        board.at(start, lambda: self.uart.arrive(self, data))


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.buses = {int(name[4:]): Bus(int(name[4:])) for name in board.spec.buses if name.startswith("uart")}
        self.lines: list[Line] = []
        self.operations = {
            "uart.open": self._open,
            "uart.init": self._init,
            "uart.show": self._show,
            "uart.deinit": self._deinit,
            "uart.any": self._any,
            "uart.read": self._read,
            "uart.write": self._write,
            "uart.txdone": self._txdone,
            "uart.flush": self._flush,
            "uart.break": self._break,
            "uart.irq": self._irq,
        }

    # --- for devices --------------------------------------------------------------------------------------------------

    def attach(self, peer: Peer, number: int | None, tx: PinName | None, rx: PinName | None) -> Line:
        self.lines.append(Line(self, peer, number, tx, rx))
        return self.lines[-1]

    def arrive(self, line: Line, data: bytes) -> None:
        """Bytes begin to come in, for each UART that listens there now."""
        for bus in self.buses.values():
            if bus.format and line.number in (None, bus.number) and line.rx in (None, bus.rx):
                found, taken = heard(data, line.peer.format, bus.format), bytearray()
                for after, byte in found:
                    self.board.after(after, lambda bus=bus, byte=byte, taken=taken: self._take(bus, byte, taken))
                if found:
                    self.board.after(found[-1][0], lambda bus=bus, taken=taken: self._arrived(bus, bytes(taken)))

    def _take(self, bus: Bus, byte: int, taken: bytearray) -> None:
        if bus.format is None or len(bus.received) >= bus.room + FIFO:
            return
        bus.received.append(byte)
        taken.append(byte)
        bus.arrived += 1
        if "rx" in bus.triggers:
            self.board.interrupt(f"uart{bus.number}")
        if "idle" in bus.triggers:
            self.board.after(bus.format.time(3), lambda arrived=bus.arrived: self._idle(bus, arrived))

    def _idle(self, bus: Bus, arrived: int) -> None:
        if bus.arrived == arrived:
            self.board.interrupt(f"uart{bus.number}")

    def _arrived(self, bus: Bus, data: bytes) -> None:
        if data:
            self.board.note("uart", bus.number, ("received", data))

    # --- setting up ---------------------------------------------------------------------------------------------------

    def _open(self, number: str) -> str:
        if not number.isdigit() or int(number) not in self.buses:
            raise Refused("ValueError", f"UART({number}) {MISSING[self.board.spec.port]}")
        self.buses[int(number)].received.clear()
        return number

    def _init(self, arguments: str) -> None:
        number, baudrate, bits, parity, stop, room, timeout, timeout_char, tx, rx = arguments.split(",")
        bus = self.buses[int(number)]
        old = bus.format or Format(115_200)
        if int(bits or 8) not in range(5, 10) or int(stop or 1) not in (1, 2) or not 0 <= int(baudrate or 0) <= FASTEST:
            raise Refused("ValueError", "invalid data bits, stop bits or baud rate")
        kept = {part: "" if pin is None else str(pin) for part, pin in (("tx", bus.tx), ("rx", bus.rx))}
        pins = wires(self.board, f"uart{number}", {"tx": tx or kept["tx"], "rx": rx or kept["rx"]})
        bus.format = Format(
            int(baudrate or 0) or old.baudrate,
            int(bits or old.bits),
            old.parity if parity == "-1" else None if parity == "none" else int(parity) & 1,
            int(stop or old.stop),
        )
        bus.tx, bus.rx = pins["tx"], pins["rx"]
        bus.room, bus.timeout = int(room or bus.room), int(timeout or bus.timeout)
        bus.timeout_char = int(timeout_char or bus.timeout_char)
        if self.board.spec.port == "rp2":  # which waits for a whole character at least
            bus.timeout_char = max(bus.timeout_char, 13_000 // bus.format.baudrate + 1)
        self.board.advance(self.board.now + 100)

    def _show(self, number: str) -> str:
        bus, format = self.bus(number)
        return (
            f"UART({number}, baudrate={format.baudrate}, bits={format.bits}, parity={format.parity}, stop={format.stop}, "
            f"tx={bus.tx}, rx={bus.rx}, txbuf={BUFFER}, rxbuf={bus.room}, timeout={bus.timeout}, timeout_char={bus.timeout_char})"
        )

    def _deinit(self, number: str) -> None:
        bus = self.buses[int(number)]
        bus.format, bus.triggers = None, frozenset()
        bus.received.clear()

    def bus(self, number: str) -> tuple[Bus, Format]:
        """The UART, which must be open, and so has a format."""
        bus = self.buses[int(number)]
        if bus.format is None:
            raise Refused("OSError", "UART is not initialised")
        return bus, bus.format

    def _irq(self, arguments: str) -> None:
        number, names = arguments.split(",")
        self.buses[int(number)].triggers = frozenset(names.split("+"))

    # --- receiving ----------------------------------------------------------------------------------------------------

    def _any(self, number: str) -> str:
        self.board.poll()
        bus = self.buses[int(number)]
        if len(bus.received) != bus.told:
            bus.told = len(bus.received)
            self.board.changed()
        return str(len(bus.received))

    def deadline(self, timeout: int) -> int:
        """When a wait of so many milliseconds ends, in microseconds. The RP2 counts whole ones, and so waits for the next even with none."""
        if self.board.spec.port == "rp2":
            return (self.board.now // 1_000 + timeout + 1) * 1_000
        return self.board.now + timeout * 1_000

    def _read(self, arguments: str) -> str:
        """What has come, after a wait as long as the timeouts say; with "+" at the end where it is to be asked again."""
        number, how, count, new = arguments.split(",")
        (bus, _), board, data, count = self.bus(number), self.board, bytearray(), int(count)
        if new == "1":
            bus.deadline = self.deadline(bus.timeout)
        board.poll()
        for _ in range(STEPS):
            while bus.received and len(data) < count:
                data.append(bus.received.pop(0))
                bus.deadline = self.deadline(bus.timeout if how == "line" else bus.timeout_char)
                if how == "line" and data[-1:] == b"\n":
                    return data.hex()
            if len(data) >= count or board.now >= bus.deadline:
                return data.hex()
            until = min(bus.deadline, board.now + STEP)
            board.advance(until, break_off=True)
            if board.now < until:  # for an interrupt
                break
        return data.hex() + "+"

    # --- sending ------------------------------------------------------------------------------------------------------

    def _write(self, arguments: str) -> str:
        number, data = arguments.split(",")
        (bus, format), board, data = self.bus(number), self.board, bytes.fromhex(data)
        start = max(board.now, bus.free)
        bus.free = start + format.time(len(data))
        if data:
            board.note("uart", bus.number, ("sent", data))
        for line in self.lines:
            if line.number in (None, bus.number) and line.tx in (None, bus.tx):
                found = bytes(byte for _, byte in heard(data, format, line.peer.format))
                board.at(bus.free, lambda line=line, found=found: line.peer.receive(found))
        if "sent" in bus.triggers:
            board.at(bus.free, lambda: board.interrupt(f"uart{bus.number}") if board.now >= bus.free else None)
        board.sleep(max(20 + len(data), bus.free - board.now - format.time(BUFFER + FIFO)))
        return str(len(data))

    def _txdone(self, number: str) -> str:
        self.board.poll()
        return "1" if self.board.now >= self.bus(number)[0].free else "0"

    def _flush(self, number: str) -> None:
        self.board.sleep(max(2, self.bus(number)[0].free - self.board.now))

    def _break(self, number: str) -> None:
        self.board.sleep(13_000_000 // self.bus(number)[1].baudrate)
