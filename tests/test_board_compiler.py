"""What MicroPython is: as its compiler says, not as the Python that runs this says."""

import pytest

from pipeline.board.compiler import refusal

# Program -> whether MicroPython takes it. One version of Python takes each and another does not.
PYTHONS_DISAGREE = {
    "name = f'{row['name']}'\n": True,  # from 3.12
    "text = f'{\"\\n\".join(rows)}'\n": True,  # from 3.12
    "if a:\n        b = 1\n\tc = 2\n": True,  # Python 2
    "type Pins = list\n": False,  # from 3.12
    "def first[T](rows: list[T]) -> T:\n    return rows[0]\n": False,  # from 3.12
    "print 'a'\n": False,  # Python 2
}
TAKES = [
    "",
    "async def blink():\n    async with lock as held:\n        await sleep_ms(5)\n",
    "if (n := read()) > 5:\n    print(f'{n=} {n!r:>5}')\n",
    "def f(a, *b, c: int = 1, **d) -> dict:\n    return f(*b, **d)\n",
    "größe = 'naïve'\n",
    "A = const(5) << 2\nB = 1_000 + 0x1F + 1j\n",
    "@micropython.native\ndef f(a):\n    return a\n",
    "class A:\n    @micropython.viper  # fast\n    def f(self, a: ptr8) -> int:\n        return a[0]\n",
    "@micropython.asm_thumb\ndef f(r0):\n    label(LOOP)\n    ldr(r1, [r0, 0])\n    push({r0, r1})\n    b(LOOP)\n",
    "@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)\ndef f():\n    wrap_target()\n    set(pins, 1)   [31]\n    wrap()\n",
]
REFUSES = {
    "x = (\n": "invalid syntax (line 2)",
    "match x:\n    case 1:\n        pass\n": "invalid syntax (line 1)",
    "def f(a, /):\n    pass\n": "invalid syntax (line 1)",
    "a = 1\nb = {**a}\n": "invalid syntax (line 2)",
    "  a = 1\n": "unexpected indent (line 1)",
    "return 1\n": "'return' outside function (line 1)",
    "@micropython.fast\ndef f():\n    pass\n": "invalid micropython decorator (line 1)",
    "a = '\\N{BULLET}'\n": "unicode name escapes",
    "a = " + "b if c else " * 3000 + "d\n": "more than the compiler can hold",
    "a = '\ud800\n": "invalid syntax (line 1)",  # as a model may write it
}


@pytest.mark.parametrize("program", TAKES + [program for program, taken in PYTHONS_DISAGREE.items() if taken])
def test_what_micropython_takes(program):
    assert refusal(program) == ""


@pytest.mark.parametrize(
    "program, said",
    [*REFUSES.items(), *((program, "line 1") for program, taken in PYTHONS_DISAGREE.items() if not taken)],
)
def test_what_micropython_refuses(program, said):
    assert said in refusal(program)


def test_nothing_is_run_and_nothing_stays():
    assert refusal("import sys\nsys.exit(1)\n") == "" and refusal("while True: pass\n") == ""
    assert refusal("del print\nx = 1\n") == refusal("print(x)\n") == ""
