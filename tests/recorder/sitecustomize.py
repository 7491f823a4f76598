"""Put on PYTHONPATH, this makes every Python process of a stage write down what it reads: config keys, files, modules.

Python's audit events are the mechanism; nothing in the product knows of it. Lines go out at once, since worker processes end
without saying goodbye.
"""

import atexit
import os
import sys

is_stage = any(argument.startswith("pipeline.") for argument in sys.orig_argv)  # not dvc, which starts it
record = os.open(os.environ["ROBO_RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
here = os.getcwd() + os.sep


def hook(event, arguments):
    if event == "robo.read":
        os.write(record, f"key\t{arguments[0]}\t{arguments[1]}\n".encode())
    elif event == "open" and isinstance(arguments[0], str | os.PathLike):
        path, mode, flags = os.fspath(arguments[0]), *arguments[1:]
        writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR) if mode is None else set(mode) & set("wax+")
        if not writes and os.path.abspath(path).startswith(here):
            os.write(record, f"file\t{os.path.abspath(path)[len(here) :]}\n".encode())


def modules():
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(here):
            os.write(record, f"code\t{file[len(here) :]}\n".encode())


if is_stage:
    sys.addaudithook(hook)
    atexit.register(modules)
