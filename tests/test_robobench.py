"""The tasks of exam/ are right: each solution passes and each wrong program fails; and whoever writes one is told what is wrong with it."""

import re
from collections import Counter
from pathlib import Path

import pytest
from project import REPOSITORY
from ruamel.yaml import YAML

from pipeline.board import image
from pipeline.core.config import read_yaml
from pipeline.core.errors import UserError
from pipeline.core.schema import EXAM_SETS
from pipeline.core.workers import each
from pipeline.evaluation import robobench
from pipeline.evaluation.robobench import asked, is_code, judge, load, may_be_seen, program_of

FILES = sorted((REPOSITORY / "exam").glob("*/*.yaml"))
SOLUTION = "from machine import Pin\nimport time\n\nled = Pin(15, Pin.OUT)\nwhile True:\n    led.toggle()\n    time.sleep(0.5)\n"
TASK = {
    "id": "blink",
    "intent": "blink",
    "level": "easy",
    "speaker": "beginner",
    "request": "Blink the LED on pin 15, twice a second.",
    "board": "pico",
    "seconds": 4,
    "check": [{"blinks": {"pin": 15, "on": 0.5, "off": 0.5}}],
    "solution": SOLUTION,
    "wrong": {"replace": "Pin(15", "by": "Pin(14"},
}
DROP = object()


def write(folder: Path, *tasks: dict, exam_set: str = "people", file: str = "a.yaml") -> Path:
    (folder / exam_set).mkdir(parents=True, exist_ok=True)
    YAML().dump(list(tasks), folder / exam_set / file)
    return folder


def task(**changes) -> dict:
    return {key: value for key, value in {**TASK, **changes}.items() if value is not DROP}


@pytest.fixture
def one(tmp_path):
    return load(write(tmp_path, TASK))[0]


# --- the exam ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exam():
    return load(REPOSITORY / "exam")


def programs(file: Path, tasks) -> list[tuple]:
    return [
        (each, program) for each in tasks if each.path == str(file) for program in (each.solution, *each.mistakes())
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_each_solution_passes_and_each_wrong_program_fails(file, exam):
    checked, said = programs(file, exam), []
    for each_task, program in checked:
        judged = judge(each_task, program)
        if judged.passed != (program == each_task.solution):
            said.append(
                f"{each_task.place}: {[r.said for r in judged.results if not r.ok]} {judged.run.errors} {judged.run.lacks}\n{program}"
            )
    assert checked
    assert not said, "\n".join(said)


def test_solutions_are_short(exam):
    assert not [each.place for each in exam if len([line for line in each.solution.splitlines() if line.strip()]) >= 40]


def test_the_peoples_tasks_are_their_requests_word_for_word(exam):
    asked = {each["id"]: each for each in read_yaml(REPOSITORY / "exam/requests.yaml")}
    tasks = {each.id: each for each in exam if each.set == "people"}
    assert len(tasks) >= 240 and len({each.intent for each in tasks.values()}) >= 40
    assert {name: (each.request, each.intent, each.board) for name, each in tasks.items()} == {
        name: (each["request"], each["intent"], each["board"]) for name, each in asked.items()
    }


def test_the_exam_holds_out_what_it_says(exam):
    """Each wording task is worded in one of the ways that the curriculum leaves out, and no other task is; each composition joins one of
    the pairs of intents."""
    held = read_yaml(REPOSITORY / "exam/held_out.yaml")
    patterns = {each["name"]: re.compile(each["regex"]) for each in held["wordings"]}
    assert all(patterns[each["name"]].search(each["example"]) for each in held["wordings"])
    seen = {
        each.id: [name for name, pattern in patterns.items() if pattern.search(each.request)]
        for each in exam
        if each.set not in ("people", "dev")
    }
    assert all(len(names) == (1 if name.startswith("wording") else 0) for name, names in seen.items())
    assert {names[0] for names in seen.values() if names} == set(patterns)
    joined = Counter(each.intent for each in exam if each.set == "compositions")
    assert joined == {f"{first}-and-{second}": 2 for first, second in held["compositions"]}
    assert [round(1000 * each) for each in held["values"]["seconds"]] == held["values"]["milliseconds"]


def test_about_a_tenth_of_the_people_s_tasks_may_be_looked_at():
    seen = [may_be_seen("people", f"task-{number}") for number in range(1000)]
    assert 70 < sum(seen) < 130 and seen == [may_be_seen("people", f"task-{number}") for number in range(1000)]
    assert all(
        may_be_seen(other, f"task-{number}") for other in EXAM_SETS if other != "people" for number in range(100)
    )


# --- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program, passed, parsed",
    [
        (SOLUTION, True, True),
        (SOLUTION.replace("0.5", "0.2"), False, True),
        (SOLUTION.replace("while True:", "while True"), False, False),
        (SOLUTION.replace("    led.toggle()", "led.toggle()"), False, False),
        (SOLUTION.replace("led.toggle()", "led.switch()"), False, True),
        ("exec('x = = 1')\n", False, True),  # an error of its own, after MicroPython took it
        ("", False, False),
        ("# a blinking light\n\n", False, False),
    ],
)  # compiles, and says nothing
def test_what_passes_and_what_parses(one, program, passed, parsed):
    judged = judge(one, program)
    assert (judged.passed, judged.parsed) == (passed, parsed)
    assert judged.passed == all(result.ok for result in judged.results)


def test_what_the_board_has_and_the_simulation_has_not_counts_apart(one):
    """But not where the real board lacks it too."""
    missing = next(names for module, *_, names in image.coverage("pico") if module == "machine")
    name = next(name for name in missing if "." not in name)
    use = f"import machine\ntry:\n    machine.{name}()\nexcept NotImplementedError:\n    pass\n"
    assert judge(one, use).lacks == [f"machine.{name}"] and not judge(one, use).passed
    assert judge(one, "import machine\nmachine.no_such_name\n").lacks == []


def test_names_that_the_board_has_not_are_told(one):
    judged = judge(
        one,
        SOLUTION.replace("led.toggle()", "led.duty(512)").replace(
            "import time", "import time, machine\nmachine.blink(15)"
        ),
    )
    assert {name.dotted for name in judged.names if not name.exists} >= {"machine.blink"}
    assert any(name.exists for name in judged.names)


def passes(item) -> bool:
    return judge(*item).passed


def test_verdicts_do_not_depend_on_how_many_judge(one):
    work = [
        (one, program) for program in (SOLUTION, "", SOLUTION.replace("15", "14"), "while True: pass\n", SOLUTION) * 4
    ]
    assert (
        list(each(passes, work, workers=1))
        == list(each(passes, work, workers=3))
        == [True, False, False, False, True] * 4
    )


# --- from an answer to a program --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, options, program",
    [
        ("x = 1\ny = 2", {}, "x = 1\ny = 2"),
        ("x = 1\ny = 2", {"cut": True}, "x = 1\n"),  # the limit of tokens cut it in a line
        ("x = 1\ny = 2", {"prompt": "# set x\n"}, "# set x\nx = 1\ny = 2"),
        ("```python\nx = 1\n```\n", {}, "```python\nx = 1\n```\n"),  # who does not chat has no fences
        ("Here:\n```python\nx = 1\n```\nand\n```python\ny = 2\n```", {"chat": True}, "x = 1\n"),
        ("```\nx = 1\n```", {"chat": True}, "x = 1\n"),
        ("```micropython\nx = 1\ny = 2", {"chat": True, "cut": True}, "x = 1\n"),
        ("```py\nx = '''```'''\n```", {"chat": True}, "x = '''```'''\n"),
        ("x = 1\n", {"chat": True}, "x = 1\n"),
        ("", {"chat": True}, ""),
        ("", {"cut": True}, ""),
    ],
)
def test_the_program_in_an_answer(answer, options, program):
    assert program_of(answer, **options) == program


def test_a_request_is_asked_in_one_line(one):
    two = one.model_copy(update={"request": "Blink the LED.\n  It is on pin 15!\n"})
    assert asked("# {board}: {request}\n", two) == "# Raspberry Pi Pico: Blink the LED. It is on pin 15!\n"


@pytest.mark.parametrize(
    "prompt, code",
    [("# {request}\n", True), ('"""{request}"""\nfrom machine import Pin\n', True), ("Q: {request}\nA:", False)],
)
def test_a_prompt_that_is_code_belongs_to_the_program(prompt, code):
    assert is_code(prompt) is code


# --- wrong input ------------------------------------------------------------------------------------------------------

WRONG = {
    "no check": ({"check": DROP}, ["check: missing"]),
    "an empty check": ({"check": []}, ["check", "at least 1"]),
    "an unknown predicate": ({"check": [{"blink": {"pin": 15}}]}, ["check", "blink", "did you mean 'blinks'"]),
    "a pin that the board lacks": ({"check": [{"blinks": {"pin": 40, "on": 0.5, "off": 0.5}}]}, ["check", "no pin 40"]),
    "an input at a pin that the board lacks": (
        {"inputs": [{"button": {"pin": 40, "pressed": [1.0]}}]},
        ["inputs", "no pin 40"],
    ),
    "times going backwards": (
        {"inputs": [{"button": {"pin": 14, "pressed": [2.0, 1.0]}}]},
        ["inputs", "button.pressed", "backwards"],
    ),
    "an unknown board": ({"board": "pico_x"}, ["board", "pico_x", "did you mean 'pico"]),
    "an unknown level": ({"level": "eazy"}, ["level: 'eazy' is not known", "did you mean 'easy'"]),
    "an unknown key": ({"requst": "blink"}, ["requst: unknown key", "did you mean 'request'"]),
    "no seconds": ({"seconds": 0}, ["seconds", "greater than 0"]),
    "a wrong program without what to replace": ({"wrong": {"by": "14"}}, ["wrong.replace: missing"]),
    "a wrong program that is the right one": (
        {"wrong": {"replace": "GP15", "by": "GP14"}},
        ["wrong", "changes nothing"],
    ),
    "no request": ({"request": ""}, ["request", "more than blanks"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named(tmp_path, case):
    changes, words = WRONG[case]
    with pytest.raises(UserError) as raised:
        load(write(tmp_path, task(**changes)))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/people/a.yaml: blink: "), message
    for word in words:
        assert word in message, message
    assert len(message.splitlines()) == 1, message


def test_all_faults_of_all_files_are_told_at_once(tmp_path):
    write(tmp_path, task(level="eazy"), task(id="other", request="Another.", check=DROP))
    write(tmp_path, task(id="third", request="A third.", board="pica"), file="b.yaml")
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    assert [line.split(": ")[1] for line in str(raised.value).splitlines()] == ["blink", "other", "third"]


@pytest.mark.parametrize(
    "second, what",
    [
        ({"request": "Another."}, "id"),
        ({"id": "other", "request": "blink the LED on pin 15 twice a second"}, "request"),
    ],
)
def test_the_same_task_twice(tmp_path, second, what):
    write(tmp_path, TASK)
    write(tmp_path, task(**second), exam_set="values")
    with pytest.raises(UserError, match=rf"values/a.yaml: \w+: {what}: the same as .*people/a.yaml: blink"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"- id: \xff\n", ["not UTF-8"]),
        (b"- [\n", ["line", "not valid YAML"]),
        (b"id: blink\n", ["must be a list of tasks"]),
        (b"", ["must be a list of tasks"]),
        (b"- blink\n", ["must be a list of tasks"]),
    ],
)
def test_a_file_that_is_no_list_of_tasks(tmp_path, content, words):
    write(tmp_path, TASK)
    (tmp_path / "people/z.yaml").write_bytes(content)
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/people/z.yaml: ") and all(
        word in str(raised.value) for word in words
    )


def test_sets_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no tasks there; a set is a folder of it"):
        load(tmp_path)
    write(tmp_path, TASK)
    with pytest.raises(UserError, match="peopel: no tasks there; did you mean 'people'"):
        load(tmp_path, ["peopel"])
    with pytest.raises(UserError, match="values: no tasks there"):
        load(tmp_path, ["people", "values"])
    assert len(load(tmp_path, ["people"])) == 1
    write(tmp_path, TASK, exam_set="poeple")
    with pytest.raises(UserError, match="poeple: no set of the exam; did you mean 'people'"):
        load(tmp_path)


def test_robobench_says_which_keys_there_are():
    assert set(TASK) | {"inputs", "notes"} == set(robobench.Entry.model_fields)


def test_what_an_editor_leaves_is_no_file_of_tasks(tmp_path):
    write(tmp_path, TASK)
    (tmp_path / "people/.#tasks.yaml").symlink_to("user@host.123")
    assert len(load(tmp_path)) == 1
