"""`robo plan`: pipeline/plan.py's figures and DVC's pending stages, as a person reads them before a run."""

from pathlib import Path

from flows.graph import pending
from flows.summary import show_tables
from flows.tracked import missed
from pipeline import plan
from pipeline.advice import advice, check_machine
from pipeline.core.config import Config
from pipeline.core.files import read_json
from pipeline.core.paths import METRICS, SIDECAR
from pipeline.training.train import number_of_steps


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def show(config: Config, measured: bool) -> None:
    """Prints the plan; with `measured`, trains for some seconds to know the speed.

    Raises UserError where the training that it measures, or that is to be done, is one that this machine would crawl through.
    """
    stages = pending()
    if measured or "train" in stages:
        check_machine(config)
    p, d, t = config.params, config.data, config.training
    parts = plan.parameters(config)
    total = sum(parts.values())
    show_tables([(f"{p.model}: {total:,} parameters", ["part", "parameters", "share"],
                  [[part, f"{count:,}", f"{count / total:.1%}"] for part, count in parts.items()])])

    per_step = d.batch_size * d.block_size * t.accumulate_grad_batches * t.devices * t.num_nodes
    steps = number_of_steps(t.model_dump(), per_step)
    tokens = steps * per_step
    print(f"{steps:,} steps of {d.batch_size} x {d.block_size} x {t.accumulate_grad_batches} (batch x context x accumulation)"
          f"{f' x {t.devices * t.num_nodes} devices' if t.devices * t.num_nodes > 1 else ''} = {per_step:,} tokens: {tokens:,} tokens", end="")
    packed = read_json(SIDECAR)["train"]["tokens"] if SIDECAR.exists() else None
    print(f", {tokens / packed:.2f} epochs of {packed:,}" if packed else f"; epochs are known when {SIDECAR} is there: dvc repro pack", end="\n\n")

    batches = [d.batch_size, *(size for size in (8, 16, 32, 64) if size != d.batch_size)]
    show_tables([("Memory for training on one device, without compiling, in million bytes", ["batch_size", *plan.PRECISIONS], [
        [f"{size}{' (configured)' if size == d.batch_size else ''}",
         *(f"{plan.training_memory(config, precision, size) / 1e6:,.0f}" for precision in plan.PRECISIONS)] for size in batches])])

    sizes = plan.file_sizes(config, list(p.quants))
    fell = {quant: f["fell_back"] for quant, f in sizes.items()}
    show_tables([("GGUF files, as llama.cpp writes this shape", ["type", "bytes", "bits per weight", "fell back to larger types"], [
        [quant, f"{f['bytes']:,}", f"{f['bits_per_weight']:.2f}",
         f"{fell[quant]['count']} tensors, {fell[quant]['bytes']:,} bytes" if fell[quant]["count"] else "none"] for quant, f in sizes.items()])])

    if measured:
        print(f"Measuring for {plan.MEASURE_SECONDS} s{', after compiling for about a minute' if t.compile else ''} ...", flush=True)
        first, rate, precision = plan.measure(config)
        print(f"{rate:,.0f} tokens/s on one device here in {precision}; the first step took {first:.0f} s. "
              f"Training: about {clock(first + tokens / rate / t.devices / t.num_nodes)}{(t.max_time and f', stopped at {t.max_time}') or ''}\n")

    if packed and (rows := plan.reference(config, packed)):
        show_tables([("Where the reference would choose otherwise", ["key", "here", "reference", "because"],
                      [[a.key, a.ours, a.reference, a.why] for a in rows])])
    gate = config.operations.gates.max_val_loss
    if gate is not None and (METRICS / "train.json").exists():
        loss = read_json(METRICS / "train.json")["val_loss"]
        good = loss < gate
        print(f"The last run's val_loss {loss:.2f} is {'below' if good else 'not below'} the gate max_val_loss {gate:g}: the reference says "
              f"{'it is ready for export' if good else 'add more data or reduce the model'}\n")
    for line in advice(config) + missed(config):
        print(f"note: {line}\n")
    if not Path("dvc.lock").exists():
        print("Nothing was built here yet.")
    show_tables([("What `dvc repro` would run", ["stage", "because"], [[stage, why] for stage, why in stages.items()])] if stages else [])
    print("" if stages else "`dvc repro` would run nothing: every file is up to date.")
