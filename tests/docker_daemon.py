"""A Docker daemon of our own, as root and without a network or a registry, and an image for it that holds nothing: this machine's /usr, its Python
and this very environment are mounted where deploy/docker/Dockerfile would have put them. So what runs in the container is what an image
of these packages holds, and is there in a second. Debian's package is `docker.io`."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from project import REPOSITORY
from real import wait_until

from pipeline.core.stage import die_with_parent

IMAGE = "robo-micropython"  # as deploy/README.md builds it
DOCKERFILE = (REPOSITORY / "deploy/docker/Dockerfile").read_text()


class Daemon:
    """Attribute `environment`: what a process must have to talk to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}

    def docker(self, *arguments: str | Path, ok: bool = True, **options) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
        said = done.stdout.decode()
        assert (done.returncode == 0) is ok, f"docker {arguments[0]} ended with {done.returncode}: {said}"
        return said


def volumes() -> list[str]:
    """What the image lacks, read-only. /etc/alternatives: Debian's g++ is a link through it."""
    places = {"/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", sys.base_prefix}
    mounts = [f"{place}:{place}:ro" for place in sorted(places) if Path(place).exists()]
    return [*mounts, f"{sys.prefix}:/build/.venv:ro", f"{sys.prefix}:{sys.prefix}:ro"]


def make_image(daemon: Daemon) -> None:
    """The Dockerfile's own environment and settings around an empty file system, whose programs are this machine's."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:

        def add(name: str, content: bytes = b"", **more) -> None:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(content)
            for key, value in more.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))

        for name in ("usr", "sbin", "build", "robo", "etc", "var"):  # Docker puts its init into sbin
            add(name, type=tarfile.DIRTYPE)
        for name in ("tmp", "var/tmp"):
            add(name, type=tarfile.DIRTYPE, mode=0o1777)
        for name in ("bin", "lib", "lib64"):
            add(name, type=tarfile.SYMTYPE, linkname=f"usr/{name}")
        add("etc/gitconfig", b"[safe]\n\tdirectory = /robo\n")
        add("build/requirements.lock", (REPOSITORY / "requirements.lock").read_bytes())
    says = [line for line in DOCKERFILE.splitlines() if re.match("ENV|WORKDIR /robo|CMD|STOPSIGNAL", line)]
    changes = [word for line in says for word in ("--change", line)]
    daemon.docker("import", *changes, "-", IMAGE, input=packed.getvalue())


@contextmanager
def start_docker():
    """Yields a Daemon with the image. Skips the test where Docker cannot run or is not installed, fails it in CI where it is not."""
    missing = [name for name in ("dockerd", "docker") if shutil.which(name) is None]
    said = ""
    if missing:
        said = f"no Docker: {', '.join(missing)} missing; `apt-get install docker.io` has them"
    elif os.geteuid():
        said = "only root may start a Docker daemon"
    elif importlib.util.find_spec("prefect_docker") is None:
        said = "no Docker worker of Prefect: `make setup` installs it"
    if said:
        pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
    folder = Path(tempfile.mkdtemp(prefix="robo-docker-"))  # short, as the names of sockets must be
    daemon = Daemon(folder)
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [
                "dockerd",
                *("--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"),
                *("-H", daemon.environment["DOCKER_HOST"], "--iptables=false", "--bridge=none"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or (folder / "docker.sock").exists(), "no Docker daemon came up", 30
        )
        if process.poll() is not None:  # a kernel without what it needs
            pytest.skip(f"no Docker daemon can run here: {(folder / 'log').read_text().strip().splitlines()[-1]}")
        make_image(daemon)
        yield daemon
        if left := daemon.docker("ps", "--all", "--quiet").split():
            daemon.docker("rm", "--force", *left)
    finally:
        process.terminate()
        process.wait(30)
        subprocess.run(["umount", folder / "exec/netns/default"], capture_output=True)  # which the daemon leaves
        shutil.rmtree(folder)
