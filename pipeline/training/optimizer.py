"""AdamW as the reference says, or Muon for the matrices inside the blocks with AdamW for everything else.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces a matrix's momentum by the nearest matrix with
all singular values near one. `torch.optim.Muon` does the same but always in bfloat16, which a CPU without hardware for it
multiplies 60 times slower than float32, and it cannot hold the other parameters' AdamW. This class follows its formulas
(parity is tested) in a dtype of one's choice, and is one optimizer to Lightning and to checkpoints.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic coefficients of Jordan et al.
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95


def orthogonalise(gradient: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly (singular values in 0.7..1.2), of each gradient in a stack of them (N, rows, columns)."""
    a, b, c = NEWTON_SCHULZ
    x = gradient.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).contiguous()
    if x.dtype == torch.float32 and x.shape[-1] >= 2 * x.shape[-2]:
        x = orthogonalise_wide(x)
    else:
        for _ in range(NEWTON_SCHULZ_STEPS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def orthogonalise_wide(x: Tensor) -> Tensor:
    """The same iteration on matrices (N, rows, columns) with many more columns than rows. Each step multiplies x from the left by a polynomial of
    its Gram matrix, and these commute, so all but the first and the last product are of (rows, rows). bfloat16 is too coarse for that."""
    a, b, c = NEWTON_SCHULZ
    gram, polynomials = x @ x.mT, []
    for _ in range(NEWTON_SCHULZ_STEPS):
        if polynomials:
            gram = polynomials[-1] @ gram @ polynomials[-1]  # that of x after the last step
        polynomials.append(torch.baddbmm(gram, gram, gram, beta=b, alpha=c))
        polynomials[-1].diagonal(dim1=-2, dim2=-1).add_(a)
    return functools.reduce(lambda product, polynomial: polynomial @ product, polynomials) @ x


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but groups marked `muon` take Muon's step, scaled to the root mean square of AdamW's (Liu et al. 2025: 0.2 sqrt(max side))."""

    def __init__(self, groups: list[dict], muon_dtype: torch.dtype, **adamw):
        super().__init__([{"muon": False, **group} for group in groups], **adamw)
        self.muon_dtype = muon_dtype
        # Fused AdamW would unscale gradients by itself, behind the back of clipping and of Muon's half; let the scaler do it.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        every = self.param_groups
        try:
            self.param_groups = [group for group in every if not group["muon"]]
            super().step()
        finally:
            self.param_groups = every
        for group in every:
            if group["muon"]:
                self.muon_step(group)
        return loss

    def muon_step(self, group: dict) -> None:
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for p in group["params"]:
            if p.grad is not None:
                by_shape.setdefault(p.shape, []).append((p, p.grad))
        for shape, params in by_shape.items():
            updates = []
            for p, gradient in params:
                state = self.state[p]
                if not state:  # AdamW looks for a step in every state that it loads
                    state.update(step=torch.zeros(()), momentum=torch.zeros_like(p))
                momentum = state["momentum"]
                momentum.lerp_(gradient, 1 - MOMENTUM)
                updates.append(gradient.lerp(momentum, MOMENTUM))  # Nesterov
            steps = orthogonalise(torch.stack(updates), self.muon_dtype)  # one batched product for all layers
            rate = group["lr"] * 0.2 * math.sqrt(max(shape))
            for (p, _), step in zip(params, steps, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(step.to(p.dtype), alpha=-rate)


def make_optimizer(model: nn.Module, t: dict, muon_dtype: torch.dtype) -> torch.optim.Optimizer:
    """The optimizer that a training config asks for; `t` holds the keys of configs/training/*.yaml.

    Weight decay is for matrices only: biases and norms have one dimension, and the taps of a convolution are as many vectors.
    """
    matrices, vectors, inner = [], [], []
    for name, p in model.named_parameters():
        if p.ndim < 2 or name.endswith("shortconv.conv.weight"):
            vectors.append(p)
        elif t["optimizer"] == "muon" and name.startswith("blk."):
            inner.append(p)
        else:
            matrices.append(p)
    groups = [{"params": matrices, "weight_decay": t["weight_decay"]}, {"params": vectors, "weight_decay": 0.0}]
    if inner:
        groups.append({"params": inner, "weight_decay": t["weight_decay"], "lr": t["muon_learning_rate"], "muon": True})
    return MuonAdamW(groups, muon_dtype, lr=t["learning_rate"], betas=tuple(t["betas"]), fused=True)


def rate_at(step: float, max_steps: int, warmup_ratio: float, floor: float) -> float:
    """Share of the peak rate at optimizer step 0..max_steps-1: a linear warm-up, then a cosine that ends exactly at `floor`."""
    warmup = round(warmup_ratio * max_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, max_steps - 1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
