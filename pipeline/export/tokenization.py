"""The trained tokenizer, as GGUF and Hugging Face folders must tell it to others.

llama.cpp holds its split patterns in code and knows them by name, so the name is found here from the pattern that stands in
tokenizer.json. A name kept beside the pattern could go stale; this one cannot.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from pipeline.core.errors import UserError
from pipeline.core.files import read_json
from pipeline.core.schema import SPLIT_PATTERNS, split_name
from pipeline.data.tokenizer import load_tokenizer

ROLES = ("pad", "eos", "bos", "unk")
FIM_ROLES = ("fim_prefix", "fim_suffix", "fim_middle")  # all or none


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE and what it is made of.

    `tokens` are the texts by id, in GPT-2's alphabet for bytes; `merges` are "left right", best first; `special` gives the id
    of each role (pad, eos, bos, unk, and the FIM roles where there are such tokens); `pre` is llama.cpp's name of the split pattern.
    """

    tokenizer: Tokenizer | None  # None where the rest is made up, to measure a file before there is one
    tokens: list[str]
    merges: list[str]
    special: dict[str, int]
    pre: str

    @property
    def first(self) -> int:
        """The id before each document in training, where pack closes the one before: eos. Others are told it as their bos, as in GPT-2's
        files. The text that the config calls bos stands before nothing, so its token was never trained."""
        return self.special["eos"]


def split_patterns(pre_tokenizer: dict | None) -> list[str]:
    """The regular expressions of the Split steps of a tokenizer.json's pre_tokenizer."""
    steps = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [step["pattern"].get("Regex") for step in steps if step["type"] == "Split"]


def load_vocabulary(folder: Path) -> Vocabulary:
    """Reads tokenizer.json and special_tokens.json. Raises UserError where one is missing or llama.cpp has no such split pattern."""
    path = folder / "tokenizer.json"
    try:
        saved, roles, tokenizer = read_json(path), read_json(folder / "special_tokens.json"), load_tokenizer(path)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; `dvc repro tokenizer` makes it") from None
    patterns = split_patterns(saved["pre_tokenizer"])
    pre = split_name(patterns[0]) if len(patterns) == 1 else None
    if pre is None:
        raise UserError(
            f"{path}: pre_tokenizer: llama.cpp has no split pattern {' then '.join(map(repr, patterns)) or '(none)'}, so "
            f"the served model would tokenize differently; train the tokenizer with split_pattern: one of "
            f"{', '.join(SPLIT_PATTERNS)}"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in saved["model"]["merges"]]
    special = {role: tokenizer.token_to_id(roles[role]) for role in (*ROLES, *FIM_ROLES) if role in roles}
    return Vocabulary(
        tokenizer, [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())], merges, special, pre
    )
