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
from pipeline.model import ModelConfig, Transformer
from pipeline.model.checkpoint import save_model

CHECKPOINTS = STATE / "checkpoints"
CURVE, SPEED = METRICS / "train.csv", METRICS / "speed.json"


def run_key(*parts: dict) -> str:
    """A hash of everything that decides a run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_packed(model: dict, data: dict, sidecar: dict) -> None:
    """Raises UserError when the packed bins were made for another vocabulary or dtype than the configs name."""
    for key, asked in (("vocab_size", model["vocab_size"]), ("dtype", data["dtype"])):
        if sidecar[key] != asked:
            raise UserError(f"{SIDECAR}: {key}: {sidecar[key]}, but the configs say {asked}: the bins come from another config; run `dvc repro`")


def train(model_config: dict, t: dict, data: dict, sidecar: dict, checkpoints: Path = CHECKPOINTS, out: Path = TRAINED) -> dict:
    """Trains and writes `out`; returns the figures of the run. Arguments are the keys of the model, training and data configs.

    Raises UserError on divergence, a checkpoint that does not fit, or a precision that this machine is no good at.
    """
    import lightning as L
    import torch

    from pipeline.training.data import BinData
    from pipeline.training.module import Checkpoints, Metrics, Trainee
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
    metrics, keeper = Metrics(CURVE, tokens_per_step), Checkpoints(folder, t["checkpoint_every"])
    trainer = L.Trainer(
        accelerator="gpu" if on_gpu else "cpu", devices=t["devices"], num_nodes=t["num_nodes"], strategy=t["strategy"], precision=precision,
        max_steps=t["max_steps"], accumulate_grad_batches=t["accumulate_grad_batches"], gradient_clip_val=t["grad_clip_norm"],
        val_check_interval=min(t["eval_every"], t["max_steps"]) * t["accumulate_grad_batches"], check_val_every_n_epoch=None,
        num_sanity_val_steps=0, use_distributed_sampler=False, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[metrics, keeper])
    loaders = BinData(data, t["seed"], t["accumulate_grad_batches"], t["max_steps"], resume[1] if resume else 0)
    if resume:
        print(f"train: going on from step {resume[1]} ({resume[0]})", flush=True)
    trainer.fit(module, loaders, ckpt_path=resume[0] if resume else None, weights_only=True)
    if trainer.global_step < t["max_steps"]:        # SIGTERM and Ctrl-C end fit early
        raise UserError(f"training was stopped at step {trainer.global_step} of {t['max_steps']}; run again to go on from the last checkpoint")
    if not metrics.rows[-1][-1]:
        trainer.validate(module, loaders, verbose=False)
        metrics.write()
    save_model(model, sidecar["tokenizer_sha256"], out)
    write_json(SPEED, {"tokens_per_second": round(metrics.tokens_per_second or 0), "precision": precision})
    shutil.rmtree(folder, ignore_errors=True)
    return {"steps": t["max_steps"], "tokens": t["max_steps"] * tokens_per_step, "parameters": model.count_parameters(),
            "loss": float(metrics.rows[-1][2]), "val_loss": float(metrics.rows[-1][-1])}


def main(config) -> None:
    model, data, sidecar = config.model.as_dict(), config.data.as_dict(), read_json(SIDECAR)
    check_packed(model, data, sidecar)
    figures = train(model, config.training.as_dict(), data, sidecar)
    write_json(METRICS / "train.json", figures)
    print(f"train: loss {figures['loss']:.4f}, val loss {figures['val_loss']:.4f}")


if __name__ == "__main__":
    from pipeline.core.stage import run
    run("train", main)
