"""What a run will take here, said before its first stage. What a stage took the last time is remembered; of a training the rate is, since the
next one may be longer or of another model. A first run knows no more than a second of training can tell, which is measured while Prefect starts.
"""

import json
import subprocess
import sys

from flows.console import clock
from pipeline.core.config import Config
from pipeline.core.files import read_json, write_json
from pipeline.core.paths import METRICS, STATE
from pipeline.core.stage import own_environment
from pipeline.core.timings import TRAINING, read_timings
from pipeline.plan import FASTER, parameters
from pipeline.training.clock import seconds as of_clock
from pipeline.training.train import number_of_steps, tokens_per_step

PACE = STATE / "pace.json"
PATIENCE = 2  # seconds that a run waits for the measurement, once everything else is ready
SHOWN = 3  # stages told apart, the longest
_measuring: list[subprocess.Popen] = []


def recall() -> dict:
    """Stage -> seconds that it took here the last time; `train` -> its rate, weights x tokens/s, also of one that `dvc repro` ran."""
    try:
        found = read_json(PACE)
    except (OSError, ValueError):  # never yet, or cut short
        found = {}
    if speed := read_timings(TRAINING):  # of the weights that are here
        found["train"] = speed["tokens_per_second"] * read_json(METRICS / "train.json")["parameters"]
    return found


def remember(seconds: dict[str, float]) -> None:
    """Notes what the stages that were executed took."""
    found = {stage: round(took, 1) for stage, took in seconds.items() if stage != "train"}
    write_json(PACE, {**recall(), **found})


def start() -> None:
    """Begins to measure, where no training here has told how fast it is."""
    if not recall().get("train"):
        _measuring.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipeline.plan"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=own_environment(),
            )
        )


def measured() -> float | None:
    """Seconds of the training without compiling; None where they could not be had so soon."""
    while _measuring:
        child = _measuring.pop()
        try:
            return json.loads(child.communicate(timeout=PATIENCE)[0] or b"null")
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
    return None


def training(config: Config, rate: float | None, eager: float | None) -> tuple[float, float, str] | None:
    """(seconds at least, at most, how they are known); None where they are not. With max_time it ends there."""
    t = config.training
    if rate:
        per_step = tokens_per_step(config.data.model_dump(), t.model_dump())
        most = number_of_steps(t.model_dump(), per_step) * per_step * sum(parameters(config).values()) / rate
        low, why = most, "at the speed of the training before"
    elif eager:
        low, most = eager / FASTER if t.compile else eager, eager
        why = "from a second of it just now" + (
            ", as compiling makes it up to three times as fast" if t.compile else ""
        )
    else:
        return None
    limit = of_clock(t.max_time) if t.max_time else most
    return min(low, limit), min(most, limit), why


def said(config: Config, stages: dict[str, str], known: dict, eager: float | None) -> str:
    """One sentence about the stages that would run; empty where none would."""
    if not stages:
        return ""
    parts, new = [], []
    if "train" in stages:
        if found := training(config, known.get("train"), eager):
            low, most, why = found
            about = clock(most) if clock(low) == clock(most) else f"{clock(low)} to {clock(most)}"
            parts.append(f"training {about} ({why})")
        else:
            new.append("train (robo plan measures it)")
    others = {stage: known[stage] for stage in stages if stage != "train" and stage in known}
    new += [stage for stage in stages if stage != "train" and stage not in known]
    if others:
        longest = sorted(others, key=others.__getitem__, reverse=True)[:SHOWN]
        parts.append(
            f"{len(others)} other stage{'s' * (len(others) > 1)} {clock(sum(others.values()))} as the last time ("
            + ", ".join(f"{stage} {clock(others[stage])}" for stage in longest)
            + ")"
        )
    if new:
        parts.append(
            f"not known before they ran here once: {', '.join(new) if len(new) <= SHOWN else f'{len(new)} stages'}"
        )
    return f"This run takes, where nothing is cached: {'; '.join(parts)}"
