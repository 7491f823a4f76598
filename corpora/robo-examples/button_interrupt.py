"""Count presses of a button in an interrupt, without bounce."""
import time

import micropython
from machine import Pin

micropython.alloc_emergency_exception_buf(100)


class Button:
    def __init__(self, pin, bounce_ms=50):
        self.pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self.bounce_ms = bounce_ms
        self.count = 0
        self.last = time.ticks_ms()
        self.pin.irq(handler=self._pressed, trigger=Pin.IRQ_FALLING)

    def _pressed(self, pin):
        now = time.ticks_ms()
        if time.ticks_diff(now, self.last) > self.bounce_ms:
            self.count += 1
        self.last = now


button = Button(14)
seen = 0
while True:
    if button.count != seen:
        seen = button.count
        print("pressed", seen, "times")
    time.sleep_ms(20)
