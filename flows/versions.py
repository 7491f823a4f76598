"""The packages that are here, beside those that requirements.lock asks for, that an image holds or that another machine has."""

import os
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

from pipeline.core.errors import UserError, shortened

# Those that decide what comes out, and those that two machines speak through.
SHOWN = ("dvc", "prefect", "mlflow", "torch", "lightning", "llama-cpp-python", "gguf")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    return {normal(found.name): found.version for found in distributions()}


def shown() -> dict[str, str]:
    """Of SHOWN, what is installed."""
    there = installed()
    return {name: there.get(name, "missing") for name in SHOWN}


def locked_versions(path: Path) -> dict[str, str]:
    """Package -> version that requirements.lock asks for on this machine."""
    from packaging.requirements import Requirement

    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(\S+==[^\s\\]+(?:\s*;[^\\]+)?)\s*\\?$", line):
            requirement = Requirement(match[1])
            if requirement.marker is None or requirement.marker.evaluate():
                found[normal(requirement.name)] = next(iter(requirement.specifier)).version
    return found


def left_out() -> set[str]:
    """What deploy/docker/slim.py took out of an image."""
    listed = Path(sys.prefix) / "share/robo/left_out"
    return set(listed.read_text(encoding="utf-8").split()) if listed.exists() else set()


def different(found: dict[str, str], wanted: dict[str, str], says: str) -> list[str]:
    """Each package of which `found` has another version than `wanted`, as `says` has it: {name}, {found}, {wanted}."""
    return [
        says.format(name=name, found=found.get(name, "missing"), wanted=version)
        for name, version in wanted.items()
        if found.get(name) != version
    ]


def instead(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """What differs from a lock."""
    return different(found, dict(sorted(wanted.items())), "{name} {found} instead of {wanted}")


def differing(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """What another machine has that we have not."""
    return different(there, here, "{name} {found} there, {wanted} here")


def check_image(root: Path) -> None:
    """Raises UserError in a container whose image was built of another requirements.lock than the checkout's."""
    if not (made_of := os.environ.get("ROBO_IMAGE_LOCK")) or not Path(made_of).exists():
        return
    if other := instead(locked_versions(Path(made_of)), locked_versions(root / "requirements.lock")):
        raise UserError(
            f"the image has other packages than requirements.lock asks for: {shortened(other)}; build it anew: "
            "docker build -f deploy/docker/Dockerfile -t robo-micropython ."
        )
