"""Everyday programs that are about pins: lights, buttons, motors, sound; see everyday.py."""

BUTTON = [{"button": {"pin": 14, "pressed": [0.5, 1.4, 3.0]}}]
BOUNCING = [{"button": {"pin": 14, "pressed": [0.5, 1.4, 3.0], "bounces": True}}]

PINS = {
    "blink": (
        [],
        """
from machine import Pin
import time
led = Pin("LED", Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.5)
""",
    ),
    "blink with on and off": (
        [],
        """
from machine import Pin
from time import sleep
led = Pin(25, Pin.OUT)
for i in range(5):
    led.on()
    sleep(0.2)
    led.off()
    sleep(0.3)
print("done")
""",
    ),
    "blink by the clock": (
        [],
        """
from machine import Pin
import utime
led = Pin(15, Pin.OUT)
last = utime.ticks_ms()
while True:
    now = utime.ticks_ms()
    if utime.ticks_diff(now, last) >= 400:
        last = utime.ticks_add(last, 400)
        led.value(not led.value())
""",
    ),
    "traffic light": (
        [],
        """
from machine import Pin
from time import sleep
red, yellow, green = (Pin(n, Pin.OUT, value=0) for n in (13, 14, 15))
def show(r, y, g, seconds):
    red(r)
    yellow(y)
    green(g)
    sleep(seconds)
while True:
    show(1, 0, 0, 1.5)
    show(1, 1, 0, 0.5)
    show(0, 0, 1, 1.5)
    show(0, 1, 0, 0.5)
""",
    ),
    "running light": (
        [],
        """
from machine import Pin
import time
leds = [Pin(n, Pin.OUT) for n in range(2, 8)]
while True:
    for step in list(range(len(leds))) + list(range(len(leds) - 2, 0, -1)):
        for n, led in enumerate(leds):
            led.value(1 if n == step else 0)
        time.sleep_ms(100)
""",
    ),
    "morse": (
        [],
        """
from machine import Pin
import time
CODE = {"S": "...", "O": "---"}
led = Pin(25, Pin.OUT)
def send(word):
    for letter in word:
        for sign in CODE[letter]:
            led.on()
            time.sleep_ms(100 if sign == "." else 300)
            led.off()
            time.sleep_ms(100)
        time.sleep_ms(200)
send("SOS")
""",
    ),
    "binary counter": (
        [],
        """
from machine import Pin
import time
bits = [Pin(n, Pin.OUT) for n in (2, 3, 4, 5)]
for number in range(16):
    for n, pin in enumerate(bits):
        pin.value((number >> n) & 1)
    print("{:2d} = {:04b}".format(number, number))
    time.sleep(0.25)
""",
    ),
    "button": (
        BUTTON,
        """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
while True:
    led.value(not button.value())
    time.sleep_ms(10)
""",
    ),
    "button that toggles": (
        BUTTON,
        """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
count = 0
while True:
    if button.value() == 0:
        count += 1
        led.toggle()
        print("pressed", count, "times")
        while button.value() == 0:
            time.sleep_ms(20)
    time.sleep_ms(20)
""",
    ),
    "button by interrupt": (
        BUTTON,
        """
from machine import Pin
import time
led = Pin(15, Pin.OUT)
count = 0
def pressed(pin):
    global count
    count += 1
    led.toggle()
Pin(14, Pin.IN, Pin.PULL_UP).irq(handler=pressed, trigger=Pin.IRQ_FALLING)
while True:
    time.sleep(1)
    print(count)
""",
    ),
    "button without its bounces": (
        BOUNCING,
        """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
last, seen = 0, 1
while True:
    now = button.value()
    if now != seen and time.ticks_diff(time.ticks_ms(), last) > 50:
        last, seen = time.ticks_ms(), now
        print("down" if now == 0 else "up")
""",
    ),
    "button in a class": (
        BOUNCING,
        """
from machine import Pin
import time
class Button:
    def __init__(self, pin, wait=30):
        self.pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self.wait, self.changed, self.state = wait, 0, 1
    def pressed(self):
        now = time.ticks_ms()
        level = self.pin.value()
        if level != self.state and time.ticks_diff(now, self.changed) > self.wait:
            self.state, self.changed = level, now
            return level == 0
        return False
button = Button(14)
while True:
    if button.pressed():
        print("click")
    time.sleep_ms(5)
""",
    ),
    "reaction game": (
        BUTTON,
        """
from machine import Pin
import time
led, button = Pin(25, Pin.OUT), Pin(14, Pin.IN, Pin.PULL_UP)
time.sleep(0.3)
led.on()
start = time.ticks_ms()
while button.value():
    pass
took = time.ticks_diff(time.ticks_ms(), start)
led.off()
print("you took about", took // 20 * 20, "ms")
""",
    ),
    "servo sweep": (
        [],
        """
from machine import Pin, PWM
from time import sleep
servo = PWM(Pin(2))
servo.freq(50)
def angle(degrees):
    servo.duty_u16(int(1638 + degrees / 180 * 6554))
while True:
    for degrees in range(0, 181, 15):
        angle(degrees)
        sleep(0.05)
    for degrees in range(180, -1, -15):
        angle(degrees)
        sleep(0.05)
""",
    ),
    "fading led": (
        [],
        """
from machine import Pin, PWM
import time
pwm = PWM(Pin(15))
pwm.freq(1000)
duty, direction = 0, 1
for _ in range(200):
    duty += direction
    if duty > 100:
        duty, direction = 100, -1
    elif duty < 0:
        duty, direction = 0, 1
    pwm.duty_u16(duty * duty * 6)
    time.sleep(0.02)
pwm.deinit()
""",
    ),
    "melody": (
        [],
        """
from machine import Pin, PWM
from utime import sleep
buzzer = PWM(Pin(16))
for tone in (262, 294, 330, 349, 392, 440, 494, 523):
    buzzer.freq(tone)
    buzzer.duty_u16(32768)
    sleep(0.2)
    buzzer.duty_u16(0)
    sleep(0.05)
""",
    ),
    "motor": (
        [],
        """
from machine import Pin, PWM
import time
forward, backward, speed = Pin(6, Pin.OUT), Pin(7, Pin.OUT), PWM(Pin(8), freq=1000, duty_u16=0)
def drive(percent):
    forward.value(percent > 0)
    backward.value(percent < 0)
    speed.duty_u16(abs(percent) * 65535 // 100)
for percent in (0, 50, 100, -50, 0):
    drive(percent)
    print("drive", percent)
    time.sleep(0.5)
""",
    ),
    "timer": (
        [],
        """
from machine import Pin, Timer
led = Pin(25, Pin.OUT)
timer = Timer()
timer.init(freq=2, mode=Timer.PERIODIC, callback=lambda t: led.toggle())
""",
    ),
    "two timers": (
        [],
        """
from machine import Pin, Timer
import time
a, b = Pin(2, Pin.OUT), Pin(3, Pin.OUT)
Timer(period=300, mode=Timer.PERIODIC, callback=lambda t: a.toggle())
Timer(period=1100, mode=Timer.ONE_SHOT, callback=lambda t: b.on())
while True:
    time.sleep(1)
    print("alive")
""",
    ),
    "temperature": (
        [],
        """
from machine import ADC
import time
sensor = ADC(4)
for _ in range(4):
    volts = sensor.read_u16() * 3.3 / 65535
    print("%.1f degrees" % (27 - (volts - 0.706) / 0.001721))
    time.sleep(1)
""",
    ),
    "adc": (
        [],
        """
from machine import ADC, Pin
import time
pot = ADC(Pin(26))
while True:
    print(pot.read_u16() >> 12)
    time.sleep_ms(500)
""",
    ),
    "ultrasonic": (
        [{"hcsr04": {"trigger": 3, "echo": 2, "distance": [[0, 50], [2.5, 12]]}}],
        """
from machine import Pin, time_pulse_us
import time
trigger, echo = Pin(3, Pin.OUT), Pin(2, Pin.IN)
while True:
    trigger.low()
    time.sleep_us(2)
    trigger.high()
    time.sleep_us(10)
    trigger.low()
    cm = time_pulse_us(echo, 1, 30000) / 58
    print("near" if cm < 20 else "far")
    time.sleep(0.5)
""",
    ),
}
