"""`robo plan`: pipeline/plan.py's figures and DVC's pending stages, as a person reads them before a run.

What is known at once comes first. What has to be tried out comes after it, each with a word before it, and `--no-measure` leaves it out.
No figure of an earlier run stands for the one that is planned: where the text or the training is another by now, it is not known yet.
"""

from pathlib import Path

from flows.changes import pending
from flows.console import clock, say, show_tables
from flows.tracked import missed
from pipeline import plan
from pipeline.advice import advice, check_machine
from pipeline.core.config import Config
from pipeline.core.files import read_json
from pipeline.core.paths import METRICS, SIDECAR
from pipeline.training.train import epochs, number_of_steps, tokens_per_step


def reading(tokens: int, tasks_share: float, stages: dict[str, str]) -> tuple[int | None, str]:
    """(tokens of the training text, how often it is read), as far as that text is packed."""
    if not SIDECAR.exists():
        return None, f"epochs are known when {SIDECAR} is there: dvc repro pack"
    sidecar = read_json(SIDECAR)
    packed = sidecar["train"]["tokens"]
    if "pack" in stages:
        return (
            None,
            f"epochs are not known yet: {SIDECAR} counts {packed:,} tokens of the text before (pack: {stages['pack']}): dvc repro pack",
        )
    return packed, epochs(tokens, tasks_share, sidecar)


def against_gate(gate: float | None, stages: dict[str, str]) -> str:
    """How the trained model stands to the gate max_val_loss; empty without that gate, or before the first training."""
    figures = METRICS / "train.json"
    if gate is None or not figures.exists():
        return ""
    loss = read_json(figures)["val_loss"]
    if "train" in stages:
        return (
            f"Whether val loss will be below the gate max_val_loss {gate:g} is not known yet: {loss:.2f} in {figures} is of the training "
            f"before (train: {stages['train']})"
        )
    good = loss < gate
    return (
        f"The trained model's val loss {loss:.2f} is {'below' if good else 'not below'} the gate max_val_loss {gate:g}: the reference says "
        f"{'it is ready for export' if good else 'add more data or reduce the model'}"
    )


def show(config: Config, measured: bool) -> None:
    """Prints the plan; with `measured`, tries out what takes longer than a moment: memory, file sizes, and some seconds of training.

    Raises UserError where the training that it measures, or that is to be done, is one that this machine would crawl through.
    """
    stages = pending()
    if measured or "train" in stages:
        check_machine(config)
    p, d, t = config.params, config.data, config.training
    parts = plan.parameters(config)
    total = sum(parts.values())
    show_tables(
        [
            (
                f"{p.model}: {total:,} parameters",
                ["part", "parameters", "share"],
                [[part, f"{count:,}", f"{count / total:.1%}"] for part, count in parts.items()],
            )
        ]
    )

    per_step = tokens_per_step(d.model_dump(), t.model_dump())
    steps = number_of_steps(t.model_dump(), per_step)
    tokens = steps * per_step
    packed, read = reading(tokens, d.tasks_share, stages)
    say(
        f"{steps:,} steps of {d.batch_size} x {d.block_size} x {t.accumulate_grad_batches} (batch x context x accumulation)"
        f"{f' x {t.devices * t.num_nodes} devices' if t.devices * t.num_nodes > 1 else ''} = {per_step:,} tokens: {tokens:,} tokens"
        f"{', ' if packed else '; '}{read}\n"
    )

    if packed and (rows := plan.reference(config, packed)):
        show_tables(
            [
                (
                    "Where the reference would choose otherwise",
                    ["key", "here", "reference", "because"],
                    [[a.key, a.ours, a.reference, a.why] for a in rows],
                )
            ]
        )
    for line in [
        against_gate(config.operations.gates.max_val_loss, stages),
        *(f"note: {line}" for line in advice(config) + missed(config)),
    ]:
        if line:
            say(f"{line}\n")
    if not Path("dvc.lock").exists():
        say("Nothing was built here yet.")
    show_tables(
        [("What `dvc repro` would run", ["stage", "because"], [[stage, why] for stage, why in stages.items()])]
        if stages
        else []
    )
    say("" if stages else "`dvc repro` would run nothing: every file is up to date.\n")
    if not measured:
        say("Memory, file sizes, speed and time take a minute or two to try out: robo plan")
        return

    sizes = [d.batch_size, *(size for size in (8, 16, 32, 64) if size != d.batch_size)]
    say("Simulating training steps ...")
    memory = [plan.memory_of(config, precision, sizes) for precision in plan.PRECISIONS]
    show_tables(
        [
            (
                "Memory for training on one device, without compiling, in million bytes",
                ["batch_size", *plan.PRECISIONS.values()],
                [
                    [
                        f"{size}{' (configured)' if size == d.batch_size else ''}",
                        *(f"{found[size] / 1e6:,.0f}" for found in memory),
                    ]
                    for size in sizes
                ],
            )
        ]
    )

    say("Quantizing random weights of this shape ...")
    found = plan.file_sizes(config, list(p.quants))
    show_tables(
        [
            (
                "GGUF files, as llama.cpp writes this shape",
                ["type", "bytes", "bits per weight", "fell back to larger types"],
                [
                    [
                        quant,
                        f"{f['bytes']:,}",
                        f"{f['bits_per_weight']:.2f}",
                        f"{f['fell_back']['count']} tensors, {f['fell_back']['bytes']:,} bytes"
                        if f["fell_back"]["count"]
                        else "none",
                    ]
                    for quant, f in found.items()
                ],
            )
        ]
    )

    say(f"Measuring for {plan.MEASURE_SECONDS} s{', after compiling for about a minute' if t.compile else ''} ...")
    first, rate, precision = plan.measure(config)
    say(
        f"{rate:,.0f} tokens/s on one device here in {precision}; the first step took {first:.0f} s. "
        f"Training: about {clock(first + tokens / rate / t.devices / t.num_nodes)}{(t.max_time and f', stopped at {t.max_time}') or ''}"
    )
