"""A program's text out of its pieces, always in one order: imports, setup, functions, then what is done.

Imports are found in the text itself, so that a task says only what its code does, and no program imports what it does not use.
"""

import re

FROM_MACHINE = (
    "Pin",
    "Signal",
    "PWM",
    "ADC",
    "I2C",
    "SoftI2C",
    "SPI",
    "SoftSPI",
    "UART",
    "Timer",
    "RTC",
    "WDT",
    "time_pulse_us",
)
FROM = {"NeoPixel": "neopixel", "SSD1306_I2C": "ssd1306", "BME280": "bme280", "MQTTClient": "umqtt.simple"}
MODULES = (
    "asyncio",
    "dht",
    "ds18x20",
    "esp32",
    "json",
    "machine",
    "math",
    "network",
    "ntptime",
    "onewire",
    "os",
    "random",
    "requests",
    "socket",
    "struct",
    "sys",
    "time",
)
ASIDE = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#.*")  # texts and comments, whose words are no names
NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(\.?)")
DEFINED = re.compile(r"^def (\w+)", re.MULTILINE)
CALLED = re.compile(r"(\w+)\(")


def imports(code: str) -> str:
    """The lines that bring what the code uses, with an empty one after them; nothing where it needs none."""
    found = NAME.findall(ASIDE.sub("", code))
    used, dotted = {name for name, _ in found}, {name for name, dot in found if dot}
    lines = []
    if names := [name for name in FROM_MACHINE if name in used]:
        lines.append(f"from machine import {', '.join(names)}")
    lines += [f"from {module} import {name}" for name, module in FROM.items() if name in used]
    lines += [f"import {name}" for name in MODULES if name in dotted]
    return "\n".join(lines) + ("\n\n" if lines else "")


def assemble(setup: list[str], helpers: list[str], body: str) -> str:
    """The whole program. Helpers that are the same stand once; a line of the setup that calls one of them comes after them."""
    helpers = list(dict.fromkeys(text.strip("\n") for text in helpers if text.strip("\n")))
    setup = [text.strip("\n") for text in setup if text.strip("\n")]
    defined = set(DEFINED.findall("\n".join(helpers)))
    late = [text for text in setup if defined & set(CALLED.findall(text))]
    early = [text for text in setup if text not in late]
    body = body.strip("\n")
    if late:
        body = "\n".join([*late, "", body])
    whole = "\n\n".join([*(["\n".join(early)] if early else []), *helpers, body.strip("\n")])
    return imports(whole) + re.sub(r"\n{3,}", "\n\n", whole).strip("\n") + "\n"
