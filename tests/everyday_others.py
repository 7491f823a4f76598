"""Everyday programs about text, numbers, files, tasks and buses; see everyday.py."""

from everyday_pins import BUTTON

OTHERS = {
    "prints": (
        [],
        """
import time
for n in range(5):
    print("line", n, n * n, 1 / (n + 1))
    time.sleep(0.5)
print("end", end="")
""",
    ),
    "star triangle": ([], "for n in range(1, 8):\n    print('*' * n)\n"),
    "primes": (
        [],
        """
def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))
print([n for n in range(100) if is_prime(n)])
""",
    ),
    "words": (
        [],
        """
text = "the quick brown fox jumps over the lazy dog the end"
counts = {}
for word in text.split():
    counts[word] = counts.get(word, 0) + 1
for word in sorted(counts, key=lambda w: (-counts[w], w)):
    print("{:<6} {}".format(word, counts[word]))
""",
    ),
    "json": (
        [],
        """
import json
state = {"led": True, "levels": [1, 2.5, None], "name": "pico"}
text = json.dumps(state)
back = json.loads(text)
print(back["levels"][1] + 1, back["name"], back["led"], len(text))
""",
    ),
    "generator": (
        [],
        """
def fibonacci():
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b
for n, value in zip(range(30), fibonacci()):
    print(n, value)
""",
    ),
    "exceptions": (
        [],
        """
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
""",
    ),
    "much garbage": (
        [],
        """
import time
total = 0
for n in range(400):
    row = [str(n + k) + "," + str(k * k) for k in range(25)]
    total += len("".join(row))
    if n % 100 == 0:
        print(n, total, sorted(row)[0])
print(total)
""",
    ),
    "collects": (
        [],
        """
import gc
held = []
for n in range(300):
    held.append("value %d" % n)
    if n % 50 == 0:
        gc.collect()
print(gc.mem_free() > 10000, held[17], held[-1], len(held))
""",
    ),
    "matrix": (
        [],
        """
def product(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
m = [[1, 1], [1, 0]]
power = [[1, 0], [0, 1]]
for _ in range(30):
    power = product(power, m)
print(power)
""",
    ),
    "logger": (
        [],
        """
import os, time
for n in range(3):
    with open("log.txt", "a") as f:
        f.write("%d\\n" % n)
    time.sleep(0.1)
with open("log.txt") as f:
    print(f.read().split())
os.remove("log.txt")
print("log.txt" in os.listdir())
""",
    ),
    "asyncio blink": (
        [],
        """
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
""",
    ),
    "asyncio gather": (
        [],
        """
import uasyncio as asyncio
async def count(name, delay, to):
    for n in range(to):
        await asyncio.sleep(delay)
        print(name, n)
    return name
async def main():
    print(await asyncio.gather(count("a", 0.31, 4), count("b", 0.5, 3)))
asyncio.run(main())
""",
    ),
    "asyncio event": (
        BUTTON,
        """
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
""",
    ),
    "neopixel rainbow": (
        [],
        """
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
""",
    ),
    "dht22": (
        [{"dht22": {"pin": 15, "temperature": 21.5, "humidity": 40}}],
        """
import dht, time
from machine import Pin
sensor = dht.DHT22(Pin(15))
for _ in range(2):
    time.sleep(2)
    sensor.measure()
    print("%.1f C, %.1f %%" % (sensor.temperature(), sensor.humidity()))
""",
    ),
    "i2c scan": (
        [{"bme280": {"sda": 4, "scl": 5}}],
        """
from machine import Pin, I2C
i2c = I2C(0, sda=Pin(4), scl=Pin(5), freq=400000)
for address in i2c.scan():
    print(hex(address))
""",
    ),
    "acceleration": (
        [{"mpu6050": {"sda": 4, "scl": 5}}],
        """
from machine import Pin, I2C
import struct, time
i2c = I2C(0, sda=Pin(4), scl=Pin(5))
i2c.writeto_mem(0x68, 0x6B, b"\\0")
for _ in range(3):
    x, y, z = struct.unpack(">3h", i2c.readfrom_mem(0x68, 0x3B, 6))
    print(x // 164, y // 164, z // 164)
    time.sleep(0.5)
""",
    ),
    "uart": (
        [],
        """
from machine import UART, Pin
import time
uart = UART(0, baudrate=9600, tx=Pin(0), rx=Pin(1))
for n in range(3):
    uart.write("hello %d\\n" % n)
    time.sleep(0.5)
print(uart.any())
""",
    ),
    "state machine": (
        BUTTON,
        """
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
""",
    ),
    "scheduler": (
        [],
        """
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
""",
    ),
    "filter": (
        [],
        """
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
""",
    ),
}
