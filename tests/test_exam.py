"""Asking the exam: the same answers however it is asked, figures that count right, and a report that shows what may be seen and no more."""

import csv
import io
import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from chain import REPOSITORY
from test_robobench import SOLUTION, TASK, task, write
from tiny import CODE, DOCUMENTS, make_model

from flows import exam as command
from pipeline.board.compiler import refusal
from pipeline.core.errors import UserError
from pipeline.core.workers import each
from pipeline.evaluation import answer, completions, contamination, exam, marks
from pipeline.evaluation.ask import Answer, Gguf
from pipeline.evaluation.robobench import Task, load, may_be_seen
from pipeline.export.gguf import write_gguf
from pipeline.export.llama import LlamaFile
from pipeline.export.tokenization import load_vocabulary

TEMPLATE = "# {request}\n"
NEW = 24
CHATTY = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"


@dataclass(frozen=True)
class Says:
    """A model that knows one answer."""

    text: str
    cut: bool = False
    chat: bool = False

    def ask(self, prompt: str) -> Answer:
        return Answer(self.text, self.cut)


def people(*names: str, **changes) -> list[Task]:
    """Tasks of the people's set by their ids."""
    return [
        Task(**task(id=name, request=f"Please, {name}.", **changes), set="people", path="exam/people/a.yaml")
        for name in names
    ]


def seen_and_unseen() -> tuple[str, str]:
    names = [f"task-{number}" for number in range(50)]
    return next(name for name in names if may_be_seen("people", name)), next(
        name for name in names if not may_be_seen("people", name)
    )


def rows_of(model, tasks: list[Task], beginnings: dict[str, str] | None = None) -> list[dict]:
    return [answer.examine(model, question) for question in answer.questions(tasks, TEMPLATE, beginnings or {})]


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chatty(tmp_path_factory, tiny_tokenizer):
    """A GGUF file with a chat template."""
    path = tmp_path_factory.mktemp("chatty") / "chatty.gguf"
    write_gguf(make_model(), load_vocabulary(tiny_tokenizer), path, "f16", {"tokenizer.chat_template": CHATTY})
    return path


def test_answers_are_llama_cpps_one_at_a_time_whoever_asks(tiny_gguf):
    path, prompts = (
        tiny_gguf / "model-f16.gguf",
        [f"# {text}\n" for text in ("blink", "a servo", "read the sensor, please", "stop")] * 3,
    )
    with LlamaFile(path, as_served=True) as file:
        alone = [file.decode(file.generate(file.encode(prompt), NEW)).decode("utf-8", "replace") for prompt in prompts]
    assert len(set(alone)) > 1
    for workers in (1, 3):
        assert [said.text for said in each(Gguf(path, NEW).ask, prompts, workers)] == alone


def test_two_files_take_turns(tiny_gguf):
    models = {kind: Gguf(tiny_gguf / f"model-{kind}.gguf", NEW) for kind in ("f16", "q8_0")}
    alone = {kind: list(each(model.ask, ["# blink\n"] * 2, 1)) for kind, model in models.items()}
    turns = list(each(partial(asked_of, models), [("f16", "# blink\n"), ("q8_0", "# blink\n")] * 2, 1))
    assert turns == [alone["f16"][0], alone["q8_0"][0]] * 2


def asked_of(models, item):
    return models[item[0]].ask(item[1])


def test_an_answer_ends_at_the_limit_or_with_the_context(tiny_gguf):
    model = Gguf(tiny_gguf / "model-f16.gguf", 1000)
    assert model.ask("# blink\n").cut and Gguf(tiny_gguf / "model-f16.gguf", 4).ask("# blink\n").cut
    said = model.ask("# blink the light\n" * 200)
    assert said.text == "" and "tokens, and the model sees 256" in said.failed


def test_a_chat_template_is_the_file_s_own(chatty, tiny_gguf):
    with LlamaFile(chatty) as file:
        assert file.chat("Blink!") == "<user>Blink!</user><bot>"
        expected = file.decode(file.generate(file.encode("<user>Blink!</user><bot>"), NEW)).decode("utf-8", "replace")
    (said,) = each(Gguf(chatty, NEW, chat=True).ask, ["Blink!"], 1)
    assert said.text == expected
    with pytest.raises(UserError, match="has no chat template"):
        list(each(Gguf(tiny_gguf / "model-f16.gguf", NEW, chat=True).ask, ["Blink!"], 1))


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ raise_exception('no user') }}", "{{ messages[0]['content'].pop() }}"]
)
def test_a_broken_chat_template_is_one_message(tmp_path, tiny_tokenizer, template):
    write_gguf(
        make_model(), load_vocabulary(tiny_tokenizer), tmp_path / "a.gguf", "f16", {"tokenizer.chat_template": template}
    )
    with LlamaFile(tmp_path / "a.gguf") as file, pytest.raises(UserError, match="its chat template cannot be used"):
        file.chat("Blink!")


def test_only_the_end_of_text_ends_our_own_answers(tiny_gguf):
    import llama_cpp

    with LlamaFile(tiny_gguf / "model-f16.gguf", vocab_only=True) as file:
        assert [token for token in range(file.vocab_size) if llama_cpp.llama_vocab_is_eog(file.vocab, token)] == [
            file.eos
        ]
        assert file.encode(CODE, as_prompt=True) == file.encode(CODE)


# --- what becomes of an answer ----------------------------------------------------------------------------------------


def test_a_right_answer_passes():
    (row,) = rows_of(Says(SOLUTION), people("blink"))
    assert row["passed"] and row["parsed"] and not row["empty"] and row["names"][0] == row["names"][1] > 0
    assert row["program"] == f"# Please, blink.\n{SOLUTION}"


def test_a_wrong_one_says_why():
    (row,) = rows_of(Says(SOLUTION.replace("Pin(15", "Pin(14") + "\nprint(1 / 0)\n"), people("blink"))
    assert (
        not row["passed"] and row["parsed"] and row["said"][0][0] == "blinks" and row["said"][0][1].startswith("GP15")
    )
    assert row["saw"][0].startswith("GP14 output: ") and "0.50 s" in row["saw"][0]
    (row,) = rows_of(Says("led.on(\n"), people("blink"))
    assert row["said"][0] == ["runs", "SyntaxError: invalid syntax (line 3) at 0.00 s, no error was expected"]
    assert not row["parsed"] and row["names"] == [0, 0]


def test_python_tells_nobody_what_it_thinks_of_an_answer(recwarn):
    (row,) = rows_of(Says("pattern = '\\d'\n"), people("blink", check=[{"source": {"avoids": "sleep"}}]))
    assert row["passed"] and not recwarn.list


def test_what_stands_in_the_prompt_is_not_the_models():
    (question,) = answer.questions(people("blink"), '"""{request}"""\nimport machine\n', {})
    for text, parsed, names in (
        ("", False, [0, 0]),
        ("# a comment\n", False, [0, 0]),
        ("machine.idle()\nmachine.fly()\n", True, [1, 2]),
    ):
        found = answer.examine(Says(text), question)
        assert (found["parsed"], found["names"]) == (parsed, names) and found["program"].endswith(
            f"import machine\n{text}"
        )


def test_an_empty_answer_and_one_that_was_cut():
    assert [row["empty"] for model in (Says(""), Says(" \n")) for row in rows_of(model, people("blink"))] == [
        True,
        True,
    ]
    (row,) = rows_of(Says(f"{SOLUTION}led.of", cut=True), people("blink"))
    assert row["passed"] and not row["program"].endswith("led.of")


def test_of_the_people_s_set_one_in_ten_is_written_down():
    seen, unseen = seen_and_unseen()
    kept = [answer.discreet(row) for row in rows_of(Says(SOLUTION), people(seen, unseen, seconds=1))]
    assert (
        kept[0]["program"]
        and "program" not in kept[1]
        and SOLUTION not in json.dumps(kept[1])
        and kept[1]["passed"] is False
    )
    others = [Task(**task(id=unseen), set="values", path="exam/values/a.yaml")]
    assert answer.discreet(rows_of(Says(SOLUTION), others)[0])["program"]


def test_types_are_held_against_float16():
    def row(exam_set, name, passed, said):
        return {"set": exam_set, "id": name, "passed": passed, "parsed": passed, "answer": said}

    f16 = [
        row("people", "a", True, "1"),
        row("people", "b", True, "2"),
        row("values", "c", False, "3"),
        row("completions", "d", True, "4"),
    ]
    q2 = [
        row("people", "a", True, "9"),
        row("people", "b", False, "8"),
        row("values", "c", True, "7"),
        row("completions", "d", False, "4"),
    ]
    assert answer.compare({"F16": f16, "Q2_K": q2}) == {
        "F16": {"passed": {"people": 2, "values": 0}, "parsed": 2, "changed": 0, "compiles": 1.0},
        "Q2_K": {"passed": {"people": 1, "values": 1}, "parsed": 2, "changed": 3, "compiles": 0.0},
    }
    assert answer.compare({"F16": f16[:3]})["F16"]["compiles"] is None


# --- completions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "completion, good",
    [
        ("led.on()\n", "led.on()\n"),
        ("led.on()\nled.off()\nled.bli", "led.on()\nled.off()\n"),  # cut off in a line
        ("def f():\n    return 1\n\nclass", "def f():\n    return 1\n\n"),
        ("x = 1\ny = 2\ndef g(a,\n", "x = 1\ny = 2\n"),  # cut off in a statement
        ("x = = 1\n", None),
        ("x = 1\ny = = 2\nz = 3\nw = 4\n", None),  # an error in its first half
        ("led.on(", None),  # not a line of its own
        ("\n\n\n", None),  # nothing said
        ("", None),
    ],
)
def test_a_completion_compiles_or_not(completion, good):
    assert completions.good_part("from machine import Pin\nled = Pin(25)\n", completion) == good


def test_beginnings_compile_by_themselves_and_fit(tiny_tokenizer):
    tokenizer = load_vocabulary(tiny_tokenizer).tokenizer
    texts = [CODE, "def f(\n", *DOCUMENTS]
    for most in (16, 64):
        found = completions.beginnings(texts, lambda text: tokenizer.encode(text).ids, len(texts), most)
        assert len(found) >= 4  # the unfinished one gives none
        for prompt in found:
            assert not refusal(prompt) and len(tokenizer.encode(prompt).ids) <= most and prompt.endswith("\n")
            assert prompt.count("\n") <= max(
                len(text.splitlines()) // 3 or 1 for text in texts if text.startswith(prompt)
            )
    assert completions.beginnings(texts, len, 0, 64) == []


def test_names_of_a_completion_are_its_own_and_of_the_board_that_fits():
    esp32 = "import esp32\nfrom machine import Pin\n"
    names = completions.names_after(esp32, "esp32.raw_temperature()\nesp32.fly()\n")
    assert [(name.dotted, name.line, name.exists) for name in names] == [
        ("esp32.raw_temperature", 3, True),
        ("esp32.fly", 4, False),
    ]
    pico = completions.names_after("import rp2\nfrom machine import Pin\n", "rp2.bootsel_button()\n")
    assert [name.exists for name in pico] == [True]


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passed, tasks", [(0, 240), (3, 240), (120, 240), (5, 10), (10, 10), (0, 1)])
def test_wilsons_interval_ends_where_the_rate_is_just_not_too_far_off(passed, tasks):
    """Its definition: the ends are the rates p from which the one found is 1.96 of p's own standard errors away."""
    rate, ends = passed / tasks, marks.wilson(passed, tasks)
    for end in ends:
        assert abs(end - rate) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / tasks), abs=1e-9)
    assert 0 <= ends[0] <= rate <= ends[1] <= 1 and ends[0] < ends[1]


def row(exam_set="people", name="a", **values) -> dict:
    return {
        "set": exam_set,
        "id": name,
        "passed": False,
        "parsed": True,
        "empty": False,
        "failed": None,
        "lacks": [],
        "names": [0, 0],
        **values,
    }


def test_sets_are_counted_apart():
    rows = [
        row(passed=True, names=[3, 4]),
        row(name="b", parsed=False),
        row(name="c", lacks=["machine.I2S"], names=[1, 1]),
        row(name="d", failed="too long", parsed=False),
        row("values", passed=True),
        row("completions", names=[1, 2]),
    ]
    sets = marks.by_set(rows)
    assert list(sets) == ["people", "values", "completions"]
    assert sets["people"] == {
        "tasks": 4,
        "passed": 1,
        "rate": 0.25,
        "low": 0.0456,
        "high": 0.6994,
        "parse_rate": 0.5,
        "api_rate": 0.8,
        "names": 5,
        "empty": 0,
        "too_long": 1,
        "not_simulated": 1,
    }
    assert sets["values"]["rate"] == 1.0 and sets["values"]["api_rate"] is None and "passed" not in sets["completions"]
    assert marks.cells("people", sets["people"]) == [
        "people",
        "1 of 4",
        "25.0%",
        "4.6% to 69.9%",
        "50.0% of 4",
        "80.0% of 5",
        "1",
    ]


def test_a_model_that_answers_nothing_is_said_in_one_line():
    assert marks.remarks(marks.by_set(rows_of(Says(""), people("a", "b")))) == [
        "people: the model answers nothing to any of the 2 prompts"
    ]
    assert marks.remarks(marks.by_set([row(empty=True), row(name="b")])) == [
        "people: the model answers nothing to 1 of the 2 prompts"
    ]
    assert marks.remarks(marks.by_set([row()])) == []


def test_the_plot_counts_by_set_and_intent():
    tasks = [*people("a", "b"), *people("c", intent="servo")]
    rows = [row(passed=True), row(name="b"), row(name="c"), row("completions", "d")]
    found = list(csv.DictReader(io.StringIO(exam.plot_rows(rows, tasks))))
    assert [(r["bar"], r["set"], r["intent"], r["tasks"], r["passed"], r["rate"]) for r in found] == [
        ("people: blink", "people", "blink", "2", "1", "0.5"),
        ("people: servo", "people", "servo", "1", "0", "0.0"),
    ]


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_shows_a_failure_as_it_happened():
    seen, unseen = seen_and_unseen()
    program = SOLUTION.replace("Pin(15", "Pin(14").replace(
        "import time", "import time\nimport machine\nmachine.blink_fast = 1"
    )
    tasks = people(seen, unseen)
    said = marks.report(
        "RoboBench", "Asked was it.", "`'# '`", rows_of(Says(program), tasks), tasks, ["## More\n\nText."]
    )
    assert f"### people: {seen}" in said and f"> Please, {seen}." in said and unseen not in said
    assert (
        program.strip() in said
        and "- check **blinks**: " in said
        and "GP14 output: " in said
        and "It still ran" in said
    )
    assert "1 of 2 are shown. One task in 10 of this set may be looked at" in said
    assert (
        "| people | 0 of 2 | 0.0% | 0.0% to 65.8% | 100.0% of 2 |" in said
        and "| people | blink | 0 of 2 | 0% |" in said
    )
    assert said.index("## By intent") < said.index("## More") < said.index("## Failures of people")


def test_a_program_with_fences_of_its_own_does_not_end_the_block():
    said = marks.fenced("'''\n````\n'''", "python")
    assert said == "`````python\n'''\n````\n'''\n`````"


def test_a_prompt_that_does_not_fit_is_a_failure_with_its_reason(tiny_gguf):
    seen, _ = seen_and_unseen()
    tasks = people(seen, notes=None)
    long = [each_task.model_copy(update={"request": "blink " * 300}) for each_task in tasks]
    rows = [
        answer.examine(Gguf(tiny_gguf / "model-f16.gguf", NEW), question)
        for question in answer.questions(long, TEMPLATE, {})
    ]
    assert marks.figures(rows)["too_long"] == 1 and "Not asked: the prompt is " in marks.report(
        "T", "M", "p", rows, long, []
    )


# --- contamination ----------------------------------------------------------------------------------------------------

LONG = {
    **TASK,
    "id": "long",
    "solution": CODE * 2,
    "wrong": SOLUTION,
    "request": "I would like the blue lamp at pin fifteen to go on for half a second, then off, over and over again please.",
}
SHORT = {**TASK, "id": "short", "request": "led gp15 blink"}


@pytest.fixture
def training(tmp_path):
    """A corpus file of these texts."""

    def made(*texts: str):
        path = tmp_path / "train.jsonl"
        path.write_text(
            "".join(
                json.dumps({"source": "package", "path": f"f{n}.py", "text": text}) + "\n"
                for n, text in enumerate(texts)
            )
        )
        return path

    return made


@pytest.fixture
def tasks(tmp_path):
    write(tmp_path / "exam", TASK, LONG, SHORT)
    return load(
        write(
            tmp_path / "exam",
            {**LONG, "id": "value", "request": LONG["request"].replace("fifteen", "sixteen").replace("blue", "red")},
            exam_set="values",
        )
    )


@pytest.mark.parametrize(
    "text, found",
    [
        ("import machine\n", set()),
        (f"x = 1\n# {LONG['request']}\n" + SOLUTION, {"long: request"}),
        (
            f'"""{LONG["request"].upper().replace(" lamp ", " lamp" + chr(10) + " ")}"""',
            {"long: request"},
        ),  # other signs and line ends
        (
            f"# {LONG['request'].replace('blue', 'green').replace('over and over', 'again and')}\n",
            {"long: request"},
        ),  # nearly
        (
            "# I would like the motor at pin three to go on for a minute\n",
            set(),
        ),  # the words that everybody begins with
        ("# led GP15: blink!\n", {"short: request"}),
        ("# the led gp15 blink pattern\n", set()),  # a short one must be the line
        (SOLUTION, set()),  # everybody's blink
        (CODE * 2, {"long: solution"}),
        (CODE.split("class")[0], set()),
    ],
)  # imports and set-up
def test_what_stands_in_the_training_text(tasks, training, text, found):
    said = contamination.contaminated(tasks, training("print('another file')\n", text))
    assert {f"{each_one.task.id}: {each_one.what}" for each_one in said} == found
    assert all("package f1.py" in str(each_one) and "stands in the training text" in str(each_one) for each_one in said)


def test_other_sets_hold_out_values_so_only_word_for_word_counts(tasks, training):
    value = next(each_task for each_task in tasks if each_task.id == "value")
    near, same = (
        contamination.contaminated([value], training(f"# {text}\n")) for text in (LONG["request"], value.request)
    )
    assert near == [] and [each_one.share for each_one in same] == [1.0]


# --- robo exam --------------------------------------------------------------------------------------------------------


def arguments(**given) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "model": None,
            "prompt": None,
            "template": None,
            "chat": False,
            "set": None,
            "tasks": "exam",
            "max_tokens": None,
            "samples": 1,
            "report": None,
            "json": None,
            **given,
        }
    )


def test_any_gguf_file_can_be_examined(tmp_path, chatty, capsys, monkeypatch):
    write(tmp_path / "exam", TASK, SHORT)
    command.exam(
        arguments(
            model=str(chatty),
            prompt="# {board}: {request}\n",
            tasks=tmp_path / "exam",
            max_tokens=8,
            report=tmp_path / "r.md",
            json=tmp_path / "r.json",
        )
    )
    printed = capsys.readouterr().out
    assert "0 of 2" in printed and "people" in printed
    written = json.loads((tmp_path / "r.json").read_text())
    assert (
        written["sets"]["people"]["tasks"] == 2
        and len(written["answers"]) == 2
        and (tmp_path / "r.md").read_text().startswith("# RoboBench")
    )
    command.exam(
        arguments(model=str(chatty), chat=True, tasks=tmp_path / "exam", max_tokens=8, json=tmp_path / "chat.json")
    )
    chat = json.loads((tmp_path / "chat.json").read_text())
    assert chat["chat"] and [a["answer"] for a in chat["answers"]] != [a["answer"] for a in written["answers"]]


@dataclass(frozen=True)
class Slips:
    """Answers right only when asked again."""

    right: str
    max_new_tokens: int = 400
    chat: bool = False

    def ask(self, prompt):
        return Answer("led.on(\n", False)

    def draw(self, prompt, temperature, seed=0):
        return Answer(self.right if seed == 2 else "import nothing_of_the_kind\n", False)


def test_of_several_answers_the_one_counts_that_robo_ask_takes(tmp_path):
    write(tmp_path / "exam", TASK)
    (asked,) = answer.questions(load(tmp_path / "exam"), TEMPLATE, {})
    passed = [command.examine(Slips(asked.task.solution), samples, asked)["passed"] for samples in (1, 2, 3, 8)]
    assert passed == [False, False, True, True]


def test_where_no_set_is_named_those_of_the_project_are_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    usual = command.usual(Path("exam"))
    assert usual and "people" in usual and "dev" not in usual  # which is there to tune on
    assert command.usual(tmp_path / "exam") is None


@pytest.mark.parametrize(
    "given, said",
    [
        ({"model": "no.gguf"}, "no.gguf: no such file"),
        ({"model": __file__}, "test_exam.py: no GGUF file"),
        (
            {"model": "qwen3:0.6b"},
            "qwen3:0.6b: no such file, and Ollama, which may know the name, does not answer at http://127.0.0.1:9",
        ),
        ({"prompt": "blink"}, r"--prompt: must hold \{request\}"),
        ({"template": "no.txt"}, "no.txt: No such file"),
        ({"max_tokens": 0}, "--max-tokens: must be at least 1"),
        ({"samples": 101}, "--samples: 101 must be from 1 to 100"),
        ({"set": ["peple"]}, "peple: no tasks there; did you mean 'people'"),
        ({"tasks": "nowhere"}, "nowhere: no tasks there"),
    ],
)
def test_wrong_input_is_one_message(tmp_path, monkeypatch, given, said):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    write(tmp_path / "exam", TASK)
    with pytest.raises(UserError, match=said) as raised:
        command.exam(arguments(**{"model": "any.gguf", "tasks": tmp_path / "exam", "prompt": TEMPLATE, **given}))
    assert len(str(raised.value).splitlines()) == 1


def test_ollama_answers_as_llama_cpp_does(tmp_path, chatty, ollama, monkeypatch):
    """With the same prompt; and a name that it does not have is one message."""
    import ollama as package

    monkeypatch.setenv("OLLAMA_HOST", ollama)
    client, name = package.Client(ollama), "robo-exam-test"
    client.create(name, files={chatty.name: client.create_blob(chatty)}, template="{{ .Prompt }}")
    try:
        assert [command.InOllama(name, 8).ask("# blink\n")] == list(each(Gguf(chatty, 8).ask, ["# blink\n"], 1))
        assert command.InOllama(name, 8, chat=True).ask("# blink\n").text
    finally:
        client.delete(name)
    with pytest.raises(UserError, match=r"robo-exam-none: Ollama at .*not found.*ollama pull"):
        command.InOllama("robo-exam-none", 8).ask("# blink\n")
