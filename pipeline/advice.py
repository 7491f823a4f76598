"""What a config costs without being wrong, said before a run and never an error; and, on this machine, a precision that it is no good at.

The k-quants hold rows in blocks of 256 weights. Where a row is no multiple of that, llama.cpp takes a larger type of blocks of 32 and
says nothing, so a model of width 384 pays for bits that it did not ask for. What was really written stands in the report; here is
what to expect, from the shape alone.
"""

from pipeline.core.config import Config
from pipeline.core.errors import UserError

BLOCK = 256
# k-quant -> what llama.cpp takes instead, and the bits per weight of both
FALLBACKS = {"Q2_K": ("Q4_0", 2.625, 4.5), "Q3_K": ("Q4_0", 3.4375, 4.5), "Q4_K": ("Q5_0", 4.5, 5.5), "Q5_K": ("Q5_1", 5.5, 6.0),
             "Q6_K": ("Q8_0", 6.5625, 8.5)}
FRIENDLY = {"robo-nano-5m": "robo-nano-256", "robo-tiny-25m": "robo-tiny-512", "robo-medium-80m": "robo-medium-768"}


def rows(model) -> dict[int, int]:
    """Row width -> weights in the matrices of that width; `model` is a model config."""
    kv = (model.n_kv_heads or model.n_heads) * (model.d_model // model.n_heads)
    up = model.d_ff * (1 if model.architecture == "gpt2" else 2)
    heads = 1 if model.tie_embeddings else 2
    wide = heads * model.vocab_size * model.d_model + model.n_layers * model.d_model * (2 * model.d_model + 2 * kv + up)
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
    def more(kind: str) -> float:       # bytes a weight
        return (FALLBACKS[kind][2] - FALLBACKS[kind][1]) / 8

    head = model.vocab_size * model.d_model if model.d_model % BLOCK else 0
    others = sum(weights for width, weights in rows(model).items() if width % BLOCK) - head
    return round(others * more(kind) + head * more("Q6_K"))


def advice(config: Config) -> list[str]:
    """One sentence for each thing worth a thought; empty when there is none."""
    model, path = config.model, config.paths["model"]
    narrow = [width for width in rows(model) if width % BLOCK]
    lost = {quant: lost for quant in config.params.quants if (lost := bytes_lost(model, quant))}
    if not lost:
        return []
    key = "d_model" if model.d_model in narrow else "d_ff"
    friendly = FRIENDLY.get(config.params.model)
    return [f"{path}: {key}: rows of {' and '.join(map(str, narrow))} are no multiple of {BLOCK}, so llama.cpp takes larger types than asked for: "
            + ", ".join(f"{quant} costs about {more:,} bytes more" for quant, more in lost.items())
            + (f"; {friendly} has the same budget and loses none" if friendly else "; widths of 256, 512 and 768 lose none")]


def check_precision(config: Config) -> None:
    """Raises UserError, naming file and key, where this machine would crawl in the precision asked for, or cannot train in it at all.

    For whoever is about to train: the config itself is right, and a model that was trained elsewhere in it is served here all the same.
    """
    if config.training.precision in ("auto", "32-true"):        # every machine can; torch takes seconds to import
        return
    from pipeline.training.precision import choose

    try:
        choose(config.training.precision, config.training.force_precision)
    except UserError as error:
        raise UserError(f"{config.paths['training']}: {error}") from None
