"""Programs as people write them for a board: name -> (what stands around it, the program). None of them fails."""

BUTTON = [{"button": {"pin": 14, "pressed": [0.5, 1.4, 3.0]}}]
BOUNCING = [{"button": {"pin": 14, "pressed": [0.5, 1.4, 3.0], "bounces": True}}]

PROGRAMS = {
    "blink": ([], """
from machine import Pin
import time
led = Pin("LED", Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.5)
"""),
    "blink with on and off": ([], """
from machine import Pin
from time import sleep
led = Pin(25, Pin.OUT)
for i in range(5):
    led.on()
    sleep(0.2)
    led.off()
    sleep(0.3)
print("done")
"""),
    "blink by the clock": ([], """
from machine import Pin
import utime
led = Pin(15, Pin.OUT)
last = utime.ticks_ms()
while True:
    now = utime.ticks_ms()
    if utime.ticks_diff(now, last) >= 400:
        last = utime.ticks_add(last, 400)
        led.value(not led.value())
"""),
    "traffic light": ([], """
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
"""),
    "running light": ([], """
from machine import Pin
import time
leds = [Pin(n, Pin.OUT) for n in range(2, 8)]
while True:
    for step in list(range(len(leds))) + list(range(len(leds) - 2, 0, -1)):
        for n, led in enumerate(leds):
            led.value(1 if n == step else 0)
        time.sleep_ms(100)
"""),
    "morse": ([], """
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
"""),
    "binary counter": ([], """
from machine import Pin
import time
bits = [Pin(n, Pin.OUT) for n in (2, 3, 4, 5)]
for number in range(16):
    for n, pin in enumerate(bits):
        pin.value((number >> n) & 1)
    print("{:2d} = {:04b}".format(number, number))
    time.sleep(0.25)
"""),
    "button": (BUTTON, """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
while True:
    led.value(not button.value())
    time.sleep_ms(10)
"""),
    "button that toggles": (BUTTON, """
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
"""),
    "button by interrupt": (BUTTON, """
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
"""),
    "button without its bounces": (BOUNCING, """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
last, seen = 0, 1
while True:
    now = button.value()
    if now != seen and time.ticks_diff(time.ticks_ms(), last) > 50:
        last, seen = time.ticks_ms(), now
        print("down" if now == 0 else "up")
"""),
    "button in a class": (BOUNCING, """
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
"""),
    "reaction game": (BUTTON, """
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
"""),
    "servo sweep": ([], """
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
"""),
    "fading led": ([], """
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
"""),
    "melody": ([], """
from machine import Pin, PWM
from utime import sleep
buzzer = PWM(Pin(16))
for tone in (262, 294, 330, 349, 392, 440, 494, 523):
    buzzer.freq(tone)
    buzzer.duty_u16(32768)
    sleep(0.2)
    buzzer.duty_u16(0)
    sleep(0.05)
"""),
    "motor": ([], """
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
"""),
    "timer": ([], """
from machine import Pin, Timer
led = Pin(25, Pin.OUT)
timer = Timer()
timer.init(freq=2, mode=Timer.PERIODIC, callback=lambda t: led.toggle())
"""),
    "two timers": ([], """
from machine import Pin, Timer
import time
a, b = Pin(2, Pin.OUT), Pin(3, Pin.OUT)
Timer(period=300, mode=Timer.PERIODIC, callback=lambda t: a.toggle())
Timer(period=1100, mode=Timer.ONE_SHOT, callback=lambda t: b.on())
while True:
    time.sleep(1)
    print("alive")
"""),
    "temperature": ([], """
from machine import ADC
import time
sensor = ADC(4)
for _ in range(4):
    volts = sensor.read_u16() * 3.3 / 65535
    print("%.1f degrees" % (27 - (volts - 0.706) / 0.001721))
    time.sleep(1)
"""),
    "adc": ([], """
from machine import ADC, Pin
import time
pot = ADC(Pin(26))
while True:
    print(pot.read_u16() >> 12)
    time.sleep_ms(500)
"""),
    "ultrasonic": ([{"hcsr04": {"trigger": 3, "echo": 2, "distance": [[0, 50], [2.5, 12]]}}], """
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
"""),
    "prints": ([], """
import time
for n in range(5):
    print("line", n, n * n, 1 / (n + 1))
    time.sleep(0.5)
print("end", end="")
"""),
    "star triangle": ([], "for n in range(1, 8):\n    print('*' * n)\n"),
    "primes": ([], """
def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))
print([n for n in range(100) if is_prime(n)])
"""),
    "words": ([], """
text = "the quick brown fox jumps over the lazy dog the end"
counts = {}
for word in text.split():
    counts[word] = counts.get(word, 0) + 1
for word in sorted(counts, key=lambda w: (-counts[w], w)):
    print("{:<6} {}".format(word, counts[word]))
"""),
    "json": ([], """
import json
state = {"led": True, "levels": [1, 2.5, None], "name": "pico"}
text = json.dumps(state)
back = json.loads(text)
print(back["levels"][1] + 1, back["name"], back["led"], len(text))
"""),
    "generator": ([], """
def fibonacci():
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b
for n, value in zip(range(30), fibonacci()):
    print(n, value)
"""),
    "exceptions": ([], """
from machine import Pin
def attempt(pin):
    try:
        return Pin(pin, Pin.OUT)
    except ValueError as error:
        print("no:", error)
    finally:
        print("tried", pin)
for pin in (15, 99, "LED", "nothing"):
    attempt(pin)
"""),
    "much garbage": ([], """
import time
total = 0
for n in range(400):
    row = [str(n + k) + "," + str(k * k) for k in range(25)]
    total += len("".join(row))
    if n % 100 == 0:
        print(n, total, sorted(row)[0])
print(total)
"""),
    "collects": ([], """
import gc
held = []
for n in range(300):
    held.append("value %d" % n)
    if n % 50 == 0:
        gc.collect()
print(gc.mem_free() > 10000, held[17], held[-1], len(held))
"""),
    "matrix": ([], """
def product(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
m = [[1, 1], [1, 0]]
power = [[1, 0], [0, 1]]
for _ in range(30):
    power = product(power, m)
print(power)
"""),
    "logger": ([], """
import os, time
for n in range(3):
    with open("log.txt", "a") as f:
        f.write("%d\\n" % n)
    time.sleep(0.1)
with open("log.txt") as f:
    print(f.read().split())
os.remove("log.txt")
print("log.txt" in os.listdir())
"""),
    "asyncio blink": ([], """
import asyncio
from machine import Pin
async def blink(pin, ms):
    led = Pin(pin, Pin.OUT)
    while True:
        led.toggle()
        await asyncio.sleep_ms(ms)
async def main():
    asyncio.create_task(blink(2, 300))
    asyncio.create_task(blink(3, 700))
    await asyncio.sleep(4)
    print("enough")
asyncio.run(main())
"""),
    "asyncio gather": ([], """
import uasyncio as asyncio
async def count(name, delay, to):
    for n in range(to):
        await asyncio.sleep(delay)
        print(name, n)
    return name
async def main():
    print(await asyncio.gather(count("a", 0.31, 4), count("b", 0.5, 3)))
asyncio.run(main())
"""),
    "asyncio event": (BUTTON, """
import asyncio
from machine import Pin
button, led = Pin(14, Pin.IN, Pin.PULL_UP), Pin(15, Pin.OUT)
pressed = asyncio.Event()
async def watch():
    while True:
        if not button.value():
            pressed.set()
        await asyncio.sleep_ms(20)
async def react():
    while True:
        await pressed.wait()
        pressed.clear()
        led.on()
        await asyncio.sleep_ms(400)
        led.off()
async def main():
    await asyncio.gather(watch(), react())
asyncio.run(main())
"""),
    "neopixel rainbow": ([], """
import neopixel, time
from machine import Pin
strip = neopixel.NeoPixel(Pin(4), 8)
def wheel(p):
    if p < 85:
        return (255 - p * 3, p * 3, 0)
    if p < 170:
        p -= 85
        return (0, 255 - p * 3, p * 3)
    p -= 170
    return (p * 3, 0, 255 - p * 3)
for step in range(0, 256, 16):
    for n in range(8):
        strip[n] = wheel((n * 32 + step) & 255)
    strip.write()
    time.sleep_ms(50)
"""),
    "dht22": ([{"dht22": {"pin": 15, "temperature": 21.5, "humidity": 40}}], """
import dht, time
from machine import Pin
sensor = dht.DHT22(Pin(15))
for _ in range(2):
    time.sleep(2)
    sensor.measure()
    print("%.1f C, %.1f %%" % (sensor.temperature(), sensor.humidity()))
"""),
    "i2c scan": ([{"bme280": {"sda": 4, "scl": 5}}], """
from machine import Pin, I2C
i2c = I2C(0, sda=Pin(4), scl=Pin(5), freq=400000)
for address in i2c.scan():
    print(hex(address))
"""),
    "acceleration": ([{"mpu6050": {"sda": 4, "scl": 5}}], """
from machine import Pin, I2C
import struct, time
i2c = I2C(0, sda=Pin(4), scl=Pin(5))
i2c.writeto_mem(0x68, 0x6B, b"\\0")
for _ in range(3):
    x, y, z = struct.unpack(">3h", i2c.readfrom_mem(0x68, 0x3B, 6))
    print(x // 164, y // 164, z // 164)
    time.sleep(0.5)
"""),
    "uart": ([], """
from machine import UART, Pin
import time
uart = UART(0, baudrate=9600, tx=Pin(0), rx=Pin(1))
for n in range(3):
    uart.write("hello %d\\n" % n)
    time.sleep(0.5)
print(uart.any())
"""),
    "state machine": (BUTTON, """
from machine import Pin
import time
button, leds = Pin(14, Pin.IN, Pin.PULL_UP), {name: Pin(n, Pin.OUT) for n, name in enumerate(("off", "slow", "fast"), 16)}
modes, mode, before = ["off", "slow", "fast"], 0, 1
while True:
    level = button.value()
    if before and not level:
        mode = (mode + 1) % len(modes)
        for name, led in leds.items():
            led.value(name == modes[mode])
        print("mode", modes[mode])
    before = level
    time.sleep_ms(10)
"""),
    "scheduler": ([], """
import time
jobs = [[300, 0, "a"], [500, 0, "b"], [1100, 0, "c"]]
start = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), start) < 3000:
    now = time.ticks_diff(time.ticks_ms(), start)
    for job in jobs:
        if now - job[1] >= job[0]:
            job[1] += job[0]
            print(job[2], job[1])
    time.sleep_ms(10)
"""),
    "filter": ([], """
class Average:
    def __init__(self, size):
        self.values, self.size = [], size
    def add(self, value):
        self.values.append(value)
        if len(self.values) > self.size:
            self.values.pop(0)
        return sum(self.values) / len(self.values)
average = Average(4)
for n in range(12):
    print("%.3f" % average.add((n * 37) % 11))
"""),
}
