"""Whether a text is MicroPython: what MicroPython's own compiler takes is, and nothing else is.

The interpreter in the sandbox is asked, so the answer is the same under every Python and on every machine, and no text can do any harm. It
takes some milliseconds: each text gets an interpreter of its own, since with the collector off (see sandbox.py) nothing is given back.

The interpreter was built without the compilers for machine code. A board has those, so their decorators go: what they stand over is
ordinary MicroPython.
"""

import re

from pipeline.board import sandbox

MACHINE_CODE = re.compile(r"^([ \t]*)(@micropython\.(?:native|viper|asm_\w+)[ \t]*(?:#.*)?)$", re.MULTILINE)
COMPILE = "with open('/module.py') as file: compile(file.read(), 'module.py', 'exec')"
FUEL = 20_000_000_000  # 200 kB of nothing but names take a third of it, and some three seconds; most texts a thousandth
LINE = re.compile(r'File "module\.py", line (\d+)')


def as_bytecode(program: str) -> str:
    """The program without the decorators that ask for machine code, line for line."""
    return MACHINE_CODE.sub(r"\1#\2", program)


def refusal(text: str) -> str:
    """Why MicroPython's compiler does not take `text` as a module, with the line where it says so; empty when it does."""
    files = {"module.py": as_bytecode(text).encode(errors="replace")}
    outcome = sandbox.run(
        COMPILE, files, lambda operation, arguments: "", lambda data: None, lambda: 0, lambda: 0, FUEL
    )
    if outcome.status == 0:
        return ""
    kind, _, said = outcome.errors.rstrip().rpartition("\n")[2].partition(": ")
    if outcome.stopped or kind == "MemoryError":
        return "more than the compiler can hold"
    line = LINE.findall(outcome.errors)
    return (said or kind) + (f" (line {line[-1]})" if line else "")
