"""How a model is asked: greedily, so that the same question has the same answer, by llama.cpp in this process.

One question at a time in each of as many processes as there are cores. Several in one batch of llama.cpp would be little faster with models
of this size, and would sum in another order: of 64 answers of 100 tokens by a Q4_K_M file, 5 came out otherwise.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline.core.errors import UserError
from pipeline.export.llama import LlamaFile

MOST_PROMPT = 1024  # tokens of a prompt that a file of a longer context is given room for


class Answer(NamedTuple):
    text: str
    cut: bool  # by the number of tokens, or a full context
    failed: str | None = None  # why it could not be asked


class Model(Protocol):
    """Whoever can be asked; travels to other processes."""

    @property
    def chat(self) -> bool:
        """Whether it is asked as its chat template wants it."""

    @property
    def max_new_tokens(self) -> int: ...

    def ask(self, prompt: str) -> Answer: ...

    def draw(self, prompt: str, temperature: float, seed: int = 0) -> Answer: ...


_open: dict[tuple, LlamaFile] = {}


def opened(path: Path, context: int) -> LlamaFile:
    """The file as servers run it, kept open until another is asked for."""
    if (path, context) not in _open:
        for file in _open.values():
            file.close()
        _open.clear()
        _open[path, context] = LlamaFile(path, context=context, as_served=True)
    return _open[path, context]


@dataclass(frozen=True)
class Gguf:
    path: Path
    max_new_tokens: int
    chat: bool = False

    def ask(self, prompt: str) -> Answer:
        """Raises UserError for a file that llama.cpp cannot run, or that is to chat and has no template for it."""
        return self.draw(prompt, 0)

    def draw(self, prompt: str, temperature: float, seed: int = 0) -> Answer:
        """As `ask`, drawn at a temperature."""
        file = opened(self.path, self.max_new_tokens + MOST_PROMPT)
        if self.chat:
            if (message := file.chat(prompt)) is None:
                raise UserError(
                    f"{file.name}: has no chat template, so it cannot be asked {prompt!r} as a chat; ask without --chat"
                )
            prompt = message
        ids = file.encode(prompt, as_prompt=True, special=self.chat)
        if len(ids) >= file.context:
            return Answer("", False, f"the prompt is {len(ids)} tokens, and the model sees {file.context}")
        new = (
            file.generate(ids, self.max_new_tokens)
            if temperature == 0
            else file.sample(ids, self.max_new_tokens, temperature, seed)
        )
        return Answer(
            file.decode(new).decode("utf-8", "replace"),
            len(new) == self.max_new_tokens or len(ids) + len(new) == file.context,
        )
