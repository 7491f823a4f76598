"""Measure a distance with an HC-SR04 and stop before the wall."""
import time

from machine import Pin, time_pulse_us

SPEED_OF_SOUND_CM_PER_US = 0.0343


class Ultrasonic:
    def __init__(self, trigger, echo, timeout_us=30_000):
        self.trigger = Pin(trigger, Pin.OUT, value=0)
        self.echo = Pin(echo, Pin.IN)
        self.timeout_us = timeout_us

    def distance_cm(self):
        """Centimetres to the obstacle, or None when nothing answers."""
        self.trigger.value(1)
        time.sleep_us(10)
        self.trigger.value(0)
        duration = time_pulse_us(self.echo, 1, self.timeout_us)
        if duration < 0:
            return None
        return duration * SPEED_OF_SOUND_CM_PER_US / 2


sensor = Ultrasonic(trigger=3, echo=2)
while True:
    distance = sensor.distance_cm()
    if distance is None:
        print("no echo")
    elif distance < 10:
        print("stop:", distance, "cm")
    else:
        print("clear:", distance, "cm")
    time.sleep_ms(100)
