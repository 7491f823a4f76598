"""DVC's account of what changed in a few words, for the flow and for `robo doctor`, which does without Prefect."""


def why(status: list) -> str:
    """DVC's account of what changed, in a word or two, dials before files before code; empty when nothing did."""
    keys, files, code, outs = [], [], [], []
    for change in status:
        if change == "changed command":
            code.append("command")
            continue
        for file, how in change.get("changed deps", {}).items():
            if isinstance(how, dict):       # a params file: key -> new, modified, deleted
                keys += how
            else:
                (code if file.startswith("pipeline/") else files).append(file)
        outs += change.get("changed outs", {}).items()
    missing = [file for file, how in outs if how in ("new", "deleted", "not in cache")]
    if missing and not keys:
        return f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} not there yet"
    words = keys + files + code
    if not words:
        return f"{', '.join(file for file, _ in outs[:2])} changed by hand" if outs else ""
    return f"{', '.join(words[:2])}{f' and {len(words) - 2} more' if len(words) > 2 else ''} changed"
