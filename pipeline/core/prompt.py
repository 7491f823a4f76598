"""How a request is put to a model: the same in training, in the exam, and where people ask."""

import re

OLLAMAS = re.compile(r"\{\{-?\s*\.Prompt\s*-?\}\}")  # where a template of Ollama's, which Go reads, takes the prompt

INSERTION = re.compile(
    r"^\{\{ if \.Suffix \}\}.*\{\{ else \}\}(.*)\{\{ end \}\}$", re.DOTALL
)  # lineage.insertion makes it


def as_prompt(template: str, request: str, board: str) -> str:
    """`template` with {request} in one line, since a comment ends where its line does, and {board} by the board's title."""
    return template.replace("{board}", board).replace("{request}", " ".join(request.split()))


def in_dialect(dialect: str, program: str) -> str:
    """A program under a first line that names its dialect; a prompt that begins with that line asks for one."""
    return f"# {dialect}\n{program}"


def as_served(template: str, prompt: str) -> str:
    """What a plain template of Ollama's, or one with a form for insertion, makes of a prompt with nothing after it."""
    return OLLAMAS.sub(lambda _: prompt, INSERTION.sub(r"\1", template))
