"""A trained model on disk: models/trained/{config.json, model.safetensors}.

No pickle, so opening a stranger's model runs nothing. config.json also names the tokenizer by hash: a model is nothing
without the tokenizer that it was trained with, and a mix-up would otherwise show only as bad text.
"""

from pathlib import Path

import torch
from safetensors.torch import load, save

from pipeline.core.errors import UserError
from pipeline.core.files import atomic, read_json, sha256, write_json
from pipeline.core.paths import TRAINED
from pipeline.model.transformer import ModelConfig, Transformer


def save_model(model: Transformer, tokenizer_sha256: str, folder: Path = TRAINED) -> None:
    """Writes the weights in float32; a tied head is written once."""
    weights = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in model.state_dict().items()
        if not (model.config.tie_embeddings and name == "output.weight")
    }
    content = save(weights)
    with atomic(folder / "model.safetensors") as unfinished:
        unfinished.write_bytes(content)
    write_json(folder / "config.json", {"model": model.config.to_dict(), "tokenizer_sha256": tokenizer_sha256})


def read_model(folder: Path, remedy: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """(config.json, weights by name, the tied head among them). Raises UserError with `remedy` when they are not there or damaged."""
    try:
        saved = read_json(folder / "config.json")
        weights = load((folder / "model.safetensors").read_bytes())
        if saved["model"]["tie_embeddings"]:
            weights["output.weight"] = weights["token_embd.weight"]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; {remedy}") from None
    except Exception as error:  # safetensors and json have an error class each
        raise UserError(f"{folder}: damaged checkpoint ({error}); {remedy}") from error
    return saved, weights


def load_model(tokenizer: Path, folder: Path = TRAINED) -> Transformer:
    """Returns the model in evaluation mode, on the CPU, in float32.

    Raises UserError when the checkpoint is not there, is damaged, or was trained with another tokenizer.
    """
    saved, weights = read_model(folder, "`dvc repro --force train` makes it")
    if not tokenizer.exists():
        raise UserError(
            f"{tokenizer}: no such file; a checkpoint cannot be used without its tokenizer. `dvc repro tokenizer` makes it"
        )
    if (now := sha256(tokenizer)) != saved["tokenizer_sha256"]:
        raise UserError(
            f"{folder / 'config.json'}: tokenizer_sha256: trained with tokenizer {saved['tokenizer_sha256'][:12]}, but {tokenizer} "
            f"is {now[:12]}; this checkpoint comes from another config. `dvc repro` trains one for this"
        )
    model = Transformer(ModelConfig(**saved["model"]))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{folder}: model.safetensors does not fit config.json: {error}") from None
    return model.eval()
