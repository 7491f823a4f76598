"""What a run says it will take, before its first stage."""

import contextlib
import subprocess
import sys
import time

import pytest
from chain import REPOSITORY

from flows import forecast
from pipeline.core.config import Config
from pipeline.core.files import write_json
from pipeline.core.paths import METRICS
from pipeline.core.timings import TRAINING, write_timings
from pipeline.plan import parameters

EVERYTHING = dict.fromkeys(["collect", "prepare", "train", "answer", "assess"], "not there yet")


@pytest.fixture
def config():
    """2,200 steps of 4 x 512 tokens."""
    config = Config(REPOSITORY)
    config.training = config.training.model_copy(update={"max_steps": 2200})
    return config


def rate(config, seconds: float) -> float:
    """Of a training that takes so long."""
    return 2200 * 4 * 512 * sum(parameters(config).values()) / seconds


def test_a_first_run_knows_what_a_second_of_training_tells(config):
    assert forecast.said(config, EVERYTHING, {}, 1800) == (
        "This run takes, where nothing is cached: training 10 min to 30 min (from a second of it just now, as compiling makes it up to three times "
        "as fast); not known before they ran here once: 4 stages"
    )


def test_without_compiling_it_is_what_was_measured(config):
    config.training = config.training.model_copy(update={"compile": False})
    assert "training 30 min (from a second of it just now);" in forecast.said(config, EVERYTHING, {}, 1800)


def test_later_runs_know_what_each_stage_took(config):
    known = {"train": rate(config, 300), "collect": 30.0, "prepare": 60.0, "answer": 250.0, "release": 1000.0}
    assert forecast.said(config, EVERYTHING, known, None) == (
        "This run takes, where nothing is cached: training 5 min (at the speed of the training before); 3 other stages 6 min as the last time "
        "(answer 4 min, prepare 60 s, collect 30 s); not known before they ran here once: assess"
    )
    assert forecast.said(config, {"collect": "changed"}, known, None) == (
        "This run takes, where nothing is cached: 1 other stage 30 s as the last time (collect 30 s)"
    )


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"max_steps": 4400}, "training 10 min"),
        ({"max_tokens": 2200 * 4 * 512 // 2}, "training 2 min"),
        ({"accumulate_grad_batches": 4}, "training 20 min"),
        ({"max_time": "00:03:00"}, "training 3 min"),
    ],
)
def test_another_training_takes_another_time(config, changed, expected):
    known = {"train": rate(config, 300)}
    config.training = config.training.model_copy(update=changed)
    assert f"{expected} (at the speed" in forecast.said(config, {"train": "changed"}, known, None)


def test_what_is_not_known_is_said_and_nothing_of_nothing(config):
    assert forecast.said(config, {"train": "changed"}, {}, None) == (
        "This run takes, where nothing is cached: not known before they ran here once: train (robo plan measures it)"
    )
    assert forecast.said(config, {}, {}, None) == ""


def test_what_was_measured_is_of_the_weights_that_are_here(tmp_path):
    with contextlib.chdir(tmp_path):
        assert forecast.recall() == {}
        write_json(METRICS / "train.json", {"parameters": 1000})
        (tmp_path / "weights").write_text("new")
        write_timings(TRAINING, {"tokens_per_second": 50}, [tmp_path / "weights"])
        forecast.remember({"collect": 3.14, "train": 99.0})
        forecast.remember({"prepare": 2.0})
        assert forecast.recall() == {"collect": 3.1, "prepare": 2.0, "train": 50_000}
        forecast.PACE.write_text("{")
        assert forecast.recall() == {"train": 50_000}


def test_a_measurement_that_takes_too_long_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(forecast, "PATIENCE", 0.2)
    for program, expected in (
        ("print(12.5)", 12.5),
        ("raise SystemExit(1)", None),
        ("import time; time.sleep(60)", None),
    ):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if expected:
            child.wait()
        forecast._measuring.append(child)
        began = time.monotonic()
        assert forecast.measured() == expected and time.monotonic() - began < 30 and not forecast._measuring
