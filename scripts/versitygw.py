"""Finds a real S3 server for the tests, or builds one from Go's module proxy.

versitygw (Apache-2.0) serves a folder: each object is a file, so tests see what an upload left, and a full disk is a full bucket. It
takes 4 to 10 minutes of building on 2 cores, once; the program stays in a cache folder outside the checkout.

    python scripts/versitygw.py          print the program's path, or exit 1 saying how to get it
    python scripts/versitygw.py --build  the same, after building it where it is missing
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

VERSION = "1.8.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robo-micropython"
BUILT = CACHE / f"versitygw-{VERSION}"


def find() -> Path | None:
    """The program on PATH, else the one built before, else None."""
    on_path = shutil.which("versitygw")
    return Path(on_path) if on_path else BUILT if BUILT.exists() else None


def build() -> Path:
    from build_progress import run

    if not shutil.which("go"):
        sys.exit(f"error: building versitygw {VERSION} needs Go 1.25 or newer; or install versitygw and put it on PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        # The module cache is read-only by default, which makes it hard to delete.
        run(
            ["go", "install", f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"],
            f"Building versitygw {VERSION}, an S3 server for the tests: 4 to 10 minutes on 2 cores, once; kept as {BUILT}",
            CACHE / "logs" / "versitygw.log",
            env={**os.environ, "GOBIN": scratch, "GOFLAGS": "-modcacherw"},
        )
        os.replace(Path(scratch, "versitygw"), BUILT)
    return BUILT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="build the program where it is missing")
    arguments = parser.parse_args()
    program = find() or (build() if arguments.build else None)
    if program is None:
        sys.exit("no S3 server: run `make versitygw` to build one from packages (some minutes, once)")
    print(program)


if __name__ == "__main__":
    main()
