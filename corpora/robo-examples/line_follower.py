"""Follow a line with two reflectance sensors and a PID controller."""
import time

from machine import ADC, Pin


class PID:
    def __init__(self, kp, ki, kd, limit=1.0):
        self.kp, self.ki, self.kd = kp, ki, kd
        self.limit = limit
        self.integral = 0.0
        self.previous = 0.0

    def update(self, error, dt):
        self.integral += error * dt
        derivative = (error - self.previous) / dt
        self.previous = error
        output = self.kp * error + self.ki * self.integral + self.kd * derivative
        return max(-self.limit, min(self.limit, output))


left = ADC(Pin(26))
right = ADC(Pin(27))
pid = PID(kp=0.8, ki=0.0, kd=0.05)
last = time.ticks_us()

while True:
    now = time.ticks_us()
    dt = max(1, time.ticks_diff(now, last)) / 1_000_000
    last = now
    error = (left.read_u16() - right.read_u16()) / 65535
    turn = pid.update(error, dt)
    print("error", error, "turn", turn)
    time.sleep_ms(10)
