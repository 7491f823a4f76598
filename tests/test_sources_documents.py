"""Notebooks, Markdown and reStructuredText as programs: the code, under what was said before it, and nothing else."""

import ast
import json
from pathlib import Path

import pytest

from pipeline.core.files import read_jsonl
from pipeline.core.paths import LEFT_OUT
from pipeline.core.schema import FolderSource
from pipeline.data.collect import collect
from pipeline.data.sources.documents import converted


def cells(*pairs, **more) -> str:
    return json.dumps(
        {"cells": [{"cell_type": kind, "source": source, **more} for kind, source in pairs], "nbformat": 4}
    )


CASES = {
    "fence": (
        "a.md",
        "# Pins\n\nTurn the LED on,\nwhich is `Pin` **25**:\n\n```python\nled.on()\n```\n",
        "# Pins\n# Turn the LED on, which is Pin 25:\nled.on()\n",
    ),
    "two fences": (
        "a.md",
        "One:\n```py\na = 1\n```\nand two:\n\n~~~ {.python}\nb = a\n~~~\n",
        "# One:\na = 1\n\n# and two:\nb = a\n",
    ),
    "other languages": (
        "a.md",
        "```sh\nls\n```\n```json\n{}\n```\n\nWires:\n\n```\nGP0 -> LED\n```\n```c\nint a;\n```\n",
        "",
    ),
    "no language": ("a.md", "Say:\n\n```\nprint(1)\n```\n", "# Say:\nprint(1)\n"),
    "indented": ("a.md", "Say:\n\n    print(1)\n", "# Say:\nprint(1)\n"),
    "in a list": ("a.md", "- first\n\n  ```python\n  if a:\n      b()\n  ```\n", "# first\nif a:\n    b()\n"),
    "a session": (
        "a.md",
        "```pycon\n>>> def f():\n...     return 1\n...\n>>> f()\n1\n```\n",
        "def f():\n    return 1\n\nf()\n",
    ),
    "does not parse": ("a.md", "```python\nfor x in:\n```\n", ""),
    "prose is told once": ("a.md", "Hello\n\n```sh\nls\n```\n\n```python\na = 1\n```\n", "a = 1\n"),
    "only the last paragraph": ("a.md", "Long ago\n\nNow\n\n```python\na = 1\n```\n", "# Now\na = 1\n"),
    "long prose": (
        "a.md",
        "word " * 30 + "\n\n```python\na = 1\n```\n",
        f"# {' '.join(['word'] * 17)}\n# {' '.join(['word'] * 13)}\na = 1\n",
    ),
    "literal block": (
        "a.rst",
        "Pins\n====\n\nUse :class:`machine.Pin` and ``on``::\n\n    from machine import Pin\n\n    Pin(1).on()\n\nBye.\n",
        "# Pins\n# Use machine.Pin and on:\nfrom machine import Pin\n\nPin(1).on()\n",
    ),
    "code-block": ("a.rst", "Now:\n\n.. code-block:: python3\n   :linenos:\n\n   a = 1\n", "# Now:\na = 1\n"),
    "other code-block": ("a.rst", "Now:\n\n.. code-block:: bash\n\n   ls\n", ""),
    "within a directive": (
        "a.rst",
        ".. class:: Pin(id)\n\n   Makes one. For example::\n\n      p = Pin(1)\n\n   .. method:: on()\n\n      Sets.\n",
        "# Makes one. For example:\np = Pin(1)\n",
    ),
    "a note is no prose": ("a.rst", "Say\n\n.. note:: careful\n\n::\n\n  a = 1\n", "a = 1\n"),
    "windows": ("a.rst", "Say::\r\n\r\n  a = 1\r\n", "# Say:\na = 1\n"),
    "cells": (
        "a.ipynb",
        cells(
            ("markdown", ["# Blink\n", "an `LED`"]), ("code", ["led = 1\n", "led"]), ("raw", "x"), ("code", "b = led")
        ),
        "# Blink\n# an LED\nled = 1\nled\n\nb = led\n",
    ),
    "magic": (
        "a.ipynb",
        cells(("code", "%matplotlib inline\n!pip install x\na = 1"), ("code", "%%bash\nls"), ("markdown", "")),
        "a = 1\n",
    ),
    "empty notebook": ("a.ipynb", cells(), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_document_becomes_a_program(case):
    path, text, wanted = CASES[case]
    name, content, reason = converted(f"docs/{path}", text.encode())
    assert (name, content.decode()) == (f"docs/{path}.py", wanted)
    assert reason == ("" if wanted else "holds no code in Python")
    ast.parse(content)


@pytest.mark.parametrize(
    "path, content, why",
    [
        ("a.ipynb", b"{", "no notebook of version 4"),
        ("a.ipynb", b'{"worksheets": []}', "no notebook"),
        ("a.ipynb", b'{"cells": [3]}', "no notebook"),
        ("a.ipynb", b"[" * 100_000, "no notebook"),
        ("a.ipynb", b'{"cells": 3}', "no notebook"),
        ("a.md", b"\xff\xfe", "not UTF-8"),
        ("a.md", b"> " * 5000 + b"x", "holds no code"),
        ("a.rst", b"::\n" * 3000, "holds no code"),
    ],
)
def test_what_is_no_such_document_is_left_out(path, content, why):
    assert converted(path, content)[2].startswith(why)


def test_other_files_are_as_they_are():
    assert converted("a.py", b"\xff") == ("a.py", b"\xff", "")


def test_collect_writes_what_documents_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpora/mine").mkdir(parents=True)
    Path("corpora/mine/README.md").write_text("Blink:\n\n```python\nled.on()\n```\n")
    Path("corpora/mine/broken.ipynb").write_text("{")
    Path("corpora/mine/a.py").write_text("a = 1\n")
    rows = collect(
        [
            FolderSource(
                kind="folder",
                name="mine",
                path="corpora/mine",
                license="MIT",
                split="train",
                include=["*.py", "*.md", "*.ipynb"],
            )
        ]
    )
    assert [row["path"] for row in rows] == ["README.md.py", "a.py"]
    assert Path("data/raw/mine/README.md.py").read_text() == "# Blink:\nled.on()\n"
    assert [(row["path"], row["reason"]) for row in read_jsonl(LEFT_OUT)] == [
        ("broken.ipynb", "no notebook of version 4")
    ]
