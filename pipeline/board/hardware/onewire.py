"""1-Wire: a pin with any number of devices, each with a ROM code of its own. Works on bytes; single bits are answered where a program waits
for a device to be ready.
"""

from pipeline.board.board import Board
from pipeline.board.boards import Pin as PinName
from pipeline.board.hardware.i2c import bytes_wanted

RESET, SLOT = 960, 70  # microseconds of a reset and of a bit
READ_ROM, MATCH_ROM, SKIP_ROM, SEARCH_ROM = 0x33, 0x55, 0xCC, 0xF0


def crc8(data: bytes) -> int:
    """Maxim's checksum, over itself 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


class Target:
    """What devices derive from to be on the wire. `rom` is its code: family, six bytes of number, checksum."""

    rom: bytes

    def write(self, data: bytes) -> None:
        """Takes a byte that the board writes to it."""

    def read(self) -> int:
        """The next byte that it sends; 0xFF is silence."""
        return 0xFF

    def start(self) -> None:
        """It was selected; a command follows."""

    def ready(self) -> bool:
        """What a single bit says while it works: whether it is through."""
        return True


class Wire:
    """One pin: who is there and who is selected."""

    def __init__(self):
        self.targets: list[Target] = []
        self.selected: list[Target] = []
        self.state = "idle"  # "rom": a ROM command comes, "match": a code, "function": what the selected ones understand, "read rom"
        self.code = b""
        self.bits: list[int] = []  # of a byte that is written bit by bit

    def reset(self) -> bool:
        self.state, self.selected, self.code, self.bits = "rom", [], b"", []
        return bool(self.targets)

    def write(self, byte: int) -> None:
        if self.state == "rom":
            self.state = {MATCH_ROM: "match", SKIP_ROM: "function", READ_ROM: "read rom"}.get(byte, "idle")
            if byte in (SKIP_ROM, READ_ROM):
                self._select(self.targets)
        elif self.state == "match":
            self.code += bytes([byte])
            if len(self.code) == 8:
                self.state = "function"
                self._select([target for target in self.targets if target.rom == self.code])
        elif self.state == "function":
            for target in self.selected:
                target.write(bytes([byte]))

    def _select(self, targets: list[Target]) -> None:
        self.selected = list(targets)
        for target in targets:
            target.start()

    def read(self) -> int:
        """All who speak pull the line low for a 0, so that a 1 is what all say."""
        byte = 0xFF
        for target in self.selected:
            if self.state == "read rom":
                byte &= target.rom[len(self.code)] if len(self.code) < 8 else 0xFF
            else:
                byte &= target.read()
        self.code += b"\0" if self.state == "read rom" else b""
        return byte

    def write_bit(self, bit: int) -> None:
        self.bits.append(bit)
        if len(self.bits) == 8:
            byte, self.bits = sum(bit << n for n, bit in enumerate(self.bits)), []
            self.write(byte)

    def read_bit(self) -> int:
        return int(all(target.ready() for target in self.selected))


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.wires: dict[PinName, Wire] = {}
        self.operations = {
            "onewire.reset": self._reset,
            "onewire.write": self._write,
            "onewire.read": self._read,
            "onewire.scan": self._scan,
            "onewire.writebit": self._write_bit,
            "onewire.readbit": self._read_bit,
        }

    def wire(self, pin: PinName) -> Wire:
        return self.wires.setdefault(pin, Wire())

    def _of(self, text: str) -> Wire:
        pin = self.board.gpio.of(text).name
        self.board.gpio.claim(pin)
        return self.wire(pin)

    def _reset(self, pin: str) -> str:
        self.board.sleep(RESET)
        return "1" if self._of(pin).reset() else "0"

    def _write(self, arguments: str) -> None:
        pin, data = arguments.split(",")
        wire, data = self._of(pin), bytes.fromhex(data)
        self.board.sleep(8 * SLOT * len(data))
        for byte in data:
            wire.write(byte)

    def _read(self, arguments: str) -> str:
        pin, count = arguments.split(",")
        wire, count = self._of(pin), bytes_wanted(count)
        self.board.sleep(8 * SLOT * count)
        return bytes(wire.read() for _ in range(count)).hex()

    def _write_bit(self, arguments: str) -> None:
        pin, bit = arguments.split(",")
        self.board.sleep(SLOT)
        self._of(pin).write_bit(int(bit))

    def _read_bit(self, pin: str) -> str:
        self.board.poll(SLOT)
        return str(self._of(pin).read_bit())

    def _scan(self, pin: str) -> str:
        """The codes of all, in the order in which the search finds them: it follows the 1s first, from the lowest bit up."""
        wire = self._of(pin)
        wire.reset()
        self.board.sleep((RESET + 200 * SLOT) * max(1, len(wire.targets)))
        backwards = {target.rom: int.from_bytes(target.rom, "little") for target in wire.targets}
        return "".join(
            rom.hex() for rom in sorted(backwards, key=lambda rom: f"{backwards[rom]:064b}"[::-1], reverse=True)
        )
