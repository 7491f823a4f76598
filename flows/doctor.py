"""`robo doctor`: what is there, what listens where, what disagrees, and the command that mends each, on one screen.

It changes nothing, and imports nothing heavy. Only a comparison of MLflow's alias with Ollama needs MLflow's client, a second and a half.
"""

from collections.abc import Iterator
from pathlib import Path

from flows import findings, services
from flows.findings import Finding
from pipeline.core.config import load
from pipeline.core.errors import UserError

SIGNS = {"good": "✓", "note": "·", "bad": "✗"}


def examine(root: Path = Path(".")) -> Iterator[Finding]:
    """Every finding, one after the other as they come; a part that cannot be asked is a finding itself."""
    config = None
    try:
        config = load(root)
        yield Finding("configs", "good", f"{config.params.corpus}, {config.params.model}, {config.params.training}")
    except UserError as error:
        yield Finding("configs", "bad", str(error), "mend the file that it names")
    parts = [
        ("packages", findings.packages(root)),
        ("git", findings.git(root)),
        ("databases", findings.databases(root)),
        ("servers", services.servers(root)),
        ("disk", findings.disk(root)),
        ("trainings", findings.checkpoints(root)),
    ]
    if config:
        parts += [
            ("files", findings.files()),
            ("stores", findings.stores()),
            ("sweeps", findings.sweeps(config)),
            ("ollama", services.ollama(config, root)),
        ]
        parts += [("pools", services.pools(config, root))]
        parts += [("slurm", services.cluster(config))] if config.operations.slurm else []
    for name, found in parts:
        try:
            yield from found
        except UserError as error:
            yield Finding(name, "bad", str(error))


def show(found: Iterator[Finding]) -> bool:
    """Prints them; returns whether nothing needs mending."""
    bad = 0
    for finding in found:
        bad += finding.how == "bad"
        first, *others = finding.said.splitlines() or [""]
        print(f"{SIGNS[finding.how]} {finding.what:<10} {first}", *(f"{'':13}{line}" for line in others), sep="\n")
        if finding.mend:
            print(f"{'':13}→ {finding.mend}", flush=True)
    print(f"\n{bad} to mend" if bad else "\nnothing to mend")
    return not bad
