"""A run as a picture, the same bytes for the same run: a lane for each pin, bus and device over one axis of time.

Outputs are steps, PWM is filled as far as its duty, what devices drive has a color of its own; prints and traffic are ticks, with their
text where there is room for it.
"""

import io
import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipeline.board import words
from pipeline.board.run import Run
from pipeline.board.words import Row

STYLE: dict[Any, Any] = {"svg.hashsalt": "board", "svg.fonttype": "none", "font.size": 9}
COLORS = {"pin": "tab:green", "input": "tab:blue", "pwm": "tab:orange", "print": "dimgrey", "error": "tab:red"}
OTHERS = "tab:purple"
INCHES_WIDE, INCHES_A_LANE = 11.0, 0.55
SIGN_WIDTH = 0.0085  # of a sign of text, as a share of the axis
LONGEST = 32  # signs of a text
MOST_LANES = 40
STRETCHES = 1_000  # of the time, each as wide as a line: more in one cannot be seen, and would make a file of megabytes


def shown_text(said: str) -> str:
    """One line that XML can hold, without what matplotlib would take for mathematics."""
    text = "".join(sign if sign.isprintable() else "·" for sign in said).replace("$", r"\$")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def thinned(times: Sequence[int], end: int) -> list[int]:
    """One moment of each stretch."""
    return list({time * STRETCHES // end: time for time in reversed(times)}.values())[::-1]


def thinned_steps(steps: list[tuple[int, float | None]], end: int) -> list[tuple[int, float | None]]:
    """Of each stretch the first and the last step, and those to the highest and the lowest level."""
    kept = []
    for _, group in groupby(steps, lambda step: step[0] * STRETCHES // end):
        group = list(group)
        extremes = {0, len(group) - 1}
        if levels := [(level, number) for number, (_, level) in enumerate(group) if level is not None]:
            extremes |= {min(levels)[1], max(levels)[1]}
        kept += [group[number] for number in sorted(extremes)]
    return kept


def with_room(moments: list[tuple[int, str]], end: int) -> list[tuple[int, str, str]]:
    """(time, text, alignment) of the texts that fit behind each other, each after its moment, or before it where the picture ends."""
    kept, free_from = [], 0.0
    for time, said in moments:
        text = shown_text(said)
        at, width = time / end, len(text) * SIGN_WIDTH
        if text and at >= free_from and at + width <= 1.02:
            kept.append((time, text, "left"))
            free_from = at + width + 2 * SIGN_WIDTH
        elif text and at >= free_from + width:
            kept.append((time, f"{text} ", "right"))
            free_from = at
    return kept


def draw_steps(axes, row: Row, base: float, end: int, color: str) -> None:
    """A line that jumps from level to level and is interrupted where nobody drives; below PWM's it is filled."""
    steps = thinned_steps(row.steps, end)
    times = [time / 1e6 for time, _ in steps] + [end / 1e6]
    heights = [float("nan") if level is None else base + 0.7 * level for _, level in steps]
    heights.append(heights[-1])
    if row.kind == "pwm":
        axes.fill_between(times, base, heights, step="post", color=color, alpha=0.35, linewidth=0)
    axes.step(times, heights, where="post", color=color, linewidth=2 if row.kind == "input" else 1.2)


def plot(run: Run, name: str) -> str:
    """SVG. `name` is the program's."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows, end = words.rows(run), words.horizon(run)
    lanes = [row for row in rows if row.kind != "error"][:MOST_LANES] + [row for row in rows if row.kind == "error"]
    # signs that our fonts lack are the viewer's to show
    with warnings.catch_warnings(action="ignore", category=UserWarning), pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(
            figsize=(INCHES_WIDE, 1.3 + INCHES_A_LANE * max(1, len(lanes))), layout="constrained"
        )
        for number, row in enumerate(lanes):
            base, color = len(lanes) - 1 - number, COLORS.get(row.kind, OTHERS)
            axes.axhline(base, color="lightgrey", linewidth=0.5, zorder=0)
            if row.steps:
                draw_steps(axes, row, base, end, color)
            else:
                height = len(lanes) - base if row.kind == "error" else 0.3
                axes.vlines(
                    [time / 1e6 for time in thinned(row.ticks, end)], base, base + height, color=color, linewidth=1
                )
            for time, text, side in with_room(row.notes or list(zip(row.ticks, row.texts, strict=True)), end):
                axes.text(
                    time / 1e6,
                    base + (0.74 if row.steps else 0.34),
                    text,
                    color=color,
                    fontsize=7,
                    va="bottom",
                    ha=side,
                )
        if not lanes:
            axes.text(0.5, 0.5, "nothing happened", transform=axes.transAxes, ha="center", color="grey")
        if run.ended is not None or run.stopped:
            axes.axvline(
                (run.ended if run.ended is not None else end) / 1e6,
                color="grey",
                linewidth=0.8,
                linestyle=":",
                zorder=0,
            )
        axes.set_yticks(
            [len(lanes) - 1 - number + 0.3 for number in range(len(lanes))], [shown_text(row.label) for row in lanes]
        )
        axes.set(xlim=(-0.004 * end / 1e6, end / 1e6), ylim=(-0.25, max(1, len(lanes)) + 0.1), xlabel="seconds")
        axes.set_title(f"{shown_text(name)} on {words.titled(run.board)}. {shown_ending(run)}", fontsize=10, loc="left")
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return text.getvalue()


def shown_ending(run: Run) -> str:
    error = f" {run.errors[0]}" if run.errors else ""
    said = "".join(sign if sign.isprintable() else "·" for sign in f"{words.ending(run)}{error}").replace("$", r"\$")
    return said if len(said) <= 110 else f"{said[:109]}…"
