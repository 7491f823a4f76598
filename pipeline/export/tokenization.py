"""The trained tokenizer, as GGUF and Hugging Face folders must tell it to others.

llama.cpp holds its split patterns in code and knows them by name, so the name is found here from the pattern that stands in
tokenizer.json. A name kept beside the pattern could go stale; this one cannot.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from pipeline.config import SPLIT_PATTERNS, split_name
from pipeline.errors import UserError
from pipeline.files import read_json

TOKENIZER = Path("data/tokenizer")
ROLES = ("pad", "eos", "bos", "unk")


@dataclass(frozen=True)
class Vocabulary:
    """What a byte-level BPE is made of.

    `tokens` are the texts by id, in GPT-2's alphabet for bytes; `merges` are "left right", best first; `special` gives the id
    of each role (pad, eos, bos, unk); `pre` is llama.cpp's name of the split pattern.
    """
    tokens: list[str]
    merges: list[str]
    special: dict[str, int]
    pre: str

    def padded(self, size: int) -> list[str]:
        """The token texts, filled up to `size` ids with texts that no tokenization gives."""
        return self.tokens + [f"[PAD{i}]" for i in range(len(self.tokens), size)]


def load_tokenizer(folder: Path = TOKENIZER) -> Tokenizer:
    """The tokenizer with special-token text inside ordinary text taken as ordinary text, as nobody's prompt may end a document."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro tokenizer` makes it") from None
    except Exception as error:      # tokenizers raises plain Exception
        raise UserError(f"{path}: no tokenizer ({error}); `dvc repro --force tokenizer` makes it anew") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def split_patterns(pre_tokenizer: dict | None) -> list[str]:
    """The regular expressions of the Split steps of a tokenizer.json's pre_tokenizer."""
    steps = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [step["pattern"].get("Regex") for step in steps if step["type"] == "Split"]


def load_vocabulary(folder: Path = TOKENIZER) -> Vocabulary:
    """Raises UserError where the files are missing or llama.cpp has no such split pattern."""
    path = folder / "tokenizer.json"
    tokenizer = load_tokenizer(folder)
    try:
        roles = read_json(folder / "special_tokens.json")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; `dvc repro tokenizer` makes it") from None
    saved = json.loads(path.read_text(encoding="utf-8"))
    patterns = split_patterns(saved["pre_tokenizer"])
    pre = split_name(patterns[0]) if len(patterns) == 1 else None
    if pre is None:
        raise UserError(f"{path}: pre_tokenizer: llama.cpp has no split pattern {' then '.join(map(repr, patterns)) or '(none)'}, so the served model "
                        f"would tokenize differently; train the tokenizer with split_pattern: one of {', '.join(SPLIT_PATTERNS)}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in saved["model"]["merges"]]
    special = {role: tokenizer.token_to_id(roles[role]) for role in ROLES}
    if missing := [role for role, token in special.items() if token is None]:
        raise UserError(f"{folder / 'special_tokens.json'}: {missing[0]}: {path} has no token {roles[missing[0]]!r}")
    return Vocabulary([tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())], merges, special, pre)
