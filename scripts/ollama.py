"""Finds a real Ollama server for the tests, or builds one from packages alone.

Ollama's installer needs its web site; a test machine often reaches only package registries. Since 0.30 Ollama starts the
`llama-server` in ../lib/ollama beside its own folder, so Go's module proxy gives the server and llama-cpp-python's source
distribution gives llama.cpp: the very one our binding uses, so greedy tokens can be compared exactly. It takes about ten
minutes on 2 cores, once; the result stays in a cache folder outside the checkout.

    python scripts/ollama.py          print the server's path, or exit 1 saying how to get one
    python scripts/ollama.py --build  the same, after building it where it is missing
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.32.15"
ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robo-micropython"
NEEDS = {"go": "Go 1.26 or newer", "cmake": "cmake", "ninja": "ninja", "c++": "a C++ compiler"}


def find() -> Path | None:
    """The server on PATH, else the one built before, else None."""
    built = CACHE / f"ollama-{VERSION}"
    on_path = shutil.which("ollama")
    if on_path:
        return Path(on_path)
    return built / "bin" / "ollama" if (built / "lib" / "ollama" / "llama-quantize").exists() else None


def llama_cpp_source(folder: Path) -> Path:
    """Unpacks the source distribution that requirements.lock pins, hash checked, and returns its llama.cpp."""
    from pipeline.data.sources.index import fetch

    lock = (ROOT / "requirements.lock").read_text()
    entry = re.search(r"^llama-cpp-python==(\S+) \\\n((?:\s+--hash=sha256:\w+.*\n)+)", lock, re.MULTILINE)
    assert entry, "requirements.lock pins llama-cpp-python"
    archive = fetch("llama-cpp-python", entry[1], re.findall(r"sha256:(\w+)", entry[2])[0], cache=CACHE / "downloads")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.glob("*/vendor/llama.cpp"))


def build() -> Path:
    sys.path.insert(0, str(ROOT / "scripts"))
    sys.path.insert(0, str(ROOT))
    from build_progress import run

    missing = [what for tool, what in NEEDS.items() if not shutil.which(tool)]
    if missing:
        sys.exit(f"error: building Ollama {VERSION} needs {', '.join(missing)}; or install Ollama and put it on PATH")
    final = CACHE / f"ollama-{VERSION}"
    logs = CACHE / "logs"
    CACHE.mkdir(parents=True, exist_ok=True)
    print(
        f"Building Ollama {VERSION} for the tests: about 10 minutes on 2 cores, once; kept in {final}", file=sys.stderr
    )
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        scratch = Path(scratch)
        tree = scratch / "tree"
        # The module cache is read-only by default, which makes it hard to delete.
        go_env = {**os.environ, "GOBIN": str(tree / "bin"), "GOFLAGS": "-modcacherw"}
        run(
            [
                "go",
                "install",
                f"-ldflags=-X=github.com/ollama/ollama/version.Version={VERSION}",
                f"github.com/ollama/ollama@v{VERSION}",
            ],
            "1/2 the server, from Go's module proxy (2 to 3 minutes, no steps to count)",
            logs / "ollama-go.log",
            env=go_env,
        )
        source = llama_cpp_source(scratch)
        # Libraries are sought beside the programs, because the folder moves when it is done.
        cmake = [
            "cmake",
            "-G",
            "Ninja",
            "-S",
            str(source),
            "-B",
            str(scratch / "build"),
            "-DCMAKE_BUILD_TYPE=Release",
            "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
            "-DLLAMA_CURL=OFF",
            "-DLLAMA_BUILD_TESTS=OFF",
            "-DLLAMA_BUILD_EXAMPLES=OFF",
        ]
        subprocess.run(cmake, check=True, stdout=subprocess.DEVNULL)
        # Ollama runs a model in llama-server, and passes every GGUF that it is given through llama-quantize.
        run(
            ["ninja", "-C", str(scratch / "build"), "llama-server", "llama-quantize"],
            "2/2 llama.cpp's programs (6 to 10 minutes)",
            logs / "ollama-llama-server.log",
        )
        shutil.copytree(scratch / "build" / "bin", tree / "lib" / "ollama", symlinks=True)
        shutil.rmtree(final, ignore_errors=True)
        tree.rename(final)
    return final / "bin" / "ollama"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="build the server where it is missing")
    arguments = parser.parse_args()
    server = find() or (build() if arguments.build else None)
    if server is None:
        sys.exit("no Ollama server: install Ollama, or run `make ollama` to build one from packages (10 minutes, once)")
    print(server)


if __name__ == "__main__":
    main()
