"""Predicates about Wi-Fi, HTTP and MQTT."""

from typing import Any

from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import Amount, Count, Lasting, Pattern, Time, Tolerance, When, predicate
from pipeline.board.checks.signals import noted
from pipeline.board.checks.text import NEAR, finders, how_often, json_fits, numbers, regular
from pipeline.board.checks.words import around, count, lasting, moment, shown
from pipeline.board.run import Run

EARLY = 20_000  # microseconds
ANSWER = 1.0  # seconds: a network takes its time


def seen(run: Run, kind: str, when: When, within: float = 0) -> list[tuple[int, Any]]:
    """(time, value) of what happened on the network in the window, or within so many seconds of the moments."""
    start, end = from_start(when, run)
    return [
        (e.time, e.value)
        for e in noted(run, "net", kind)
        if start <= e.time <= end
        and (not when.moments or any(-EARLY <= e.time - at * 1e6 <= within * 1e6 for at in when.moments))
    ]


def happened(fit: list, others: list[str], often, about: str) -> str | None:
    """Whether what is asked for was there (so often), else what was there instead."""
    if often is not None:
        return (
            None if count(often).holds(len(fit)) else f"{about} {how_often(len(fit))}, {count(often).text} was expected"
        )
    instead = ", but " + ", ".join(dict.fromkeys(others[:4])) if others else ""
    return None if fit else f"{about} never{instead}"


@predicate()
def connected(run: Run, *, ssid: str | None = None, within: Time = ANSWER, when: When):
    """The board joined a Wi-Fi network, this one where a name is given."""
    found = seen(run, "connected", when, within)
    about = f"the network {shown(ssid)} was joined" if ssid is not None else "a network was joined"
    return happened([v for _, v in found if ssid in (None, v)], [shown(v) for _, v in found], None, about)


@predicate()
def requested(
    run: Run,
    *,
    url: str | None = None,
    method: str | None = None,
    body: str | None = None,
    times: Count | None = None,
    every: Lasting | None = None,
    within: Time = ANSWER,
    tolerance: Tolerance = 0.1,
    when: When,
):
    """The board asked a web server for the `url` (or any whose text holds it), by the `method`, with the text in its `body`; `times`, `every` so
    many seconds to the end.
    """
    found = seen(run, "request", when, within)
    fit = [
        time
        for time, (how, where, what) in found
        if (url or "").lower() in where.lower() and method in (None, how) and (body or "") in what
    ]
    about = f"{method or 'a request'} for {url or 'any URL'}{f' with {shown(body)}' if body is not None else ''}"
    if said := happened(fit, [f"{how} {where}" for _, (how, where, _) in found], times, f"{about} came"):
        return said
    return regular(fit, lasting(every, tolerance), when.window(run)[1], about) if every is not None else None


@predicate()
def answered(
    run: Run,
    *,
    path: str,
    status: Count = 200,
    text: str | None = None,
    pattern: Pattern | None = None,
    json_: dict[str, Any] | None = None,
    within: Time = ANSWER,
    when: When,
):
    """The program's own web server answered every visit of `path` in the window (there is one at least): with the `status` ([200, 399]: any that is
    no error), and the `text` or a match of the `pattern` in what it sent, or `json` whose values are these, [low, high] being a range.
    """
    found = [
        (time, status_seen, body)
        for time, (where, status_seen, body) in seen(run, "answer", when, within)
        if where == path
    ]
    if not found:
        return f"{path} was not answered{f' from {moment(when.start * 1e6)} on' if when.start else ''}"
    for time, got, body in found:
        if got is None or not count(status).holds(got):
            seen_status = "not answered" if got is None else f"answered with status {got}"
            return f"{path} was {seen_status} at {moment(time)}, {count(status).text} was expected"
        for told, find in finders(text, pattern, False) if text is not None or pattern is not None else []:
            if not find(body, 0):
                return f"{path} was answered with {shown(body)} at {moment(time)}, {told} was expected"
        if json_ is not None and not json_fits(body, json_):
            return f"{path} was answered with {shown(body)} at {moment(time)}, JSON with {json_} was expected"
    return None


@predicate()
def published(
    run: Run,
    *,
    topic: str,
    payload: str | None = None,
    number: Amount | None = None,
    decimals: int | None = None,
    times: Count | None = None,
    every: Lasting | None = None,
    only: bool = False,
    within: Time = ANSWER,
    tolerance: Tolerance = 0.1,
    when: When,
):
    """The board published on the MQTT `topic` this `payload`, or a `number` near that or in a range (with so many `decimals`); `times`, `every`
    so many seconds to the end. `only`: nothing else on the topic.
    """

    def fits(text: str) -> bool:
        return (payload is None or text.strip() == payload) and (
            wanted is None or any(wanted.holds(one) for one in numbers(text, decimals))
        )

    wanted = around(number, 0 if isinstance(number, list) else NEAR * abs(number)) if number is not None else None
    found = [(time, text) for time, (where, text) in seen(run, "publish", when, within) if where == topic]
    fit = [time for time, text in found if fits(text)]
    about = f"{shown(payload) if payload is not None else wanted.text if wanted else 'a message'} on {topic} came"
    if said := happened(fit, [shown(text) for _, text in found], times, about):
        return said
    if only and len(fit) != len(found):
        other = next(text for _, text in found if not fits(text))
        return f"{shown(other)} was published on {topic}, nothing but {about.split(' on ')[0]} was expected"
    return (
        regular(fit, lasting(every, tolerance), when.window(run)[1], f"a message on {topic}")
        if every is not None
        else None
    )


@predicate(moments=False)
def subscribed(run: Run, *, topic: str, when: When):
    """The board subscribed to the MQTT topic."""
    found = seen(run, "subscribe", when)
    return happened([v for _, v in found if v == topic], [v for _, v in found], None, f"{topic} was subscribed to")
