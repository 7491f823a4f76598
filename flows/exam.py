"""`robo exam`: RoboBench asked of any GGUF file or name in Ollama, so that ours can be held against the model that somebody uses today."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flows.console import show_tables
from pipeline.core.config import load
from pipeline.core.errors import UserError
from pipeline.core.files import write_json, write_text
from pipeline.core.paths import EXAM
from pipeline.core.progress import bar
from pipeline.core.workers import each
from pipeline.evaluation import answer, marks, plausible, robobench
from pipeline.evaluation.ask import Answer, Gguf, Model
from pipeline.publish import lineage, serving

CHAT = "Write a MicroPython program (main.py) for the {board}. Answer with the program alone, as one block of code.\n\n{request}"
MAX_NEW_TOKENS = 512  # of a model that is not this project's: 40 lines take about as many


@dataclass(frozen=True)
class InOllama:
    """A name in Ollama, as ask.Model."""

    name: str
    max_new_tokens: int
    chat: bool = False

    def ask(self, prompt: str) -> Answer:
        """Raises UserError where Ollama does not answer, or has no such model."""
        return self.draw(prompt, 0)

    def draw(self, prompt: str, temperature: float, seed: int = 0) -> Answer:
        """As `ask`, drawn at a temperature."""
        import httpx
        import ollama

        options = {"temperature": temperature, "seed": seed, "repeat_penalty": 1.0, "num_predict": self.max_new_tokens}
        url = serving.address()
        try:
            with ollama.Client(url, timeout=httpx.Timeout(None, connect=serving.CONNECT_SECONDS)) as client:
                if self.chat:
                    said = client.chat(self.name, [{"role": "user", "content": prompt}], options=options)
                    return Answer(said.message.content or "", said.done_reason == "length")
                said = client.generate(self.name, prompt, raw=True, options=options)
                return Answer(said.response, said.done_reason == "length")
        except ollama.ResponseError as error:
            raise UserError(
                f"{self.name}: Ollama at {url}: {error.error}"
                + (
                    f"; there is no such file either; `ollama pull {self.name}` fetches it"
                    if error.status_code == 404
                    else ""
                )
            ) from None
        except (ConnectionError, httpx.HTTPError) as error:
            raise UserError(
                f"{self.name}: no such file, and Ollama, which may know the name, does not answer at {url}; start it (ollama serve), or "
                f"set OLLAMA_HOST to where it runs ({type(error).__name__})"
            ) from None


def chosen(name: str | None, max_new_tokens: int | None, chat: bool) -> tuple[str, Model]:
    """What is asked, in words, and whoever answers."""
    config = load()
    if name is None:
        path = lineage.served_gguf(config)
        return f"the served file {path}", Gguf(path, max_new_tokens or config.params.exam.max_new_tokens, chat)
    tokens = max_new_tokens or MAX_NEW_TOKENS
    if Path(name).exists() or name.endswith(".gguf"):
        return name, Gguf(Path(name), tokens, chat)
    return f"{name} in Ollama", InOllama(name, tokens, chat)


def template(prompt: str | None, file: str | None, chat: bool) -> str:
    """The prompt around a request. Raises UserError where it holds no place for one."""
    if file is not None:
        try:
            prompt = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file}: {error.strerror if isinstance(error, OSError) else f'not UTF-8 text: {error}'}"
            ) from None
    if prompt is None:
        return CHAT if chat else load().params.exam.prompt
    if "{request}" not in prompt:
        raise UserError(f"{file or '--prompt'}: must hold {{request}}, or the model never sees what it is asked")
    return prompt


def how_many(samples: int) -> int:
    """Raises UserError for a number of answers that nobody wants."""
    if not 1 <= samples <= 100:
        raise UserError(f"--samples: {samples} must be from 1 to 100")
    return samples


@dataclass(frozen=True)
class Said:
    """What was said already, as ask.Model."""

    program: str
    max_new_tokens: int
    chat: bool

    def ask(self, prompt: str) -> Answer:
        return Answer(self.program, False)

    def draw(self, prompt: str, temperature: float, seed: int = 0) -> Answer:
        return self.ask(prompt)


def examine(model: Model, samples: int, question: answer.Question) -> dict:
    """As answer.examine; of several `samples` the answer counts that `robo ask` takes, which knows no more than the request and the board."""
    if samples == 1 or question.task is None:
        return answer.examine(model, question)
    try:
        choice = plausible.choose(model, question.prompt, samples, question.task.request, question.task.board)
    except UserError:  # there is no answer, as answer.examine will find, and say why
        return answer.examine(model, question)
    return answer.examine(Said(choice.program, model.max_new_tokens, model.chat), question)


def usual(folder: Path) -> list[str] | None:
    """The sets that are asked where none is named: of the project's exam those of params.yaml, of another folder all."""
    return [*load().params.exam.sets] if folder.resolve() == EXAM.resolve() else None


def exam(arguments) -> None:
    """Asks, judges, and prints the table; writes the report and the figures where that is wanted."""
    if arguments.max_tokens is not None and arguments.max_tokens < 1:
        raise UserError(f"--max-tokens: must be at least 1, not {arguments.max_tokens}")
    tasks = robobench.load(Path(arguments.tasks), arguments.set or usual(Path(arguments.tasks)))
    prompt = template(arguments.prompt, arguments.template, arguments.chat)
    who, model = chosen(arguments.model, arguments.max_tokens, arguments.chat)
    samples = how_many(arguments.samples)
    rows, asked = [], answer.questions(tasks, prompt, {})
    with bar(len(asked), "exam", " answers") as progress:
        for row in each(partial(examine, model, samples), asked):
            rows.append(answer.discreet(row))
            progress.update()
    sets = marks.by_set(rows)
    way = "a message of its chat template, " if model.chat else ""
    how = f"up to {samples} times, till an answer passed what `robo ask` checks" if samples > 1 else "greedily, once"
    show_tables(
        [
            (
                f"RoboBench: {who} asked as {way}{prompt!r}, {how}, at most {model.max_new_tokens} tokens each",
                marks.HEADINGS,
                [marks.cells(name, figures) for name, figures in sets.items()],
            )
        ]
    )
    for line in marks.remarks(sets):
        print(line)
    if arguments.report:
        write_text(
            Path(arguments.report),
            marks.report("RoboBench", f"Asked was {who}.", f"{way}`{prompt!r}`", rows, tasks, [], how),
        )
    if arguments.json:
        write_json(
            Path(arguments.json),
            {
                "model": who,
                "prompt": prompt,
                "chat": model.chat,
                "samples": samples,
                "max_new_tokens": model.max_new_tokens,
                "sets": sets,
                "answers": rows,
            },
        )
