"""What must happen when: the timeline of each form, as checks for what the program does and inputs for what happens to the board.

A skill says what must be so from t0 to t1; its form says when that is. After `then` the second action begins where the first ends; with
`when` each begins as its condition becomes true. Where nothing happens, what the skill calls idle must hold, or a program that does too much
would pass. Loops look at a condition every 10 ms and wait out a bounce, so checks leave SETTLE seconds after each change.

All times are seconds since the program's start.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.core.errors import UserError, suggestion
from pipeline.curriculum import templates
from pipeline.curriculum.parts import Drawn, Unfit
from pipeline.curriculum.tasks import Form
from pipeline.curriculum.templates import GRACE
from pipeline.curriculum.values import Value

LONGEST = 40  # that a pair may take
FIRST = 1.0  # when a condition becomes true for the first time
PULSE = 0.3  # for how long, where it starts something
APART = 1.2  # from the end of what it started to the next time
SETTLE = 0.15
AFTER = 0.5  # that is watched when all is done, to see that no more happens
ROUND = 0.1  # that is watched of one more round of what goes on for ever
INSTANT = 0.04  # an action that takes less takes no time that anybody would see
HELD = [(1.0, 1.2), (3.2, 0.8)]  # when a condition is true that something lasts as long as: (start, length)


def lasting(drawn: Drawn) -> float:
    """How long an action lasts, in seconds."""
    return templates.seconds(drawn.skill.lasts, drawn.numbers())


@dataclass
class Timeline:
    """The checks and inputs of a pair, written down as its form goes through time. `end` is how long it is watched."""

    checks: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    end: float = 0

    @property
    def watched(self) -> tuple[list, list, float]:
        """(what happens, what must be seen, for how many seconds), as of a program (Composer.watched)."""
        return self.inputs, self.checks, round(self.end + 0.05, 3)

    def expect(self, text: str, drawn: Drawn, start: float, end: float) -> None:
        """A skill's check or idle, from `start` to `end`."""
        self.checks += templates.read(templates.render(text, **drawn.numbers(), t0=start, t1=end)) if text else []

    def happens(self, drawn: Drawn, at: float) -> float:
        """An action from `at` on; returns when it ends."""
        until = at + lasting(drawn)
        self.expect(drawn.skill.check, drawn, at, until)
        self.end = max(self.end, until)
        return until

    def rests(self, drawn: Drawn, start: float, end: float) -> None:
        """It does not happen; a time too short to see that is left out."""
        if end - start > 2 * GRACE:
            self.expect(drawn.skill.idle, drawn, start, end)

    def stands(self, drawn: Drawn, start: float, end: float) -> None:
        """A state is on."""
        if end - start > 2 * GRACE:
            self.expect(drawn.skill.check, drawn, start, end)

    def world(self, drawn: Drawn, spans: list[tuple[float, float]]) -> None:
        """What happens to the board, so that a condition is true in `spans`, each (start, length)."""
        if drawn.skill.inputs:
            self.inputs += templates.read(templates.render(drawn.skill.inputs, **drawn.numbers(), spans=spans))


Parts = dict[str, Drawn]  # a and b are actions or states, c and d conditions
Values = dict[str, Value]  # t is a time, n a number of times


def takes_time(*several: Drawn) -> None:
    """What takes no time, such as printing, nobody wants to be repeated without a pause. Raises Unfit for it."""
    if len(several) == 1:
        has_an_end(several[0])
    if sum(map(lasting, several)) < INSTANT:
        raise Unfit("repeated without a pause")


def has_an_end(drawn: Drawn) -> None:
    """Raises Unfit for what, done again at once, would not be seen to end."""
    if drawn.skill.gap:
        raise Unfit("done again without a gap")


def once(t: Timeline, d: Parts, v: Values) -> None:
    """An action, and then nothing."""
    end = t.happens(d["a"], 0)
    t.end = end + AFTER
    t.rests(d["a"], end, t.end)


def then(t: Timeline, d: Parts, v: Values) -> None:
    """An action where another ends."""
    middle = t.happens(d["a"], 0)
    t.rests(d["b"], 0, middle)
    t.end = t.happens(d["b"], middle) + AFTER


def then_then(t: Timeline, d: Parts, v: Values) -> None:
    """Three, one after the other."""
    middle = t.happens(d["a"], 0)
    t.rests(d["b"], 0, middle)
    middle = t.happens(d["b"], middle)
    t.end = t.happens(d["c"], middle) + AFTER


def forever(t: Timeline, d: Parts, v: Values) -> None:
    """An action again and again; two rounds are looked at."""
    takes_time(d["a"])
    t.end = t.happens(d["a"], t.happens(d["a"], 0.0)) + ROUND


def forever_then(t: Timeline, d: Parts, v: Values) -> None:
    """Two in turns; two rounds are looked at."""
    takes_time(d["a"], d["b"])
    at = 0.0
    for _ in range(2):
        at = t.happens(d["b"], t.happens(d["a"], at))
    t.end = at + ROUND


def repeated(t: Timeline, d: Parts, v: Values) -> None:
    """An action n times, and no more often."""
    has_an_end(d["a"])
    at = 0.0
    for _ in range(v["n"].value):
        at = t.happens(d["a"], at)
    t.end = at + AFTER
    t.rests(d["a"], at, t.end)


def paused(t: Timeline, d: Parts, v: Values) -> None:
    """An action again and again, with a pause after each."""
    at, pause = 0.0, v["t"].value
    for _ in range(2):
        end = t.happens(d["a"], at)
        t.rests(d["a"], end, end + pause)
        at = end + pause
    t.end = at - 0.06  # with the 0.05 s that every pair is watched on, just before the third round


def delayed(t: Timeline, d: Parts, v: Values) -> None:
    """Nothing at first, then an action."""
    t.rests(d["a"], 0, v["t"].value)
    t.end = t.happens(d["a"], v["t"].value) + AFTER


def when(t: Timeline, d: Parts, v: Values) -> None:
    """An action each time that something happens."""
    spans = [(FIRST, PULSE), (FIRST + max(lasting(d["a"]), PULSE) + APART, PULSE)]
    t.world(d["c"], spans)
    t.rests(d["a"], 0, FIRST)
    for start, _ in spans:
        end = t.happens(d["a"], start)
        t.rests(d["a"], end + 0.1, end + 0.7)
    t.end += 0.8


def wait_then(t: Timeline, d: Parts, v: Values) -> None:
    """An action once, when something has happened."""
    t.world(d["c"], [(FIRST, PULSE)])
    t.rests(d["a"], 0, FIRST)
    t.end = t.happens(d["a"], FIRST) + AFTER


def when_each(t: Timeline, d: Parts, v: Values) -> None:
    """Two conditions, each with an action of its own."""
    second = FIRST + max(lasting(d["a"]), PULSE) + APART
    t.world(d["c"], [(FIRST, PULSE)])
    t.world(d["d"], [(second, PULSE)])
    t.happens(d["a"], FIRST)
    t.rests(d["b"], 0, second)
    t.happens(d["b"], second)
    t.end += 0.8


def held(state: Drawn, inside: Callable, outside: Callable, end: float) -> None:
    """What is expected of a state while a condition is true, and while it is not, to the `end`."""
    at = 0.1
    for start, length in HELD:
        outside(state, at, start)
        inside(state, start + SETTLE, start + length)
        at = start + length + SETTLE
    outside(state, at, end)


def while_(t: Timeline, d: Parts, v: Values) -> None:
    """A state for as long as something is true."""
    t.world(d["c"], HELD)
    t.end = 4.8
    held(d["a"], t.stands, t.rests, t.end)


def while_else(t: Timeline, d: Parts, v: Values) -> None:
    """And another state for as long as it is not."""
    while_(t, d, v)
    held(d["b"], t.rests, t.stands, t.end)


def on_for(t: Timeline, d: Parts, v: Values) -> None:
    """An event switches a state on for a time."""
    length = v["t"].value
    spans = [(FIRST, 0.2), (1.2 + length + 1.0, 0.2)]
    t.world(d["c"], spans)
    t.rests(d["a"], 0, FIRST)
    for start, _ in spans:
        t.stands(d["a"], start + 0.06, start + length)
        t.rests(d["a"], start + length + SETTLE, start + length + 0.7)
    t.end = spans[-1][0] + length + 0.8


def until(t: Timeline, d: Parts, v: Values) -> None:
    """A state from the start till something happens."""
    t.world(d["c"], [(1.6, 0.5)])
    t.stands(d["a"], 0.05, 1.6)
    t.rests(d["a"], 1.75, 3.0)
    t.end = 3.0


def together(t: Timeline, d: Parts, v: Values) -> None:
    """Two actions, each in a loop of its own."""
    for each in (d["a"], d["b"]):
        takes_time(each)
        t.happens(each, t.happens(each, 0.0))
    t.end += ROUND


TIMELINES: dict[str, Callable[[Timeline, Parts, Values], None]] = {
    "once": once,
    "then": then,
    "thrice": then_then,
    "forever": forever,
    "forever-then": forever_then,
    "times": repeated,
    "every": paused,
    "after": delayed,
    "when": when,
    "wait-then": wait_then,
    "when-each": when_each,
    "while": while_,
    "while-else": while_else,
    "on-for": on_for,
    "until": until,
    "together": together,
}


def played(t: Timeline, d: Parts, plan: list[dict]) -> None:
    """What a rule of tasks/ says of time: {given: {c: spans}} in which a condition is true, {reads: {r: [[time, level]]}} of a reading, -2 below `low`
    to 2 above `high`, {stands: {a: windows}} and {rests: {a: windows}} of a state, each window [from, to]; {prints: {r: [level, from, to]}} of a reading
    that is printed."""
    for step in plan:
        for what, parts in step.items():
            for name, told in parts.items():
                each = d[name]
                if what == "given":
                    t.world(each, told)
                elif what == "reads":
                    t.inputs += templates.read(
                        templates.render(
                            each.skill.inputs,
                            **each.numbers(),
                            steps=[(at, level_of(each, level)) for at, level in told],
                        )
                    )
                elif what == "prints":
                    level, start, end = told
                    t.checks += templates.read(
                        templates.render(
                            each.skill.check, **each.numbers(), number=level_of(each, level), t0=start, t1=end
                        )
                    )
                elif what in ("stands", "rests"):
                    for start, end in told:
                        (t.stands if what == "stands" else t.rests)(each, start, end)
                else:
                    raise UserError(
                        f"plan: no step {what!r}{suggestion(what, ['given', 'reads', 'prints', 'stands', 'rests'])}"
                    )


def level_of(drawn: Drawn, level: int) -> float:
    """The number that a reading has at a level, -2 to 2. Raises UserError where its `levels` are none."""
    found = templates.expression(drawn.skill.levels)(**drawn.numbers())
    if not isinstance(found, list) or len(found) != 5:
        raise UserError(f"{drawn.skill.name}: levels: must be a list of five numbers")
    return found[level + 2]


def plan(form: Form, drawn: Parts, slots: Values) -> Timeline:
    """What a form of these skills must do. Raises Unfit for what does not go together or takes too long, UserError for a timeline that there is
    not, and what rendering a check raises."""
    name = form.timeline or form.name
    if name not in TIMELINES:
        raise UserError(f"{form.name}: timeline: {name!r}: there is none of this name{suggestion(name, TIMELINES)}")
    made = Timeline()
    TIMELINES[name](made, drawn, slots)
    for each in drawn.values():
        if each.skill.kind != "condition":
            made.world(each, [])
    if made.end > LONGEST:
        raise Unfit("too long to watch")
    return made
