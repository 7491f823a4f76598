"""Blocks of the packed bins, in an order that is a pure function of (seed, epoch, position).

Nothing about the order is ever saved: from the number of steps done follows which block comes next, on any number of workers
and devices. Each epoch shuffles all blocks without replacement; no block is padded, and only the tail is left out.
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from pipeline.core.errors import UserError
from pipeline.core.stage import die_with_parent
from pipeline.training.stop import SIGNALS


class Blocks(Dataset):
    """Sample i is (ids, targets), each (block_size,) int64: tokens [i * stride, i * stride + block_size] and the ones after.

    Raises UserError when the file holds not even one block.
    """

    def __init__(self, path: Path, dtype: str, block_size: int, stride: int):
        self.tokens = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
        self.block_size, self.stride = block_size, stride
        if len(self.tokens) <= block_size:
            raise UserError(f"{path}: {len(self.tokens)} tokens are not one block of block_size {block_size}; add text or use a smaller context")

    def __len__(self) -> int:
        return (len(self.tokens) - 1 - self.block_size) // self.stride + 1

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        window = torch.from_numpy(self.tokens[i * self.stride: i * self.stride + self.block_size + 1].astype(np.int64))
        return window[:-1], window[1:]


class Order(Sampler[int]):
    """Block numbers from sample `start` on, for the device `rank` of `world`.

    Devices take whole micro-batches in turn, so that N devices see in one step what one device sees with N times the
    accumulation.
    """

    def __init__(self, blocks: int, samples: int, seed: int, batch_size: int, start: int = 0, rank: int = 0, world: int = 1):
        self.blocks, self.samples, self.seed, self.batch_size = blocks, samples, seed, batch_size
        self.start, self.rank, self.world = start, rank, world

    def __len__(self) -> int:
        return min(self.samples, sys.maxsize)       # Python's len() knows no more

    def __iter__(self) -> Iterator[int]:
        epoch, order = -1, None
        for own in range(self.start, self.samples):
            micro_batch, within = divmod(own, self.batch_size)
            position = (micro_batch * self.world + self.rank) * self.batch_size + within
            if position // self.blocks != epoch:
                epoch = position // self.blocks
                order = np.random.default_rng((self.seed, epoch)).permutation(self.blocks)
            yield int(order[position % self.blocks])


def outlast_signals(worker: int) -> None:
    """Ctrl-C and many a SIGTERM reach the loaders too, which must go on until the trainer has done its step. They die with it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)


class BinData(L.LightningDataModule):
    """Loaders over train.bin and val.bin; `data` holds the keys of configs/data/*.yaml, `steps_done` is where a resumed run stands, and
    `together` says that every device must see as many batches of an evaluation as every other."""

    def __init__(self, data: dict, seed: int, accumulate: int, max_steps: int, steps_done: int = 0, together: bool = False):
        super().__init__()
        self.data, self.seed, self.accumulate, self.max_steps = data, seed, accumulate, max_steps
        self.steps_done, self.together = steps_done, together

    def blocks(self, path: str, stride: int) -> Blocks:
        return Blocks(Path(path), self.data["dtype"], self.data["block_size"], stride)

    def train_dataloader(self) -> DataLoader:
        blocks = self.blocks(self.data["train_path"], self.data["stride"])
        per_step = self.accumulate * self.data["batch_size"]
        order = Order(len(blocks), self.max_steps * per_step, self.seed, self.data["batch_size"], self.steps_done * per_step,
                      self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(blocks, self.data["batch_size"], sampler=order, num_workers=self.data["num_workers"], worker_init_fn=outlast_signals)

    def evaluation_batches(self) -> DataLoader:
        """The blocks of val.bin, shared out among the devices. Not `val_dataloader`, since Lightning's validation would stand between a
        step and its checkpoint (see callbacks.py)."""
        blocks = self.blocks(self.data["val_path"], self.data["block_size"])
        if self.together:       # a device that has finished early would leave the others waiting for its part of the weights
            return DataLoader(blocks, self.data["batch_size"])
        return DataLoader(Subset(blocks, range(self.trainer.global_rank, len(blocks), self.trainer.world_size)), self.data["batch_size"])
