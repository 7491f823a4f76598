"""What a config costs without being wrong, or has that is unusual, said before a run and never an error; and what this machine cannot train.

The k-quants hold rows in blocks of 256 weights. Where a row is no multiple of that, llama.cpp takes a larger type of blocks of 32 and
says nothing, so a model of width 384 pays for bits that it did not ask for. What was really written stands in the report; here is
what to expect, from the shape alone.
"""

import os

from pipeline.core.config import Config
from pipeline.core.errors import UserError

BLOCK = 256
# k-quant -> what llama.cpp takes instead, and the bits per weight of both
FALLBACKS = {
    "Q2_K": ("Q4_0", 2.625, 4.5),
    "Q3_K": ("Q4_0", 3.4375, 4.5),
    "Q4_K": ("Q5_0", 4.5, 5.5),
    "Q5_K": ("Q5_1", 5.5, 6.0),
    "Q6_K": ("Q8_0", 6.5625, 8.5),
}
HIGH_RATE = 7.0  # a learning rate times the width, which rates fall with (Yang et al. 2022)
FRIENDLY = {"robo-nano-5m": "robo-nano-256", "robo-tiny-25m": "robo-tiny-512", "robo-medium-80m": "robo-medium-768"}


def rows(model) -> dict[int, int]:
    """Row width -> weights in the matrices of that width; `model` is a model config."""
    kv = (model.n_kv_heads or model.n_heads) * (model.d_model // model.n_heads)
    up = model.d_ff * (1 if model.architecture == "gpt2" else 2)
    heads = 1 if model.tie_embeddings else 2
    convolutions = len(model.conv_layers or [])
    mixing = (model.n_layers - convolutions) * (2 * model.d_model + 2 * kv) + convolutions * 4 * model.d_model
    wide = model.d_model * (heads * model.vocab_size + mixing + model.n_layers * up)
    found = {model.d_model: wide}
    found[model.d_ff] = found.get(model.d_ff, 0) + model.n_layers * model.d_ff * model.d_model
    return found


def bytes_lost(model, quant: str) -> int:
    """About how many bytes more a k-quant takes for this shape than its name says; 0 where all rows fit, or for other types.

    The head should be Q6_K in every mix; some mixes want more bits for some other matrices, which is not counted.
    """
    kind = quant[:4]
    if kind not in FALLBACKS:
        return 0

    def more(kind: str) -> float:  # bytes a weight
        return (FALLBACKS[kind][2] - FALLBACKS[kind][1]) / 8

    head = model.vocab_size * model.d_model if model.d_model % BLOCK else 0
    others = sum(weights for width, weights in rows(model).items() if width % BLOCK) - head
    return round(others * more(kind) + head * more("Q6_K"))


def unusual(config: Config) -> list[str]:
    """Settings that may be meant and seldom are, and what was left out."""
    at, m, d, t, p = config.paths, config.model, config.data, config.training, config.serving.parameters
    again, (first, second) = d.block_size / d.stride, t.betas
    rates = [
        (key, rate)
        for key, rate in (("learning_rate", t.learning_rate), ("muon_learning_rate", t.muon_learning_rate))
        if rate is not None
    ]
    notes = [
        *(
            (
                key not in m.model_fields_set,
                f"{at['model']}: {key}: left out, so it is {said}, as the reference's profiles mean it",
            )
            for key, said in (("architecture", m.architecture), ("tie_embeddings", str(m.tie_embeddings).lower()))
        ),
        (m.dropout > 0.5, f"{at['model']}: dropout: {m.dropout:g} takes more than it leaves; 0 to 0.2 is usual"),
        (
            again > 4,
            f"{at['data']}: stride: {d.stride} reads each token {again:.0f} times in an epoch; block_size {d.block_size} reads it once",
        ),
        *(
            (
                rate * m.d_model >= HIGH_RATE,
                f"{at['training']}: {key}: {rate:g} is high at d_model {m.d_model}, the loss may rise without end; at 128 1.2e-2 is good here, at 256 6e-3, "
                "and wide models want 3e-4",
            )
            for key, rate in rates
        ),
        (
            first == 0 or second < 0.9 or first > second,
            f"{at['training']}: betas: {t.betas}; [0.9, 0.95] is usual, the second the larger",
        ),
        (
            t.warmup_ratio > 0.5,
            f"{at['training']}: warmup_ratio: {t.warmup_ratio:g} spends most of the training below its rate; 0.05 is usual",
        ),
        (
            t.compile and t.max_time is not None and t.max_time.startswith("00:00:"),
            f'{at["training"]}: max_time: "{t.max_time}" is less than compiling takes; compile: false trains from the first second',
        ),
        (
            p.num_predict > p.num_ctx,
            f"{at['serving']}: parameters.num_predict: {p.num_predict} is more than num_ctx {p.num_ctx}, so the model "
            "forgets how its answer began",
        ),
    ]
    return [said for odd, said in notes if odd]


def advice(config: Config) -> list[str]:
    """One sentence for each thing worth a thought; empty when there is none."""
    return unusual(config) + costs(config)


def costs(config: Config) -> list[str]:
    """What the rows of this model cost in llama.cpp's types."""
    model, path = config.model, config.paths["model"]
    narrow = [width for width in rows(model) if width % BLOCK]
    lost = {quant: lost for quant in config.params.quants if (lost := bytes_lost(model, quant))}
    if not lost:
        return []
    key = "d_model" if model.d_model in narrow else "d_ff"
    friendly = FRIENDLY.get(config.params.model)
    return [
        f"{path}: {key}: rows of {' and '.join(map(str, narrow))} are no multiple of {BLOCK}, so llama.cpp takes larger types than asked for: "
        + ", ".join(f"{quant} costs about {more:,} bytes more" for quant, more in lost.items())
        + (f"; {friendly} has the same budget and loses none" if friendly else "; widths of 256, 512 and 768 lose none")
    ]


def least_memory(config: Config) -> int:
    """Bytes that one device needs at least to train: weights, gradients and one moment of each, and the logits of a micro-batch, in float32."""
    m, d = config.model, config.data
    weights = sum(rows(m).values()) + (m.context_length * m.d_model if m.architecture == "gpt2" else 0)
    return 4 * (3 * weights + d.batch_size * d.block_size * m.vocab_size)


def check_memory(config: Config) -> None:
    needed, there = least_memory(config), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there and config.training.strategy != "fsdp":  # which divides it among devices
        import torch

        if torch.cuda.is_available():
            there = torch.cuda.get_device_properties(0).total_memory
        if needed > there:
            raise UserError(
                f"{config.paths['model']} and {config.paths['data']}: training takes {needed / 1e9:,.0f} GB at least, and this "
                f"machine has {there / 1e9:,.0f}; choose a smaller model (d_model, d_ff, n_layers, vocab_size), context or batch_size"
            )


def check_machine(config: Config) -> None:
    """Raises UserError, naming file and key, where this machine cannot train what is asked for, or would crawl, or a cluster refuses to.

    For whoever is about to train: the config itself is right, and a model that was trained elsewhere in it is served here all the same.
    """
    t = config.training
    if config.operations.slurm:
        from pipeline.training import slurm

        slurm.check_config(config)
        return
    check_memory(config)
    if t.precision in ("auto", "32-true") and t.devices == 1:  # every machine can; torch takes seconds to import
        return
    from pipeline.training import devices, precision

    try:
        devices.check(t.devices)
        precision.choose(t.precision, t.force_precision)
    except UserError as error:
        raise UserError(f"{config.paths['training']}: {error}") from None
