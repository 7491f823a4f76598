"""Where a training goes on, and what is said where it cannot.

Its checkpoints stand in a folder named by the hash of everything that decides what comes out, so a changed config, text or line of code
never meets an old checkpoint. What was decided stands beside them, so that a training which begins anew can name what changed. Those that
were never ended stay, for settings that come back, but only the last KEPT.
"""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

from pipeline.core.errors import shortened
from pipeline.core.files import read_json, write_json
from pipeline.core.paths import STATE

RESUME = STATE / "checkpoints"
DECIDED = "decided.json"
KEPT = 3
# They change nothing in the weights, or stand in the key as what they come to: the precision, the starting weights, the text.
INDIFFERENT = {
    "checkpoint_every",
    "num_workers",
    "sample_prompts",
    "precision",
    "force_precision",
    "init_from",
    "train_path",
    "val_path",
}


def deciding(settings: dict) -> dict:
    """The keys of a config that decide what comes out of a training."""
    return {key: value for key, value in settings.items() if key not in INDIFFERENT}


def run_key(*parts: dict) -> str:
    """A hash of everything that decides a run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def is_whole(checkpoint: Path) -> bool:
    """torch writes zip files, which hold a sum of each of their parts."""
    try:
        with zipfile.ZipFile(checkpoint) as held:
            return held.testzip() is None
    except (zipfile.BadZipFile, EOFError, FileNotFoundError):
        return False


def last(folder: Path) -> tuple[tuple[Path, int] | None, list[Path]]:
    """The newest checkpoint with its step, and those newer ones that are damaged, which are removed."""
    damaged = []
    for path in sorted(folder.glob("step-*.ckpt"), reverse=True):
        if is_whole(path):
            return (path, step(path)), damaged
        path.unlink(missing_ok=True)  # several processes may look at once
        damaged.append(path)
    return None, damaged


def step(checkpoint: Path) -> int:
    return int(checkpoint.stem.split("-")[1])


def begin(folder: Path, parts: tuple[dict, ...]) -> None:
    """Notes what decides the run that is to have its checkpoints in `folder`."""
    write_json(folder / DECIDED, {key: value for part in parts for key, value in part.items()})


def unended(root: Path) -> dict[Path, int]:
    """The trainings under `root` that have a checkpoint, the newest first, with the bytes they hold."""
    newest = {path.parent: path.stat().st_mtime for path in sorted(root.glob("*/step-*.ckpt"))}
    return {
        folder: sum(file.stat().st_size for file in folder.iterdir())
        for folder in sorted(newest, key=newest.__getitem__, reverse=True)
    }


def why_anew(folder: Path, parts: tuple[dict, ...]) -> str | None:
    """What is otherwise than in the newest training that was not ended; None where there is none."""
    old = next(iter(unended(folder.parent)), None)
    if old is None or not (old / DECIDED).exists():
        return None
    then, now = (
        read_json(old / DECIDED),
        json.loads(json.dumps({key: value for part in parts for key, value in part.items()})),
    )
    changed = [named(key, then.get(key), now.get(key)) for key in {**now, **then} if then.get(key) != now.get(key)]
    return (
        f"begins anew, since {shortened(changed, 4)} changed; {old} stands at "
        f"step {max(map(step, old.glob('step-*.ckpt')))}, and goes on when that is as it was"
    )


def named(key: str, then, now) -> str:
    """The key, with its values where they tell a person something."""
    values = [json.dumps(value) for value in (then, now)]
    return f"{key} ({values[0]} -> {values[1]})" if max(map(len, values)) <= 24 else key


def tidy(folder: Path) -> str | None:
    """Removes the oldest trainings that were not ended, and those that came to no checkpoint; says what is left, None where that is nothing."""
    others = {path: size for path, size in unended(folder.parent).items() if path != folder}
    kept = list(others)[:KEPT]
    for path in folder.parent.iterdir():
        if path not in (*kept, folder):
            shutil.rmtree(path, ignore_errors=True)
    held = sum(others[path] for path in kept) / 1e9
    return (
        (
            f"note: {folder.parent} keeps {held:.1f} GB of {len(kept)} other trainings that did not end, for settings that come back"
            + (f"; {len(others) - len(kept)} older removed" if len(others) > len(kept) else "")
        )
        if kept
        else None
    )
