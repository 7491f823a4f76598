"""Takes out of the image what a run does not need: the packages of the tests and, unless GPU=yes, what PyTorch has for graphics cards.

The package index has only one PyTorch for Linux, the one for CUDA, which cannot be imported without CUDA's libraries: 3.4 GB with
Triton, none of which a CPU ever calls. So an empty library takes their place, with every name that PyTorch links to; to call one ends the
process. CUDA's runtime stays, which is small and truthfully says that there is no card. Each name is checked as Python loads torch.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from itertools import chain
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
LINKED = ("libtorch_cuda", "libtorch_nvshmem", "libtorch_python", "libc10_cuda")
KEPT = ("nvidia-cuda-runtime", "nvidia-cuda-cupti")
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
COMPILES = "import torch; assert torch.compile(torch.nn.GELU())(torch.ones(9)).sum() > 7"


def ask(*command: str | Path) -> list[str]:
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.split()


def take_cuda_out(uv: list[str], locked: list[str]) -> list[str]:
    """Returns the packages it took out."""
    linked = [SITE / "torch/lib" / f"{name}.so" for name in LINKED]
    files = {word.strip("[]") for word in ask("readelf", "-d", *linked) if re.match(r"\[lib(cu|nccl|nv)", word)}
    names = {word for word in ask("nm", "-D", "--undefined-only", *linked) if re.match("cu|nccl|nv", word)}
    out = [name for name in locked if CUDA.match(name) and name not in KEPT]
    subprocess.run([*uv, "uninstall", "--quiet", *out], check=True)
    folder = SITE / "nvidia/cu13/lib"
    kept = set(ask("nm", "-D", "--defined-only", *folder.glob("*.so.*")))
    versions: dict[str, list[str]] = {}
    for name, _, version in (
        word.partition("@") for word in sorted(names - {word.replace("@@", "@") for word in kept})
    ):
        versions.setdefault(version, []).append(name)
    source, script, empty = folder / "empty.c", folder / "empty.map", folder / "empty.so"
    source.write_text(
        "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in sorted(chain(*versions.values()))),
        encoding="utf-8",
    )
    versions.pop("", None)
    script.write_text("".join(f"{version} {{ {'; '.join(names)}; }};\n" for version, names in versions.items()))
    subprocess.run(["gcc", "-shared", "-fPIC", "-s", f"-Wl,--version-script={script}", "-o", empty, source], check=True)
    source.unlink()
    script.unlink()
    for name in files:
        if not (folder / name).exists():
            (folder / name).symlink_to(empty.name)
    # a card that is there all the same would be found, and the first sum on it end the process
    (SITE / "no_gpu.pth").write_text('import os; os.environ["CUDA_VISIBLE_DEVICES"] = ""\n', encoding="utf-8")
    return out


def main() -> None:
    uv = [str(Path(sys.prefix) / "bin/uv"), "pip"]
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    os.environ.update(environment)
    locked = re.findall(r"^([a-z][\w.-]*)==", Path("requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"][
        "test"
    ]
    out = [re.match(r"[\w-]+", extra)[0] for extra in extras]
    subprocess.run([*uv, "uninstall", "--quiet", *out], check=True)
    if os.environ.get("GPU") != "yes":
        out += take_cuda_out(uv, locked)
    subprocess.run([sys.executable, "-c", COMPILES], check=True)
    (Path(sys.prefix) / "share/robo/left_out").write_text("\n".join(out), encoding="utf-8")


if __name__ == "__main__":
    main()
