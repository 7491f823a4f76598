"""How warm the chip itself is, which its own sensor measures."""

from pipeline.board.devices import Device, Signal, steps


class InternalTemperature(Device):
    celsius: Signal

    def attach(self, board):
        def becomes(celsius: float) -> None:
            board.adc.celsius = celsius
            board.changed()

        for time, value in steps(self.celsius):
            board.at(time, lambda value=value: becomes(value))
