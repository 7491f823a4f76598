"""What happens at the end of each optimizer step, in this order: a row of metrics, an evaluation where one is due, a checkpoint, and
leaving if somebody asked for it.

The evaluation is ours and not Lightning's validation, which would run after the checkpoint of its step: here a checkpoint holds
everything up to its step, evaluation included, and a resumed run has nothing to make up for.
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
from pipeline.training.stop import Stop

COLUMNS = ("step", "tokens", "loss", "learning_rate", "gradient_norm", "val_loss")


class Metrics(L.Callback):
    """Keeps one row a step, evaluates, and shows a progress bar; stops a run whose loss is no number.

    The rows travel in the checkpoint, so a resumed run's file has no gap and no double.
    """

    def __init__(self, tokens_per_step: int, eval_every: int, stop: Stop):
        self.tokens_per_step, self.eval_every, self.stop = tokens_per_step, eval_every, stop
        self.rows, self.losses, self.tokens_per_second = [], [], None

    def state_dict(self):
        return {"rows": self.rows}

    def load_state_dict(self, state):
        self.rows = state["rows"]

    def on_train_start(self, trainer, module):
        self.bar = bar(trainer.max_steps, "train", " steps", initial=trainer.global_step)
        self.first, self.began, self.evaluating = None, time.perf_counter(), 0.0
        self.batches = trainer.datamodule.evaluation_batches()
        if self.rows and self.is_due(trainer) and not self.rows[-1][-1]:    # a signal came before or during its evaluation
            self.evaluate(trainer, module)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        # before clipping: the norm says how far clipping bites
        self.norm = float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
        self.rate = optimizer.param_groups[0]["lr"]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        if len(self.losses) < module.t["accumulate_grad_batches"]:
            return
        loss, self.losses = sum(self.losses), []     # Lightning has divided each by the accumulation already
        step = trainer.global_step
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}, learning rate {self.rate:.2e}. Halve learning_rate"
                            f"{' and muon_learning_rate' if module.t['optimizer'] == 'muon' else ''}, or raise warmup_ratio, in the training config")
        self.rows.append([step, step * self.tokens_per_step, f"{loss:.6f}", f"{self.rate:.6e}", f"{self.norm:.4f}", ""])
        now = time.perf_counter()
        if self.first is None:      # compiling falls into the first step
            self.first, self.evaluating = (step, now), 0.0
        else:
            self.tokens_per_second = (step - self.first[0]) * self.tokens_per_step / (now - self.first[1] - self.evaluating)
        speed = f"{self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else "compiling done"
        self.bar.set_postfix_str(f"loss {loss:.3f}, {speed}", refresh=False)
        self.bar.update()
        if self.is_due(trainer):
            self.evaluate(trainer, module)

    def is_due(self, trainer) -> bool:
        return trainer.global_step % self.eval_every == 0 or trainer.global_step == trainer.max_steps

    @torch.no_grad()
    def evaluate(self, trainer, module) -> None:
        """Mean cross-entropy over val.bin, into the row of this step; left open where a signal asks for haste."""
        began = time.perf_counter()
        sums = torch.zeros(2, dtype=torch.float64, device=module.device)     # nats, tokens
        module.eval()
        for batch in self.batches:
            if self.stop.signal and trainer.world_size == 1:
                break
            ids, targets = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.val_step_context():
                sums[0] += module.model.loss(ids, targets, reduction="sum").double()
            sums[1] += targets.numel()
        else:
            nats, tokens = trainer.strategy.reduce(sums, reduce_op="sum")
            self.rows[-1][-1] = f"{nats / tokens:.6f}"
            self.bar.write(f"  step {trainer.global_step}: val loss {nats / tokens:.4f}")
        module.train()
        self.evaluating += time.perf_counter() - began

    def on_train_end(self, trainer, module):
        self.bar.close()

    def write(self, path: Path) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_text(path, text.getvalue())


class Checkpoints(L.Callback):
    """Keeps the last two checkpoints of a run in its own folder, each whole or not there at all; leaves when `stop` says so."""

    def __init__(self, folder: Path, every: int, stop: Stop):
        self.folder, self.every, self.stop = folder, every, stop

    def on_train_start(self, trainer, module):
        self.stop.install()
        self.stop.deferred, self.stop.quiet = trainer.world_size > 1, trainer.global_rank > 0   # several processes leave together
        if trainer.world_size == 1:
            self.stop.check()

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.stop.deferred = True       # from here on there is a step to lose

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (batch_idx + 1) % module.t["accumulate_grad_batches"]:
            return
        leave = trainer.strategy.reduce_boolean_decision(self.stop.signal is not None, all=False)   # all devices or none
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps or leave:
            self.save(trainer)
        if leave:
            self.stop.signal = self.stop.signal or "a signal to another process"
        if leave or trainer.world_size == 1:    # alone, a signal may have come while we saved
            self.stop.check()

    def save(self, trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"step-{trainer.global_step:08d}.ckpt"
        unfinished = self.folder / f".{final.name}.unfinished"
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            unfinished.replace(final)
            for old in sorted(self.folder.glob("step-*.ckpt"))[:-2]:
                old.unlink()
        self.stop.step, self.stop.deferred = trainer.global_step, trainer.world_size > 1

    @staticmethod
    def last(folder: Path) -> tuple[Path, int] | None:
        found = sorted(folder.glob("step-*.ckpt"))
        return (found[-1], int(found[-1].stem.split("-")[1])) if found else None
