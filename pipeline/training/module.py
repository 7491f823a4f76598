"""The LightningModule: loss, dropout's seed, optimizer and rate.

Lightning keeps the loop, accumulation, clipping, precision and devices. What is random is seeded anew at every micro-batch from
(seed, micro-batch), so a resumed run needs no saved random state to draw the same dropout.
"""

import lightning as L
import torch
from torch.distributed.fsdp import FSDPModule, fully_shard

from pipeline.model import Transformer
from pipeline.training.clock import Clock
from pipeline.training.optimizer import make_optimizer, rate_at


class Trainee(L.LightningModule):
    """A Transformer with its training config `t` (the keys of configs/training/*.yaml)."""

    def __init__(self, model: Transformer, t: dict, muon_dtype: torch.dtype, clock: Clock):
        super().__init__()
        self.model, self.t, self.muon_dtype, self.clock = model, t, muon_dtype, clock
        if t["compile"]:
            model.compile_steps()

    def configure_model(self):
        """With `strategy: fsdp`: each block is split over the devices by itself, and gathered just for its turn."""
        if self.t["strategy"] == "fsdp" and not isinstance(self.model, FSDPModule):
            assert self.device_mesh, "Lightning has made it by now"
            for part in (*self.model.blk, self.model):
                fully_shard(part, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch, batch_idx):
        torch.manual_seed(self.t["seed"] * 1_000_003 + batch_idx * self.trainer.world_size + self.global_rank)
        self.model.reseed()
        return self.model.loss(*batch)

    def configure_optimizers(self):
        t = self.t
        optimizer = make_optimizer(self.model, t, self.muon_dtype)

        def share(step: int) -> float:  # of the peak rate; by the clock where that is ahead of the steps
            position = max(step, self.clock.share * (t["max_steps"] - 1))
            return rate_at(position, t["max_steps"], t["warmup_ratio"], t["min_lr"] / t["learning_rate"])

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
