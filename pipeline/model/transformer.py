"""A decoder-only transformer in the four forms llama.cpp runs unchanged.

gpt2    LayerNorm, learned positions, tanh-GELU, biases everywhere or nowhere         (Radford et al. 2019)
llama   RMSNorm, rotary positions, SwiGLU, grouped-query heads, no biases             (Touvron et al. 2023)
qwen3   llama with an RMSNorm on each head's queries and keys                         (Yang et al. 2025)
lfm2    qwen3 in which some blocks have a short gated convolution for attention       (Liquid AI 2025)

One class holds all four, since they differ in five choices and share the rest. Rotary positions rotate half against half,
as `transformers` does; GGUF's llama wants pairs, and the exporter permutes.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.model.operators import Dropout, attend, compiled, cross_entropy, cross_entropy_in_parts, gelu

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint must know to be rebuilt; widths in elements, context in tokens."""

    architecture: str
    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_ff: int
    tie_embeddings: bool
    dropout: float = 0.0  # on the feed-forward layer's hidden activations
    emb_dropout: float = 0.0  # on the sum of embeddings
    attn_dropout: float = 0.0  # on attention weights
    resid_dropout: float = 0.0  # on what each branch adds to the residual stream
    bias: bool = True  # on gpt2's linear layers and norms; the others have none
    conv_layers: tuple[int, ...] = ()  # lfm2's blocks, from 0, that have a convolution for attention
    conv_size: int = 3  # tokens that it sees: its own and those before

    @classmethod
    def from_dict(cls, values: dict) -> "ModelConfig":
        """From the keys of configs/models/*.yaml, where left-out dropouts mean `dropout` and left-out k/v heads mean no grouping."""
        values = dict(values)
        for key in ("emb_dropout", "attn_dropout", "resid_dropout"):
            if values.get(key) is None:
                values[key] = values["dropout"]
        values["bias"] = values["architecture"] == "gpt2" and values.get("bias") is not False
        values["n_kv_heads"] = values.get("n_kv_heads") or values["n_heads"]
        values["conv_layers"] = tuple(values.get("conv_layers") or ())
        values["conv_size"] = values.get("conv_size") or cls.conv_size
        return cls(**values)

    def to_dict(self) -> dict:
        """As JSON holds it. Just lfm2's tells of convolutions, so that what was saved before there were such is read as the same."""
        told = asdict(self) | {"conv_layers": list(self.conv_layers)}
        return told if self.architecture == "lfm2" else {k: v for k, v in told.items() if not k.startswith("conv_")}

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    @property
    def is_gpt2(self) -> bool:
        return self.architecture == "gpt2"

    @property
    def norms_heads(self) -> bool:
        return self.architecture in ("qwen3", "lfm2")


def rotary_angles(positions: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """cos and sin, each (positions, head_dim), of Su et al. 2021 with the two halves alike."""
    frequencies = ROPE_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies).repeat(1, 2)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on x (B, heads, T, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


def step(module: "Block | Transformer", method: Callable, *arguments):
    """method(module, *arguments), compiled in training where `Transformer.compile_steps` has asked for it."""
    return (compiled(method) if module.compiled and module.training else method)(module, *arguments)


class Taps(nn.Module):
    """A causal convolution of each channel with itself: (B, T, d_model) to the same."""

    def __init__(self, width: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, size))  # the last is the token's own, as in GGUF

    def forward(self, x: Tensor) -> Tensor:
        T, last = x.shape[1], self.weight.shape[1] - 1
        out = x * self.weight[:, last].to(x.dtype)
        for back in range(1, last + 1):
            out = out + F.pad(x, (0, 0, back, 0))[:, :T] * self.weight[:, last - back].to(x.dtype)
        return out


class ShortConv(nn.Module):
    """What a token is, gated, beside what the few before it were, gated again: tells which word came before, which attention needs a
    block of its own to learn."""

    def __init__(self, c: ModelConfig):
        super().__init__()
        self.in_proj = nn.Linear(c.d_model, 3 * c.d_model, bias=False)
        self.conv = Taps(c.d_model, c.conv_size)
        self.out_proj = nn.Linear(c.d_model, c.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        before, after, x = self.in_proj(x).chunk(3, dim=-1)
        return self.out_proj(after * self.conv(before * x))


class Block(nn.Module):
    """Attention, or a short convolution, and feed-forward, each with its norm before it and added to the residual stream."""

    compiled = False

    def __init__(self, c: ModelConfig, conv: bool = False):
        super().__init__()
        self.c, self.conv = c, conv
        bias = c.is_gpt2 and c.bias
        kv_width = c.n_kv_heads * c.head_dim
        self.attn_norm = make_norm(c, c.d_model)
        self.ffn_norm = make_norm(c, c.d_model)
        if conv:
            self.shortconv = ShortConv(c)
        elif c.is_gpt2:
            self.attn_qkv = nn.Linear(c.d_model, 3 * c.d_model, bias=bias)
        else:
            self.attn_q = nn.Linear(c.d_model, c.d_model, bias=False)
            self.attn_k = nn.Linear(c.d_model, kv_width, bias=False)
            self.attn_v = nn.Linear(c.d_model, kv_width, bias=False)
        if not c.is_gpt2:
            self.ffn_gate = nn.Linear(c.d_model, c.d_ff, bias=False)
        if not conv:
            if c.norms_heads:
                self.attn_q_norm = make_norm(c, c.head_dim)
                self.attn_k_norm = make_norm(c, c.head_dim)
            self.attn_output = nn.Linear(c.d_model, c.d_model, bias=bias)
        self.ffn_up = nn.Linear(c.d_model, c.d_ff, bias=bias)
        self.ffn_down = nn.Linear(c.d_ff, c.d_model, bias=bias)
        self.attn_dropout, self.attn_resid_dropout = Dropout(c.attn_dropout), Dropout(c.resid_dropout)
        self.dropout, self.ffn_resid_dropout = Dropout(c.dropout), Dropout(c.resid_dropout)

    def attention(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        c = self.c
        B, T, _ = x.shape
        if c.is_gpt2:
            q, k, v = self.attn_qkv(x).split(c.d_model, dim=-1)
        else:
            q, k, v = self.attn_q(x), self.attn_k(x), self.attn_v(x)
        q = q.view(B, T, c.n_heads, c.head_dim).transpose(1, 2)  # (B, heads, T, head_dim)
        k = k.view(B, T, c.n_kv_heads, c.head_dim).transpose(1, 2)  # (B, kv heads, T, head_dim)
        v = v.view(B, T, c.n_kv_heads, c.head_dim).transpose(1, 2)
        if c.norms_heads:
            q, k = (
                self.attn_q_norm(q.float()),
                self.attn_k_norm(k.float()),
            )  # under autocast too, as torch's fused norm wants it
        if cos is not None and sin is not None:
            q, k = rotate(q, cos[:T], sin[:T]), rotate(k, cos[:T], sin[:T])
        q, k = q.to(v.dtype), k.to(v.dtype)
        if (
            c.n_kv_heads != c.n_heads
        ):  # not enable_gqa: torch's CPU attention then leaves its fast path, 15 times slower
            k, v = (x.repeat_interleave(c.n_heads // c.n_kv_heads, dim=1) for x in (k, v))
        out = attend(q, k, v, self.attn_dropout)
        return self.attn_output(out.transpose(1, 2).reshape(B, T, c.d_model))

    def feed_forward(self, x: Tensor) -> Tensor:
        if self.c.is_gpt2:
            hidden = gelu(self.ffn_up(x))
        else:
            hidden = F.silu(self.ffn_gate(x)) * self.ffn_up(x)
        return self.ffn_down(self.dropout(hidden))

    def forward(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        return step(self, Block.residual, x, cos, sin)

    def residual(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        normed = self.attn_norm(x)
        x = x + self.attn_resid_dropout(self.shortconv(normed) if self.conv else self.attention(normed, cos, sin))
        return x + self.ffn_resid_dropout(self.feed_forward(self.ffn_norm(x)))


def make_norm(c: ModelConfig, width: int) -> nn.Module:
    return nn.LayerNorm(width, eps=NORM_EPS, bias=c.bias) if c.is_gpt2 else nn.RMSNorm(width, eps=NORM_EPS)


class Transformer(nn.Module):
    """Token ids (B, T) to logits (B, T, vocab_size)."""

    compiled = False

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = c = config
        self.token_embd = nn.Embedding(c.vocab_size, c.d_model)
        if c.is_gpt2:
            self.position_embd = nn.Embedding(c.context_length, c.d_model)
        else:
            cos, sin = rotary_angles(c.context_length, c.head_dim)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self.emb_dropout = Dropout(c.emb_dropout)
        self.blk = nn.ModuleList(Block(c, i in c.conv_layers) for i in range(c.n_layers))
        self.output_norm = make_norm(c, c.d_model)
        self.output = nn.Linear(c.d_model, c.vocab_size, bias=False)
        if c.tie_embeddings:
            self.output.weight = self.token_embd.weight
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's: normal with standard deviation 0.02, the two layers that feed the residual stream scaled by its depth."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if (bias := getattr(module, "bias", None)) is not None:
                nn.init.zeros_(bias)
        if isinstance(module, Taps):
            nn.init.uniform_(module.weight, -(module.weight.shape[1] ** -0.5), module.weight.shape[1] ** -0.5)
        if isinstance(module, Block):
            for layer in (module.shortconv.out_proj if module.conv else module.attn_output, module.ffn_down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * self.config.n_layers))

    def reseed(self) -> None:
        """Lets other elements fall in every dropout, by torch's generator."""
        for module in self.modules():
            if isinstance(module, Dropout) and module.p:
                module.reseed()

    def compile_steps(self) -> None:
        """Has training compiled in parts: what comes between the embeddings and the blocks, one block for all, and what comes after, on a CPU its norm
        and its loss by themselves.

        In one piece it takes half as long again to compile, twice as long where there are many blocks, and is no faster.
        """
        for module in self.modules():
            if isinstance(module, Block | Transformer):
                module.compiled = True

    def placed(self, x: Tensor) -> Tensor:
        """Embeddings (B, T, d_model) as the first block takes them."""
        if self.config.is_gpt2:
            x = x + self.position_embd.weight[: x.shape[1]]
        return self.emb_dropout(x)

    def states(self, ids: Tensor) -> Tensor:
        """What the last block gives (B, T, d_model). Raises ValueError where T is more than the context."""
        if ids.shape[1] > self.config.context_length:
            raise ValueError(f"{ids.shape[1]} tokens do not fit a context of {self.config.context_length}")
        # Looked up as it is: compiled, its gradients are summed in the order in which threads come by, so no two runs are the same.
        x = step(self, Transformer.placed, self.token_embd(ids))
        cos, sin = (None, None) if self.config.is_gpt2 else (self.cos, self.sin)
        for block in self.blk:
            x = block(x, cos, sin)
        return x

    def hidden(self, ids: Tensor) -> Tensor:
        """The final normed states (B, T, d_model)."""
        return step(self, Transformer.normed, self.states(ids))

    def normed(self, states: Tensor) -> Tensor:
        return self.output_norm(states)

    def cross_entropy(self, states: Tensor, targets: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
        return cross_entropy(self.output(self.output_norm(states)), targets, weights, reduction)

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, weights: Tensor | None = None, reduction: str = "mean"
    ) -> Tensor:
        if targets is None:
            return self.output(self.hidden(ids))
        if self.compiled and self.training and ids.device.type == "cpu":
            return cross_entropy_in_parts(self.hidden(ids), self.output.weight, targets, weights, reduction)
        return step(self, Transformer.cross_entropy, self.states(ids), targets, weights, reduction)

    def loss(self, ids: Tensor, targets: Tensor, weights: Tensor | None = None, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats of targets (B, T) given ids (B, T), each token's times its weight (B, T) where there are such."""
        return self(ids, targets, weights, reduction)  # within forward, since FSDP gathers the parameters for it

    def count_parameters(self) -> int:
        """Trainable numbers; a tied head counts once."""
        return sum(p.numel() for p in self.parameters())

    @torch.inference_mode()
    def generate(self, ids: list[int], max_new_tokens: int, eos: int | None = None) -> list[int]:
        """Continues `ids` greedily until `eos`; returns the new ids. The context slides when it is full."""
        was_training = self.training
        self.eval()
        ids, new = list(ids), []
        for _ in range(max_new_tokens):
            window = torch.tensor([ids[-self.config.context_length :]], device=self.output.weight.device)
            token = int(self.output(self.hidden(window)[:, -1]).argmax())
            if token == eos:
                break
            ids.append(token)
            new.append(token)
        self.train(was_training)
        return new
