"""What can be checked of a program without knowing what was wanted: it parses, its names exist, it runs, the pins, numbers, texts and colours
that the request names stand in it and no others, and something happens as often as the request says. A model is asked several times, and the
first answer that passes is taken.

It does not say that a program is right. It catches what a small model gets wrong most: a pin left out, a number that it made up, "twice a
second" taken for every second, and a refusal for want of a pin that is there.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from pipeline.board import boards, names
from pipeline.board.checks import neopixels, signals
from pipeline.board.run import MEANT, Run, run
from pipeline.core.errors import UserError
from pipeline.curriculum.parts import pins_for
from pipeline.data.copies import COMMENT
from pipeline.evaluation import wish
from pipeline.evaluation.ask import Model
from pipeline.evaluation.robobench import SYNTAX, program_of

EARLY, LATE = 0.08, 0.04  # share, and besides seconds, which a sensor takes, that a period may be shorter or longer
SHORT = 0.1  # seconds, below which a pause is nobody's wish: a button settles, a loop rests
WAITS = {"sleep": 1, "sleep_ms": 0.001}  # seconds in a unit
SHOWS = {"print", "pixels", "display", "uart", "net"}  # what can be seen of a program, besides its pins
READS = re.compile(
    r"\.IN\b|\bADC\(|\bUART\(|\binput\(|\bTouchPad\(|\bSoftI2C\(|\bI2C\(|\bSPI\(|\bdht\b|\bonewire\b|\bnetwork\b|\.stdin\b"
)
WORD = re.compile(r"[A-Za-z]{3,}")
LONG_WORD = re.compile(r"[a-z]{4,}")
OTHERS = 3, 0.25  # longer words of comments, and the share of them, from which on they are not the request's
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
    named = wish.pins_named(request)
    return f"the request names pin {named[0]}" if named and NO_PIN.search(said) else None


def apart(program: str) -> tuple[str, list[str]]:
    """(the program as it is but for its comments, the comments): these may quote the request."""
    comments = [match[1].lstrip("# ") for match in COMMENT.finditer(program) if match[1]]
    return COMMENT.sub(lambda match: "" if match[1] else match[0], program), comments


def numbers_in(code: str) -> set[float]:
    return {float(each) for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", code.replace("_", ""))}


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(name, call) of all that is called, a method by its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def literal(call: ast.Call) -> float | None:
    """The number that a call is given first, where it is one."""
    value = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def moments(done: Run, changes: bool) -> list[list[int]]:
    """When, in microseconds, each pin went on (with `changes` also: on or off), and when each text, and any text, frame or message, came."""
    found: dict = {}
    for pin in {event.where for event in done.log if event.what in ("pin", "pwm")}:
        spans = signals.lit(done, pin).spans
        found[pin] = [span.start for span in spans if span.value]
        if changes:
            found[pin, "changes"] = [span.start for span in spans]
    for event in done.log:
        if event.what in SHOWS:
            for series in (event.what, (event.what, str(event.value))):
                found.setdefault(series, []).append(event.time)
    return list(found.values())


def rhythm(figures: str, done: Run) -> Finding | None:
    """Whether anything happens as often as the request says, which is in figures. None where it says nothing that shows in the time of the run,
    or where nothing happens again and again."""
    for period, changes in wish.periods(figures):
        seen = [two - one for times in moments(done, changes) if len(times) > 2 for one, two in pairwise(times)]
        if seen and period < SECONDS / 2:
            near = any(-EARLY * period <= each / 1_000_000 - period <= EARLY * period + LATE for each in seen)
            return Finding("it keeps the time", None if near else f"nothing happens every {period:g} s")
    return None


def pins(request: str, code: str, tree: ast.AST, board: str) -> Finding | None:
    """Whether the pins of the request are in the program, each set up once, and no others. None where the request names none."""
    named, spec = wish.pins_named(request), boards.load(board)
    if not named:
        return None
    set_up = [int(pin) for name, call in called(tree) if name == "Pin" and (pin := literal(call)) is not None]
    own = {
        *map(int, re.findall(r"\d+", request)),
        spec.pin("LED"),
        *pins_for(board, "onboard"),
    }  # its own LED needs no number
    fault = None
    if absent := [pin for pin in named if spec.pin(pin) is None]:
        fault = f"a {board} has no pin {absent[0]}"
    elif unused := [pin for pin in named if not re.search(rf"(?<![\w.]){pin}(?![\w.])", code)]:
        fault = f"pin {unused[0]} is not in it"
    elif strange := [pin for pin in set_up if pin not in own]:
        fault = f"the request has no pin {strange[0]}"
    elif twice := [pin for pin in set_up if set_up.count(pin) > 1]:
        fault = f"pin {twice[0]} is set up twice"
    return Finding("it uses the pins of the request", fault)


def numbers(figures: str, code: str, tree: ast.AST) -> Finding | None:
    """Whether the request's numbers with a unit are in the program, and it waits for no time that the request does not name. None where there
    is no such number."""
    fixed = wish.RATE.sub("", figures)  # a program may write rates in other numbers
    if wish.BLINK.search(figures):
        fixed = wish.HERTZ.sub("", fixed)
    said = [float(number) for number in wish.NUMBER.findall(fixed) if number not in ("0", "1")]
    if not said:
        return None
    there, named = numbers_in(code), numbers_in(figures)
    lost = [number for number in said if not {number, number / 1000, number * 1000, number / 100} & there]
    times = [(literal(call) or 0) * WAITS[name] for name, call in called(tree) if name in WAITS]
    own = {scaled for number in named for scaled in (number, number / 1000, number * 60)} | {1.0}
    made_up = [time for time in times if time > SHORT and not any(abs(time - each) < 1e-6 for each in own)]
    fault = None
    if lost:
        fault = f"{lost[0]:g} is not"
    elif made_up:
        fault = f"it waits {made_up[0]:g} s, which the request does not say"
    return Finding("the request's numbers are in it", fault)


def colours(request: str, done: Run) -> Finding | None:
    """Whether pixels show the colours that the request names. None where no pixel shows anything, or it names none."""
    named = wish.colours_named(request)
    seen = {colour for event in done.log if event.what == "pixels" for colour in event.value}
    if not named or not seen:
        return None
    missing = [colour for colour in named if not any(neopixels.is_colour(each, colour) for each in seen)]
    return Finding("it shows the request's colours", f"nothing is {missing[0]}" if missing else None)


def devices(figures: str, code: str) -> Finding | None:
    """Whether the program has what is needed for what the request speaks of. None where it speaks of nothing that is known."""
    needed = [
        (match[0], need)
        for word, need in wish.NEEDS.items()
        if (match := re.search(rf"(?<!\bno )\b(?:{word})\b", figures, re.IGNORECASE))
    ]
    without = [word for word, need in needed if not re.search(need, code)]
    fault = f"not with {without[0]!r}" if without else None
    return Finding("it has to do with what the request speaks of", fault) if needed else None


def texts(request: str, tree: ast.AST) -> Finding | None:
    """Whether what the request quotes is in the program, and it prints no words that the request does not have. None where neither is there."""
    quoted = wish.texts_quoted(request)
    there = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    unsaid = [text for text in quoted if not any(text in each for each in there)]
    printed = [
        arg.value
        for name, call in called(tree)
        if name == "print"
        for arg in call.args
        if isinstance(arg, ast.Constant)
    ]
    made_up = [word for text in printed for word in WORD.findall(str(text)) if word.lower() not in request.lower()]
    if not quoted and not printed:
        return None
    fault = f"{unsaid[0]!r} is not" if unsaid else f"the request does not say {made_up[0]!r}" if made_up else None
    return Finding("the request's texts are in it", fault)


def quotes(request: str, comments: list[str]) -> Finding | None:
    """Whether the comments, which say in the request's words what they are about, have no number of their own and hardly a word. None where
    there are none."""
    said = request.lower()
    spoken, own = " ".join(comments).lower(), re.findall(r"\d+", said)
    strange = [number for number in re.findall(r"\d+", spoken) if number not in own]
    words = LONG_WORD.findall(spoken)
    if not words and not strange:
        return None
    others = [word for word in words if word[:4] not in said]
    wrong = strange or (others if len(others) >= max(OTHERS[0], OTHERS[1] * len(words)) else [])
    return Finding("its comments are about the request", f"they speak of {wrong[0]!r}" if wrong else None)


def happens(figures: str, code: str, done: Run) -> Finding | None:
    """Whether anything can be seen of a program that waits for nothing from outside, and whether that goes on and off where the request speaks
    of blinking. None where something from outside, or a function's caller, may be missing."""
    if READS.search(code) or "def " in code:
        return None
    if wish.BLINK.search(figures):
        again = max((len(times) for times in moments(done, True)), default=0)
        return Finding("it blinks", None if again > 2 else "nothing goes on and off")
    seen = any(event.what in {*SHOWS, "pwm"} or (event.what == "pin" and event.value) for event in done.log)
    wanted = done.ended is not None and not wish.DARK.search(figures)
    return Finding("something happens", "nothing happens" if wanted and not seen else None)


def findings(request: str, program: str, board: str) -> list[Finding]:
    """What was looked at, and what is wrong there. The program runs on the simulated board with nothing around it."""
    if not any(line.strip() and not line.strip().startswith("#") for line in program.splitlines()):
        return [Finding("there is a program", "nothing but comments came back")]
    done = run(program, board, (), SECONDS)
    syntax = next((error for error in done.errors if error.kind in SYNTAX), None)
    if syntax:
        return [Finding("it parses", str(syntax))]
    (code, comments), tree, figures = apart(program), names.parse(program), wish.in_figures(request)
    missing = [name for name in names.used(program, board) if not name.exists]
    errors = [error for error in done.errors if error.kind not in OUTSIDE]
    stopped = f"it was stopped: {done.stopped}" if done.stopped and done.stopped not in MEANT else None
    return [
        Finding("it parses", None),
        Finding(
            "its names exist on the board",
            f"a {board} has no {missing[0].dotted} (line {missing[0].line})" if missing else None,
        ),
        Finding("it runs", f"{errors[0]}" if errors else stopped),
        *filter(
            None,
            [
                devices(figures, code),
                pins(request, code, tree, board),
                numbers(figures, code, tree),
                rhythm(figures, done),
                colours(request, done),
                texts(request, tree),
                quotes(request, comments),
                happens(figures, code, done),
            ],
        ),
    ]


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
