"""Four operators in the form that is quick on a CPU; each gives what torch's own gives, up to rounding or the draw of chance.

torch's CPU attention leaves the bfloat16 units idle and is slow at small heads, its compiled dropout draws one number at a time, its compiled tanh takes
three times as long as an exponential, and its cross-entropy carries all logits through memory five times. EXPERIMENTS.md has the figures.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS, PARTS = 64, 8  # fewest queries at a time, and most parts of a context: each is compiled by itself
LONGEST = 2048  # tokens of a context; the weights of a longer one's parts take much memory
SIGN = -(2**31)
TOKENS = 256  # whose logits are held at a time, so that they stay in the processor's cache


@functools.cache
def compiled(function: Callable) -> Callable:
    return torch.compile(function, dynamic=False)


def thin(x: Tensor, p: float, seed: Tensor) -> Tensor:
    """x with a share p of its elements zero and the others scaled up. Which, is MurmurHash3's finalizer (Appleby 2011) of their place."""
    place = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape)
    # 2^32 over the golden ratio. `^ (seed & 0)` changes no bit; without it the compiler multiplies what it knows of a place beforehand, beyond the
    # 32 bits that Triton takes for a constant.
    h = (place ^ (seed & 0)) * -1640531527 + seed
    h = (h ^ ((h >> 16) & 0xFFFF)) * -2048144789
    h = (h ^ ((h >> 13) & 0x7FFFF)) * -1028477387
    h = h ^ ((h >> 16) & 0xFFFF)
    return torch.where(h >= SIGN + round(p * 2**32), x * (1 / (1 - p)), 0)


class Thin(torch.autograd.Function):
    """thin(x, p, seed), which remembers the seed and no mask. `again` holds the seed too, as another tensor: of one and the same the
    compiler would see that both ways need the same mask, and keep it."""

    @staticmethod
    def forward(ctx, x: Tensor, p: float, seed: Tensor, again: Tensor) -> Tensor:
        ctx.p = p
        ctx.save_for_backward(again)
        return thin(x, p, seed)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # ty: ignore[incompatible-method-override]    torch's own examples have it so
        return thin(gradient, ctx.p, *ctx.saved_tensors), None, None, None


class Dropout(nn.Module):
    """nn.Dropout, but which elements fall follows from a seed and their places alone, on any device, compiled or not.

    The draw stays until `reseed` is called, as a training step does.
    """

    seed: Tensor
    again: Tensor

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        for name in (
            "seed",
            "again",
        ):  # buffers, since they are arguments of the compiled kernel, the same for all layers
            self.register_buffer(name, torch.zeros((), dtype=torch.int32), persistent=False)

    def reseed(self) -> None:
        """Another draw, by torch's generator."""
        self.again.copy_(self.seed.random_(SIGN, -SIGN))

    def forward(self, x: Tensor, part: int = 0) -> Tensor:
        """Parts of one tensor have numbers of their own, so that not the same places fall in each."""
        return Thin.apply(x, self.p, self.seed + part, self.again + part) if self.p and self.training else x


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: Dropout) -> Tensor:
    """Causal attention of q, k and v, all (B, heads, T, head_dim), with dropout on its weights.

    Where a CPU runs it compiled, in parts.
    """
    p = dropout.p if dropout.training else 0.0
    if torch.compiler.is_compiling() and q.device.type == "cpu" and q.shape[2] <= LONGEST:
        return attend_in_parts(q, k, v, dropout)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)


def attend_in_parts(q: Tensor, k: Tensor, v: Tensor, dropout: Dropout) -> Tensor:
    """attend, by plain products of a few rows of queries at a time with the keys that they may see.

    Nearly half of the work is left out, and the rest runs on the bfloat16 units where there are some. It holds the weights of each part, which
    torch's does not.
    """
    B, heads, T, head_dim = q.shape
    q, k, v = (x.reshape(B * heads, T, head_dim) for x in (q * head_dim**-0.5, k, v))  # one copy for all parts
    rows, out, place = max(ROWS, math.ceil(T / PARTS)), [], torch.arange(T)
    for start in range(0, T, rows):
        end = min(start + rows, T)
        scores = q[:, start:end] @ k[:, :end].mT
        future = place[:end] > place[start:end, None]
        weights = scores.float().masked_fill(future, -math.inf).softmax(dim=-1)
        out.append(dropout(weights, start).to(v.dtype) @ v[:, :end])
    return torch.cat(out, dim=1).view(B, heads, T, head_dim)


def gelu(x: Tensor) -> Tensor:
    """GELU's tanh form, which is x sigmoid(2y) for 0.5 x (1 + tanh(y)) (Hendrycks and Gimpel 2016)."""
    if not torch.compiler.is_compiling():
        return F.gelu(x, approximate="tanh")
    y = x.float()
    return (y * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (y + 0.044715 * y**3))).to(x.dtype)


def entropy_of_part(states: Tensor, weight: Tensor, targets: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """(summed cross-entropy, its gradient by the logits) of a few tokens: states (N, d_model), weight (vocab_size, d_model), targets (N), scales (N)."""
    logits, scales = (states @ weight.mT).float(), scales[:, None]
    most = logits.amax(-1, keepdim=True)
    powers = (logits - most).exp()
    total = powers.sum(-1, keepdim=True)
    own = logits.gather(-1, targets[:, None])
    hot = torch.arange(logits.shape[-1]) == targets[:, None]
    return ((total.log() + most - own) * scales).sum(), (powers / total - hot.float()) * scales


class CrossEntropyInParts(torch.autograd.Function):
    """The head and its loss, with the gradients made on the way there: no logits are kept for a way back (as in Hsu et al. 2024)."""

    @staticmethod
    def forward(ctx, states: Tensor, weight: Tensor, targets: Tensor, scales: Tensor) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else states.dtype
        x, w = states.to(dtype), weight.to(dtype)
        loss, to_states, to_weight = torch.zeros(()), torch.empty_like(states), torch.zeros_like(weight)
        for start in range(0, len(x), TOKENS):
            part = slice(start, start + TOKENS)
            nats, gradient = compiled(entropy_of_part)(x[part], w, targets[part], scales[part])
            gradient = gradient.to(dtype)
            loss += nats
            to_states[part] = gradient @ w
            to_weight += gradient.mT @ x[part]
        ctx.save_for_backward(to_states, to_weight)
        return loss

    @staticmethod
    def backward(ctx, up: Tensor):  # ty: ignore[incompatible-method-override]    torch's own examples have it so
        to_states, to_weight = ctx.saved_tensors
        return to_states * up, to_weight * up, None, None


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Of logits (B, T, vocab_size) and targets (B, T), each token's times its weight (B, T), or as it is: their mean or sum, as `reduction` says."""
    logits, targets = logits.float().flatten(0, 1), targets.flatten()
    if weights is None:
        return F.cross_entropy(logits, targets, reduction=reduction)
    nats = F.cross_entropy(logits, targets, reduction="none") * weights.flatten()
    return nats.mean() if reduction == "mean" else nats.sum()


def cross_entropy_in_parts(
    states: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, reduction: str
) -> Tensor:
    """`cross_entropy` of states @ weight.T: states (B, T, d_model), weight (vocab_size, d_model)."""
    scales = (torch.ones_like(targets, dtype=torch.float32) if weights is None else weights).flatten()
    if reduction == "mean":
        scales = scales / len(scales)
    return CrossEntropyInParts.apply(states.flatten(0, 1), weight, targets.flatten(), scales)
