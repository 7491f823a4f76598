"""What a sweep would leave out. `dvc exp run --queue` works in a copy of the project that git makes, so a file that git does not know is not
there, and DVC says nothing of it. It can only be said before, by `robo run`, `robo plan` and `robo doctor`."""

import contextlib
import shlex
from collections.abc import Sequence

from pipeline.core.config import Config
from pipeline.core.errors import UserError, shortened
from pipeline.core.schema import DatasetSource, FolderSource
from pipeline.publish.lineage import git


def inputs(config: Config) -> list[str]:
    """What the stages read that none of them makes, as dvc.yaml names it."""
    return sorted(
        {"params.yaml", "dvc.yaml", "configs"}
        | {
            path
            for stage in config.graph.values()
            for path in stage.get("deps", [])
            if "$" not in path and (config.root / path).exists()
        }
    )


def ask(config: Config, *arguments: str, about: Sequence[str] = ()) -> list[str]:
    """Names, of those it is asked `about`, that git answers with; none where there is no repository, in which no sweep starts either."""
    with contextlib.suppress(UserError):
        return sorted(
            name.rstrip("/") for name in git(config.root, *arguments, told="\0".join(about)).split("\0") if name
        )
    return []


def missed(config: Config) -> list[str]:
    """One sentence for the inputs that git does not know yet, one for those that it is told to ignore; empty when there are none."""
    new = ask(
        config,
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
        "--directory",
        "--no-empty-directory",
        "--",
        *inputs(config),
    )
    own = [
        source.path
        for source in config.corpus.sources
        if isinstance(source, FolderSource | DatasetSource) and source.path
    ]
    start = config.training.init_from or ""
    ignored = ask(config, "check-ignore", "-z", "--stdin", about=own + [start] * start.startswith("checkpoints/"))
    return [
        f"a sweep (`dvc exp run --queue`) sees only what git knows, so {shortened(names)} would be left out: {mend}"
        for names, mend in (
            (new, f"git add {shlex.join(new)}"),
            (ignored, f"git is told to ignore it; dvc exp run --queue --copy-paths {shlex.join(ignored)} ..."),
        )
        if names
    ]
