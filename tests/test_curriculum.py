"""The curriculum: words, values, what is kept from the exam, and that each skill makes programs that do what was asked."""

import dataclasses
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import yaml

from pipeline.core.errors import UserError
from pipeline.core.files import read_json, read_jsonl
from pipeline.curriculum import (
    compose,
    composer,
    grammar,
    held_out,
    make,
    parts,
    program,
    reader,
    rules,
    surface,
    tasks,
    templates,
    values,
)

REPOSITORY = Path(__file__).resolve().parent.parent
DRAWS = 12
WRONG = 0.03  # share of the draws that may do something else than their check says
EXCUSED = ("unfit", "longer", "a wording", "a composition")  # draws that do not go together, or are not to be taught


@pytest.fixture(scope="module")
def curriculum():
    return reader.load(REPOSITORY / "tasks")


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form, said",
    {
        "base": "blink it, wait and go",
        "s": "blinks it, waits and goes",
        "ing": "blinking it, waiting and going",
        "to": "to blink it, wait and go",
        "should": "should blink it, wait and go",
    }.items(),
)
def test_a_clause_takes_the_form_of_its_sentence(form, said):
    assert grammar.inflect("~blink it, ~wait and ~go", form) == said


@pytest.mark.parametrize(
    "verb, third, gerund",
    [
        ("be", "is", "being"),
        ("have", "has", "having"),
        ("flash", "flashes", "flashing"),
        ("run", "runs", "running"),
        ("make", "makes", "making"),
        ("try", "tries", "trying"),
        ("play", "plays", "playing"),
        ("see", "sees", "seeing"),
    ],
)
def test_verbs(verb, third, gerund):
    assert (grammar.third(verb), grammar.gerund(verb)) == (third, gerund)


def test_every_choice_is_made():
    words = {"colour": ["red", "[dark|light] blue"]}
    found = {grammar.expand("[a|the|] <colour> {led} [on|off]", Random(seed), words) for seed in range(300)}
    assert len(found) == 3 * 3 * 2 and all("{led}" in each and "[" not in each and "<" not in each for each in found)


def test_an_unknown_phrase_is_told():
    with pytest.raises(UserError, match=r"<colur>: no such phrase.*did you mean 'colour'"):
        grammar.expand("<colur>", Random(1), {"colour": ["red"]})


# --- values -----------------------------------------------------------------------------------------------------------


def test_no_value_of_the_exam_is_drawn():
    rng, away = Random(1), held_out.held_out()
    for _ in range(3000):
        assert round(values.time(rng, 0.02, 10).value * 1000) not in away.milliseconds
        assert values.rate(rng, 1, 20).more["times"] not in away.rates
        assert values.times(rng, 2, 20).value not in away.counts and values.count(rng, 2, 20).value not in away.counts
        assert round(values.percent(rng, 1, 100).value * 100) not in away.percents
        assert (
            values.hertz(rng, 100, 2000).value not in away.hertz
            and values.degrees(rng, 0, 180).value not in away.degrees
        )
        assert (
            values.centimetres(rng, 5, 60).value not in away.centimetres
            and tuple(values.colour(rng).value) not in away.colours
        )
        assert values.text(rng, ["Kiwi", "mango", "tea"], 1, 2).value.lower() not in away.texts


@pytest.mark.parametrize("ms", [50, 250, 500, 1000, 1500, 2000, 60_000])
def test_the_program_waits_as_long_as_the_request_says(ms):
    for seed in range(40):
        drawn = values.say_time(Random(seed), ms)
        slept = []
        exec(
            drawn.sleep,
            {"time": SimpleNamespace(sleep=lambda s, slept=slept: slept.append(s * 1000), sleep_ms=slept.append)},
        )
        assert slept == [ms] and drawn.value == ms / 1000


def test_a_range_that_is_all_the_exams_is_told():
    n = min(held_out.held_out().counts)
    with pytest.raises(UserError, match=f"no value can be drawn .* {n}$"):
        values.count(Random(1), n, n)
    with pytest.raises(UserError, match=r"no round number of milliseconds from 0\.011 to 0\.012 s"):
        values.time(Random(1), 0.011, 0.012)


# --- the surface of a request -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, tidied",
    [
        ("blink  it , please..", "Blink it, please."),
        ("wait. then every a second, . go", "Wait. Then every second. Go"),
        ("gp3 is on. pin pin 4 too", "gp3 is on. Pin 4 too"),
        ("count 1..6. then stop..", "Count 1..6. Then stop."),
    ],
)
def test_doubled_signs_go(text, tidied):
    assert surface.tidy(text) == tidied


@pytest.mark.parametrize("noun", ("ultrasonic sensor", "LED", "OLED", "hot wire", "UART", "USB plug", "servo"))
def test_a_noun_has_its_article(noun):
    said = {surface.article(Random(seed), noun, False) for seed in range(100)}
    assert {each for each in said if each.startswith("a")} == {"an " if noun[0] in "uLO" else "a "}, noun


def test_what_the_program_copies_is_never_spoiled():
    kept = ['"Hello There"', "GP15", "sensors/Kitchen", "(255, 0, 10)", "SomeWiFi"]
    text = f"Show {kept[0]} on GP15, publish to sensors/Kitchen in (255, 0, 10) over {surface.MARK}SomeWiFi{surface.END} again and again."
    found = {surface.spoil(Random(seed), text) for seed in range(900)}
    assert len(found) > 20 and all(each in one for one in found for each in kept)


# --- parts and programs -----------------------------------------------------------------------------------------------


def test_no_pin_is_drawn_twice_and_none_of_the_exams():
    for board in ("pico", "pico_w", "esp32"):
        for seed in range(20):
            pins = parts.Pins(board, Random(seed))
            bus = pins.draw({"sda": "sda", "scl": "scl"})
            others = {"a": "row", "b": "row", "c": "row"}, {"a": "near", "b": "near"}, {"a": "out"}
            found = [bus["sda"], bus["scl"], *(pin for kinds in others for pin in pins.draw(kinds).values())]
            assert len({*found}) == 8 and not {*found} & {*held_out.held_out().pins[board]}
    with pytest.raises(parts.Unfit, match="no pin left for adc"):
        parts.Pins("pico", Random(1)).draw({f"p{n}": "adc" for n in range(5)})


def test_a_program_imports_what_it_uses_and_no_more():
    made = program.assemble(
        ["led = Pin(2, Pin.OUT)", "count = tell(0)"],
        ["def tell(n):\n    print(n)\n", "def tell(n):\n    print(n)\n"],
        'time.sleep(1)\nprint("json.dumps")  # math.pi\n',
    )
    assert made == (
        "from machine import Pin\nimport time\n\nled = Pin(2, Pin.OUT)\n\ndef tell(n):\n    print(n)\n\n"
        'count = tell(0)\n\ntime.sleep(1)\nprint("json.dumps")  # math.pi\n'
    )


def test_a_check_looks_a_little_inside_its_edges():
    assert (
        templates.window(1, 3) == "from: 1.0500, to: 2.9500" and templates.window(0, 0.1) == "from: 0.0150, to: 0.0850"
    )


# --- pairs ------------------------------------------------------------------------------------------------------------


def test_each_skill_makes_pairs_that_do_as_they_say(curriculum):
    """Of a few draws of each skill one at least is kept."""
    poor = {}
    for name in curriculum.skills:
        told = []
        while None not in told and len(told) < 4:
            told.append(make.one(curriculum, 3, len(told), name)[1])
        if None not in told:
            poor[name] = told
    assert not poor


def test_each_rule_makes_pairs_that_do_as_they_say(curriculum):
    """Alone or with others."""
    poor = {}
    for name in curriculum.rules:
        told = []
        while None not in told and len(told) < 6:
            told.append(make.one(curriculum, 3, len(told), name)[1])
        if None not in told:
            poor[name] = told
    assert not poor


def test_rules_share_a_loop_or_have_a_task_each():
    blink, say, watch = (
        rules.Ruled("blink", "", "led.toggle()", values.say_time(Random(1), 500), False),
        rules.Ruled("say", "n = 0", "n += 1\nprint(n)", values.say_time(Random(1), 2000), False),
        rules.Ruled("watch", "", "led.value(button.value())", None, False),
    )
    assert rules.as_loop([watch]) == "while True:\n    led.value(button.value())\n    time.sleep_ms(20)"
    assert rules.as_loop([blink]) == f"while True:\n    led.toggle()\n    {blink.pause.sleep}"
    shared = rules.as_loop([blink, say, watch])
    assert shared.startswith(
        "last = time.ticks_ms()\nlast2 = time.ticks_ms()\nn = 0\nwhile True:\n    if time.ticks_diff("
    )
    assert shared.count("while") == shared.count("sleep") == 1 and "        n += 1\n        print(n)\n" in shared
    tasks_each = rules.as_tasks([say, watch])
    assert "async def say():\n    n = 0\n    while True:\n        n += 1\n" in tasks_each
    assert "await asyncio.gather(say(), watch())" in tasks_each and "time.sleep" not in tasks_each


COMMENT = re.compile(r"^ *# .*\n", re.MULTILINE)


def draws(curriculum, count: int, quoted: float) -> Iterator[composer.Pair]:
    for number in range(count):
        try:
            yield compose.pair(curriculum, 9, number, several=0.3, longest=10_000, quoted=quoted)
        except parts.Unfit:
            continue


def test_programs_quote_the_request_in_comments_and_are_the_same_without(curriculum):
    with_, without = (
        [pair for pair in draws(curriculum, 60, quoted) if pair.intents != ["cannot"]] for quoted in (1, 0)
    )
    assert [pair.request for pair in with_] == [pair.request for pair in without]
    assert [COMMENT.sub("", pair.program) for pair in with_] == [COMMENT.sub("", pair.program) for pair in without]
    assert all(COMMENT.search(pair.program) for pair in with_)
    for pair in with_:
        said = [comment.strip()[2:] for comment in COMMENT.findall(pair.program)]
        assert {number for words in said for number in re.findall(r"\d+", words)} <= set(
            re.findall(r"\d+", pair.request)
        )


def test_what_is_too_long_is_drawn_again(curriculum):
    told = [make.one(curriculum, 9, number, several=0.3, longest=450)[0] for number in range(120)]
    made = [pair for pair in told if pair]
    assert len(made) > 110 and all(len(pair.request) + len(pair.program) <= 450 for pair in made)
    refused = sum(pair.intents == ["cannot"] for pair in made)
    assert refused == pytest.approx(compose.CANNOT * len(told), abs=9)  # is still as often what cannot be met


def test_what_is_never_short_enough_is_told(curriculum):
    assert make.one(curriculum, 9, 3, "led-blink-times", longest=60) == (None, "unfit: longer than 60 characters")


def test_a_request_speaks_of_the_board_that_its_program_is_for(curriculum):
    named = {"esp32": 0, "pico_w": 0, "pico": 0}
    clauses = dataclasses.replace(curriculum, asked=[])  # whose frames name a Pico, too
    for pair in [*draws(curriculum, 300, 1), *draws(clauses, 300, 1)]:
        if pair.intents != ["cannot"]:
            words = re.sub(r"\"[^\"]*\"|'[^']*'|\S*/\S*", "", pair.request)  # texts and topics may be called pico
            found = re.findall(r"(?i)esp32|pico ?w\b|(?:raspberry pi|my|the|this|our) pico\b(?! w)|rp2040", words)
            for each in found:
                board = "esp32" if each.lower() == "esp32" else "pico_w" if each[-1] in "wW" else "pico"
                assert board == pair.board, pair.request
                named[board] += 1
    assert named["esp32"] > 10 and named["pico_w"] > 5 and named["pico"]


def test_what_is_often_asked_is_drawn_so_often_however_long(curriculum):
    long = [skill for skill in curriculum.of("program") if skill.intent in ("ultrasonic-print", "button-toggle")]
    share = sum(curriculum.weights[skill.name] for skill in long)
    share /= sum(curriculum.weights[skill.name] for skill in curriculum.of("program"))
    clauses = dataclasses.replace(curriculum, asked=[])
    made = [pair for number in range(400) if (pair := make.one(clauses, 3, number, longest=600)[0])]
    told = Counter(intent for pair in made for intent in pair.intents)
    drawn = (told["ultrasonic-print"] + told["button-toggle"]) / len(made)
    assert drawn > share * compose.PROGRAMS / 4, (drawn, share)  # of those that are never short enough, none


def test_what_people_ask_often_is_drawn_often(curriculum):
    def share(intent: str) -> float:
        of = [skill for skill in curriculum.of("program") if skill.intent == intent]
        return sum(curriculum.weights[skill.name] for skill in of) / len(of) ** tasks.MANY

    assert share("button-led") / share("hall") == pytest.approx(
        curriculum.often["button-led"] / curriculum.often["hall"]
    )
    assert share("keypad") == pytest.approx(1) and "keypad" not in curriculum.often


@pytest.mark.parametrize(
    "content, words",
    (
        pytest.param("blnik: 2\n", ["blnik", "no skill has this intent", "'blink'"], id="unknown intent"),
        pytest.param("blink: 0\n", ["blink", "must be a number above 0", "0"], id="never"),
        pytest.param("blink: often\n", ["blink", "must be a number above 0", "'often'"], id="no number"),
        pytest.param("- blink\n", ["must map intents to numbers"], id="a list"),
    ),
)
def test_a_fault_in_how_often_is_told(tmp_path, content, words):
    folder = with_mine(tmp_path, BLINK)
    (folder / "mine/often.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        reader.load(folder)
    for word in ["mine/often.yaml", *words]:
        assert word in str(error.value)


def test_a_bus_without_a_number_is_soft(curriculum):
    for number in range(30):
        made, _ = make.one(curriculum, 8, number, "oled-text")
        said = re.search(r"(?i)(?:i2c|bus) ?\d", made.request)
        assert ("SoftI2C(" in made.program) == (said is None), made.request


def test_a_line_of_a_display_holds_its_text():
    assert max(len(values.text(Random(seed), ["supercalifragi", "moon"], 1, 3, 16).value) for seed in range(200)) <= 16


def test_hardly_a_draw_is_wrong(curriculum):
    told = [make.one(curriculum, 5, number, several=0.4)[1] for number in range(150)]
    wrong = [why for why in told if why and not why.startswith(EXCUSED)]
    assert len(wrong) <= WRONG * len(told), wrong


def test_what_belongs_to_the_exam_is_left_out():
    for request in ("The LED on pin 3 is to be switched on.", "led / pin 3 / 2 s", "BLINK THE LED ON PIN 3"):
        assert make.belongs_to_exam(make.Pair(request, "", "pico", ["blink"], "")) == "a wording of the exam"
    assert (
        make.belongs_to_exam(make.Pair("Blink, then beep", "", "pico", ["blink", "print", "buzzer-tone"], ""))
        == "a composition of the exam"
    )
    assert make.belongs_to_exam(make.Pair("Blink the LED", "", "pico", ["blink", "print"], "")) is None


def written(folder: Path, curriculum, workers: int, monkeypatch) -> list[dict]:
    monkeypatch.setattr(make, "WORKERS", workers)
    monkeypatch.setattr(make, "BATCH", 5)
    folder.mkdir()
    for each in ("exam", "boards.lock"):
        (folder / each).symlink_to(REPOSITORY / each)
    monkeypatch.chdir(folder)
    make.write(curriculum, DRAWS, 1, 0.3, 1400)
    return list(read_jsonl(folder / "data/curriculum/train.jsonl"))


def test_the_same_pairs_on_any_number_of_cores(curriculum, tmp_path, monkeypatch):
    one, two = (written(tmp_path / str(workers), curriculum, workers, monkeypatch) for workers in (1, 2))
    assert one == two and len(one) > DRAWS / 2
    told = read_json(tmp_path / "2/metrics/curriculum.json")
    assert told["draws"] == DRAWS and told["pairs"] == len(two)
    assert len(list(read_jsonl(tmp_path / "2/data/curriculum/rejected.jsonl"))) == DRAWS - len(two)


# --- what people write ------------------------------------------------------------------------------------------------

BLINK = {
    "name": "my-blink",
    "intent": "blink",
    "kind": "action",
    "slots": {"led": "led", "t": {"time": [0.1, 1]}},
    "do": ["~blink {led} for {t}"],
    "lasts": "t",
    "code": "{{led}}.on()\n{{sleep(t)}}\n{{led}}.off()\n",
    "check": "- on: {pin: {{led}}, {{window(t0, t1)}} }\n",
}


def with_mine(tmp_path: Path, *entries: dict) -> Path:
    """A folder of tasks with these entries, and no more of ours than a form and a device need; all of them take seconds to read."""
    folder = tmp_path / "tasks"
    shutil.copytree(REPOSITORY / "tasks/devices", folder / "devices")
    shutil.copy(REPOSITORY / "tasks/words.yaml", folder)
    forms = yaml.safe_load((REPOSITORY / "tasks/forms.yaml").read_text())
    (folder / "forms.yaml").write_text(yaml.safe_dump([form for form in forms if form["name"] == "once"]))
    (folder / "mine").mkdir()
    (folder / "mine/own.yaml").write_text(yaml.safe_dump([{**BLINK, "name": "another"}, *entries]))
    return folder


def test_own_skills_are_taught_too(tmp_path):
    own = reader.load(with_mine(tmp_path, BLINK))
    made, why = make.one(own, 1, 1, "my-blink")
    assert why is None and ".on()" in made.program


@pytest.mark.parametrize(
    "change, words",
    (
        {
            "unknown slot": ({"do": ["~blink {lamp}"]}, ["do", "{lamp}"]),
            "unknown phrase": (
                {"do": ["~blink {led} <agian-and-again>"]},
                ["do", "<agian-and-again>", "again-and-again"],
            ),
            "unknown device": ({"slots": {"led": "lde", "t": {"time": [0.1, 1]}}}, ["slots.led", "'lde'", "'led'"]),
            "unknown kind of value": (
                {"slots": {"led": "led", "t": {"tiem": [0.1, 1]}}},
                ["slots.t", "'tiem'", "'time'"],
            ),
            "too few arguments": (
                {"slots": {"led": "led", "t": {"time": [0.1]}}},
                ["slots.t", "time: must be [low, high], not [0.1]"],
            ),
            "no words": ({"do": []}, ["do", "missing"]),
            "unknown key": ({"chekc": "x"}, ["chekc", "unknown key", "check"]),
            "twice": ({"name": "another"}, ["another: name", "another of this name"]),
        }.values()
    ),
)
def test_a_fault_is_told_with_file_entry_and_key(tmp_path, change, words):
    with pytest.raises(UserError) as told:
        reader.load(with_mine(tmp_path, {**BLINK, **change}))
    said = str(told.value)
    assert "mine/own.yaml" in said and all(word in said for word in words), said


ASKED = {
    "of": "forever(led-flash)",
    "say": [
        "Hi! A lamp for my [ship|boat] hangs on {led.pin}. *Let it shine for {on}, be dark for {off}*, [and so on|for ever]."
    ],
}


def asking(tmp_path, entry: dict) -> tasks.Curriculum:
    """The curriculum with these whole requests alone."""
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump([entry]))
    return reader.load(REPOSITORY / "tasks", path)


def test_a_whole_request_is_said_as_it_stands_and_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "SLIP", 0)
    monkeypatch.setattr(surface, "NO_ARTICLES", 0)
    curriculum = asking(tmp_path, ASKED)
    for number in range(DRAWS):
        made, why = make.one(curriculum, 1, number, curriculum.asked[0])
        assert why is None, why
        said = re.search(
            r"hangs on (\S+(?: \S+)?)\. (Let it shine for .+, be dark for .+), (?:and|for)", made.request, re.IGNORECASE
        )
        pin = re.search(r"Pin\(\"?(\w+)", made.program)[1]
        assert said and pin in said[1], made.request
        comments = [line for line in made.program.lower().splitlines() if line.startswith("#")]
        assert comments == [] or (comments[0].endswith(said[1].lower()) and comments[1] == f"# {said[2].lower()}"), (
            made.program
        )


def test_so_many_of_what_can_be_met_are_asked_in_whole(curriculum):
    plain = dataclasses.replace(
        curriculum, asked=[tasks.Asked(of="once(led-flash)", say=["*flash {led}, {on} on, {off} off*"])]
    )
    made_of = [compose.pair(plain, 1, number).made_of for number in range(200)]
    met = [each for each in made_of if each != "cannot"]
    assert abs(met.count("once(led-flash)") / len(met) - compose.WHOLE) < 0.1


@pytest.mark.parametrize(
    "change, words",
    (
        {
            "an unknown program": ({"of": "led-flsh"}, ["of: no skill 'led-flsh'", "'led-flash'"]),
            "an unknown form": ({"of": "forver(led-flash)"}, ["of: no form 'forver'", "'forever'"]),
            "an action alone": ({"of": "led-flash"}, ["is of kind action", "once(led-flash)"]),
            "too few skills": ({"of": "then(led-flash)"}, ["then takes 2 skills, not 1"]),
            "a skill that does not fit": ({"of": "forever(led-on-off)"}, ["led-on-off is no action"]),
            "an unknown slot": ({"say": ["*{led} {on} {off} {of}*"]}, ["no slot {of}", "'off'"]),
            "a slot that is not said": ({"say": ["*{led}, {on} on*"]}, ["{off} is not said"]),
            "a pin that is not said": ({"say": ["*the {led.noun}, {on} on, {off} off*"]}, ["{led}: pin not said"]),
            "another's pin": (
                {"say": ["*the LED on {led.trigger}, {on} on, {off} off*"]},
                ["{led} has pin, not trigger"],
            ),
            "one star": ({"say": ["*{led}, {on} on, {off} off"]}, ["a star that no other follows"]),
            "an unknown phrase": ({"say": ["*{led}, {on} on, {off} off* <pls-pls>"]}, ["no phrase <pls-pls>"]),
            "nothing said": ({"say": []}, ["say"]),
        }.values()
    ),
)
def test_a_fault_of_a_whole_request_is_told_with_file_entry_and_key(tmp_path, change, words):
    entry = {**ASKED, **change}
    with pytest.raises(UserError) as told:
        asking(tmp_path, entry)
    assert all(word in str(told.value) for word in ["own.yaml", entry["of"], *words]), str(told.value)


@pytest.mark.parametrize(
    "change, seen",
    (
        {
            "a program that does something else": ({"code": "{{led}}.off()\n{{sleep(t)}}\n"}, "on: "),
            "an error": ({"code": "{{led}}.onn()\n"}, "error: AttributeError"),
            "a name that there is not": ({"code": "{{led}}.on()\n{{sleep(tt)}}\n"}, "template: 'tt' is undefined"),
            "a length that is none": ({"lasts": "led.t"}, "template: 'led.t': must be a number of seconds"),
            "a check that there is not": (
                {"check": "- onn: {pin: 1}\n"},
                "there is no check 'onn'; did you mean 'on'?",
            ),
        }.values()
    ),
)
def test_a_skill_that_fails_its_own_check_says_what_the_board_saw(tmp_path, change, seen):
    own = reader.load(with_mine(tmp_path, {**BLINK, **change}))
    assert seen in make.one(own, 1, 1, "my-blink")[1]
