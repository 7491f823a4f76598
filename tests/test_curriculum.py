"""The curriculum: words, values, what is kept from the exam, and that each skill makes programs that do what was asked."""

import shutil
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import yaml

from pipeline.core.errors import UserError
from pipeline.core.files import read_json, read_jsonl
from pipeline.curriculum import grammar, make, tasks, values

REPOSITORY = Path(__file__).resolve().parent.parent
DRAWS = 12


@pytest.fixture(scope="module")
def curriculum():
    return tasks.load(REPOSITORY / "tasks")


# --- words ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("form, said", {
    "base": "blink it, wait and go", "s": "blinks it, waits and goes", "ing": "blinking it, waiting and going",
    "to": "to blink it, wait and go", "should": "should blink it, wait and go"}.items())
def test_a_clause_takes_the_form_of_its_sentence(form, said):
    assert grammar.inflect("~blink it, ~wait and ~go", form) == said


@pytest.mark.parametrize("verb, third, gerund", [("be", "is", "being"), ("have", "has", "having"), ("flash", "flashes", "flashing"), ("run", "runs", "running"),
                                                 ("make", "makes", "making"), ("try", "tries", "trying"), ("play", "plays", "playing"), ("see", "sees", "seeing")])
def test_verbs(verb, third, gerund):
    assert (grammar.third(verb), grammar.gerund(verb)) == (third, gerund)


def test_every_choice_is_made():
    words = {"colour": ["red", "[dark|light] blue"]}
    found = {grammar.expand("[a|the|] <colour> {led} [on|off]", Random(seed), words) for seed in range(300)}
    assert len(found) == 3 * 3 * 2 and all("{led}" in each and "[" not in each and "<" not in each for each in found)


def test_an_unknown_phrase_is_told():
    with pytest.raises(UserError, match="<colur>: no such phrase.*did you mean 'colour'"):
        grammar.expand("<colur>", Random(1), {"colour": ["red"]})


# --- values -----------------------------------------------------------------------------------------------------------

def test_no_value_of_the_exam_is_drawn():
    rng, away = Random(1), values.held_out()
    for _ in range(3000):
        assert round(values.time(rng, 0.02, 10).value * 1000) not in away.milliseconds
        assert values.rate(rng, 1, 20).more["times"] not in away.rates
        assert values.times(rng, 2, 20).value not in away.counts and values.count(rng, 2, 20).value not in away.counts
        assert round(values.percent(rng, 1, 100).value * 100) not in away.percents
        assert values.hertz(rng, 100, 2000).value not in away.hertz and values.degrees(rng, 0, 180).value not in away.degrees
        assert values.centimetres(rng, 5, 60).value not in away.centimetres and tuple(values.colour(rng).value) not in away.colours
        assert values.text(rng, ["Kiwi", "mango", "tea"], 1, 2).value.lower() not in away.texts


@pytest.mark.parametrize("ms", [50, 250, 500, 1000, 1500, 2000, 60_000])
def test_the_program_waits_as_long_as_the_request_says(ms):
    for seed in range(40):
        drawn = values.say_time(Random(seed), ms)
        slept = []
        exec(drawn.sleep, {"time": SimpleNamespace(sleep=lambda s: slept.append(s * 1000), sleep_ms=slept.append)})
        assert slept == [ms] and drawn.value == ms / 1000


# --- pairs ------------------------------------------------------------------------------------------------------------

def test_each_skill_makes_pairs_that_do_as_they_say(curriculum):
    """Of a few draws of each skill some are kept. The rest must be draws that do not go together, or belong to the exam."""
    poor = {}
    for name in curriculum.skills:
        told = [make.one(curriculum, 3, number, name)[1] for number in range(4)]
        if None not in told:
            poor[name] = told
    assert not poor


def test_hardly_a_draw_is_wrong(curriculum):
    told = [make.one(curriculum, 5, number)[1] for number in range(150)]
    wrong = [why for why in told if why and not why.startswith(("unfit", "longer", "a wording", "a composition"))]
    assert len(wrong) <= 0.03 * len(told), wrong


def test_what_belongs_to_the_exam_is_left_out():
    for request in ("The LED on pin 3 is to be switched on.", "led / pin 3 / 2 s", "BLINK THE LED ON PIN 3"):
        assert make.belongs_to_exam(make.Pair(request, "", "pico", ["blink"], "")) == "a wording of the exam"
    assert make.belongs_to_exam(make.Pair("Blink, then beep", "", "pico", ["blink", "print", "buzzer-tone"], "")) == "a composition of the exam"
    assert make.belongs_to_exam(make.Pair("Blink the LED", "", "pico", ["blink", "print"], "")) is None


def stage(folder: Path, draws: int, workers: int, monkeypatch) -> list[dict]:
    monkeypatch.setattr(make, "WORKERS", workers)
    monkeypatch.setattr(make, "BATCH", 5)
    folder.mkdir()
    for each in ("tasks", "exam", "configs", "boards.lock"):
        (folder / each).symlink_to(REPOSITORY / each)
    monkeypatch.chdir(folder)
    make.main(SimpleNamespace(params=SimpleNamespace(curriculum=SimpleNamespace(draws=draws, seed=1))))
    return list(read_jsonl(folder / "data/curriculum/train.jsonl"))


def test_the_same_pairs_on_any_number_of_cores(tmp_path, monkeypatch):
    one, two = (stage(tmp_path / str(workers), DRAWS, workers, monkeypatch) for workers in (1, 2))
    assert one == two and len(one) > DRAWS / 2
    told = read_json(tmp_path / "2/metrics/curriculum.json")
    assert told["draws"] == DRAWS and told["pairs"] == len(two)
    assert len(list(read_jsonl(tmp_path / "2/data/curriculum/rejected.jsonl"))) == DRAWS - len(two)


# --- what people write ------------------------------------------------------------------------------------------------

BLINK = {"name": "my-blink", "intent": "blink", "kind": "action", "slots": {"led": "led", "t": {"time": [0.1, 1]}}, "do": ["~blink {led} for {t}"],
         "lasts": "t", "code": "{{led}}.on()\n{{sleep(t)}}\n{{led}}.off()\n", "check": "- on: {pin: {{led}}, {{window(t0, t1)}} }\n"}


def with_mine(tmp_path: Path, *entries: dict) -> Path:
    shutil.copytree(REPOSITORY / "tasks", tmp_path / "tasks")
    (tmp_path / "tasks/mine").mkdir()
    (tmp_path / "tasks/mine/own.yaml").write_text(yaml.safe_dump(list(entries)))
    return tmp_path / "tasks"


def test_own_skills_are_taught_too(tmp_path):
    own = tasks.load(with_mine(tmp_path, BLINK))
    made, why = make.one(own, 1, 1, "my-blink")
    assert why is None and ".on()" in made.program


@pytest.mark.parametrize("change, words", ({
    "unknown slot": ({"do": ["~blink {lamp}"]}, ["do", "{lamp}"]),
    "unknown phrase": ({"do": ["~blink {led} <agian-and-again>"]}, ["do", "<agian-and-again>", "again-and-again"]),
    "unknown device": ({"slots": {"led": "lde", "t": {"time": [0.1, 1]}}}, ["slots.led", "'lde'", "'led'"]),
    "unknown kind of value": ({"slots": {"led": "led", "t": {"tiem": [0.1, 1]}}}, ["slots.t", "'tiem'", "'time'"]),
    "no words": ({"do": []}, ["do", "missing"]),
    "unknown key": ({"chekc": "x"}, ["chekc", "unknown key", "check"]),
    "twice": ({"name": "led-flash"}, ["led-flash", "another of this name"]),
}.values()))
def test_a_fault_is_told_with_file_entry_and_key(tmp_path, change, words):
    with pytest.raises(UserError) as told:
        tasks.load(with_mine(tmp_path, {**BLINK, **change}))
    said = str(told.value)
    assert "mine/own.yaml" in said and all(word in said for word in words), said


@pytest.mark.parametrize("change, seen", ({
    "a program that does something else": ({"code": "{{led}}.off()\n{{sleep(t)}}\n"}, "on: "),
    "an error": ({"code": "{{led}}.onn()\n"}, "error: AttributeError"),
    "a check that there is not": ({"check": "- onn: {pin: 1}\n"}, "there is no check onn"),
}.values()))
def test_a_skill_that_fails_its_own_check_says_what_the_board_saw(tmp_path, change, seen):
    own = tasks.load(with_mine(tmp_path, {**BLINK, **change}))
    assert seen in make.one(own, 1, 1, "my-blink")[1]
