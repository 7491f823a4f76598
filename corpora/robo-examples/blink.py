"""Blink the on-board LED once a second."""
import time

from machine import Pin

led = Pin(25, Pin.OUT)

while True:
    led.toggle()
    time.sleep_ms(500)
