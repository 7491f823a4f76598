"""What a request names in so many words, as far as one can tell without knowing the task: pins, numbers, times, texts, colours, devices."""

import re

from pipeline.curriculum.values import COLOURS, SMALL, TENS

NUMBERED = r"(?:GPIO|GP|IO|D|pins?)(?:\s*(?:number|no\.?|nr\.?|GPIO|GP))?"
OTHER = r"\.\d|\s*(?:ms|s|sec|k?Hz|%|per ?cent|cm|V|°|deg\w*|times|pixels|LEDs|lights)"  # what a number goes on with that is none
MORE = rf"(?:\s*(?:,|and|&|or)\s*(?:GPIO|GP|pin)?\s*\d{{1,2}}\b(?!{OTHER}))*"  # pins 3, 4 and 5
PIN = re.compile(rf"\b{NUMBERED}\s*(\d{{1,2}})\b({MORE})", re.IGNORECASE)
UNITS = r"ms|milli|sec|s\b|Hz|hertz|kHz|%|percent|per cent|degree|°|deg|cm|centi|times|x\b"
NUMBER = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?)(?=\s*(?:{UNITS}))", re.IGNORECASE)
QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)")
ONE, OF = "(?:(?:an?|one) )?", "(?: of)?(?: an?)?"
SPOKEN = {  # numbers in words, before a unit of time; the first that fits counts
    "(?:one|an?) and (?:an? )?half": 1.5,
    "two and (?:an? )?half": 2.5,
    "three and (?:an? )?half": 3.5,
    rf"three (?:quarters|fourths){OF}": 0.75,
    rf"{ONE}half{OF}": 0.5,
    rf"{ONE}(?:quarter|fourth){OF}": 0.25,
    rf"{ONE}fifth{OF}": 0.2,
    rf"{ONE}tenth{OF}": 0.1,
    **{
        word: number
        for word, number in sorted(
            [*((word, number) for number, word in [*TENS.items(), *enumerate(SMALL)]), ("an?", 1)],
            key=lambda each: -len(each[0]),
        )
    },
}
AND_A_HALF = re.compile(r"\b(?:an? |one )?(second|minute) and an? half\b", re.IGNORECASE)
TIMES = {
    "once": "1 times",
    "twice": "2 times",
    **{f"{word} times": f"{number} times" for number, word in enumerate(SMALL)},
}
TIME_UNIT = r"(ms|mil\w*|s|sec\w*|min\w*)\b"
EVERY = re.compile(rf"\b(?:every|each)\s+(?:(\d+(?:\.\d+)?)\s*)?{TIME_UNIT}", re.IGNORECASE)
RATE = re.compile(rf"\b(\d+) ?(?:times|x) (?:per|each|every|in an?|in one|1|in 1) {TIME_UNIT}", re.IGNORECASE)
HERTZ = re.compile(r"\b(\d+(?:\.\d+)?) ?(?:Hz|hertz)\b", re.IGNORECASE)
BLINK = re.compile(r"(?<!no )(?<!not )\b(?:blink|flash|flicker|on and off)", re.IGNORECASE)
DARK = re.compile(r"\b(?:off|dark|out|extinguish)\b", re.IGNORECASE)
RGB = re.compile(r"\bred\W+green\W+(?:and )?blue\b", re.IGNORECASE)  # the parts of a colour
COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b", re.IGNORECASE)
CHANGE = re.compile(r"\b(?:toggl|switch|chang|swap|invert|flip|turns)", re.IGNORECASE)
NEEDS = {  # what a request speaks of -> what a program for it has
    r"prints?|printed|console|shell|terminal|serial monitor": r"\bprint\(|SSD1306",
    r"push ?-?button|button|presse[sd]|pressing": r"\.IN\b",
    r"potentiometer|poti?|LDR|photoresistor|light sensor|thermistor|TMP36|LM35|joystick": r"\bADC\(",
    r"servo|SG90|MG90S?": r"\bPWM\(",
    r"neopixels?|WS2812B?": r"\bNeoPixel\(",
    r"DHT11": r"\bDHT11\(",
    r"DHT22|AM2302": r"\bDHT22\(",
    r"DS18B20": r"\bDS18X20\(",
    r"HC-?SR04|ultrasonic": r"\btime_pulse_us\(|\bticks_us\(",
    r"OLED|SSD1306": r"\bSSD1306_I2C\(",
    r"I2C|IIC": r"I2C\(",
    r"UART": r"\bUART\(",
    r"interrupts?|IRQ": r"\.irq\(|\bTimer\(",
    r"machine\.Timer|(?:hardware|periodic|one-?shot) timer|timer (?:callback|in|mode|with|of)|timer'?s? callback": r"\bTimer\(",
    r"(?:the|its|as|into|in) voltage|voltage (?:of|at|on)|in volts?": r"3\.3|3300|read_uv|\b5\b",
    r"asyncio": r"\basyncio\b",
    r"wi-?fi|WLAN": r"\bWLAN\(",
    r"fahrenheit": r"1\.8|\b9\b",
    r"(?:temperature|celsius) and (?:the )?(?:relative )?humidity(?! sensor)": r"\bhumidity\b",
    r"(?:two|2) decimals?": r"\b2\)|\.2f",
    r"random(?:ly)?|dice|die": r"\brandom\b|\burandom\(",
}


def pins_named(request: str) -> list[int]:
    found = []
    for first, more in PIN.findall(request):
        found += [int(each) for each in (first, *re.findall(r"\d+", more))]
    return list(dict.fromkeys(found))


def texts_quoted(request: str) -> list[str]:
    return [first or second for first, second in QUOTED.findall(request)]


def periods(figures: str) -> list[tuple[float, bool]]:
    """How often something happens by a request that is in figures: seconds, and whether each change counts, on and off."""
    changes = bool(CHANGE.search(figures))
    often = [(in_seconds(unit) / max(float(count), 1), changes) for count, unit in RATE.findall(figures)]
    often += [(float(count or 1) * in_seconds(unit), True) for count, unit in EVERY.findall(RATE.sub("", figures))]
    if BLINK.search(figures):
        often += [(1 / float(hertz), False) for hertz in HERTZ.findall(figures) if 0 < float(hertz) < 30]
    return often


def colours_named(request: str) -> list[str]:
    text = RGB.sub("", QUOTED.sub("", request))
    return list(dict.fromkeys(colour.lower() for colour in COLOUR.findall(text)))


def in_figures(request: str) -> str:
    """The request without what it quotes, with its times in figures: "half a second" is 0.5 second, "twice" 2 times."""
    text = AND_A_HALF.sub(r"1.5 \1s", QUOTED.sub("", request))
    for phrase, number in SPOKEN.items():
        text = re.sub(rf"\b{phrase}(?=[ -]+{TIME_UNIT})", f"{number:g}", text, flags=re.IGNORECASE)
    for phrase, figures in TIMES.items():
        text = re.sub(rf"\b{phrase}\b", figures, text, flags=re.IGNORECASE)
    return text


def in_seconds(unit: str) -> float:
    return 0.001 if unit[:3].lower() == "mil" or unit.lower() == "ms" else 60 if unit[:3].lower() == "min" else 1
