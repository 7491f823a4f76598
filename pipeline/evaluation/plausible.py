"""What can be checked of a program without knowing what was wanted: it parses, its names exist, it runs, the pins and numbers that the request
names stand in it, and something happens as often as the request says. A model is asked several times, and the first answer that passes is taken.

It does not say that a program is right. It catches what a small model gets wrong most: a pin left out, a number that it made up, "twice a
second" taken for every second, and a refusal for want of a pin that is there.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from pipeline.board import boards, names
from pipeline.board.checks import signals
from pipeline.board.run import Run, run
from pipeline.core.errors import UserError
from pipeline.curriculum.values import SMALL, TENS
from pipeline.evaluation.ask import Model
from pipeline.evaluation.robobench import SYNTAX, program_of

NUMBERED = r"(?:GPIO|GP|IO|D|pins?)(?:\s*(?:number|no\.?|nr\.?|GPIO|GP))?"
MORE = r"(?:\s*(?:,|and|&|or)\s*(?:GPIO|GP|pin)?\s*\d{1,2}\b(?!\s*(?:ms|s|sec|Hz|%|cm|times|pixels|LEDs|lights)))*"  # pins 3, 4 and 5
PIN = re.compile(rf"\b{NUMBERED}\s*(\d{{1,2}})\b({MORE})", re.IGNORECASE)
UNITS = r"ms|milli|sec|s\b|Hz|hertz|kHz|%|percent|per cent|degree|°|deg|cm|centi|times|x\b"
NUMBER = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?)(?=\s*(?:{UNITS}))", re.IGNORECASE)
QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)")
SPOKEN = {  # numbers in words, before a unit of time
    "half an?": 0.5,
    "half": 0.5,
    "(?:(?:an?|one) )?quarter(?: of an?)?": 0.25,
    "three quarters of an?": 0.75,
    "(?:(?:an?|one) )?tenth of an?": 0.1,
    "(?:(?:an?|one) )?fifth of an?": 0.2,
    "one and (?:an? )?half": 1.5,
    "two and (?:an? )?half": 2.5,
    "an?": 1,
    **{word: number for number, word in [*TENS.items(), *enumerate(SMALL)]},
}
TIMES = {
    "once": "1 times",
    "twice": "2 times",
    **{f"{word} times": f"{number} times" for number, word in enumerate(SMALL)},
}
TIME_UNIT = r"(ms|mil\w*|s|sec\w*|min\w*)\b(?! and)"
EVERY = re.compile(rf"\b(?:every|each)\s+(?:(\d+(?:\.\d+)?)\s*)?{TIME_UNIT}", re.IGNORECASE)
RATE = re.compile(rf"\b(\d+) ?(?:times|x) (?:per|each|every|in an?|in one|1|in 1) {TIME_UNIT}", re.IGNORECASE)
CHANGE = re.compile(r"\b(?:toggl|switch|chang|swap|invert|flip|turns)", re.IGNORECASE)
EARLY, LATE = 0.08, 0.04  # share, and besides seconds, which a sensor takes, that a period may be shorter or longer
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
    r"asyncio": r"\basyncio\b",
    r"wi-?fi|WLAN": r"\bWLAN\(",
    r"random(?:ly)?|dice|die": r"\brandom\b|\burandom\(",
}
OUTSIDE = ("OSError", "ETIMEDOUT")  # what a device answers with that is not there: no fault of the program's
SECONDS = 5.0
TEMPERATURE = 0.7  # of every answer but the first, which is the likeliest
REFUSAL = "# I cannot"
NO_PIN = re.compile(r"not said which pins?\b")


class Finding(NamedTuple):
    what: str  # was looked at
    fault: str | None  # what is wrong; None where nothing is


def refusal(program: str) -> str | None:
    """What the model says that it cannot do, where that is all of its answer."""
    lines = [line for line in program.splitlines() if line.strip()]
    return lines[0].lstrip("# ") if len(lines) == 1 and lines[0].startswith(REFUSAL) else None


def mistaken(said: str, request: str) -> str | None:
    """What is wrong with a refusal, as far as one can see: the pin that it asks for stands in the request."""
    named = pins_named(request)
    return f"the request names pin {named[0]}" if named and NO_PIN.search(said) else None


def pins_named(request: str) -> list[int]:
    found = []
    for first, more in PIN.findall(request):
        found += [int(each) for each in (first, *re.findall(r"\d+", more))]
    return list(dict.fromkeys(found))


def numbers_in(program: str) -> set[float]:
    return {float(each) for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", program.replace("_", ""))}


def in_figures(request: str) -> str:
    """The request without what it quotes, with its times in figures: "half a second" is 0.5 second, "twice" 2 times."""
    text = QUOTED.sub("", request)
    for phrase in sorted(SPOKEN, key=len, reverse=True):
        text = re.sub(rf"\b{phrase}(?=[ -]+{TIME_UNIT})", f"{SPOKEN[phrase]:g}", text, flags=re.IGNORECASE)
    for phrase, figures in TIMES.items():
        text = re.sub(rf"\b{phrase}\b", figures, text, flags=re.IGNORECASE)
    return text


def in_seconds(unit: str) -> float:
    return 0.001 if unit[:3].lower() == "mil" or unit.lower() == "ms" else 60 if unit[:3].lower() == "min" else 1


def moments(done: Run, changes: bool) -> list[list[int]]:
    """When, in microseconds, each pin went on (with `changes` also: on or off), and when each text, and any text, frame or message, came."""
    found: dict = {}
    for pin in {event.where for event in done.log if event.what in ("pin", "pwm")}:
        spans = signals.lit(done, pin).spans
        found[pin] = [span.start for span in spans if span.value]
        if changes:
            found[pin, "changes"] = [span.start for span in spans]
    for event in done.log:
        if event.what in ("print", "pixels", "display", "uart", "net"):
            for series in (event.what, (event.what, str(event.value))):
                found.setdefault(series, []).append(event.time)
    return list(found.values())


def rhythm(request: str, done: Run) -> Finding | None:
    """Whether anything happens as often as the request says, which is in figures. None where it says nothing that shows in the time of the run,
    or where nothing happens again and again."""
    periods = [(float(count or 1) * in_seconds(unit), True) for count, unit in EVERY.findall(request)]
    changes = bool(CHANGE.search(request))
    periods += [(in_seconds(unit) / max(float(count), 1), changes) for count, unit in RATE.findall(request)]
    for period, either in periods:
        seen = [two - one for times in moments(done, either) if len(times) > 2 for one, two in pairwise(times)]
        if seen and period < SECONDS / 2:
            near = any(-EARLY * period <= each / 1_000_000 - period <= EARLY * period + LATE for each in seen)
            return Finding("it keeps the time", None if near else f"nothing happens every {period:g} s")
    return None


def findings(request: str, program: str, board: str) -> list[Finding]:
    """What was looked at, and what is wrong there. The program runs on the simulated board with nothing around it."""
    if not any(line.strip() and not line.strip().startswith("#") for line in program.splitlines()):
        return [Finding("there is a program", "nothing but comments came back")]
    done = run(program, board, (), SECONDS)
    syntax = next((error for error in done.errors if error.kind in SYNTAX), None)
    if syntax:
        return [Finding("it parses", str(syntax))]
    missing = [name for name in names.used(program, board) if not name.exists]
    errors = [error for error in done.errors if error.kind not in OUTSIDE]
    stopped = f"it was stopped: {done.stopped}" if done.stopped else None
    spec, named = boards.load(board), pins_named(request)
    unused = [pin for pin in named if not re.search(rf"(?<![\w.]){pin}(?![\w.])", program)]
    figures = in_figures(request)
    said = [float(number) for number in NUMBER.findall(RATE.sub("", figures)) if number != "1"]
    there = numbers_in(program)
    lost = [number for number in said if not {number, number / 1000, number * 1000, number / 100} & there]
    texts = [first or second for first, second in QUOTED.findall(request)]
    said_by_it = [
        node.value
        for node in ast.walk(names.parse(program))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    unsaid = [text for text in texts if not any(text in each for each in said_by_it)]
    found = [
        Finding("it parses", None),
        Finding(
            "its names exist on the board",
            f"a {board} has no {missing[0].dotted} (line {missing[0].line})" if missing else None,
        ),
        Finding("it runs", f"{errors[0]}" if errors else stopped),
    ]
    needed = [
        (match[0], need)
        for word, need in NEEDS.items()
        if (match := re.search(rf"\b(?:{word})\b", figures, re.IGNORECASE))
    ]
    if needed:
        without = [word for word, need in needed if not re.search(need, program)]
        found.append(
            Finding("it has to do with what the request speaks of", f"not with {without[0]!r}" if without else None)
        )
    if named:
        absent = [pin for pin in named if spec.pin(pin) is None]
        found.append(
            Finding(
                "it uses the pins of the request",
                f"a {board} has no pin {absent[0]}" if absent else f"pin {unused[0]} is not in it" if unused else None,
            )
        )
    if said:
        found.append(Finding("the request's numbers are in it", f"{lost[0]:g} is not" if lost else None))
    if kept := rhythm(figures, done):
        found.append(kept)
    if texts:
        found.append(Finding("the request's texts are in it", f"{unsaid[0]!r} is not" if unsaid else None))
    return found


class Choice(NamedTuple):
    program: str
    findings: list[Finding]
    asked: int  # answers, till this one was taken

    @property
    def good(self) -> bool:
        return not any(finding.fault for finding in self.findings)

    @property
    def refused(self) -> str | None:
        """What the model says that it cannot do, where one has to believe it."""
        return refusal(self.program) if self.good else None


def answers(model: Model, prompt: str, samples: int) -> Iterator[str]:
    """The likeliest answer, then drawn ones, as programs. Raises UserError where there is none to such a prompt."""
    for number in range(samples):
        answer = model.ask(prompt) if number == 0 else model.draw(prompt, TEMPERATURE, seed=number)
        if answer.failed:
            raise UserError(f"the request is too long: {answer.failed}")
        yield program_of(answer.text, "", answer.cut, model.chat).rstrip() + "\n"


def choose(model: Model, prompt: str, samples: int, request: str, board: str) -> Choice:
    """The first of so many answers that passes, a refusal among them; else the one with the fewest faults. Raises what `answers` does."""
    best, asked = None, 0
    for program in answers(model, prompt, samples):
        asked += 1
        said = refusal(program)
        found = (
            [Finding(f"what it says: {said.rstrip('.')}", mistaken(said, request))]
            if said
            else findings(request, program, board)
        )
        choice = Choice(program, found, asked)
        if choice.good:
            return choice
        if best is None or sum(f.fault is None for f in found) > sum(f.fault is None for f in best.findings):
            best = choice
    assert best, "somebody was asked"
    return best._replace(asked=asked)
