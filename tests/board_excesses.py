"""Programs that want more depth, memory or output than there is, or to change the board beneath them; see board_attacks.py."""

from board_attacks import ANY, ASKED, ENDED, EVENTS, FUEL, MEMORY, OUTPUT, TIME

DEPTH = (
    "(RuntimeError: maximum recursion depth exceeded.*|the interpreter broke: .*call stack exhausted.*|MemoryError.*)"
)

DEPTHS = {
    "recursion": (DEPTH, "def f():\n    f()\nf()\n"),
    "mutual recursion": (DEPTH, "def f():\n    g()\ndef g():\n    f()\nf()\n"),
    "recursion that catches everything": (
        f"({DEPTH}|{FUEL}|ended)",
        "def f():\n    try:\n        f()\n    except:\n        f()\nf()\n",
    ),
    "a getattr without end": (
        DEPTH,
        "class A:\n    def __getattr__(self, name):\n        return getattr(self, name + 'x')\nA().x\n",
    ),
    "a repr without end": (DEPTH, "class A:\n    def __repr__(self):\n        return repr(self)\nprint(A())\n"),
    "an eq without end": (
        DEPTH,
        "class A:\n    def __eq__(self, other):\n        return other == self\nprint(A() == A())\n",
    ),
    "a call without end": (DEPTH, "class A:\n    def __call__(self):\n        return self()\nA()()\n"),
    "an iterator of itself": (
        f"({DEPTH}|{FUEL}|TypeError.*)",
        "class A:\n    def __iter__(self):\n        return iter(self)\nlist(A())\n",
    ),
    "a sort key without end": (DEPTH, "def key(x):\n    return sorted([1, 2], key=key)\nsorted([1, 2], key=key)\n"),
    "a del within a del": (
        f"({DEPTH}|ended|{FUEL}|{TIME})",
        """
import gc
class A:
    def __del__(self):
        A()
        gc.collect()
A()
gc.collect()
""",
    ),
    "a list within itself": (f"({DEPTH}|{OUTPUT}|{FUEL})", "x = []\nx.append(x)\nprint(x)\n"),
    "lists within lists": (f"({DEPTH}|ended)", "x = []\nfor _ in range(5000):\n    x = [x]\nprint(len(repr(x)))\n"),
    "json within json": (f"({DEPTH}|ended|ValueError.*)", "import json\njson.loads('[' * 20_000 + ']' * 20_000)\n"),
    "brackets within brackets": (f"({DEPTH}|SyntaxError.*|{FUEL})", "eval('(' * 5000 + ')' * 5000)\n"),
    "blocks within blocks": (
        f"({DEPTH}|SyntaxError.*|IndentationError.*|ended)",
        "exec(''.join(' ' * n + 'if 1:\\n' for n in range(300)) + ' ' * 300 + 'pass')\n",
    ),
    "exec within exec": (f"({DEPTH}|{FUEL})", "s = 'exec(s)'\nexec(s)\n"),
    "imports itself": (
        f"({DEPTH}|{FUEL}|{ENDED}|ImportError.*)",
        "import sys\nsys.modules.pop('_boot', None)\nimport _boot\n",
    ),
    "a regular expression within itself": (
        f"({DEPTH}|ValueError.*|ended)",
        "import re\nre.match('(' * 1000 + ')' * 1000, 'a')\n",
    ),
    "generators within generators": (
        f"({DEPTH}|ended)",
        "g = iter([1])\nfor _ in range(5000):\n    g = (x for x in g)\nlist(g)\n",
    ),
    "tuples as keys": (f"({DEPTH}|ended)", "x = ()\nfor _ in range(5000):\n    x = (x,)\n{x: 1}\n"),
    "a deep class": (
        f"({DEPTH}|AttributeError.*|{FUEL})",
        "class A:\n    pass\nfor _ in range(2000):\n    class A(A):\n        pass\nA().x\n",
    ),
}

SIZES = {
    "a list without end": (f"({MEMORY}|{FUEL}|{TIME})", "x = []\nwhile True:\n    x.append('x' * 1000)\n"),
    "a list that catches everything": (
        f"({FUEL}|{TIME})",
        """
x = []
exec('''
while True:
    try:
        x.append(bytes(1000))
    except MemoryError:
        pass
''')
""",
    ),
    "a string that doubles": (MEMORY, "x = 'x'\nwhile True:\n    x += x\n"),
    "a huge string": (f"({MEMORY}|OverflowError.*)", "'x' * 10 ** 9\n"),
    "a huge list": (f"({MEMORY}|OverflowError.*)", "[0] * 10 ** 9\n"),
    "a huge tuple": (f"({MEMORY}|the interpreter broke: .*)", "(0,) * (1 << 30)\n"),
    "a huge bytearray": (f"({MEMORY}|OverflowError.*)", "bytearray(2 ** 31 - 1)\n"),
    "a bytearray of four gigabytes": (f"({MEMORY}|OverflowError.*)", "bytearray(2 ** 32 - 1)\n"),
    "a negative size": (f"({MEMORY}|OverflowError.*|ValueError.*)", "bytearray(-1)\n"),
    "a huge number": (f"({MEMORY}|{FUEL}|OverflowError.*)", "2 ** (2 ** 10 ** 7)\n"),
    "a number of ten million digits": (f"({MEMORY}|{FUEL})", "x = 10 ** 10_000_000\n"),
    "a number as text": (f"({MEMORY}|{FUEL})", "x = str(7 ** 100_000)\nwhile True:\n    x = str(int(x) * int(x))\n"),
    "a shift": (f"({MEMORY}|OverflowError.*)", "1 << 10 ** 9\n"),
    "a width in %": (f"({MEMORY}|ValueError.*|OverflowError.*|{FUEL})", "x = '%1000000000d' % 1\n"),
    "a width in format": (f"({MEMORY}|ValueError.*|OverflowError.*|{FUEL})", "x = '{:>1000000000}'.format(1)\n"),
    "widths within widths": (f"({MEMORY}|ValueError.*|OverflowError.*|{FUEL})", "x = '{:{}'.format('x', 10 ** 9)\n"),
    "a precision": (f"({MEMORY}|ValueError.*|OverflowError.*|ended)", "x = '%.1000000000f' % 1.5\n"),
    "a replacement that grows": (f"({MEMORY}|{FUEL})", "x = 'aa'\nwhile True:\n    x = x.replace('a', 'aa' * 100)\n"),
    "a join": (f"({MEMORY}|{FUEL})", "','.join('x' * 1000 for _ in range(10 ** 6))\n"),
    "a range": (f"({MEMORY}|{FUEL})", "list(range(2 ** 30))\n"),
    "an array": (f"({MEMORY}|OverflowError.*|{FUEL})", "import array\narray.array('d', range(2 ** 30))\n"),
    "a dictionary": (f"({MEMORY}|{FUEL}|{TIME})", "x = {}\nn = 0\nwhile True:\n    x[n] = n\n    n += 1\n"),
    "a deque": (f"({MEMORY}|OverflowError.*)", "import collections\ncollections.deque((), 2 ** 29)\n"),
    "a struct": (f"({MEMORY}|OverflowError.*|ValueError.*)", "import struct\nstruct.pack('1000000000s', b'')\n"),
    "a format string": (
        f"({MEMORY}|ValueError.*|{FUEL}|OverflowError.*|ended)",
        "import struct\nstruct.calcsize('2147483647d' * 4)\n",
    ),
    "a zip bomb": (
        f"({MEMORY}|{FUEL}|OSError.*|EOFError.*)",
        """
import deflate, io, binascii
packed = io.BytesIO(binascii.a2b_base64(BOMB))
print(len(deflate.DeflateIO(packed, deflate.RAW, 15).read()))
""",
    ),
    "symbols without end": (f"({MEMORY}|{FUEL}|{TIME})", "n = 0\nwhile True:\n    exec('x%d = 1' % n)\n    n += 1\n"),
    "modules without end": (
        f"({MEMORY}|{FUEL}|{ASKED}|{TIME}|ended)",
        """
import sys
source = "x = bytes(1000)"
for n in range(255):
    with open("m%d.py" % n, "w") as f:
        f.write(source)
while True:
    for n in range(255):
        __import__("m%d" % n)
        sys.modules.pop("m%d" % n)
""",
    ),
    "a heap that is locked": (
        ANY,
        "import micropython\nmicropython.heap_lock()\nx = []\nfor n in range(10_000):\n    x.append(n)\n",
    ),
    "a collector that is off": (
        f"({MEMORY}|ended|{FUEL}|{TIME})",
        "import gc\ngc.disable()\ngc.threshold(1)\nfor n in range(100_000):\n    bytes(1000)\n",
    ),
    "a regular expression": (f"({FUEL}|{DEPTH})", "import re\nprint(re.match('(a*)*b', 'a' * 40))\n"),
    "another regular expression": (
        f"({FUEL}|{DEPTH}|ended)",
        "import re\nprint(re.match('(a|a)*(a|a)*(a|a)*$', 'a' * 40 + 'b'))\n",
    ),
    "a sort without end": (
        FUEL,
        "x = [(n * 7919) % 4001 for n in range(4000)]\nexec('while True: x.sort(key=lambda n: (n * 31) % 977)')\n",
    ),
    "a hash without end": (
        FUEL,
        "import hashlib\nh = hashlib.sha256()\nx = bytes(10_000)\nexec('while True: h.update(x)')\n",
    ),
}

OUTPUTS = {
    "prints without end": (f"({OUTPUT}|{TIME})", "while True:\n    print('x' * 100)\n"),
    "prints without a line's end": (f"({OUTPUT}|{TIME})", 'exec(\'while True: print("x" * 100, end="")\')\n'),
    "prints one sign at a time": (f"({OUTPUT}|{ASKED})", "import sys\nexec('while True: sys.stdout.write(\"x\")')\n"),
    "prints lines' ends": (f"({OUTPUT}|{EVENTS})", 'exec(\'while True: print("\\\\n" * 1000, end="")\')\n'),
    "errors without end": (OUTPUT, "import sys\nexec('while True: sys.stderr.write(\"x\" * 100)')\n"),
    "one huge print": (f"({OUTPUT}|{MEMORY})", "print('x' * 90_000)\n"),
    "prints what is no text": (
        ENDED,
        """
import sys
for _ in range(10):
    sys.stdout.buffer.write(bytes(range(256)))
print("\\x1b[2J\\x1b]0;title\\x07\\ud800")
""",
    ),
    "tracebacks without end": (
        OUTPUT,
        "import sys\nexec('while True: sys.stderr.write(\"Traceback (most recent call last):\\\\n\" * 10)')\n",
    ),
    "a traceback with a line that is none": (
        "(X.*|ended)",
        """
import sys
sys.stderr.write("Traceback (most recent call last):\\n  File \\"main.py\\", line " + "9" * 6000 + ", in x\\nX: y\\n")
""",
    ),
    "tracebacks of nothing": (ANY, "import sys\nsys.stderr.write('Traceback (most recent call last):\\n' * 3)\n"),
    "an error that prints without end": (
        f"({OUTPUT}|E.*|y+.*)",
        """
class E(Exception):
    def __str__(self):
        return "x" * 10_000
    def __repr__(self):
        return "y" * 10_000
raise E("z" * 70_000)
""",
    ),
    "an error as long as a book": (f"({OUTPUT}|ValueError.*|{MEMORY})", "raise ValueError('z' * 70_000)\n"),
    "an error of many lines": (
        "ValueError.*",
        "raise ValueError('\\nTraceback (most recent call last):\\n  File \"main.py\", line 1\\n' * 50)\n",
    ),
}

MEMORIES = {
    "writes all over its memory": (
        ANY,
        """
import uctypes
for start in range(0, 1 << 24, 4096):
    uctypes.bytearray_at(start, 4096)[:] = b"\\xff" * 4096
""",
    ),
    "writes zeros over its memory from above": (
        ANY,
        """
import uctypes
for start in range((1 << 23), 0, -64):
    try:
        uctypes.bytearray_at(start, 64)[:] = bytes(64)
    except Exception:
        pass
""",
    ),
    "reads outside of its memory": (
        ANY,
        """
import uctypes
for start in (0xFFFFFFF0, 0x7FFFFFF0, 1 << 24, 1 << 28, -16):
    print(len(uctypes.bytes_at(start, 64)))
    print("succeeded")
""",
    ),
    "reads all of its memory at once": (
        ANY,
        "import uctypes\nx = uctypes.bytearray_at(0, 0xFFFFFFFF)\nprint(x[-1])\nprint('succeeded')\n",
    ),
    "hands over memory that it has not": (
        ANY,
        "import uctypes, sys\nsys.stdout.write(uctypes.bytearray_at(0xFFFFFF00, 256))\nprint('succeeded')\n",
    ),
    "prints memory that it has not": (
        ANY,
        "import uctypes, host\nhost.call('tick', str(uctypes.bytes_at(1 << 26, 4096)))\nprint('succeeded')\n",
    ),
    "pokes at mem32": (
        ANY,
        """
import machine
for address in (0, 4, 0x40000000, 0xD0000000, 0xFFFFFFFC, -4):
    machine.mem32[address] = 0xFFFFFFFF
    print(machine.mem32[address])
""",
    ),
    "looks for what another program had": (
        ENDED,
        """
import uctypes
wanted = bytes([SECRET])
block, found = 1 << 14, 0
for start in range(0, 1 << 21, block):
    if uctypes.bytearray_at(start, block + 64).find(wanted) >= 0 and found >= 0:
        found += 1
# its own copies of what it looks for
if found > 8:
    print("succeeded", found)
print("tried", found > 0)
""",
    ),
}

MODULES = {
    "overwrites builtins": (
        f"({ENDED}|{TIME}|.*Error.*)",
        """
import builtins
for name in dir(builtins):
    if name[0] != "_" or name == "_tick":
        try:
            setattr(builtins, name, lambda *a, **k: True)
        except Exception:
            pass
exec("while True: pass")
""",
    ),
    "takes the ticks away": (FUEL, "import builtins\nbuiltins._tick = lambda: True\nwhile True:\n    pass\n"),
    "throws the modules out": (
        f"({ENDED}|{TIME}|.*Error.*)",
        """
import sys, _hw
for name in list(sys.modules):
    sys.modules.pop(name)
sys.path[:] = ["/", "/lib", ""]
for name in dir(_hw):
    try:
        delattr(_hw, name)
    except Exception:
        pass
import machine
machine.Pin(3)
""",
    ),
    "puts a module of its own before the board's": (
        f"({ENDED}|ImportError.*)",
        """
import sys
open("machine.py", "w").write("class Pin:\\n    OUT = 1\\n    def __init__(self, *a): pass\\n    def value(self, x=None): return 1\\n")
sys.path[:] = [""]
sys.modules.pop("machine", None)
import machine
machine.Pin(15, machine.Pin.OUT).value(1)
print(machine.Pin(15).value())
""",
    ),
    "calls the board's loader": (
        ANY,
        """
import vfs
for path in ("/firmware", "/rom", "/"):
    try:
        vfs.umount(path)
    except OSError:
        pass
import machine
machine.Pin(3)
""",
    ),
}

EXCESSES = DEPTHS | SIZES | OUTPUTS | MEMORIES | MODULES
