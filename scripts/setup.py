"""Makes .venv from requirements.lock, and says what takes so long while it does. Standard library only.

uv installs in half a minute what takes pip several, and checks every file against the lock's hashes. llama.cpp's Python binding
has no ready-made wheel on the public index, so it is compiled here once: three to eight minutes on 2 cores. The wheel stays in
uv's cache, and so the next environment is made in seconds.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from build_progress import run

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COMPLETE = VENV / ".complete"  # says where, since its scripts know that place alone
UV = "uv==0.13.9"
# llama-cpp-python also builds llama.cpp's multimodal library by default, which nothing here uses.
BUILD = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF"}


def install_stubs(uv: list[str], environment: dict[str, str]) -> None:
    """Puts each package of boards.lock into a folder of its own: they all have the same modules. What is there stays."""
    for line in (ROOT / "boards.lock").read_text().splitlines():
        package = line.split("#")[0].partition(" ")[0].replace("==", "-")
        folder = VENV / "share" / "robo" / "stubs" / package
        if package and not folder.exists():
            unfinished = folder.with_name(f".{package}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            subprocess.run(
                [
                    *uv,
                    "install",
                    "--quiet",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "--require-hashes",
                    "--target",
                    str(unfinished),
                    "--requirements",
                    "-",
                ],
                input=line,
                text=True,
                env=environment,
                check=True,
            )
            unfinished.rename(folder)


def find_own_programs(venv: Path) -> None:
    """Lets every Python of this environment find the environment's programs first, activated or not: `.venv/bin/dvc` starts stages as `python`."""
    line = 'import os, sys; os.environ["PATH"] = os.path.join(sys.prefix, "bin") + os.pathsep + os.environ.get("PATH", os.defpath)\n'
    for packages in venv.glob("lib/python*/site-packages"):
        (packages / "robo.pth").write_text(line, encoding="utf-8")


def main() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(
            f"error: Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}; name one with `make PYTHON=python3.12 ...`"
        )
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        sys.exit("error: a C++ compiler is needed to build llama.cpp (Debian: apt-get install g++)")
    if COMPLETE.exists() and COMPLETE.read_text() not in ("", str(VENV.resolve())):
        print(
            f"{VENV} was moved or copied from {COMPLETE.read_text()}, and would go on using what is there",
            file=sys.stderr,
        )
        shutil.rmtree(VENV)
    python = VENV / "bin" / "python"
    if not python.exists():
        print(f"Making {VENV}", file=sys.stderr)
        venv.create(VENV, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], check=True)
    environment = {**os.environ, **BUILD, "VIRTUAL_ENV": str(VENV)}
    uv = [str(VENV / "bin" / "uv"), "pip"]
    run(
        [*uv, "sync", "--verbose", "--require-hashes", str(ROOT / "requirements.lock")],
        "Installing the locked packages: 260 of them, 5 GB, of which PyTorch is most. The first time llama.cpp is compiled too, which has no\n"
        "ready-made wheel: 3 to 8 minutes on 2 cores; the wheel is kept for the next time.",
        ROOT / ".state" / "logs" / "setup.log",
        env=environment,
    )
    run(
        [*uv, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
        "Installing the project itself",
        ROOT / ".state" / "logs" / "setup-project.log",
        env=environment,
    )
    install_stubs(uv, environment)
    find_own_programs(VENV)
    COMPLETE.write_text(str(VENV.resolve()), encoding="utf-8")


if __name__ == "__main__":
    main()
