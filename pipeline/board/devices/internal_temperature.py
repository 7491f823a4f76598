"""How warm the chip itself is, which its own sensor measures."""

from pipeline.board.devices import Device, Signal, steps


class InternalTemperature(Device):
    celsius: Signal

    def attach(self, board):
        for time, value in steps(self.celsius):
            if time == 0:
                board.adc.celsius = value
            else:
                board.at(time, lambda value=value: setattr(board.adc, "celsius", value))
