"""What a second process brings to a training, and what it costs to agree: steps of one and of two processes side by side, the sum of their
gradients alone, and what that makes for 8 and 64 GPUs, on paper.

    python benchmarks/scaling.py                        some minutes on 2 cores
    python benchmarks/scaling.py --profiles robo-nano-lfm2 --turns 5

Each process has one thread, its own micro-batch of random tokens, and PyTorch's DistributedDataParallel over gloo, as the stage train has on a CPU
(Lightning's strategy ddp). One and two processes take turns. Eager, in float32, with the optimizer of cpu-minutes. "Alone" is the sum of as
many float32 numbers as the model has, with nothing to compute meanwhile; DDP hides a part of it behind the backward pass.
"""

import argparse
import os
import socket
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine import Watch, watched  # noqa: E402
from tables import table  # noqa: E402

PROFILES = ("robo-nano-lfm2", "robo-tiny-512", "robo-small-50m", "robo-medium-768")
BEFORE, STEPS = 1, 3  # steps that are not counted, steps of one turn that are
ROWS = 2  # windows of a micro-batch
# On paper. A GPU: NVIDIA H100 SXM, dense bfloat16; the share of it that models of this size reach with compiled steps is a guess on the safe
# side for 50M parameters and more, and too good for 4M. Links: NVLink within a machine of 8, 400 Gbit/s InfiniBand for each GPU between them,
# both with what NCCL usually gets of them, and the time of one message.
FLOPS, REACHED = 989e12, 0.2
GPUS_IN_ONE, NVLINK, INFINIBAND = 8, 360e9, 40e9  # bytes a second
MESSAGE = {"NVLink": 10e-6, "InfiniBand": 25e-6}  # seconds
TOKENS = 65_536  # of a step on each GPU, as configs/training/pretrain.yaml has on one


def configured(name: str):
    from pipeline.core.config import parse
    from pipeline.core.schema import Model
    from pipeline.model import ModelConfig

    return ModelConfig.from_dict(parse(ROOT / "configs/models" / f"{name}.yaml", Model).model_dump())


def work(rank: int, world: int, port: int, name: str, out) -> None:
    """Puts the seconds of each counted step, and of each sum alone, into `out`."""
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    from pipeline.core.config import Config
    from pipeline.model import Transformer
    from pipeline.training.optimizer import make_optimizer

    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world)
    config = configured(name)
    torch.manual_seed(0)
    bare = Transformer(config).train()
    model = DistributedDataParallel(bare) if world > 1 else bare
    optimizer = make_optimizer(bare, Config(ROOT).training.model_dump(), torch.float32)
    ids = torch.randint(config.vocab_size, (ROWS, config.context_length + 1))
    steps, sums = [], []
    for _ in range(BEFORE + STEPS):
        dist.barrier()
        began = time.perf_counter()
        model(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
        dist.barrier()
        steps.append(time.perf_counter() - began)
    flat = torch.zeros(bare.count_parameters())
    for _ in range(BEFORE + STEPS):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(flat)
        sums.append(time.perf_counter() - began)
    if rank == 0:
        out.put((steps[BEFORE:], sums[BEFORE:], bare.count_parameters()))
    dist.destroy_process_group()


def turn(name: str, world: int) -> tuple[list[float], list[float], int]:
    import torch.multiprocessing as mp

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = mp.get_context("spawn").SimpleQueue()
    mp.spawn(work, (world, port, name, out), nprocs=world)
    return out.get()


def measured(names: list[str], turns: int, watch: Watch) -> dict[str, int]:
    """Prints the table; returns the parameters of each profile."""
    rows, counts = [], {}
    for name in names:
        steps: dict[int, list[float]] = {1: [], 2: []}
        alone = []
        for _ in range(turns):
            for world in steps:
                took, sums, counts[name] = turn(name, world)
                steps[world] += took
                alone += sums if world == 2 else []
        one, two, add = (1000 * statistics.median(each) for each in (steps[1], steps[2], alone))
        spread = f"{1000 * min(steps[2]):.0f} to {1000 * max(steps[2]):.0f}"
        rows.append(
            [name, f"{counts[name]:,}", f"{one:.0f}", f"{two:.0f}", spread, watch.ratio(2 * one / two), f"{add:.1f}"]
        )
    headings = ["profile", "parameters", "ms, 1 process", "ms, 2", "spread", "tokens/s of 2 to 1", "ms, sum alone"]
    table(headings, rows)
    return counts


def on_paper(counts: dict[str, int]) -> None:
    """Ring all-reduce (Patarasuk and Yuan 2009): each GPU sends and receives 2 (n - 1) / n of the gradients, in 2 (n - 1) messages; among
    machines in two levels, the second over what each GPU has left of them. Nothing is taken to be hidden behind the backward pass."""
    rows = []
    for name, parameters in counts.items():
        compute = 6 * parameters * TOKENS / (FLOPS * REACHED)
        bytes_ = 4 * parameters
        row = [name, f"{1000 * compute:.1f}"]
        for gpus in (8, 64):
            machines = gpus // GPUS_IN_ONE
            inner = GPUS_IN_ONE - 1
            add = 2 * inner / GPUS_IN_ONE * bytes_ / NVLINK + 2 * inner * MESSAGE["NVLink"]
            if machines > 1:
                share = bytes_ / GPUS_IN_ONE
                add += 2 * (machines - 1) / machines * share / INFINIBAND + 2 * (machines - 1) * MESSAGE["InfiniBand"]
            row += [f"{1000 * add:.2f}", f"{gpus * compute / (compute + add):.1f}"]
        rows.append(row)
    print(
        f"On paper: H100 SXM at {REACHED:.0%} of {FLOPS / 1e12:.0f} TFLOPS, {TOKENS:,} tokens a step on each, gradients in float32 over NVLink "
        f"({NVLINK / 1e9:.0f} GB/s) and, between machines of {GPUS_IN_ONE}, InfiniBand ({INFINIBAND / 1e9:.0f} GB/s for each GPU)\n"
    )
    table(["profile", "ms of a step", "8 GPUs: ms, sum", "times as fast", "64: ms, sum", "times as fast"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES), metavar="NAME")
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    with watched() as watch:
        counts = measured(arguments.profiles, arguments.turns, watch)
    on_paper(counts)


if __name__ == "__main__":
    main()
