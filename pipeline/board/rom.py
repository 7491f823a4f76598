"""A file system in one piece of memory, as MicroPython's VfsRom reads it: modules are run where they lie, and a search in it costs nothing.

It is made of records: a number that says the kind, one for the length, then the content. Numbers have seven bits a byte, the highest
first, and the eighth bit says that more follow. Files and folders begin with their name; the whole is a record of its own kind.
"""

DATA, FOLDER, FILE = 2, 4, 5
START = b"\xd2\xcd1"


def number(value: int) -> bytes:
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def named(kind: int, name: str, content: bytes) -> bytes:
    content = number(len(name.encode())) + name.encode() + content
    return number(kind) + number(len(content)) + content


def entries(tree: dict) -> bytes:
    return b"".join(
        named(FOLDER, name, entries(inner))
        if isinstance(inner, dict)
        else named(FILE, name, number(DATA) + number(len(inner)) + inner)
        for name, inner in tree.items()
    )


def build(files: dict[str, bytes]) -> bytes:
    """The file system that holds `files`, path -> content."""
    tree: dict = {}
    for path, content in files.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = content
    content = entries(tree)
    return START + number(len(content)) + content
