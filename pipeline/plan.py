"""What a run will take and make, said before it begins: parameters, memory, time, file sizes, and what the reference would choose.

Parameters are counted by the shapes alone, at once, and a test holds them against the model. What else there is to know is no rule of
thumb but the real thing, and takes its seconds: memory from a training step on fake tensors, which have shapes and no contents; file
sizes from llama.cpp's own quantizer, on random weights of the shape; time from some steps on this machine.

    python -m pipeline.plan         # what a second can tell of that time, before a run
"""

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.memory import keep_freed

MEASURE_SECONDS = 10
FASTER = 3  # times, at most, that compiled steps are as fast as eager ones in float32: where there are bfloat16 units (EXPERIMENTS.md)
PRECISIONS = {
    "32-true": "32-true",
    "16-mixed": "16-mixed or bf16-mixed",
}  # what is simulated -> what it is the memory of
# The reference's flowcharts, by tokens of training text: below how many, which profile, rate and steps.
PROFILES = (
    (5e6, "robo-nano-5m", 3e-4, 500),
    (15e6, "robo-tiny-25m", 3e-4, 1000),
    (50e6, "robo-small-50m", 3e-4, 2000),
    (math.inf, "robo-medium-80m", 2e-4, 3000),
)
DROPOUTS = ((5e6, 0.2), (20e6, 0.1), (math.inf, 0.0))


@dataclass(frozen=True)
class Advice:
    """One choice of the reference beside ours."""

    key: str  # file: key
    ours: str
    reference: str
    why: str


def build(config: Config):
    from pipeline.model import ModelConfig, Transformer

    return Transformer(ModelConfig.from_dict(config.model.model_dump()))


def parameters(config: Config) -> dict[str, int]:
    """Numbers that are trained, by part; a tied head counts once, with the embeddings."""
    c = config.model
    gpt2, head = c.architecture == "gpt2", c.d_model // c.n_heads
    bias = gpt2 and c.bias is not False
    convolutions = len(c.conv_layers or [])
    attending = c.n_layers - convolutions
    norms = (2 * c.n_layers + 1) * c.d_model * (1 + bias) + (
        2 * attending * head if c.architecture in ("qwen3", "lfm2") else 0
    )
    attention = 2 * c.d_model * (c.d_model + (c.n_kv_heads or c.n_heads) * head) + bias * 4 * c.d_model
    feed_forward = (2 if gpt2 else 3) * c.d_model * c.d_ff + bias * (c.d_ff + c.d_model)
    found = {
        "token embeddings": c.vocab_size * c.d_model,
        "positions": gpt2 * c.context_length * c.d_model,
        "attention": attending * attention,
        "convolutions": convolutions * c.d_model * (4 * c.d_model + (c.conv_size or 3)),
        "feed-forward": c.n_layers * feed_forward,
        "norms": norms,
        "head": 0 if c.tie_embeddings else c.vocab_size * c.d_model,
    }
    return {part: count for part, count in found.items() if count}


def training_memory(config: Config, precision: str, batch_size: int) -> int:
    """Bytes at the fullest moment of a training step without compiling: weights, gradients, optimizer state, activations."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    from pipeline.training.optimizer import make_optimizer

    dtype = {"32-true": torch.float32, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}[precision]
    with FakeTensorMode():
        model = build(config)
        optimizer = make_optimizer(model, config.training.model_dump(), torch.bfloat16)
        ids = torch.zeros(batch_size, config.data.block_size, dtype=torch.int64)
        tracker = MemTracker()
        tracker.track_external(model, optimizer, ids)
        with tracker:
            for step in range(2):  # the optimizer's state is there from the second on
                with torch.autocast("cpu", dtype, enabled=precision != "32-true"):
                    loss = model.loss(ids, ids)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if step == 0:
                    tracker.reset_mod_stats()
    return next(iter(tracker.get_tracker_snapshot("peak").values()))["Total"]


def memory_of(config: Config, precision: str, sizes: list[int]) -> dict[int, float]:
    """training_memory() by batch size, from two simulations: each row of a batch takes as much as the one before."""
    low, high = min(sizes), max(sizes)
    least, most = (training_memory(config, precision, size) for size in (low, high))
    return {size: least + (most - least) * (size - low) / (high - low) for size in sizes}


def file_sizes(config: Config, quants: list[str]) -> dict[str, dict]:
    """Type -> contents() of the file that llama.cpp writes for this shape, with `fell_back`; the vocabulary's texts are made up."""
    from pipeline.export.gguf import write_gguf
    from pipeline.export.quantize import contents, fallbacks, run_llama_cpp
    from pipeline.export.tokenization import Vocabulary

    tokens = [f"t{i:05}" for i in range(config.model.vocab_size)]
    vocabulary = Vocabulary(None, tokens, [], {"pad": 0, "eos": 1, "bos": 2, "unk": 3}, "gpt-2")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "f16.gguf")
        write_gguf(build(config).eval(), vocabulary, source, "f16")
        for quant in quants:
            path = Path(folder, f"{quant}.gguf")
            log = run_llama_cpp(source, path, quant)
            found[quant] = {**contents(path), "fell_back": fallbacks(log, path, quant)}
            path.unlink()
    return found


def measure(config: Config, seconds: float = MEASURE_SECONDS) -> tuple[float, float, str]:
    """(seconds of the first step, which compiles; tokens/s after it; precision and why), from training steps on random text.

    Without Lightning, evaluations and checkpoints, which take a few percent more. Raises UserError as precision.choose does.
    """
    import torch

    from pipeline.training import compiler
    from pipeline.training.optimizer import make_optimizer
    from pipeline.training.precision import choose, cpu_has_bfloat16

    keep_freed()
    precision, why = choose(config.training.precision, config.training.force_precision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"32-true": torch.float32, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}[precision]
    model = build(config).to(device).train()
    if config.training.compile and (trouble := compiler.trouble()):
        why += f", not compiled, so several times slower: {trouble}"
    elif config.training.compile:
        model.compile_steps()
    optimizer = make_optimizer(
        model, config.training.model_dump(), torch.bfloat16 if device == "cuda" or cpu_has_bfloat16() else torch.float32
    )
    ids = torch.randint(config.model.vocab_size, (config.data.batch_size, config.data.block_size + 1), device=device)

    def step() -> None:
        for _ in range(config.training.accumulate_grad_batches):
            with torch.autocast(device, dtype, enabled=precision != "32-true"):
                loss = model.loss(ids[:, :-1], ids[:, 1:])
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    began = time.perf_counter()
    step()
    first = time.perf_counter() - began
    step()  # what the first left for later
    began = time.perf_counter()
    steps = 0
    while (taken := time.perf_counter() - began) < seconds:
        step()
        steps += 1
    tokens = config.data.batch_size * config.data.block_size * config.training.accumulate_grad_batches
    return first, steps * tokens / taken, f"{precision}, {why}"


def least(work: Callable[[], object]) -> float:
    """Seconds of the processor that `work` takes; the first time it has to find its memory."""
    found = []
    for _ in range(2):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def eager_seconds(config: Config) -> float | None:
    """Of the whole training without compiling, on this machine with nothing else to do; None where a GPU would do it.

    From one row of a batch, in one thread, by the processor's time: threads that share a machine with others wait for each other, and
    compiling takes a minute.
    """
    import torch

    from pipeline.training.optimizer import make_optimizer
    from pipeline.training.train import number_of_steps, tokens_per_step

    if torch.cuda.is_available():
        return None
    cores, d, t = torch.get_num_threads(), config.data, config.training
    torch.set_num_threads(1)
    model = build(config).train()
    optimizer = make_optimizer(model, t.model_dump(), torch.float32)
    ids = torch.randint(config.model.vocab_size, (1, d.block_size + 1))
    row = least(lambda: model.loss(ids[:, :-1], ids[:, 1:]).backward())
    per_step = tokens_per_step(d.model_dump(), t.model_dump())
    steps = number_of_steps(t.model_dump(), per_step)
    return steps * (per_step // d.block_size * row + least(optimizer.step)) / cores


def reference(config: Config, tokens: int) -> list[Advice]:
    """What the reference's flowcharts choose for so many tokens of training text, where it is not what stands in the configs."""

    def row(table):
        return next(row for row in table if tokens < row[0])

    _, profile, rate, steps = row(PROFILES)
    _, dropout = row(DROPOUTS)
    size = f"{tokens / 1e6:.1f}M tokens of training text"
    at, t = config.paths, config.training
    rows = [
        Advice(
            "params.yaml: model",
            config.params.model,
            profile,
            f"{size}: a larger model learns them by heart, a smaller one cannot hold them",
        ),
        Advice(
            f"{at['model']}: dropout",
            f"{config.model.dropout:g}",
            f"{dropout:g}",
            f"{size}: the less text, the more it is read again",
        ),
        Advice(
            f"{at['training']}: learning_rate",
            f"{t.learning_rate:g}",
            f"{rate:g}",
            "AdamW's for this profile; for Muon's own see EXPERIMENTS.md",
        ),
        Advice(f"{at['training']}: max_steps", str(t.max_steps), str(steps), "for steps of 65,536 tokens on a GPU"),
    ]
    return [advice for advice in rows if advice.ours != advice.reference]


if __name__ == "__main__":
    from pipeline.core.config import load
    from pipeline.core.stage import die_with_parent

    die_with_parent()
    print(json.dumps(eager_seconds(load())))
