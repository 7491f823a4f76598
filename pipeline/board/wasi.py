"""What the interpreter may ask for, answered in memory: arguments, clock, files, output and the board.

These are WASI's functions (preview 1) by their own names. Nothing here opens a file or a socket of ours, so there is nothing to forbid;
what a program may use up is counted. Pointers are checked: a program that corrupts its own memory must not make us read outside of it.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

FILE_BYTES = 1 << 20  # that a program may write, all files together: a Pico's flash has about so much
OUTPUT_BYTES = 64 << 10
MAX_FILES = 256
MAX_OPEN = 1000  # a program that closes nothing has them all open: no collector does it
PATH_BYTES = 255
ASKED_BYTES = 16 << 20  # what all calls of the board may hand over, together: some of it is kept in the log
ANSWER_BYTES = 4096  # the longest answer to host.call that the interpreter makes room for at first

# Error numbers, which the interpreter hands on as OSError's: a board's, not WASI's own, but for BADF, by which it knows the last folder.
OK, BADF, EXIST, INVAL, ISDIR, MFILE, NAMETOOLONG, NOENT, NOSPC = 0, 8, 17, 22, 21, 24, 36, 2, 28
NOTDIR, NOTEMPTY, NOTSUP, ROFS = 20, 39, 95, 30
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8  # how path_open wants it
FILE, FOLDER, TERMINAL = 4, 3, 2  # kinds of file
APPEND = 1
ROOT = 3  # the descriptor of "/", the only folder that is handed out
CLOCK_REALTIME = 0
VECTORS = 16  # pieces in one reading or writing; the interpreter has two


class Stop(Exception):
    """Ends the program where it stands; no `except` of its own can catch it. The message says why."""


class Failed(Exception):
    """Ends a question with WASI's error number."""


@dataclass
class Files:
    """A file system in memory. `given` are read-only; what is written is counted against FILE_BYTES."""

    given: dict[str, bytes]
    written: dict[str, bytearray] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {""})
    used: int = 0  # bytes written

    def __post_init__(self):
        for path in self.given:
            parts = path.split("/")[:-1]
            self.folders.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))

    def find(self, path: str) -> bytes | bytearray | None:
        return self.written.get(path, self.given.get(path))

    def remove(self, path: str) -> bytearray:
        data = self.written.pop(path)
        self.used -= len(data)
        return data

    def inside(self, folder: str) -> list[tuple[str, int]]:
        """(name, kind) of what stands directly in a folder."""
        prefix = f"{folder}/" if folder else ""
        found = {
            path[len(prefix) :]: FILE
            for path in {**self.given, **self.written}
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        }
        found |= {
            path[len(prefix) :]: FOLDER
            for path in self.folders
            if path and path.startswith(prefix) and "/" not in path[len(prefix) :]
        }
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

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        files: Files,
        call: Callable[[str, str], str],
        output: Callable[[bytes], None],
        now: Callable[[], int],
        epoch: Callable[[], int],
    ):
        self.arguments = [text.encode() + b"\0" for text in arguments]
        self.environment = [f"{key}={value}".encode() + b"\0" for key, value in environment.items()]
        self.files, self.call, self.output, self.now, self.epoch = files, call, output, now, epoch
        self.open: dict[int, Open] = {ROOT: Open("", FOLDER)}
        self.newest = ROOT
        self.errors, self.written, self.asked = bytearray(), 0, 0
        self.memory = memoryview(b"")  # the interpreter's, set once it is there
        self.look: Callable[[], memoryview] = lambda: self.memory  # at it as it is now

    # --- its memory ---------------------------------------------------------------------------------------------------

    def look_again(self, pointer: int, length: int) -> None:
        """Its memory may have grown. Raises Stop where it has no `length` bytes there; above 2 GiB both come as negative numbers."""
        self.memory = self.look()
        if pointer < 0 or length < 0 or pointer + length > len(self.memory):
            raise Stop("it pointed outside of its own memory")

    def read(self, pointer: int, length: int) -> bytes:
        if pointer < 0 or length < 0 or pointer + length > len(self.memory):
            self.look_again(pointer, length)
        return self.memory[pointer : pointer + length].tobytes()

    def text(self, pointer: int, length: int) -> str:
        if pointer < 0 or length < 0 or pointer + length > len(self.memory):
            self.look_again(pointer, length)
        return str(self.memory[pointer : pointer + length], "utf-8", "replace")

    def write(self, pointer: int, data: bytes) -> None:
        if pointer < 0 or pointer + len(data) > len(self.memory):
            self.look_again(pointer, len(data))
        self.memory[pointer : pointer + len(data)] = data

    def write_u32(self, pointer: int, value: int) -> None:
        self.write(pointer, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def vectors(self, pointer: int, count: int) -> list[tuple[int, int]]:
        if not 0 <= count <= VECTORS:
            raise Failed(INVAL)
        return [struct.unpack("<II", self.read(pointer + 8 * n, 8)) for n in range(count)]

    def path(self, folder: int, pointer: int, length: int) -> str:
        """A path as the files have it, without slashes around it; `..` goes no higher than the root."""
        if folder not in self.open:
            raise Failed(BADF)
        if length > PATH_BYTES:
            raise Failed(NAMETOOLONG)
        parts: list[str] = []
        for part in f"{self.open[folder].path}/{self.text(pointer, length)}".split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        path = "/".join(parts)
        if len(path) > PATH_BYTES:
            raise Failed(NAMETOOLONG)
        return path

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
        self.write(result, (microseconds * 1000 % 2**64).to_bytes(8, "little"))
        return OK

    def poll_oneoff(self, wanted, happened, count, number):
        return NOTSUP  # the interpreter's own sleep, which the firmware's stands before

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
        pieces = self.vectors(vectors, count)
        size = sum(length for _, length in pieces)
        if fd in (1, 2):
            self.written += size
            if self.written > OUTPUT_BYTES:
                raise Stop(f"it wrote more than {OUTPUT_BYTES:,} bytes of output")
        elif size > FILE_BYTES:
            return NOSPC
        data = b"".join(self.read(*each) for each in pieces)
        if fd in (1, 2):
            if fd == 1:
                self.output(data)
            else:
                self.errors += data
        else:
            target = self.open.get(fd)
            held = self.files.written.get(target.path) if target else None
            if target is None or held is None:
                return BADF
            if target.append:
                target.position = len(held)
            end = target.position + len(data)
            grows = max(0, end - len(held))
            if self.files.used + grows > FILE_BYTES:
                return NOSPC
            self.files.used += grows
            held.extend(bytes(grows))
            held[target.position : end] = data
            target.position = end
        self.write_u32(written, len(data))
        return OK

    def fd_read(self, fd, vectors, count, read):
        total = 0
        if fd != 0:  # 0 is the keyboard, at which nobody sits
            source = self.open.get(fd)
            held = self.files.find(source.path) if source and source.kind == FILE else None
            if source is None or held is None:
                return BADF
            for pointer, length in self.vectors(vectors, count):
                data = bytes(held[source.position : source.position + length])
                self.write(pointer, data)
                source.position += len(data)
                total += len(data)
        self.write_u32(read, total)
        return OK

    def fd_seek(self, fd, offset, whence, result):
        target = self.open.get(fd)
        if target is None or target.kind != FILE:
            return BADF
        if whence not in (0, 1, 2):
            return INVAL
        position = offset + (0, target.position, len(self.files.find(target.path) or b""))[whence]
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
        entries = entries[: length & 0xFFFFFFFF]
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
        elif (writes or how & TRUNCATE) and path not in files.written:
            return ROFS
        elif how & TRUNCATE:
            files.remove(path)
            files.written[path] = bytearray()
        if len(self.open) > MAX_OPEN:
            return MFILE
        self.newest += 1
        fd = self.newest
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
        if path not in self.files.written:
            return NOENT
        self.files.remove(path)
        return OK

    def path_rename(self, folder, pointer, length, to_folder, to_pointer, to_length):
        path, target = self.path(folder, pointer, length), self.path(to_folder, to_pointer, to_length)
        if path in self.files.given or target in self.files.given:
            return ROFS
        if path not in self.files.written or target.rpartition("/")[0] not in self.files.folders:
            return NOENT
        if target in self.files.folders:
            return ISDIR
        if target in self.files.written and target != path:
            self.files.remove(target)
        self.files.written[target] = self.files.written.pop(path)
        return OK

    def path_readlink(self, folder, pointer, length, buffer, size, used):
        return INVAL  # there are no links

    # --- the board ----------------------------------------------------------------------------------------------------

    def host_result_cap(self):
        return ANSWER_BYTES  # sandbox.py answers it itself

    def host_call(self, name, name_length, payload, payload_length, result, room):
        self.asked += name_length + payload_length
        if self.asked > ASKED_BYTES:
            raise Stop(f"it handed more than {ASKED_BYTES:,} bytes to the hardware")
        memory = (
            self.memory
        )  # asked thousands of times, so what `text` does stands here again; a slice never leaves the memory
        if name + name_length > len(memory) or payload + payload_length > len(memory):
            self.look_again(max(name, payload), max(name_length, payload_length))
            memory = self.memory
        operation, arguments = memory[name : name + name_length], memory[payload : payload + payload_length]
        answer = self.call(str(operation, "utf-8", "replace"), str(arguments, "utf-8", "replace"))
        if answer:
            answer = answer.encode()
            if len(answer) <= room:
                self.write(result, answer)
        return len(answer)


class Exit(Exception):
    """The program ended by itself."""
