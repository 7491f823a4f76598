"""Time as a limit. With `max_time` a run ends at the first step's end after it, and the rate follows the clock where that is ahead of
the steps, so that it has decayed when time is up, however fast the machine is.

The time is that of training: from the first batch on, with compiling and evaluating, over all resumed runs. What is left of the
schedule is spread over what is left of the time after the first step, so compiling costs time but no part of the schedule.
"""

import time


def seconds(text: str) -> int:
    """Of HH:MM:SS."""
    hours, minutes, rest = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + rest


class Clock:
    """Attributes: `limit` in seconds or None; `share`, how much of the schedule the time has used, 0 to 1, always 0 without a limit."""

    def __init__(self, max_time: str | None, now=time.perf_counter):
        self.limit, self.now = seconds(max_time) if max_time else None, now
        self.share, self.before, self.first = 0.0, 0.0, None

    def state_dict(self) -> dict:
        return {"elapsed": self.elapsed(), "share": self.share}

    def load_state_dict(self, state: dict) -> None:
        self.before, self.share = state["elapsed"], state["share"]

    def start(self) -> None:
        self.began = self.now()

    def elapsed(self) -> float:
        return self.before + self.now() - self.began

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.elapsed() >= self.limit

    def tick(self) -> None:
        """To be called once in each step: brings `share` up to date."""
        if self.limit is None:
            return
        if self.first is None:
            self.first = (self.elapsed(), self.share)
        at, share = self.first
        left = max(self.limit - at, 1e-9)
        self.share = min(1.0, share + (1 - share) * (self.elapsed() - at) / left)
