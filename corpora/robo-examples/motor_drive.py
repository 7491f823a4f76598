"""Drive two DC motors through an H-bridge: forward, turn, stop."""
import time

from machine import PWM, Pin


class Motor:
    def __init__(self, forward, backward, frequency=1000):
        self.forward = PWM(Pin(forward))
        self.backward = PWM(Pin(backward))
        self.forward.freq(frequency)
        self.backward.freq(frequency)
        self.stop()

    def run(self, speed):
        """Speed from -1.0 (full backward) to 1.0 (full forward)."""
        speed = max(-1.0, min(1.0, speed))
        duty = int(abs(speed) * 65535)
        self.forward.duty_u16(duty if speed > 0 else 0)
        self.backward.duty_u16(duty if speed < 0 else 0)

    def stop(self):
        self.run(0)


class Robot:
    def __init__(self, left, right):
        self.left = left
        self.right = right

    def drive(self, speed, turn=0.0):
        self.left.run(speed + turn)
        self.right.run(speed - turn)

    def stop(self):
        self.left.stop()
        self.right.stop()


robot = Robot(Motor(6, 7), Motor(8, 9))
robot.drive(0.6)
time.sleep(2)
robot.drive(0.3, turn=0.3)
time.sleep(1)
robot.stop()
