"""Figures that depend on a machine's mood: tokens/s and the like.

No stage of dvc.yaml lists their files: the same recipe run again gives other figures, and dvc.lock would be another one after each run. So
DVC does not bring them back with an earlier model, and each says of which files it is: beside others it counts as not measured.
"""

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.files import read_json, sha256, write_json
from pipeline.core.paths import METRICS

TRAINING, INFERENCE = TIMINGS = ("speed", "inference_speed")  # stems of their files under metrics/ and reports/
OF = "of"


def write_timings(name: str, figures: dict, of: Iterable[Path]) -> None:
    write_json(METRICS / f"{name}.json", {**figures, OF: {str(path): sha256(path) for path in of}})


def read_timings(name: str, root: Path = Path()) -> dict | None:
    """What was measured of the files that are here; None where nothing was, or on other ones."""
    path = root / METRICS / f"{name}.json"
    figures = read_json(path) if path.exists() else {}
    of = figures.pop(OF, {})
    good = bool(of) and all((root / file).exists() and sha256(root / file) == digest for file, digest in of.items())
    return figures if good else None
