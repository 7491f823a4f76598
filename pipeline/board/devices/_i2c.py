"""What the chips on an I2C bus share: the keys of their wires, and the register file that nearly all of them are."""

from pipeline.board.board import Board
from pipeline.board.devices import Device, Pin
from pipeline.board.hardware.i2c import Target


class I2CDevice(Device):
    """Base of the devices on I2C. A script may say which pins the chip is wired to; it then answers on a bus of these pins alone."""

    scl: Pin | None = None
    sda: Pin | None = None

    def pins(self):
        return {name: pin for name, pin in (("scl", self.scl), ("sda", self.sda)) if pin is not None}

    def connect(self, board: Board, chip: Target) -> None:
        scl, sda = (None if pin is None else board.spec.pin(pin) for pin in (self.scl, self.sda))
        board.i2c.attach(chip, scl, sda)


class Registers(Target):
    """A chip of numbered registers. The first byte of a write says where; the rest goes there and on, and a read goes on from there.

    `held` are the registers' bytes as they are; a chip overrides `get` and `set` for those that do something.
    """

    def __init__(self, board: Board, address: int, held: dict[int, int]):
        self.board, self.address, self.at = board, address, 0
        self.held = dict(held)

    def hears(self, address: int) -> bool:
        return address == self.address

    def write(self, data: bytes) -> None:
        if data:
            self.at = data[0]
        for byte in data[1:]:
            self.set(self.at, byte)
            self.at = self.after(self.at)

    def read(self, count: int) -> bytes:
        self.latch()
        data = bytearray()
        for _ in range(count):
            data.append(self.get(self.at) & 0xFF)
            self.at = self.after(self.at)
        return bytes(data)

    def latch(self) -> None:
        """A read begins: what it reads must belong together."""

    def after(self, register: int) -> int:
        """The register that follows."""
        return (register + 1) & 0xFF

    def get(self, register: int) -> int:
        return self.held.get(register, 0)

    def set(self, register: int, value: int) -> None:
        self.held[register] = value
