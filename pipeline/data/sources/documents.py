"""Programs out of text that holds some: the code cells of a notebook, the code blocks of Markdown and reStructuredText.

What stands before a piece of code says what it is for, which is worth as much to a model as the code; so the heading and the paragraph
before it come along as comments. One document makes one program, since later pieces use the names of earlier ones. Pieces that are no
Python (output, shell, JSON) are left out one by one; of a session at the prompt what was typed stays.

reStructuredText is read by lines: docutils gives up on directives that it does not know, and in Sphinx's pages the code stands in those.
"""

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath

Piece = tuple[str, str]  # (prose before it, code)
PYTHON = {"", "python", "py", "python3", "micropython", "circuitpython", "pycon", "default"}
WIDTH = 88  # of a comment
PROMPT = re.compile(r"(>>>|\.\.\.)( |$)")
MAGIC = re.compile(r"\s*[%!]")  # what IPython takes for itself
DIRECTIVE = re.compile(r"(\s*)\.\. ([\w-]+)::\s*(.*)")
ROLE = re.compile(r":[\w:.-]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`|``?([^`]+)``?_{0,2}")
UNDERLINE = re.compile(r"([=\-~^\"'#*+.`:_])\1{2,}\s*")


def is_python(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def typed(code: str) -> str:
    """What was typed in a session at the prompt; other code as it is."""
    lines = code.split("\n")
    if not lines[0].lstrip().startswith(">>>"):
        return code
    return "\n".join(line.lstrip()[4:] for line in lines if PROMPT.match(line.lstrip()))


def program(pieces: Iterator[Piece]) -> str:
    """The pieces that are Python, each under what was said before it; empty when none is."""
    parts = []
    for prose, code in pieces:
        code = typed(textwrap.dedent(code).strip("\n"))
        if is_python(code):
            said = [
                line
                for paragraph in prose.split("\n")
                if paragraph.strip()
                for line in textwrap.wrap(
                    " ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False
                )
            ]
            parts.append("".join(f"# {line}\n" for line in said) + code + "\n")
    return "\n".join(parts)


def paragraphs(heading: str, last: str) -> str:
    return "\n".join(part for part in (heading, last) if part)


def notebook(text: str) -> Iterator[Piece]:
    """Raises ValueError for what is no notebook."""
    try:
        cells = json.loads(text)["cells"]
        read = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("no notebook of version 4") from None
    prose = ""
    for kind, source in read:
        if kind == "markdown":
            prose = "\n".join(
                line.strip().lstrip("#> ").replace("`", "").replace("**", "") for line in source.split("\n")
            )
        elif kind == "code":
            if not source.startswith("%%"):  # the whole cell is another language's
                yield prose, "\n".join(line for line in source.split("\n") if not MAGIC.match(line))
            prose = ""


def markdown(text: str) -> Iterator[Piece]:
    from markdown_it import MarkdownIt

    heading = last = opened = ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("heading_open", "paragraph_open"):
            opened = token.type
        elif token.type == "inline":
            said = "".join(each.content or " " * (each.type == "softbreak") for each in token.children or ())
            heading, last = (said, "") if opened == "heading_open" else (heading, said)
        elif token.type in ("fence", "code_block"):
            language = (token.info.split() or [""])[0].strip("{}.").lower()
            if language in PYTHON:
                yield paragraphs(heading, last), token.content
            heading = last = ""


def rst(text: str) -> Iterator[Piece]:
    lines = text.expandtabs().split("\n")
    heading, paragraph, n = "", [], 0
    while n < len(lines):
        line = lines[n]
        directive = DIRECTIVE.fullmatch(line)
        language = (
            directive[3].strip().lower() if directive and directive[2] in ("code-block", "code", "sourcecode") else None
        )
        literal = not directive and line.rstrip().endswith("::")
        n += 1
        if n < len(lines) and line.strip() and UNDERLINE.fullmatch(lines[n]) and not line.startswith(" "):
            heading, paragraph, n = line.strip(), [], n + 1
        elif language is not None or literal:
            depth = len(line) - len(line.lstrip())
            if literal:
                paragraph.append(line.rstrip().removesuffix("::").removesuffix(" ::") + ":")
            block = []
            while n < len(lines) and (not lines[n].strip() or len(lines[n]) - len(lines[n].lstrip()) > depth):
                block.append(lines[n])
                n += 1
            while language is not None and block and re.match(r"\s+:[\w-]+:", block[0]):  # options such as :linenos:
                del block[0]
            if (language or "") in PYTHON:
                said = ROLE.sub(lambda match: match[1] or match[2], " ".join(" ".join(paragraph).split())).removesuffix(
                    " :"
                )
                yield paragraphs(heading, said.removeprefix(":").strip()), "\n".join(block)
            heading, paragraph = "", []
        elif directive or line.lstrip().startswith(".. "):
            paragraph = []
        elif line.strip():
            if not lines[n - 2].strip() or n < 2:
                paragraph = []
            paragraph.append(line.strip())


READERS = {".ipynb": notebook, ".md": markdown, ".rst": rst}


def converted(path: str, content: bytes) -> tuple[str, bytes, str]:
    """(path, content) of a file as training text, and why it cannot be; PATH.py for a document. Other files are as they are."""
    reader = READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        return path, content, ""
    try:
        text = program(reader(content.decode("utf-8-sig").replace("\r\n", "\n")))
    except UnicodeDecodeError:
        return path, b"", "not UTF-8"
    except ValueError as error:
        return path, b"", str(error)
    except RecursionError:
        return path, b"", "nested too deep"
    return f"{path}.py", text.encode(), "" if text else "holds no code in Python"
