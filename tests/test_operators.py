"""The operators that are quick on a CPU, held against torch's own."""

import resource
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from pipeline.model import ModelConfig, Transformer
from pipeline.model.operators import TOKENS, Dropout, attend_in_parts, cross_entropy, cross_entropy_in_parts, gelu
from pipeline.training.precision import cpu_has_bfloat16

FAULTS = """
import resource, sys, torch
from pipeline.core.memory import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
for turn in range(40):
    if turn == 30:              # at first small things settle in the gaps
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_000_000)      # 64 MB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def drawn(p: float, seed: int = 1) -> Dropout:
    torch.manual_seed(seed)
    dropout = Dropout(p)
    dropout.reseed()
    return dropout


# --- attention --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 100, 128, 300, 1024])
def test_attention_is_torchs(tokens):
    """In bfloat16, forward and backward, to within that format's rounding of what float32 gives."""
    torch.manual_seed(0)
    exact = [torch.randn(2, 3, tokens, 16, requires_grad=True) for _ in range(3)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    up = torch.randn(2, 3, tokens, 16)
    theirs = F.scaled_dot_product_attention(*exact, is_causal=True)
    ours = attend_in_parts(*rounded, Dropout(0.0))
    theirs.backward(up)
    ours.backward(up.bfloat16())
    assert ours.dtype == torch.bfloat16
    for mine, true in ((ours, theirs), *((a.grad, b.grad) for a, b in zip(rounded, exact, strict=True))):
        assert (mine - true).norm() < 0.02 * true.norm() + 1e-4


def test_attention_sees_nothing_that_follows():
    q, k, v = (torch.randn(1, 1, 300, 8, dtype=torch.bfloat16) for _ in range(3))
    before = attend_in_parts(q, k, v, Dropout(0.0))
    k[:, :, 200:], v[:, :, 200:] = 7.0, 7.0
    after = attend_in_parts(q, k, v, Dropout(0.0))
    assert torch.equal(before[:, :, :200], after[:, :, :200]) and not torch.equal(before[:, :, 200:], after[:, :, 200:])


def test_attention_drops_weights_and_keeps_the_mean():
    q, k, v = torch.zeros(1, 1, 400, 8), torch.zeros(1, 1, 400, 8), torch.ones(1, 1, 400, 8)
    out = attend_in_parts(q, k, v, drawn(0.5))  # every weight of row i is 1 / (i + 1)
    assert out[0, 0, 100:, 0].mean() == pytest.approx(1, abs=0.02)
    assert len(out[0, 0, 200:].unique()) > 20
    kept = torch.tensor(
        [[row * (i + 1) / 2 for i, row in enumerate(out[0, 0, :, 0])]]
    ).round()  # how many of row i fell not
    assert not torch.equal(kept[0, :100], kept[0, 100:200]), "not the same draw in each part"


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("tokens", [7, TOKENS, 2 * TOKENS + 100])
def test_cross_entropy_is_torchs(tokens, reduction, weighted):
    """Forward and backward, also after the sum of an accumulation; in parts and in one piece, with weights, of which some are 0, and without."""
    torch.manual_seed(0)
    states, weight = torch.randn(2, tokens, 24), torch.randn(300, 24)
    targets = torch.randint(300, (2, tokens))
    weights = 3 * torch.rand(2, tokens) if weighted else None
    if weights is not None:
        weights[:, 3:5] = 0
    found = []
    for ours in ("in parts", "in one piece", None):
        x, w = states.clone().requires_grad_(), weight.clone().requires_grad_()
        if ours == "in parts":
            loss = cross_entropy_in_parts(x, w, targets, weights, reduction)
        elif ours:
            loss = cross_entropy(x @ w.mT, targets, weights, reduction)
        else:
            nats = F.cross_entropy((x @ w.mT).mT, targets, reduction="none") * (1 if weights is None else weights)
            loss = getattr(nats, reduction)()
        (loss / 4).backward()
        found.append((loss, x.grad, w.grad))
    for *mine, true in zip(*found, strict=True):
        assert all(each.dtype == torch.float32 and (each - true).norm() < 1e-5 * true.norm() for each in mine)


def test_cross_entropy_follows_autocast():
    torch.manual_seed(0)
    states, weight, targets = torch.randn(1, 300, 24), torch.randn(100, 24), torch.randint(100, (1, 300))
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        x, w = states.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            loss = cross_entropy_in_parts(x, w, targets, None, "mean")
        loss.backward()
        found.append((loss, x.grad, w.grad))
    for rounded, true in zip(*found, strict=True):
        assert rounded.dtype == torch.float32 and 0 < (rounded - true).norm() < 0.02 * true.norm()


# --- dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_a_share_falls_anywhere_and_the_mean_stays(p):
    fell = drawn(p)(torch.ones(1000, 1000)) == 0
    assert fell.float().mean() == pytest.approx(p, abs=0.002)
    assert drawn(p)(torch.ones(1000, 1000)).mean() == pytest.approx(1, abs=0.005 / (1 - p))
    for side in (0, 1):  # no row and no column has more than its share
        assert (fell.float().mean(side) - p).abs().max() < 6 * (p * (1 - p) / 1000) ** 0.5
    for step in (1, 2, 64, 1000, 4096):  # neighbours at any distance know nothing of each other
        flat = fell.flatten().double() - p
        assert abs((flat[step:] * flat[:-step]).mean()) < 5 * p * (1 - p) / 1000


def test_the_draw_follows_the_seed_alone():
    x = torch.ones(100, 100)
    assert torch.equal(drawn(0.3)(x), drawn(0.3)(x)) and not torch.equal(drawn(0.3, seed=1)(x), drawn(0.3, seed=2)(x))
    dropout = drawn(0.3)
    first = dropout(x)
    assert torch.equal(first, dropout(x)), "until it is drawn again"
    dropout.reseed()
    assert not torch.equal(first, dropout(x))


def test_the_gradient_falls_where_the_value_did():
    x = torch.randn(50, 50, requires_grad=True)
    dropped = drawn(0.4)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, torch.where(dropped == 0, 0.0, 1 / 0.6))


def test_two_layers_draw_by_themselves():
    config = ModelConfig.from_dict(
        dict(
            architecture="gpt2",
            vocab_size=64,
            context_length=16,
            d_model=16,
            n_layers=2,
            n_heads=2,
            d_ff=32,
            tie_embeddings=True,
            dropout=0.5,
        )
    )
    network = Transformer(config)
    network.reseed()
    seeds = [int(module.seed) for module in network.modules() if isinstance(module, Dropout)]
    assert len(set(seeds)) == len(seeds) == 9
    assert not any("seed" in name for name in network.state_dict()), "a checkpoint knows nothing of it"


# --- compiled ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_compiled_operators_are_the_eager_ones():
    x = torch.randn(64, 300, requires_grad=True)
    dropout = drawn(0.2)
    assert torch.equal(torch.compile(dropout)(x), dropout(x))
    (ours,) = torch.autograd.grad(torch.compile(gelu)(x).sum(), x)
    (theirs,) = torch.autograd.grad(F.gelu(x, approximate="tanh").sum(), x)
    assert torch.allclose(torch.compile(gelu)(x), gelu(x), atol=1e-6) and torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_no_place_is_multiplied_before_a_gpu_does_it():
    """Triton knows no constant beyond 32 bits, so training with dropout ended there, while C++ takes a long one."""
    from torch._inductor.utils import run_and_get_code

    def folded(function) -> bool:
        _, code = run_and_get_code(torch.compile(function), torch.ones(8, 64, 384))
        return any("1640531527L" in each for each in code)

    dropout = drawn(0.1)
    assert not folded(dropout)
    assert folded(lambda x: x * (torch.arange(x.numel(), dtype=torch.int32).view(x.shape) * -1640531527 + dropout.seed))


@pytest.mark.slow
@pytest.mark.parametrize("architecture,kinds", [("gpt2", 1), ("lfm2", 2)])
def test_a_compiled_step_is_the_eager_one_and_compiles_a_block_once(architecture, kinds):
    config = ModelConfig.from_dict(
        dict(
            architecture=architecture,
            vocab_size=64,
            context_length=16,
            d_model=32,
            n_layers=4,
            n_heads=2,
            d_ff=64,
            tie_embeddings=True,
            dropout=0.1,
            attn_dropout=0.0,
            conv_layers=[0, 2] if kinds == 2 else None,
        )
    )  # torch's own eager attention draws in its own way
    torch.manual_seed(1)
    network = Transformer(config)
    network.reseed()
    ids = torch.randint(64, (2, 17))
    found = []
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for _ in range(2):
        loss = network.loss(ids[:, :-1], ids[:, 1:])
        found.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
        network.compile_steps()
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*found, strict=True))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3 + kinds, (
        "what is done to embeddings, one block of each kind for all four, the last norm, and the head with its loss"
    )
    network.eval()
    network(ids[:, :-1], ids[:, 1:])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3 + kinds, "evaluation stays eager"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "lfm2"])
def test_a_compiled_step_gives_the_same_bits_every_time(architecture):
    """With tokens that come often, whose gradients are sums over many places, on all threads, in the precision of a CPU that has bfloat16."""
    config = ModelConfig.from_dict(
        dict(
            architecture=architecture,
            vocab_size=64,
            context_length=256,
            d_model=64,
            n_layers=2,
            n_heads=2,
            d_ff=128,
            tie_embeddings=True,
            dropout=0.1,
            conv_layers=[0] if architecture == "lfm2" else None,
        )
    )
    torch.manual_seed(1)
    network = Transformer(config)
    network.compile_steps()
    network.reseed()
    ids = torch.randint(64, (8, 257))

    def gradients() -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16()):
            loss = network.loss(ids[:, :-1], ids[:, 1:])
        return torch.autograd.grad(loss, list(network.parameters()))

    first = gradients()
    for _ in range(20):
        assert all(map(torch.equal, first, gradients()))


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_used_again():
    def faults(how: str) -> int:
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, how], text=True, capture_output=True, check=True).stdout
        )

    pages = 64_000_000 // resource.getpagesize()
    assert faults("kept") < pages / 10 and faults("as it comes") > faults("kept")
