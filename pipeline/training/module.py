"""The LightningModule and the callbacks around it: metrics, progress, checkpoints.

Lightning keeps the loop, accumulation, clipping, precision and devices. What is random is seeded anew at every micro-batch from
(seed, micro-batch), so a resumed run needs no saved random state to draw the same dropout.
"""

import csv
import io
import math
import time
from pathlib import Path

import lightning as L
import torch

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.progress import bar
from pipeline.model import Transformer
from pipeline.training.optimizer import make_optimizer, rate_at

COLUMNS = ("step", "tokens", "loss", "learning_rate", "gradient_norm", "val_loss")


class Trainee(L.LightningModule):
    """A Transformer with its training config `t` (the keys of configs/training/*.yaml)."""

    def __init__(self, model: Transformer, t: dict, muon_dtype: torch.dtype):
        super().__init__()
        self.model, self.t, self.muon_dtype = model, t, muon_dtype
        # Kept out of the module tree, so that checkpoints do not depend on whether the step was compiled.
        self.__dict__["train_loss"] = torch.compile(model.loss) if t["compile"] else model.loss

    def training_step(self, batch, batch_idx):
        if self.model.config.dropout or self.model.config.resid_dropout or self.model.config.emb_dropout or self.model.config.attn_dropout:
            micro_batch = batch_idx * self.trainer.world_size + self.global_rank
            torch.manual_seed(self.t["seed"] * 1_000_003 + micro_batch)
        return self.__dict__["train_loss"](*batch)

    def validation_step(self, batch, batch_idx):
        ids, targets = batch
        self.val_sum += self.model.loss(ids, targets, reduction="sum").double()
        self.val_tokens += targets.numel()

    def on_validation_epoch_start(self):
        self.val_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.val_tokens = torch.zeros((), dtype=torch.int64, device=self.device)

    def on_validation_epoch_end(self):
        total, tokens = self.all_gather((self.val_sum, self.val_tokens)) if self.trainer.world_size > 1 else (self.val_sum, self.val_tokens)
        self.val_loss = float(total.sum() / tokens.sum())

    def configure_optimizers(self):
        t = self.t
        optimizer = make_optimizer(self.model, t, self.muon_dtype)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_at(step, t["max_steps"], t["warmup_ratio"], t["min_lr"] / t["learning_rate"]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Metrics(L.Callback):
    """Writes one row a step to a CSV file, and shows a progress bar; stops a run whose loss is no number.

    The rows travel in the checkpoint, so a resumed run's file has no gap and no double.
    """

    def __init__(self, path: Path, tokens_per_step: int):
        self.path, self.tokens_per_step, self.rows = path, tokens_per_step, []
        self.losses, self.tokens_per_second = [], None

    def state_dict(self):
        return {"rows": self.rows}

    def load_state_dict(self, state):
        self.rows = state["rows"]

    def on_train_start(self, trainer, module):
        self.bar = bar(trainer.max_steps, "train", " steps", initial=trainer.global_step)
        self.first, self.began, self.validating = None, time.perf_counter(), 0.0

    def on_before_optimizer_step(self, trainer, module, optimizer):
        # before clipping: the norm says how far clipping bites
        self.norm = float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
        self.rate = optimizer.param_groups[0]["lr"]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        if len(self.losses) < module.t["accumulate_grad_batches"]:
            return
        loss, self.losses = sum(self.losses) / len(self.losses), []
        step = trainer.global_step
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}, learning rate {self.rate:.2e}. Halve learning_rate"
                            f"{' and muon_learning_rate' if module.t['optimizer'] == 'muon' else ''}, or raise warmup_ratio, in the training config")
        self.rows.append([step, step * self.tokens_per_step, f"{loss:.6f}", f"{self.rate:.6e}", f"{self.norm:.4f}", ""])
        now = time.perf_counter()
        if self.first is None:      # compiling falls into the first step
            self.first, self.validating = (step, now), 0.0
        else:
            self.tokens_per_second = (step - self.first[0]) * self.tokens_per_step / (now - self.first[1] - self.validating)
        speed = f"{self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else "compiling done"
        self.bar.set_postfix_str(f"loss {loss:.3f}, {speed}", refresh=False)
        self.bar.update()

    def on_validation_start(self, trainer, module):
        self.validation_began = time.perf_counter()

    def on_validation_end(self, trainer, module):
        self.validating += time.perf_counter() - self.validation_began
        self.rows[-1][-1] = f"{module.val_loss:.6f}"
        self.bar.write(f"  step {trainer.global_step}: val loss {module.val_loss:.4f}")

    def on_train_end(self, trainer, module):
        self.bar.close()
        self.write()

    def write(self):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_text(self.path, text.getvalue())


class Checkpoints(L.Callback):
    """Keeps the last two checkpoints of a run in its own folder; each appears whole or not at all."""

    def __init__(self, folder: Path, every: int):
        self.folder, self.every, self.saved_at = folder, every, None

    def save(self, trainer):
        step = trainer.global_step
        if step == self.saved_at:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"step-{step:08d}.ckpt"
        unfinished = self.folder / f".{final.name}.unfinished"
        trainer.save_checkpoint(unfinished)
        unfinished.replace(final)
        self.saved_at = step
        for old in sorted(self.folder.glob("step-*.ckpt"))[:-2]:
            old.unlink()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        at_step_end = (batch_idx + 1) % module.t["accumulate_grad_batches"] == 0
        if at_step_end and trainer.global_step % self.every == 0 and trainer.global_step < trainer.max_steps:
            self.save(trainer)

    @staticmethod
    def last(folder: Path) -> tuple[Path, int] | None:
        found = sorted(folder.glob("step-*.ckpt"))
        return (found[-1], int(found[-1].stem.split("-")[1])) if found else None
