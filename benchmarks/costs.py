"""What the parts of training cost on this machine, one table each.

    python benchmarks/costs.py                  all of it, about a quarter of an hour
    python benchmarks/costs.py --profiles       tokens/s, MFU and memory of every profile of the reference, trained for a minute each, or
                                                for `--seconds`, compiling included
                               --loader         tokens/s that the loader delivers, beside what a training step needs
                               --checkpoint     milliseconds and bytes of a checkpoint, and its share of the time
                               --context        time and memory of a step with the context, at as many tokens
                               --width          time and memory of a step with the width
                               --corpus         the loader's start, tokens/s and memory with the tokens of the corpus
                               --profile        where the time of a step goes, by operator and by kind; of the model that params.yaml trains,
                                                in steps of its size, or of another: --of robo-nano-5m

Needs nothing built: what these things take, the contents of the text do not matter to, so it is made up. Every row comes from a fresh
process, which has compiled nothing and holds no memory of another, and whose files stand on the project's own disk until it ends.
Profiles, loader and checkpoint are measured on a GPU where there is one; the others are about the CPU.
"""

import argparse
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine import watched  # noqa: E402
from tables import table  # noqa: E402

from pipeline.core.config import Config, parse  # noqa: E402
from pipeline.core.schema import Model, Training  # noqa: E402

PROFILES = ("robo-nano-5m", "robo-tiny-25m")
REFERENCE = (*PROFILES, "robo-small-50m", "robo-medium-80m")
TOKENS_PER_STEP = 4096
GPU_BATCH = {
    "accumulate_grad_batches": 4,
    "tokens": 16_384,
}  # 64K tokens a step, as configs/training/pretrain.yaml has it
SECONDS = 6  # of each measured rate, after what comes first
CHECKPOINTS, CHECKPOINT_EVERY = 6, 10  # written in one run, and the steps between them
CONTEXTS, WIDTHS, HEAD = (64, 128, 256, 512, 1024), (128, 256, 384, 512, 768), 64
CORPORA = (10**6, 10**7, 10**8, 10**9)
BEFORE, PROFILED, SHOWN = 5, 10, 12  # steps not yet profiled, steps that are, operators in the table
OPERATOR = r"\w+::\w+$|cpp_fused"  # and no function of Python's or region of the profiler's
# Kind of an operator -> what its name holds, the first that fits. A fused kernel's name lists all that it does.
KINDS = {
    "cross-entropy": r"log_softmax|nll_loss|cross_entropy|amax_arange",
    "attention": r"softmax|scaled_dot_product|bmm",
    "matrix products of the blocks": r"(^|:)(addmm|mm|linear|_linear_pointwise|_mkl_linear)$",
    "AdamW": r"fused_adamw",
    "norms, activations, dropout, sums": r"norm|gelu|silu|dropout|bernoulli|embedding|add|sum",
    "copies": r"copy|clone|cat$|_cat_|stack|transpose",
    "other arithmetic": r"^cpp_fused|mul|div|lerp|sqrt|clamp|zero_|fill_",
}
REST = "Python, Lightning, the loader"


def enter(folder: str) -> None:
    """Goes there, with all that is printed from now on."""
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def fresh(work: Callable, *arguments):
    """work(*arguments) in a process and a folder of its own."""
    with scratch() as folder, ProcessPoolExecutor(1, get_context("spawn"), enter, (folder,)) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except Exception:
            print(Path(folder, "log").read_text()[-3000:], file=sys.stderr)
            raise


def stop(*_) -> None:
    """Leaves no process, and with them no folder, one of which holds two gigabytes."""
    for child in active_children():
        child.kill()
    sys.exit("error: stopped by SIGTERM")


def scratch() -> tempfile.TemporaryDirectory:
    """A folder on the project's disk, where its checkpoints stand too."""
    state = ROOT / ".state"
    state.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="costs-", dir=state)


def make_bin(path: Path, tokens: int, vocab_size: int) -> None:
    """Appends so many tokens to a bin; the same ten million again and again."""
    chunk = np.random.default_rng(0).integers(0, vocab_size, min(tokens, 10**7), dtype=np.uint16).astype("<u2")
    with open(path, "ab") as file:
        for start in range(0, tokens, len(chunk)):
            file.write(chunk[: tokens - start])
        file.flush()
        os.fsync(file.fileno())


def configured(profile: str = PROFILES[0], training: dict | None = None, tokens: int | None = None, **model) -> Config:
    """The profile as configs/training/cpu-half-hour.yaml trains it, whose rates suit wider models too, with other keys of the model and steps of one
    micro-batch of `tokens`, else of TOKENS_PER_STEP."""
    config = Config(ROOT)
    config.model = parse(ROOT / f"configs/models/{profile}.yaml", Model).model_copy(update=model)
    config.training = parse(ROOT / "configs/training/cpu-half-hour.yaml", Training).model_copy(
        update={"sample_prompts": [], "accumulate_grad_batches": 1, **(training or {})}
    )
    context = config.model.context_length
    config.data = config.data.model_copy(
        update={
            "train_path": "train.bin",
            "val_path": "val.bin",
            "block_size": context,
            "stride": context,
            "dtype": "uint16",
            "batch_size": (tokens or TOKENS_PER_STEP) // context,
            "num_workers": 0,
            "tasks_share": 0.0,  # whatever the text, a token costs the same
        }
    )
    return config


def memory() -> dict[str, int]:
    """Resident bytes of this process: VmRSS now, VmHWM at most, RssAnon its own and RssFile of mapped files (proc(5))."""
    return {
        key: 1024 * int(kilobytes)
        for key, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    }


def train(config: Config) -> dict:
    """A real training on made-up text in this folder; returns what it writes to metrics/speed.json."""
    from pipeline.core.files import read_json
    from pipeline.training.stop import Stop
    from pipeline.training.train import train

    text, vocab_size = 50 * TOKENS_PER_STEP, config.model.vocab_size
    make_bin(Path("train.bin"), text, vocab_size)
    make_bin(Path("val.bin"), config.data.block_size + 1, vocab_size)
    with Stop() as stop:
        train(
            config.model.model_dump(),
            config.training.model_dump(),
            config.data.model_dump(),
            {"train": {"tokens": text}, "tokenizer_sha256": "none", "eos": 1},
            stop,
        )
    return read_json(Path("metrics/speed.json"))


# --- what is measured, each in a process of its own -------------------------------------------------------------------


def trained(profile: str, training: dict, **model) -> dict:
    """What a run that the clock ends writes to metrics/speed.json, with its `parameters`, its `batch`, and the bytes of memory that it took
    at most, the device's where that is a GPU."""
    import torch

    from pipeline.core.files import read_json

    on_gpu = torch.cuda.is_available()
    batch = GPU_BATCH if on_gpu else {"accumulate_grad_batches": 1, "tokens": TOKENS_PER_STEP}
    config = configured(
        profile,
        {
            "max_steps": 10**6,
            "eval_every": 10**6,
            "checkpoint_every": 10**6,
            "accumulate_grad_batches": batch["accumulate_grad_batches"],
            **training,
        },
        batch["tokens"],
        **model,
    )
    speed = train(config)
    return {
        **speed,
        "parameters": read_json(Path("metrics/train.json"))["parameters"],
        "batch": f"{config.data.batch_size} x {config.data.block_size} x {config.training.accumulate_grad_batches}",
        "memory": torch.cuda.max_memory_allocated() if on_gpu else memory()["VmHWM"],
    }


def needed(config: Config, seconds: float) -> float:
    """Tokens/s of a training step, compiled as configured, without Lightning and its callbacks."""
    from pipeline.plan import measure

    return measure(config, seconds)[1]


def delivered(config: Config, path: Path, seconds: float) -> dict[str, float]:
    """What the train loader does with a bin that is not in memory: `start`, seconds until its first batch; `rate`, tokens/s after that;
    bytes of memory that it took, `own` and of the `mapped` file, which the system may take back."""
    import torch  # noqa: F401  its memory is not the loader's

    from pipeline.training.data import BinData

    with open(path) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    loaders = BinData({**config.data.model_dump(), "train_path": path}, 0, config.training.seed, 1, 10**9)
    loaders.trainer = SimpleNamespace(global_rank=0, world_size=1)
    before, began = memory(), time.perf_counter()
    batches = iter(loaders.train_dataloader())
    next(batches)
    start, began, tokens = time.perf_counter() - began, time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        tokens += next(batches)[0].numel()
    after = memory()
    return {
        "start": start,
        "rate": tokens / taken,
        "own": after["RssAnon"] - before["RssAnon"],
        "mapped": after["RssFile"] - before["RssFile"],
    }


def checkpoints(config: Config) -> dict[str, float]:
    """The median `seconds`, flushing to the disk included, and `bytes` of the checkpoints of a run, as the trainer itself counts them; and
    seconds of a `step`."""
    from pipeline.training.callbacks import Checkpoints
    from pipeline.training.resume import last

    save, saves = Checkpoints.save, []

    def counted(self, trainer):
        before = self.seconds
        save(self, trainer)
        saves.append((self.seconds - before, last(self.folder)[0][0].stat().st_size))

    with patch.object(Checkpoints, "save", counted):
        speed = train(config)
    # the trainer's rate leaves out the first step and the evaluations, but not the checkpoints; the last comes after it
    within = sum(seconds for seconds, _ in saves[:-1])
    step = TOKENS_PER_STEP / speed["tokens_per_second"] - within / (config.training.max_steps - 1)
    return {
        **dict(zip(("seconds", "bytes"), map(statistics.median, zip(*saves, strict=True)), strict=True)),
        "step": step,
    }


def grown(config: Config) -> tuple[int, int]:
    """Bytes by which two training steps make a process grow, the libraries' own at their first use among them; and those of the tensors
    alone, as `robo plan` computes them."""
    import torch  # noqa: F401

    from pipeline.plan import measure, training_memory
    from pipeline.training.precision import choose

    before = memory()["VmRSS"]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here (proc(5))
    measure(config, 0)
    return memory()["VmHWM"] - before, training_memory(
        config, choose(config.training.precision)[0], config.data.batch_size
    )


def labelled(holder: type, name: str):
    """A patch that puts every call of a method under a name of the profile's."""
    from torch.profiler import record_function

    method = getattr(holder, name)

    def call(*arguments, **options):
        with record_function(name):
            return method(*arguments, **options)

    return patch.object(holder, name, call)


def kind(name: str, within: set[str], shapes: list[list[int]], vocab_size: int) -> str:
    """What an operator is for, by its name, the names of those that it runs within, and the shapes of its inputs."""
    if not re.match(OPERATOR, name):
        return REST
    found = next((kind for kind, names in KINDS.items() if re.search(names, name)), REST)
    if found in (REST, "AdamW"):
        return found
    if "muon_step" in within:
        return "Muon's products" if re.search("mm|matmul", name) else "Muon's other arithmetic"
    if within & {"on_before_optimizer_step", "clip_gradients"}:
        return "gradient norm and clipping"
    if found == "matrix products of the blocks" and any(vocab_size in shape for shape in shapes):
        return "matrix products of the head"
    return found


def profile(config: Config, steps: int = PROFILED) -> tuple[dict[tuple[str, str], tuple[int, float]], float]:
    """{(operator, kind): (calls, its own seconds)} of so many steps in the middle of a run, Lightning and callbacks included, and the
    seconds that the steps took in all."""
    import torch
    from lightning.pytorch.plugins.precision import Precision

    from pipeline.training.callbacks import Metrics
    from pipeline.training.optimizer import MuonAdamW

    at_end, recorded, marks = (
        Metrics.on_train_batch_end,
        torch.profiler.profile(record_shapes=True, acc_events=True, activities=[torch.profiler.ProfilerActivity.CPU]),
        [],
    )

    def bounded(self, trainer, *arguments):
        at_end(self, trainer, *arguments)
        if trainer.global_step == BEFORE:
            recorded.start()
            marks.append(time.perf_counter())
        if trainer.global_step == BEFORE + steps:
            marks.append(time.perf_counter())
            recorded.stop()

    with ExitStack() as patches:
        patches.enter_context(patch.object(Metrics, "on_train_batch_end", bounded))
        # a compiled kernel is not in a profile unless it was built to be
        patches.enter_context(torch._inductor.config.patch({"cpp.enable_kernel_profile": True}))
        for holder, name in (
            (MuonAdamW, "muon_step"),
            (Metrics, "on_before_optimizer_step"),
            (Precision, "clip_gradients"),
        ):
            patches.enter_context(labelled(holder, name))
        train(config)
    found: dict[tuple[str, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for event in recorded.events():
        within, outer = set(), event.cpu_parent
        while outer is not None:
            within.add(outer.name)
            outer = outer.cpu_parent
        name = re.sub(r"^graph_\d+_", "", event.name)
        key = name, kind(name, within, event.input_shapes or [], config.model.vocab_size)
        calls, own = found[key]
        found[key] = calls + 1, own + event.self_cpu_time_total / 1e6
    return dict(found), marks[1] - marks[0]


# --- what is shown ----------------------------------------------------------------------------------------------------


def profiles(seconds: int = 60) -> None:
    rows = []
    for name in REFERENCE:
        found = fresh(trained, name, {"max_time": f"00:{seconds // 60:02}:{seconds % 60:02}"})
        rows.append(
            [
                name,
                f"{found['parameters']:,}",
                found["batch"],
                found["precision"],
                f"{found['tokens_per_second']:,}",
                f"{found['mfu']:.1%}" if "mfu" in found else "-",
                f"{found['memory'] / 1e6:,.0f}",
            ]
        )
    table(
        ["profile", "parameters", "batch x context x accumulation", "precision", "tokens/s", "MFU", "MB at most"], rows
    )


def loader() -> None:
    config, rows = configured(), []
    need = fresh(needed, config, SECONDS)
    with scratch() as folder:
        path = Path(folder, "train.bin")
        make_bin(path, 10**6, config.model.vocab_size)
        for workers in (0, 2):
            config.data = config.data.model_copy(update={"num_workers": workers})
            rate = fresh(delivered, config, path, SECONDS)["rate"]
            rows.append([f"the loader, num_workers {workers}", f"{rate:,.0f}", f"{rate / need:,.0f} times"])
    table([PROFILES[0], "tokens/s", "of the need"], [["a training step needs", f"{need:,.0f}", ""], *rows])


def checkpoint() -> None:
    rows = []
    for name in PROFILES:
        every = configured(name).training.checkpoint_every
        found = fresh(
            checkpoints,
            configured(
                name,
                {
                    "max_steps": CHECKPOINTS * CHECKPOINT_EVERY,
                    "checkpoint_every": CHECKPOINT_EVERY,
                    "eval_every": CHECKPOINT_EVERY,
                },
            ),
        )  # it holds the best weights, as by default
        share = found["seconds"] / (found["seconds"] + every * found["step"])
        rows.append(
            [
                name,
                f"{found['bytes']:,.0f}",
                f"{1000 * found['seconds']:.0f}",
                f"{1000 * found['step']:.0f}",
                str(every),
                f"{share:.2%}",
            ]
        )
    table(["a checkpoint", "bytes", "ms", "ms of a step", "checkpoint_every", "share of the time"], rows)


def scaling(what: str, configs: dict[int, Config]) -> None:
    rows = []
    for value, config in configs.items():
        step = TOKENS_PER_STEP / fresh(needed, config, SECONDS)
        config.training = config.training.model_copy(update={"compile": False})  # as the tensors are counted
        resident, tensors = fresh(grown, config)
        rows.append(
            [
                str(value),
                str(config.data.batch_size),
                f"{1000 * step:,.0f}",
                f"{TOKENS_PER_STEP / step:,.0f}",
                f"{tensors / 1e6:,.0f}",
                f"{resident / 1e6:,.0f}",
            ]
        )
    table([what, "batch_size", "ms of a step", "tokens/s", "MB of tensors, predicted", "MB resident, measured"], rows)


def context() -> None:
    scaling("context", {length: configured(context_length=length) for length in CONTEXTS})


def width() -> None:
    scaling("width", {d: configured(d_model=d, n_heads=d // HEAD, d_ff=4 * d) for d in WIDTHS})


def corpus() -> None:
    config, rows, there = configured(), [], 0
    with scratch() as folder:
        path = Path(folder, "train.bin")
        for tokens in CORPORA:
            make_bin(path, tokens - there, config.model.vocab_size)
            there = tokens
            found = fresh(delivered, config, path, SECONDS)
            rows.append(
                [
                    f"{tokens:,}",
                    f"{path.stat().st_size:,}",
                    f"{found['start']:.3f}",
                    f"{found['rate']:,.0f}",
                    f"{found['own'] / 1e6:,.0f}",
                    f"{found['mapped'] / 1e6:,.0f}",
                ]
            )
    table(
        [
            "tokens of the corpus",
            "bytes",
            "seconds to the first batch",
            "tokens/s",
            "MB of its own",
            "MB of the file mapped",
        ],
        rows,
    )


def where_the_time_goes(name: str | None = None) -> None:
    chosen = Config(ROOT)
    name = name or chosen.params.model
    found, seconds = fresh(
        profile,
        configured(
            name,
            {"max_steps": BEFORE + PROFILED + 1, "checkpoint_every": 10**6, "eval_every": 10**6},
            chosen.data.batch_size * chosen.data.block_size,
        ),
    )
    rows = sorted(((own, name, kind, calls) for (name, kind), (calls, own) in found.items()), reverse=True)[:SHOWN]
    table(
        [f"the {SHOWN} operators that take most", "kind", "calls a step", "ms a step", "share"],
        [
            [
                name if len(name) <= 60 else f"{name[:50]}...{name[-7:]}",
                kind,
                f"{calls / PROFILED:g}",
                f"{1000 * own / PROFILED:.1f}",
                f"{own / seconds:.1%}",
            ]
            for own, name, kind, calls in rows
        ],
    )
    kinds = dict.fromkeys((kind for _, kind in found), 0.0)
    for (_, kind), (_, own) in found.items():
        kinds[kind] += own
    kinds[REST] = seconds - sum(own for kind, own in kinds.items() if kind != REST)  # and what is in no operator
    table(
        [f"{name}, a training step", "ms a step", "share"],
        [
            *(
                [kind, f"{1000 * own / PROFILED:.1f}", f"{own / seconds:.1%}"]
                for kind, own in sorted(kinds.items(), key=lambda item: -item[1])
            ),
            ["all", f"{1000 * seconds / PROFILED:.1f}", "100%"],
        ],
    )


PARTS = {
    "profiles": profiles,
    "loader": loader,
    "checkpoint": checkpoint,
    "context": context,
    "width": width,
    "corpus": corpus,
    "profile": where_the_time_goes,
}
ANY_DEVICE = ("profiles", "loader", "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in PARTS:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--seconds", type=int, default=60, help="of each profile's training")
    parser.add_argument("--of", metavar="MODEL", help="of configs/models/, that --profile looks at")
    arguments = vars(parser.parse_args())
    parts = {
        **PARTS,
        "profiles": partial(profiles, arguments.pop("seconds")),
        "profile": partial(where_the_time_goes, arguments.pop("of")),
    }
    chosen = [name for name, is_chosen in arguments.items() if is_chosen] or list(PARTS)
    signal.signal(signal.SIGTERM, stop)
    for name in chosen:
        if name not in ANY_DEVICE:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        with watched():
            parts[name]()


if __name__ == "__main__":
    main()
