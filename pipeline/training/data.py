"""What training reads: blocks of the raw text and windows of the taught pairs, in an order that is a pure function of (seed, position).

Nothing about the order is ever saved: from the number of steps done follows which sample comes next, on any number of workers and devices.
Each epoch shuffles all blocks, or all pairs, without replacement. Raw text is cut into blocks without padding, and only the tail is left
out. Pairs are never cut: a window holds whole ones, one after the other, and what is left of it weighs nothing in the loss.

What a token weighs there is the config's to say. A program costs a tenth of a nat a token, raw code and requests, which nobody can foretell,
twenty times as much: with equal weights nearly all that a step learns is about these (EXPERIMENTS.md).
"""

import math
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from pipeline.core.errors import UserError
from pipeline.core.paths import PAIRS, PAIRS_INDEX
from pipeline.core.stage import die_with_parent
from pipeline.training.stop import SIGNALS

AHEAD = 32  # pairs, of which the first that fits a window's rest goes there: 97% of the windows is text then, 88% in the order of the epoch


class Blocks(Dataset):
    """Sample i is (ids, targets), each (block_size,) int64: tokens [i * stride, i * stride + block_size] and the ones after.

    Raises UserError when the file holds not even one block.
    """

    def __init__(self, path: Path, dtype: str, block_size: int, stride: int):
        self.tokens = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
        self.block_size, self.stride = block_size, stride
        if len(self.tokens) <= block_size:
            raise UserError(
                f"{path}: {len(self.tokens)} tokens are not one block of block_size {block_size}; add text or use a smaller context"
            )

    def __len__(self) -> int:
        return (len(self.tokens) - 1 - self.block_size) // self.stride + 1

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        window = torch.from_numpy(self.tokens[i * self.stride : i * self.stride + self.block_size + 1].astype(np.int64))
        return window[:-1], window[1:]


class Pairs:
    """Window k is (ids, targets, weights), each (block_size,), int64 and float32: whole pairs in the order of their epoch. `weights` are those of
    a token of a request and of one of a program; the filling at the end has none.

    `index` is the file of (start, tokens of the request, tokens in all) for each pair, int64. Raises UserError where there are no pairs.
    """

    def __init__(
        self,
        path: Path,
        index: Path,
        dtype: str,
        block_size: int,
        eos: int,
        weights: tuple[float, float],
        seed: int,
    ):
        self.tokens = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
        self.index = np.fromfile(index, dtype="<i8").reshape(-1, 3)
        self.index = self.index[self.index[:, 2] <= block_size + 1]  # the last target needs no place of its own
        self.block_size, self.eos, self.weights, self.seed = block_size, eos, weights, seed
        self.epochs: list[tuple[np.ndarray, np.ndarray]] = []  # (order of the pairs, where each window begins in it)
        if not len(self.index):
            raise UserError(
                f"{path}: no pair fits a block_size of {block_size}; make a curriculum, or set tasks_share: 0"
            )

    @property
    def mean_weight(self) -> float:
        """Of a token of a pair."""
        requests, tokens = (int(column.sum()) for column in self.index.T[1:])
        of_request, of_program = self.weights
        return (of_request * requests + of_program * (tokens - requests)) / tokens

    def epoch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        while len(self.epochs) <= number:
            drawn = np.random.default_rng((self.seed, len(self.epochs), 1)).permutation(len(self.index))
            self.epochs.append(windows(drawn.tolist(), self.index[:, 2].tolist(), self.block_size + 1))
        return self.epochs[number]

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        number = 0
        while k >= len(self.epoch(number)[1]) - 1:
            k -= len(self.epoch(number)[1]) - 1
            number += 1
        order, starts = self.epoch(number)
        ids = np.full(self.block_size + 1, self.eos, dtype=np.int64)
        weights = np.zeros(self.block_size + 1, dtype=np.float32)
        of_request, of_program = self.weights
        at = 0
        for start, request, length in self.index[order[starts[k] : starts[k + 1]]].tolist():
            ids[at : at + length] = self.tokens[start : start + length]
            weights[at : at + request], weights[at + request : at + length] = of_request, of_program
            at += length
        return torch.from_numpy(ids[:-1]), torch.from_numpy(ids[1:]), torch.from_numpy(weights[1:])


def windows(drawn: list[int], lengths: list[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """(order of the pairs, where each window of `size` tokens begins in it). A window begins with the pair that has waited longest, so none waits
    for more than AHEAD windows."""
    waiting, coming = drawn[:AHEAD], iter(drawn[AHEAD:])
    order, starts, room = [], [0], size
    while waiting:
        fits = next((pair for pair in waiting if lengths[pair] <= room), None)
        if fits is None:
            starts.append(len(order))
            room = size
        else:
            waiting.remove(fits)
            waiting += islice(coming, 1)
            order.append(fits)
            room -= lengths[fits]
    return np.array(order), np.array([*starts, len(order)])


class Mixture(Dataset):
    """Sample i of a run is (ids, targets, weights): a window of pairs in `share` of all, evenly spread, else a block of the raw text. A token of
    raw text weighs 1 before all weights are divided by their mean, so that no micro-batch, whatever is in it, counts for more than it should."""

    def __init__(self, blocks: Blocks, pairs: Pairs | None, share: float, seed: int):
        self.blocks, self.pairs, self.share, self.seed = blocks, pairs, share if pairs else 0.0, seed
        self.mean_weight = 1 - self.share + (self.share * pairs.mean_weight if pairs else 0)
        self.shuffled = -1, np.empty(0, np.int64)  # (epoch, its order)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        taught = math.floor(i * self.share)
        if self.pairs and math.floor((i + 1) * self.share) > taught:
            ids, targets, weights = self.pairs[taught]
        else:
            ids, targets = self.blocks[self.block(i - taught)]
            weights = torch.ones(len(ids))
        return ids, targets, weights / self.mean_weight

    def block(self, position: int) -> int:
        """Which block is the raw text's `position`-th."""
        epoch, place = divmod(position, len(self.blocks))
        if epoch != self.shuffled[0]:
            self.shuffled = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.blocks))
        return int(self.shuffled[1][place])


class Order(Sampler[int]):
    """Numbers of the samples from `start` on, for the device `rank` of `world`.

    Devices take whole micro-batches in turn, so that N devices see in one step what one device sees with N times the
    accumulation.
    """

    def __init__(self, samples: int, batch_size: int, start: int = 0, rank: int = 0, world: int = 1):
        self.samples, self.batch_size, self.start, self.rank, self.world = samples, batch_size, start, rank, world

    def __len__(self) -> int:
        return min(self.samples, sys.maxsize)  # Python's len() knows no more

    def __iter__(self) -> Iterator[int]:
        for own in range(self.start, self.samples):
            micro_batch, within = divmod(own, self.batch_size)
            yield (micro_batch * self.world + self.rank) * self.batch_size + within


def outlast_signals(worker: int) -> None:
    """Ctrl-C and many a SIGTERM reach the loaders too, which must go on until the trainer has done its step. They die with it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)


class BinData(L.LightningDataModule):
    """Loaders over the packed files; `data` holds the keys of configs/data/*.yaml, `eos` is the token between documents, `steps_done` is
    where a resumed run stands, and `together` says that every device must see as many batches of an evaluation as every other."""

    def __init__(
        self,
        data: dict,
        eos: int,
        seed: int,
        accumulate: int,
        max_steps: int,
        steps_done: int = 0,
        together: bool = False,
    ):
        super().__init__()
        self.data, self.eos, self.seed, self.accumulate, self.max_steps = data, eos, seed, accumulate, max_steps
        self.steps_done, self.together = steps_done, together

    trainer: Any  # Lightning's, which is there when it asks for a loader

    def blocks(self, path: str, stride: int) -> Blocks:
        return Blocks(Path(path), self.data["dtype"], self.data["block_size"], stride)

    def train_dataloader(self) -> DataLoader:
        d, per_step = self.data, self.accumulate * self.data["batch_size"]
        pairs = None
        if d["tasks_share"]:
            weights = d["request_weight"], d["program_weight"]
            pairs = Pairs(PAIRS, PAIRS_INDEX, d["dtype"], d["block_size"], self.eos, weights, self.seed)
        samples = Mixture(self.blocks(d["train_path"], d["stride"]), pairs, d["tasks_share"], self.seed)
        order = Order(
            self.max_steps * per_step,
            d["batch_size"],
            self.steps_done * per_step,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            samples,
            self.data["batch_size"],
            sampler=order,
            num_workers=self.data["num_workers"],
            worker_init_fn=outlast_signals,
        )

    def evaluation_batches(self) -> DataLoader:
        """The blocks of val.bin, shared out among the devices. Not `val_dataloader`, since Lightning's validation would stand between a
        step and its checkpoint (see callbacks.py)."""
        blocks = self.blocks(self.data["val_path"], self.data["block_size"])
        if self.together:  # a device that has finished early would leave the others waiting for its part of the weights
            return DataLoader(blocks, self.data["batch_size"])
        return DataLoader(
            Subset(blocks, range(self.trainer.global_rank, len(blocks), self.trainer.world_size)),
            self.data["batch_size"],
        )
