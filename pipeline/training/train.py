"""Trains the model: data/processed/*.bin -> models/trained, with metrics that DVC can compare and plot.

DVC deletes a stage's outputs before it runs, so checkpoints to resume from stand outside them: see resume.py.
"""

import hashlib
import logging
import math
import os
import re
import shutil
import warnings
from pathlib import Path

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import read_json, sha256, write_json
from pipeline.core.memory import keep_freed
from pipeline.core.paths import METRICS, PAIRS, PAIRS_INDEX, REPORTS, SIDECAR, TOKENIZER, TRAINED
from pipeline.core.stage import SAFE_PATH
from pipeline.core.timings import TRAINING, write_timings
from pipeline.training import slurm
from pipeline.training.resume import RESUME
from pipeline.training.stop import Stop

SAMPLE_TOKENS = 48
CODE = ("training/*.py", "model/*.py")
# what torch says where memory is short, on a GPU and on a CPU
NO_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


def code_hashes() -> dict[str, str]:
    pipeline = Path(__file__).parent.parent
    return {
        str(path.relative_to(pipeline)): sha256(path) for pattern in CODE for path in sorted(pipeline.glob(pattern))
    }


def check_packed(model: dict, data: dict, sidecar: dict) -> None:
    """Raises UserError when the packed bins were made for another vocabulary or dtype than the configs name."""
    for key, asked in (("vocab_size", model["vocab_size"]), ("dtype", data["dtype"])):
        if sidecar[key] != asked:
            raise UserError(
                f"{SIDECAR}: {key}: {sidecar[key]}, but the configs say {asked}: the bins come from another config; run `dvc repro`"
            )


def tokens_per_step(data: dict, t: dict) -> int:
    """Of all devices together."""
    return data["batch_size"] * data["block_size"] * t["accumulate_grad_batches"] * t["devices"] * t["num_nodes"]


def number_of_steps(t: dict, tokens_per_step: int) -> int:
    """The steps that max_steps and max_tokens allow. Raises UserError where that is not even one."""
    if t["max_tokens"] is None:
        return t["max_steps"]
    if t["max_tokens"] < tokens_per_step:
        raise UserError(
            f"max_tokens: {t['max_tokens']:,} is less than one step of {tokens_per_step:,} tokens (batch_size x block_size x "
            "accumulate_grad_batches x devices x num_nodes)"
        )
    return min(t["max_steps"], t["max_tokens"] // tokens_per_step)


def epochs(tokens: int, tasks_share: float, sidecar: dict) -> str:
    """How often so many tokens go through what was packed. Windows of pairs are nearly full."""

    def reads(share: float, packed: int) -> str:
        return f"{tokens * share / packed:.2f} epochs of {packed:,}"

    return (
        reads(1 - tasks_share, sidecar["train"]["tokens"])
        + " of text"
        + (f" and {reads(tasks_share, sidecar['tasks']['tokens'])} of pairs" if tasks_share else "")
    )


def smaller(batch_size: int, accumulate: int) -> str:
    """Which dials need less memory, for the same effective batch."""
    if batch_size == 1:
        return "batch_size is 1 already: choose a shorter block_size (and context_length), or a smaller model"
    half = batch_size // 2
    more = math.ceil(accumulate * batch_size / half)
    return (
        f"set batch_size: {half} in the data config and accumulate_grad_batches: {more} in the training config, which "
        f"{'keeps' if batch_size % 2 == 0 else 'about keeps'} the effective batch"
    )


def train(
    model_config: dict,
    t: dict,
    data: dict,
    sidecar: dict,
    stop: Stop,
    tokenizer=None,
    resume_from: Path = RESUME,
    out: Path = TRAINED,
) -> dict:
    """Trains and writes `out`, metrics and samples; returns the figures of the run.

    The dicts hold the keys of the model, training and data configs and of pack.json; `tokenizer` may be None without sample_prompts.
    Raises UserError on divergence, too little memory, another process's end, weights in init_from that do not fit, more devices than there are, or a
    precision that this machine is no good at; SystemExit when a signal came, see `Stop`.
    """
    import lightning as L
    import torch
    from lightning.pytorch.strategies import ModelParallelStrategy

    from pipeline.model import ModelConfig, Transformer
    from pipeline.model.checkpoint import save_model
    from pipeline.training import compiler, devices, resume, start, utilisation
    from pipeline.training.callbacks import CHECKPOINT_SHARE, Checkpoints, Metrics, overfitting
    from pipeline.training.clock import Clock
    from pipeline.training.data import BinData
    from pipeline.training.module import Trainee
    from pipeline.training.precision import choose, cpu_has_bfloat16

    keep_freed()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # about loggers and workers that we leave out on purpose
    world = t["devices"] * t["num_nodes"]
    per_step = tokens_per_step(data, t)
    t = {**t, "max_steps": number_of_steps(t, per_step)}
    devices.check(t["devices"])
    precision, why = choose(t["precision"], t["force_precision"])
    on_gpu = torch.cuda.is_available()
    trouble = compiler.trouble() if t["compile"] else ""
    t["compile"] = t["compile"] and not trouble
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(t["seed"])
    model = Transformer(ModelConfig.from_dict(model_config))
    if t["init_from"]:
        model.load_state_dict(start.weights(t["init_from"], model.config, sidecar["tokenizer_sha256"]))
    clock = Clock(t["max_time"])
    module = Trainee(model, t, torch.bfloat16 if on_gpu or cpu_has_bfloat16() else torch.float32, clock)

    def complete(prompt: str) -> str:
        assert tokenizer is not None, "where there are sample_prompts"
        return tokenizer.decode(model.generate(tokenizer.encode(prompt).ids, SAMPLE_TOKENS, sidecar["eos"]))

    initial = (
        hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
        if t["init_from"]
        else None
    )
    read = [data["train_path"], data["val_path"], *([PAIRS, PAIRS_INDEX] if data["tasks_share"] else [])]
    decides = (
        model_config,
        resume.deciding(t),
        resume.deciding(data),
        code_hashes(),
        {
            "precision": precision,
            "init": initial,
            "torch": torch.__version__,
            "eos": sidecar["eos"],
            "tokenizer": sidecar["tokenizer_sha256"],
            **{f"text of {path}": sha256(path) for path in read},
        },
    )
    folder = resume_from / resume.run_key(*decides)
    checkpoint, damaged = resume.last(folder)
    peak = utilisation.peak(torch.cuda.get_device_name(), precision) if on_gpu else None
    metrics = Metrics(t, per_step, stop, clock, complete if t["sample_prompts"] else None, peak and peak * world)
    keeper = Checkpoints(folder, t["checkpoint_every"], stop)
    if t["devices"] > 1:
        os.environ.pop(SAFE_PATH, None)  # the other devices' processes, which Lightning starts, run this module
    trainer = L.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=t["devices"],
        num_nodes=t["num_nodes"],
        precision=precision,
        strategy=ModelParallelStrategy(world, 1, save_distributed_checkpoint=False)
        if t["strategy"] == "fsdp"
        else t["strategy"],
        max_steps=t["max_steps"],
        accumulate_grad_batches=t["accumulate_grad_batches"],
        gradient_clip_val=t["grad_clip_norm"],
        limit_val_batches=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[metrics, keeper],
    )

    def say(text: str) -> None:
        if trainer.is_global_zero:
            print(f"train: {text}", flush=True)

    say(
        f"{model.count_parameters():,} parameters{' from ' + t['init_from'] if t['init_from'] else ''} on {'GPU' if on_gpu else 'CPU'}"
        f"{f' x {world}' if world > 1 else ''}, precision {precision} ({why}), {t['optimizer']}, {'at most ' if clock.limit else ''}{t['max_steps']} "
        f"steps of {per_step:,} tokens = {epochs(t['max_steps'] * per_step, data['tasks_share'], sidecar)}"
        + (", compiling the first step" if t["compile"] else "")
    )
    if trouble:
        say(
            f"note: torch cannot compile here: {trouble}. Each step takes several times as long as compiled, and is rounded a little otherwise"
        )
    for path in damaged:
        say(f"{path} is damaged, cut short by a full disk perhaps, and was removed")
    if checkpoint:
        stop.step = checkpoint[1]
        say(f"going on from step {checkpoint[1]} ({checkpoint[0]})")
    elif anew := resume.why_anew(folder, decides):
        say(anew)
    if trainer.is_global_zero:
        resume.begin(folder, decides)
        if told := resume.tidy(folder):
            say(told)
    loaders = BinData(
        data,
        sidecar["eos"],
        t["seed"],
        t["accumulate_grad_batches"],
        t["max_steps"],
        checkpoint[1] if checkpoint else 0,
        t["strategy"] == "fsdp",
    )
    try:
        trainer.fit(module, loaders, ckpt_path=checkpoint[0] if checkpoint else None, weights_only=True)
    except (RuntimeError, MemoryError) as error:
        if world > 1 and (
            isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
        ):  # gloo's have no class of their own
            raise TemporaryError(
                "another process of the training is gone, or cannot be reached; run again to go on from the last checkpoint. "
                f"({str(error).splitlines()[0][:200]})"
            ) from None
        if not NO_MEMORY.search(str(error)) and not isinstance(error, MemoryError):
            raise
        remedy = smaller(data["batch_size"], t["accumulate_grad_batches"])
        raise UserError(f"memory ran out: {remedy}. ({(str(error) or 'MemoryError').splitlines()[0][:200]})") from None
    stop.check()
    last = {
        name.removeprefix("model."): p for name, p in trainer.strategy.lightning_module_state_dict().items()
    }  # from all devices
    if not trainer.is_global_zero:
        return {}

    steps, best = metrics.rows[-1][0], metrics.best or {}
    kept = best["step"] if t["keep"] == "best" else steps
    result = Transformer(model.config)
    result.load_state_dict(last if kept == steps else best["weights"])
    if kept != steps:
        say(f"keeps the weights of step {kept}, whose val loss is the lowest")
    if keeper.written > 2 and keeper.seconds > CHECKPOINT_SHARE * clock.elapsed():
        every = math.ceil(t["checkpoint_every"] * keeper.seconds / clock.elapsed() / CHECKPOINT_SHARE)
        say(
            f"note: checkpoints took {keeper.seconds / clock.elapsed():.1%} of the time; checkpoint_every: {every} would take {CHECKPOINT_SHARE:.0%}"
        )
    figures = {
        "steps": steps,
        "tokens": steps * per_step,
        "tokens_per_step": per_step,
        "parameters": result.count_parameters(),
        "loss": float(metrics.rows[kept - 1][2]),
        "val_loss": float(metrics.rows[kept - 1][-1]),
        "kept_step": kept,
        "ended": metrics.ended
        or ("max_tokens" if t["max_tokens"] and (steps + 1) * per_step > t["max_tokens"] else "max_steps"),
        "overfitting_since": overfitting(metrics.val_losses),
    }
    speed = {"tokens_per_second": round(metrics.tokens_per_second or 0), "precision": precision}
    if mfu := metrics.utilisation(module):
        speed["mfu"] = round(mfu, 4)
    metrics.write(METRICS / "train.csv")
    metrics.write_samples(REPORTS / "training_samples.md")
    write_json(METRICS / "train.json", figures)
    save_model(
        result, sidecar["tokenizer_sha256"], out
    )  # the last of what DVC keeps, so that where it is everything is
    write_timings(TRAINING, speed, [out / "model.safetensors"])
    say(
        f"loss {figures['loss']:.4f}, val loss {figures['val_loss']:.4f}"
        + (f", ended by {metrics.ended}" if metrics.ended else "")
    )
    shutil.rmtree(folder, ignore_errors=True)
    return figures


def main(config, stop: Stop) -> None:
    from pipeline.data.tokenizer import load_tokenizer

    model, data, sidecar = config.model.as_dict(), config.data.as_dict(), read_json(SIDECAR)
    check_packed(model, data, sidecar)
    if sha256(TOKENIZER) != sidecar["tokenizer_sha256"]:
        raise UserError(f"{TOKENIZER}: not the tokenizer that {SIDECAR} was packed with; run `dvc repro`")
    t = config.training.as_dict()
    if config.slurm and not slurm.is_task():
        slurm.train_there(config.slurm, t["num_nodes"], t["devices"], f"{config.operations}: slurm", stop)
    else:
        train(model, t, data, sidecar, stop, load_tokenizer())


if __name__ == "__main__":
    from pipeline.core.stage import run

    with Stop() as stop:
        run("train", main, stop=stop)
