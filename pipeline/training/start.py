"""Where a run starts from, if not from random weights: a folder under checkpoints/, or a version in MLflow's registry.

Both are honest to DVC: it watches the folder, and a registered version never changes.
"""

import tempfile
from pathlib import Path

from torch import Tensor

from pipeline.core.errors import UserError
from pipeline.core.paths import CHECKPOINTS
from pipeline.model import ModelConfig
from pipeline.model.checkpoint import read_model

DROPOUTS = {"dropout", "emb_dropout", "attn_dropout", "resid_dropout"}  # these may change


def read(init_from: str) -> tuple[dict, dict[str, Tensor]]:
    """(config.json, weights) of a folder or a registered version. Raises UserError where there is none."""
    if init_from.startswith(f"{CHECKPOINTS}/"):
        return read_model(Path(init_from), "copy a models/trained there")
    from pipeline.tracking import default_tracking_uri, fetch_trained

    name, version = init_from.removeprefix("models:/").split("/")
    with tempfile.TemporaryDirectory() as folder:
        return read_model(
            fetch_trained(name, version, default_tracking_uri(Path(".")), Path(folder)), "is it registered?"
        )


def weights(init_from: str, config: ModelConfig, tokenizer_sha256: str) -> dict[str, Tensor]:
    """The weights to start from. Raises UserError where shape or tokenizer are not those of this run."""
    saved, found = read(init_from)
    theirs, ours = (
        {k: v for k, v in values.items() if k not in DROPOUTS} for values in (saved["model"], config.to_dict())
    )
    differs = [f"{key} {theirs.get(key)} there, {ours[key]} here" for key in ours if theirs.get(key) != ours[key]]
    if saved["tokenizer_sha256"] != tokenizer_sha256:
        differs.append(f"tokenizer {saved['tokenizer_sha256'][:12]} there, {tokenizer_sha256[:12]} here")
    if differs:
        raise UserError(
            f"init_from: {init_from} does not fit this run: {'; '.join(differs)}. Choose the model config, tokenizer and corpus that "
            "it was trained with, or init_from: null"
        )
    return found
