"""Whether torch can compile here. Where it cannot, training goes on without, slower, and says so: that is no reason to end after all the
text was fetched. It is tried out, since a compiler may be missing, broken or without its headers."""

import os
import shlex
import shutil
from pathlib import Path

import torch

LAUNCHERS = {
    "ccache",
    "sccache",
    "distcc",
    "icecc",
}  # stand before the compiler in CXX; torch takes it all for one program's name


def find() -> str | None:
    """The C++ compiler that CXX names, else the usual one; None where there is none."""
    named = [word for word in shlex.split(os.environ.get("CXX", "")) if Path(word).name not in LAUNCHERS]
    return next((name for name in [*named[:1], "g++", "c++", "clang++"] if shutil.which(name)), None)


def trouble() -> str:
    """Why torch cannot compile here, in a line; empty where it can."""
    from torch._inductor import config
    from torch.utils import cpp_extension

    device, name = "cuda" if torch.cuda.is_available() else "cpu", find()
    if name:
        config.cpp.cxx = (None, name)
    elif device == "cpu":
        return "there is no C++ compiler (Debian: apt-get install g++)"
    if not cpp_extension.TORCH_LIB_PATH.startswith(
        "'"
    ):  # the one path that torch does not quote: a folder may have a blank in it
        cpp_extension.TORCH_LIB_PATH = shlex.quote(cpp_extension.TORCH_LIB_PATH)
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(64, device=device))
    except Exception as error:  # whatever compilers and linkers do
        text = str(error).partition("Set TORCHDYNAMO_VERBOSE")[0]  # advice for torch's own people
        return " ".join((text.partition("Output:")[2] or text).split())[:300]
    return ""
