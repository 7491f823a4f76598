"""Sweep a hobby servo between its end stops."""
import time

from machine import PWM, Pin

MIN_NS = 500_000
MAX_NS = 2_500_000


class Servo:
    def __init__(self, pin):
        self.pwm = PWM(Pin(pin))
        self.pwm.freq(50)

    def angle(self, degrees):
        degrees = max(0, min(180, degrees))
        self.pwm.duty_ns(MIN_NS + (MAX_NS - MIN_NS) * degrees // 180)

    def off(self):
        self.pwm.deinit()


servo = Servo(15)
try:
    while True:
        for degrees in range(0, 181, 5):
            servo.angle(degrees)
            time.sleep_ms(20)
        for degrees in range(180, -1, -5):
            servo.angle(degrees)
            time.sleep_ms(20)
finally:
    servo.off()
