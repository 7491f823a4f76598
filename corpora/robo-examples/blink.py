"""Blink the on-board LED once a second."""
from machine import Pin
import time

led = Pin(25, Pin.OUT)

while True:
    led.toggle()
    time.sleep_ms(500)
