"""What happens at the end of each optimizer step, in this order: a row of metrics, an evaluation where one is due, a checkpoint, and
leaving if somebody asked for it.

The evaluation is ours and not Lightning's validation, which would run after the checkpoint of its step: here a checkpoint holds
everything up to its step, evaluation included, and a resumed run has nothing to make up for.
"""

import csv
import io
import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import torch

from pipeline.core.errors import UserError
from pipeline.core.files import flush, write_text
from pipeline.core.progress import bar, columns, is_live
from pipeline.training.clock import Clock
from pipeline.training.stop import Stop
from pipeline.training.utilisation import flops_per_token

COLUMNS = ("step", "tokens", "loss", "learning_rate", "gradient_norm", "val_loss")
RISES = 3  # evaluations, each worse than the one before, that are called over-fitting
LOG_LINE = 130  # characters of a sample in a log; on a terminal it gets one line
CHECKPOINT_SHARE = 0.02  # of the time; above it the run says which checkpoint_every would do


def diverged(first: float, last: list[float]) -> bool:
    """Whether the last ten losses are far above the first one: by half, and by 2 nats at least."""
    return len(last) >= 10 and sum(last) / len(last) > max(1.5 * first, first + 2)


def overfitting(val_losses: list[tuple[int, float]]) -> int | None:
    """The step after which val loss first rose RISES times in a row; None where it never did. Takes (step, val loss) pairs."""
    for n in range(len(val_losses) - RISES):
        rising = [loss for _, loss in val_losses[n : n + RISES + 1]]
        if all(b > a for a, b in pairwise(rising)):
            return val_losses[n][0]
    return None


class Metrics(L.Callback):
    """Keeps one row a step, evaluates, shows a progress bar, and ends a run: for the clock, for want of progress, or on divergence.

    Everything it knows travels in the checkpoint, so a resumed run's files have no gap and no double. `complete` takes a prompt
    and returns how the model goes on, `peak` is the FLOP/s of all devices together where it is known.

    Attributes: `rows`, as in COLUMNS; `samples`, [step, [text, ...]] of each evaluation; `best`, the step, val loss and weights of the
    best evaluation; `ended`, why training was ended before max_steps, else None.
    """

    def __init__(
        self,
        t: dict,
        tokens_per_step: int,
        stop: Stop,
        clock: Clock,
        complete: Callable[[str], str] | None,
        peak: float | None,
    ):
        self.t, self.tokens_per_step, self.stop, self.clock, self.complete, self.peak = (
            t,
            tokens_per_step,
            stop,
            clock,
            complete,
            peak,
        )
        self.rows, self.samples, self.ended = [], [], None
        self.best: dict[str, Any] | None = None
        self.losses, self.tokens_per_second, self.bar = [], None, None

    def state_dict(self):
        return {
            "rows": self.rows,
            "samples": self.samples,
            "best": self.best,
            "ended": self.ended,
            "clock": self.clock.state_dict(),
            "tokens_per_second": self.tokens_per_second,
        }

    def load_state_dict(self, state):
        self.rows, self.samples, self.best, self.ended = (state[key] for key in ("rows", "samples", "best", "ended"))
        self.tokens_per_second = state["tokens_per_second"]
        self.clock.load_state_dict(state["clock"])

    @property
    def val_losses(self) -> list[tuple[int, float]]:
        return [(row[0], float(row[-1])) for row in self.rows if row[-1]]

    def utilisation(self, module) -> float | None:
        """Model FLOPs utilisation, 0 to 1; None where a peak is not known."""
        return (
            self.tokens_per_second * flops_per_token(module.model.config) / self.peak
            if self.peak and self.tokens_per_second
            else None
        )

    # --- the hooks, in the order of a step ----------------------------------------------------------------------------

    def on_train_start(self, trainer, module):
        self.first, self.evaluating = None, 0.0
        self.clock.start()
        self.batches = trainer.datamodule.evaluation_batches()
        trainer.should_stop = self.ended is not None
        if (
            self.rows and self.is_due(trainer) and not self.rows[-1][-1]
        ):  # a signal came before or during its evaluation
            self.evaluate(trainer, module)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        # before clipping: the norm says how far clipping bites. A GPU is not waited for here, but once, at the end of the step
        self.norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
        self.rate = optimizer.param_groups[0]["lr"]
        self.clock.tick()
        if self.clock.limit and trainer.world_size > 1:
            self.clock.share = trainer.strategy.broadcast(self.clock.share)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"])  # stays on its device until the step's end
        if len(self.losses) < self.t["accumulate_grad_batches"]:
            return
        # Lightning has divided each by the accumulation already
        loss, self.losses = float(trainer.strategy.reduce(torch.stack(self.losses).sum(), reduce_op="mean")), []
        step = trainer.global_step
        norm = float(self.norm)
        self.rows.append([step, step * self.tokens_per_step, f"{loss:.6f}", f"{self.rate:.6e}", f"{norm:.4f}", ""])
        self.check(step, loss)
        now = time.perf_counter()
        if self.first is None:  # compiling falls into the first step
            self.first, self.evaluating = (step, now), 0.0
        else:
            self.tokens_per_second = (
                (step - self.first[0]) * self.tokens_per_step / (now - self.first[1] - self.evaluating)
            )
        self.show(trainer, loss, self.utilisation(module))
        if self.clock.limit and trainer.strategy.broadcast(self.clock.is_over):
            self.end(trainer, "max_time")
        if self.is_due(trainer):
            self.evaluate(trainer, module)

    def on_train_end(self, trainer, module):
        if self.bar is not None:
            self.bar.close()

    # --- what they do -------------------------------------------------------------------------------------------------

    def check(self, step: int, loss: float) -> None:
        """Raises UserError where the loss shows that training has come apart."""
        first = float(self.rows[0][2])
        if math.isfinite(loss) and not diverged(first, [float(row[2]) for row in self.rows[1:][-10:]]):
            return
        rates = "learning_rate and muon_learning_rate" if self.t["optimizer"] == "muon" else "learning_rate"
        remedies = [
            f"halve {rates}",
            "raise warmup_ratio",
            *(["set grad_clip_norm: 1.0"] if self.t["grad_clip_norm"] is None else []),
        ]
        raise UserError(
            f"training has diverged: the loss is {loss:.4g} at step {step}, after {first:.4g} at the first; the learning rate is "
            f"{self.rate:.2e}. In the training config: {', or '.join(remedies)}"
        )

    def show(self, trainer, loss: float, mfu: float | None) -> None:
        """Brings the bar up to date. It counts steps, or percent of the schedule where time is the limit."""
        step = trainer.global_step
        done = round(100 * max(self.clock.share, step / trainer.max_steps), 1) if self.clock.limit else step
        if self.bar is None:  # not before the first step, whose compiling would make the time left look long
            total, unit = (100, "%") if self.clock.limit else (trainer.max_steps, " steps")
            self.bar = bar(total, "train", unit, initial=done, disable=not trainer.is_global_zero)
        # what is wanted most comes first: a narrow terminal shows as many as it can
        figures = [
            f"loss {loss:.3f}",
            *([f"{self.tokens_per_second:,.0f} tokens/s"] if self.tokens_per_second else []),
            *([f"step {step}"] if self.clock.limit else []),
            f"{step * self.tokens_per_step:,} tokens",
            *([f"MFU {mfu:.0%}"] if mfu else []),
        ]
        self.bar.set_postfix_str(", ".join(figures), refresh=False)
        self.bar.update(done - self.bar.n)

    def say(self, trainer, text: str) -> None:
        if trainer.is_global_zero:
            self.bar.write(text) if self.bar is not None and is_live() else print(text, flush=True)

    def end(self, trainer, why: str) -> None:
        self.ended = why
        trainer.should_stop = True

    def is_due(self, trainer) -> bool:
        return (
            trainer.global_step % self.t["eval_every"] == 0
            or trainer.global_step == trainer.max_steps
            or self.ended is not None
        )

    @torch.no_grad()
    def evaluate(self, trainer, module) -> None:
        """Measures val loss, lets the model write, and draws the conclusions; leaves all that open where a signal asks for haste."""
        began = time.perf_counter()
        module.eval()
        val_loss = self.val_loss(trainer, module)
        if val_loss is not None:
            self.conclude(trainer, module, val_loss)
        module.train()
        self.evaluating += time.perf_counter() - began

    def val_loss(self, trainer, module) -> float | None:
        """Mean cross-entropy in nats over val.bin."""
        sums = torch.zeros(2, dtype=torch.float64, device=module.device)  # nats, tokens
        for batch in self.batches:
            if self.stop.signal and trainer.world_size == 1:
                return None
            ids, targets = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.val_step_context():
                sums[0] += module.model.loss(ids, targets, reduction="sum").double()
            sums[1] += targets.numel()
        nats, tokens = trainer.strategy.reduce(sums, reduce_op="sum")
        return float(nats / tokens)

    def conclude(self, trainer, module, val_loss: float) -> None:
        step = trainer.global_step
        self.rows[-1][-1] = f"{val_loss:.6f}"
        self.say(trainer, f"  step {step}: val loss {val_loss:.4f}")
        if self.complete and trainer.is_global_zero:
            self.samples.append([step, [f"{prompt}▸{self.complete(prompt)}" for prompt in self.t["sample_prompts"]]])
            sample = self.samples[-1][1][0].replace("\n", "⏎")
            self.say(trainer, f"    {sample[: columns() - 5 if is_live() else LOG_LINE]}")
        if not math.isfinite(val_loss):
            self.check(step, val_loss)
        if self.best is None or val_loss < self.best["val_loss"]:
            weights = (
                {name: p.detach().to("cpu", copy=True) for name, p in module.model.state_dict().items()}
                if self.t["keep"] == "best"
                else None
            )
            self.best = {"step": step, "val_loss": val_loss, "weights": weights}
        late = len([s for s, _ in self.val_losses if s > self.best["step"]])
        if overfitting(self.val_losses) and not overfitting(self.val_losses[:-1]):
            self.say(
                trainer,
                f"  note: val loss has risen {RISES} times in a row since step {overfitting(self.val_losses)}: the model learns the "
                "training text by heart. More text, more dropout or fewer steps help"
                + (f"; step {self.best['step']} is the one to be kept" if self.t["keep"] == "best" else ""),
            )
        if self.t["patience"] and late >= self.t["patience"] and step < trainer.max_steps:
            self.end(trainer, "patience")

    def write(self, path: Path) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_text(path, text.getvalue())

    def write_samples(self, path: Path) -> None:
        parts = [
            "# Samples while training\n\nGreedy, at each evaluation. The prompt comes first, the model goes on after `▸`.\n"
        ]
        for step, texts in self.samples:
            parts.append(f"## Step {step}\n")
            parts += [f"```python\n{text}\n```\n" for text in texts]
        write_text(path, "\n".join(parts))


class Checkpoints(L.Callback):
    """Keeps the last two checkpoints of a run in its own folder, each whole or not there at all; leaves when `stop` says so.

    The last step always has one, so a signal after it costs no step. Attributes: `written` and `seconds` they took.
    """

    def __init__(self, folder: Path, every: int, stop: Stop):
        self.folder, self.every, self.stop, self.written, self.seconds = folder, every, stop, 0, 0.0

    def on_train_start(self, trainer, module):
        self.stop.install()
        self.stop.deferred, self.stop.quiet = (
            trainer.world_size > 1,
            trainer.global_rank > 0,
        )  # several processes leave together
        if trainer.world_size == 1:
            self.stop.check()

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.stop.deferred = True  # from here on there is a step to lose

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (batch_idx + 1) % module.t["accumulate_grad_batches"]:
            return
        leave = trainer.strategy.reduce_boolean_decision(self.stop.signal is not None, all=False)  # all devices or none
        if (
            trainer.global_step % self.every == 0
            or trainer.global_step == trainer.max_steps
            or trainer.should_stop
            or leave
        ):
            self.save(trainer)
        if leave:
            self.stop.signal = self.stop.signal or "a signal to another process"
        if leave or trainer.world_size == 1:  # alone, a signal may have come while we saved
            self.stop.check()

    def save(self, trainer) -> None:
        began = time.perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"step-{trainer.global_step:08d}.ckpt"
        unfinished = self.folder / f".{final.name}.unfinished"
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            flush(unfinished)
            unfinished.replace(final)
            for old in sorted(self.folder.glob("step-*.ckpt"))[:-2]:
                old.unlink()
        self.stop.step, self.stop.deferred = trainer.global_step, trainer.world_size > 1
        self.written, self.seconds = self.written + 1, self.seconds + time.perf_counter() - began
