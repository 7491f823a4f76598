"""A PCA9685: 16 PWM channels over I2C, for servos and LEDs. It sleeps until a program wakes it.

Noted: ("device", "pca9685", (channel, frequency in hertz, duty 0..1)) whenever what a channel puts out changes.
"""

from typing import Annotated

from pydantic import Field

from pipeline.board.devices._i2c import I2CDevice, Registers

MODE1, MODE2, ALL_CALL, CHANNELS, ALL, PRESCALE = 0x00, 0x01, 0x05, 0x06, 0xFA, 0xFE
RESTART, COUNT_ON, SLEEP, HEARS_ALL_CALL = 0x80, 0x20, 0x10, 0x01
FULL = 0x10  # in the high byte of on or off: always
OSCILLATOR = 25_000_000
COUNT = 16
LED = range(CHANNELS, CHANNELS + 4 * COUNT)


class Pca9685(I2CDevice):
    address: Annotated[int, Field(ge=0x40, le=0x7F)] = 0x40

    def attach(self, board):
        self.connect(board, Chip(board, self.address))


class Chip(Registers):
    def __init__(self, board, address):
        super().__init__(board, address, {MODE1: SLEEP | HEARS_ALL_CALL, MODE2: 0x04, ALL_CALL: 0xE0, PRESCALE: 0x1E})
        self.held |= {register: FULL if register % 4 == 1 else 0 for register in LED}  # every channel fully off
        self.out = [(self.frequency(), 0.0)] * COUNT

    def hears(self, address):
        return address == self.address or (
            bool(self.held[MODE1] & HEARS_ALL_CALL) and address == self.held[ALL_CALL] >> 1
        )

    def frequency(self) -> float:
        return round(OSCILLATOR / 4096 / (self.held[PRESCALE] + 1), 2)

    def duty(self, channel: int) -> float:
        """What share of the time the channel is on; none while the chip sleeps, or before a restart that is due."""
        on_low, on_high, off_low, off_high = (self.held[CHANNELS + 4 * channel + n] for n in range(4))
        if self.held[MODE1] & (SLEEP | RESTART) or off_high & FULL:
            return 0.0
        if on_high & FULL:
            return 1.0
        return ((off_high << 8 | off_low) - (on_high << 8 | on_low)) % 4096 / 4096

    def after(self, register):
        if not self.held[MODE1] & COUNT_ON:
            return register
        return MODE1 if register == LED[-1] else (register + 1) & 0xFF

    def write(self, data):
        running = any(duty for _, duty in self.out)
        super().write(data)
        if self.held[MODE1] & SLEEP and running:
            self.held[MODE1] |= RESTART  # its channels wait to be restarted
        for channel in range(COUNT):
            now = (self.frequency(), round(self.duty(channel), 5))
            if now != self.out[channel]:
                if now[1] or self.out[channel][1]:
                    self.board.note("device", "pca9685", (channel, *now))
                self.out[channel] = now

    def get(self, register):
        return 0 if register in range(ALL, PRESCALE) else super().get(register)

    def set(self, register, value):
        if register in range(ALL, PRESCALE):
            for channel in range(COUNT):
                self.set(CHANNELS + 4 * channel + register - ALL, value)
        elif register in LED:
            self.held[register] = value
            if not self.held[MODE1] & SLEEP:
                self.held[MODE1] &= ~RESTART  # a new value starts the channels too
        elif register == MODE1:
            waits = self.held[MODE1] & RESTART and not (value & RESTART and not value & SLEEP)
            self.held[MODE1] = value & ~RESTART | (RESTART if waits else 0)
        elif register == PRESCALE:
            if self.held[MODE1] & SLEEP:  # it only takes it asleep
                self.held[PRESCALE] = max(3, value)
        else:
            self.held[register] = value
