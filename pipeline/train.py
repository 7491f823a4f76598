"""Trains the model: data/processed/*.bin -> models/trained, with metrics that DVC can compare and plot.

DVC deletes a stage's outputs before it runs, so checkpoints to resume from stand outside them, in a folder named by the hash
of everything that decides the run: a changed config never meets an old config's checkpoint.
"""

import hashlib
import json
import logging
import shutil
import warnings
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import read_json, write_json
from pipeline.core.paths import METRICS, SIDECAR, STATE, TRAINED
from pipeline.training.stop import Stop

CHECKPOINTS = STATE / "checkpoints"


def run_key(*parts: dict) -> str:
    """A hash of everything that decides a run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_packed(model: dict, data: dict, sidecar: dict) -> None:
    """Raises UserError when the packed bins were made for another vocabulary or dtype than the configs name."""
    for key, asked in (("vocab_size", model["vocab_size"]), ("dtype", data["dtype"])):
        if sidecar[key] != asked:
            raise UserError(f"{SIDECAR}: {key}: {sidecar[key]}, but the configs say {asked}: the bins come from another config; run `dvc repro`")


def train(model_config: dict, t: dict, data: dict, sidecar: dict, stop: Stop, checkpoints: Path = CHECKPOINTS, out: Path = TRAINED) -> dict:
    """Trains and writes `out` and the metrics; returns the figures of the run. Arguments are the keys of the model, training and data configs.

    Raises UserError on divergence, a checkpoint that does not fit, or a precision that this machine is no good at; SystemExit when
    a signal came, see `Stop`.
    """
    import lightning as L
    import torch

    from pipeline.model import ModelConfig, Transformer
    from pipeline.model.checkpoint import save_model
    from pipeline.training.callbacks import Checkpoints, Metrics
    from pipeline.training.data import BinData
    from pipeline.training.module import Trainee
    from pipeline.training.precision import choose, cpu_has_bfloat16

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")      # about loggers and workers that we leave out on purpose
    precision, why = choose(t["precision"])
    on_gpu = torch.cuda.is_available()
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(t["seed"])
    model = Transformer(ModelConfig.from_dict(model_config))
    muon_dtype = torch.bfloat16 if on_gpu or cpu_has_bfloat16() else torch.float32
    module = Trainee(model, t, muon_dtype)
    tokens_per_step = data["batch_size"] * data["block_size"] * t["accumulate_grad_batches"] * t["devices"] * t["num_nodes"]
    print(f"train: {model.count_parameters():,} parameters on {'GPU' if on_gpu else 'CPU'}, precision {precision} ({why}), {t['optimizer']}, "
          f"{t['max_steps']} steps of {tokens_per_step:,} tokens = {t['max_steps'] * tokens_per_step / sidecar['train']['tokens']:.2f} epochs"
          + (", compiling the first step" if t["compile"] else ""), flush=True)

    folder = checkpoints / run_key(model_config, {k: v for k, v in t.items() if k not in ("eval_every", "checkpoint_every")}, data, sidecar,
                                   {"precision": precision})
    resume = Checkpoints.last(folder)
    metrics, keeper = Metrics(tokens_per_step, t["eval_every"], stop), Checkpoints(folder, t["checkpoint_every"], stop)
    trainer = L.Trainer(
        accelerator="gpu" if on_gpu else "cpu", devices=t["devices"], num_nodes=t["num_nodes"], strategy=t["strategy"], precision=precision,
        max_steps=t["max_steps"], accumulate_grad_batches=t["accumulate_grad_batches"], gradient_clip_val=t["grad_clip_norm"],
        limit_val_batches=0, use_distributed_sampler=False, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[metrics, keeper])
    loaders = BinData(data, t["seed"], t["accumulate_grad_batches"], t["max_steps"], resume[1] if resume else 0)
    if resume:
        stop.step = resume[1]
        print(f"train: going on from step {resume[1]} ({resume[0]})", flush=True)
    trainer.fit(module, loaders, ckpt_path=resume[0] if resume else None, weights_only=True)
    figures = {"steps": t["max_steps"], "tokens": t["max_steps"] * tokens_per_step, "parameters": model.count_parameters(),
               "loss": float(metrics.rows[-1][2]), "val_loss": float(metrics.rows[-1][-1])}
    stop.check()
    metrics.write(METRICS / "train.csv")
    write_json(METRICS / "speed.json", {"tokens_per_second": round(metrics.tokens_per_second or 0), "precision": precision})
    write_json(METRICS / "train.json", figures)
    save_model(model, sidecar["tokenizer_sha256"], out)     # the last, so that where it is everything is
    print(f"train: loss {figures['loss']:.4f}, val loss {figures['val_loss']:.4f}")
    shutil.rmtree(folder, ignore_errors=True)
    return figures


def main(config, stop: Stop) -> None:
    model, data, sidecar = config.model.as_dict(), config.data.as_dict(), read_json(SIDECAR)
    check_packed(model, data, sidecar)
    train(model, config.training.as_dict(), data, sidecar, stop)


if __name__ == "__main__":
    from pipeline.core.stage import run
    with Stop() as stop:
        run("train", main, stop=stop)
