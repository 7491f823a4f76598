"""Programs that want out of the sandbox, and how each must end. Those that will not end stand in board_loops.py, and those that want too
much in board_excesses.py.

Each prints "succeeded" where it got what it wanted. ATTACKS: name -> (how it ends, as a pattern; the program). `exec` keeps the board's
ticks out of a loop, so that nothing but the sandbox's own limits can end it. The test fills in PATHS and FOLDERS of ours, the names that
stand in them (OURS), a PORT that listens, and a SECRET that another program had.
"""

ENDED = "ended"
TIME = "time is up"
FUEL = "it computed without end: .*"
ASKED = "it asked more than .*"
OUTPUT = "it wrote more than .* of output"
EVENTS = "more than .* things happened"
MEMORY = "MemoryError.*"
ANY = ".*"

FILES = {
    "reads files of ours": (
        ENDED,
        """
for path in PATHS:
    for mode in ("r", "rb", "r+", "a+"):
        try:
            if open(path, mode).read():
                print("succeeded", path)
        except OSError:
            pass
print("tried")
""",
    ),
    "lists folders of ours": (
        ENDED,
        """
import os
for path in FOLDERS:
    try:
        found = set(os.listdir(path))
    except OSError:
        found = set()
    if found & OURS:
        print("succeeded", path, found & OURS)
print("tried")
""",
    ),
    "goes up": (
        ENDED,
        """
import os
for step in ("..", "/..", "../../../../../..", "/proc", "/home", "/tmp"):
    try:
        os.chdir(step)
    except OSError:
        pass
print(os.getcwd(), os.listdir(), os.listdir(".."), os.stat("..")[0] == 0x4000)
if set(os.listdir()) & OURS:
    print("succeeded")
""",
    ),
    "writes files of ours": (
        ENDED,
        """
import os
for path in PATHS:
    parts = path.split("/")
    for n in range(1, len(parts)):
        try:
            os.mkdir("/".join(parts[:n]))
        except OSError:
            pass
    for mode in ("w", "a", "r+b", "x"):
        try:
            open(path, mode).write("overwritten")
        except (OSError, ValueError):
            pass
    for act in (os.remove, os.rmdir, lambda p: os.rename(p, "/taken"), lambda p: os.rename("main.py", p)):
        try:
            act(path)
        except OSError:
            pass
print("tried")
""",
    ),
    "mounts our file system": (
        ENDED,
        """
import _hw
vfs, os = _hw.inner("vfs"), _hw.inner("os")
print(vfs.VfsPosix, os.VfsPosix)
for make in (lambda: vfs.VfsPosix("/"), lambda: vfs.VfsPosix("/.."), lambda: os.VfsPosix("/etc"), lambda: vfs.VfsPosix()):
    try:
        vfs.mount(make(), "/real")
        if set(os.listdir("/real")) & OURS:
            print("succeeded", os.listdir("/real"))
        vfs.umount("/real")
    except OSError:
        pass
print("tried")
""",
    ),
    "links": (
        ENDED,
        """
import os
print([name for name in ("symlink", "link", "readlink", "open", "dup", "fdopen", "mmap") if hasattr(os, name)])
""",
    ),
    "reads our surroundings": (
        ENDED,
        """
import _hw
os, sys = _hw.inner("os"), _hw.inner("sys")
print(os.getenv("PATH"), os.getenv("HOME"), sys.argv)
if os.getenv("PATH") or os.getenv("HOME"):
    print("succeeded")
""",
    ),
    "runs a file of ours": (
        ENDED,
        """
for path in PATHS:
    for act in (execfile, __import__, lambda p: __import__(p.replace("/", ".").strip("."))):
        try:
            act(path)
            print("succeeded")
        except (OSError, ImportError, ValueError):
            pass
print("tried")
""",
    ),
    "changes the board's own files": (
        ENDED,
        """
import _hw
os = _hw.inner("os")
def walk(folder):
    for name, kind, *_ in os.ilistdir(folder):
        if kind == 0x4000:
            yield from walk(folder + name + "/")
        else:
            yield folder + name
def read(path):
    with open(path, "rb") as f:
        return f.read(1000)
files = list(walk("/"))
before = {path: read(path) for path in files}
print(len(before) > 1)
for path in files + ["main.py", "/lib/../main.py"]:
    for act in (lambda p: open(p, "w"), lambda p: open(p, "a").write("x"), os.remove, lambda p: os.rename(p, "x"), lambda p: os.rename("y", p)):
        with open("y", "w") as f:
            f.write("print('succeeded')")
        try:
            act(path)
        except (OSError, AttributeError):
            pass
for path in files:
    if read(path) != before[path]:
        print("succeeded", path)
""",
    ),
    "endless large files": (
        ENDED,
        """
f = open("a", "wb")
try:
    while True:
        f.write(bytes(4096))
except OSError as error:
    print(error)
""",
    ),
    "endless small files": (
        ENDED,
        """
try:
    for n in range(100_000):
        open("f%d" % n, "w").close()
except OSError as error:
    print(error)
""",
    ),
    "endless folders": (
        ENDED,
        """
import os
try:
    for n in range(100_000):
        os.mkdir("f%d" % n)
except OSError as error:
    print(error)
""",
    ),
    "deep folders": (
        ENDED,
        """
import os
try:
    for n in range(100_000):
        os.mkdir("abcdefgh")
        os.chdir("abcdefgh")
except OSError as error:
    print(error)
""",
    ),
    "long names": (
        ENDED,
        """
import os
for act in (lambda p: open(p, "w"), os.mkdir, os.listdir, os.stat, os.remove, lambda p: os.rename("main.py", p)):
    for path in ("x" * 50_000, "a/" * 25_000, "../" * 15_000, "\\0" * 1000, "x\\0y", "", "/", "//", "."):
        try:
            act(path)
        except OSError as error:
            pass
print("tried")
""",
    ),
    "files never closed": (
        ENDED,
        """
open("a", "w").write("x")
held = []
try:
    while True:
        held.append(open("a"))
except OSError as error:
    print(len(held))
""",
    ),
    "a file written past its end": (
        ENDED,
        """
f = open("a", "wb")
for position in (1 << 19, 1 << 20, (1 << 20) + 1, 1 << 30, -5, 2 ** 62):
    try:
        f.seek(position)
        f.write(b"x")
    except (OSError, OverflowError):
        pass
print("tried")
""",
    ),
    "one byte at a time": (
        f"({ASKED}|ended|{TIME})",
        """
f = open("a", "wb")
for n in range(250):
    open("f%d" % n, "w").close()
exec("while True:\\n f.write(b'x'); f.flush()")
""",
    ),
    "opens and removes": (
        f"({ASKED}|{FUEL})",
        """
import os
exec('''
while True:
    with open("a", "w") as f:
        f.write("x" * 100)
        os.rename("a", "b")
        os.remove("b")
        try:
            f.write("x" * 1000)
        except OSError:
            pass
''')
""",
    ),
}

OUTSIDE = {
    "starts a process": (
        ENDED,
        """
import os, sys
for module in ("subprocess", "ffi", "ctypes", "posix", "pty", "multiprocessing", "_thread", "threading", "termios", "jni"):
    try:
        __import__(module)
        if module != "_thread":
            print("succeeded", module)
    except (ImportError, NotImplementedError):
        pass
for name in ("system", "popen", "fork", "spawn", "execv", "kill", "startfile"):
    if hasattr(os, name) or hasattr(sys, name):
        print("succeeded", name)
print("tried")
""",
    ),
    "starts threads without end": (
        f"({TIME}|ended|{FUEL}|{ASKED}|ImportError.*|NotImplementedError.*|AttributeError.*|OSError.*|RuntimeError.*)",
        """
import _thread
def turn():
    while True:
        pass
for n in range(10_000):
    _thread.start_new_thread(turn, ())
""",
    ),
    "opens sockets": (
        ANY,
        """
def attempt(act):
    try:
        print("got", act())
    except Exception as error:
        print("refused", type(error).__name__)
def plain():
    import socket
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    s.send(b"hello")
def served():
    import socket
    s = socket.socket()
    s.bind(("0.0.0.0", PORT))
    s.listen(1)
def asked():
    import requests
    requests.get("http://127.0.0.1:PORT/").text
def urequests():
    import urequests
    urequests.get("http://127.0.0.1:PORT/").text
def installed():
    import mip
    mip.install("http://127.0.0.1:PORT/x.py")
async def connect():
    import asyncio
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"hello")
    await writer.drain()
def awaited():
    import asyncio
    asyncio.run(connect())
for act in (plain, asked, urequests, installed, awaited):
    attempt(act)
""",
    ),
    "types at the keyboard": (
        f"({ENDED}|EOFError.*)",
        """
import sys
print(repr(sys.stdin.read(10)), repr(sys.stdin.readline()))
print(input("password? "))
""",
    ),
}

ATTACKS = FILES | OUTSIDE
