"""What DVC says of its graph: the stages, which of them would run, and why in a few words. Without Prefect, whose import takes longer than
DVC's answer: `robo plan` and `robo doctor` ask too."""

import threading

from pipeline.core.errors import shortened

_dvc = threading.Lock()  # one question to DVC at a time; children have DVC's own locks


def ordered(repo) -> dict[str, list[str]]:
    """Every stage of dvc.yaml with the stages it needs, in an order in which they can run."""
    import networkx as nx

    edges = repo.index.graph  # from a stage to the stages it needs
    return {
        stage.addressing: [needed.addressing for needed in edges.successors(stage)]
        for stage in nx.dfs_postorder_nodes(edges)
        if stage.addressing and not stage.is_data_source
    }


def graph() -> dict[str, list[str]]:
    """ordered() of the project here."""
    from flows.dvc_repo import Repo

    with Repo(".") as repo:
        return ordered(repo)


def changes(stage: str) -> str:
    """Why a stage would run now; empty when it is up to date."""
    from flows.dvc_repo import Repo

    with _dvc, Repo(".", _wait_for_lock=True) as repo:
        return why(repo.status(targets=[stage]).get(stage, []))


def pending() -> dict[str, str]:
    """Stage -> why it would run, of those that would; one that merely follows may turn out Cached or unchanged when its turn comes."""
    from flows.dvc_repo import Repo

    with _dvc, Repo(".", _wait_for_lock=True) as repo:
        status, stages = repo.status(), ordered(repo)
    found: dict[str, str] = {}
    for stage, needs in stages.items():
        if reason := why(status.get(stage, [])):
            found[stage] = reason
        elif before := [need for need in needs if need in found]:
            found[stage] = f"after {before[0]}"
    return found


def why(status: list) -> str:
    """DVC's account of what changed, in a word or two, dials before files before code; empty when nothing did."""
    keys, files, code, outs = [], [], [], []
    for change in status:
        if change == "changed command":
            code.append("command")
            continue
        for file, how in change.get("changed deps", {}).items():
            if isinstance(how, dict):  # a params file: key -> new, modified, deleted
                keys += how
            else:
                (code if file.startswith("pipeline/") else files).append(file)
        outs += change.get("changed outs", {}).items()
    missing = [file for file, how in outs if how in ("new", "deleted", "not in cache")]
    if missing and not keys:
        return f"{shortened(missing, 1)} not there yet"
    words = keys + files + code
    if not words:
        return f"{', '.join(file for file, _ in outs[:2])} changed by hand" if outs else ""
    return f"{shortened(words, 2)} changed"
