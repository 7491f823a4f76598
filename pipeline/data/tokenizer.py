"""Trains the byte-level BPE tokenizer, in the one form that llama.cpp repeats exactly.

No normalizer (llama.cpp has none for this kind), a split pattern that llama.cpp has built in, and all 256 bytes in the
alphabet, so nothing is ever unknown. Special tokens take the first ids and are never made from ordinary text.
"""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import read_jsonl, write_json, write_text
from pipeline.core.paths import SPECIAL_TOKENS, TOKENIZER
from pipeline.core.progress import is_live
from pipeline.core.schema import SPLIT_PATTERNS, split_name

# Bytes of training files: all the different words of more would not fit in memory, and change no merge to speak of.
MOST = 500 * 2**20


def train(texts, vocab_size: int, special_tokens: dict[str, str], split_pattern: str):
    """Returns a tokenizers.Tokenizer of exactly vocab_size tokens; the same texts give the same bytes.

    Raises UserError when the texts are too few for such a vocabulary.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    # llama.cpp looks whole words up before it merges where the pre-tokenizer is llama-bpe, and only there.
    tokenizer = Tokenizer(models.BPE(ignore_merges=split_name(split_pattern) == "llama-bpe"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERNS[split_name(split_pattern) or split_pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(special_tokens.values()),
            show_progress=is_live(),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    if (got := tokenizer.get_vocab_size()) < vocab_size:
        raise UserError(
            f"vocab_size: the training text gives {got} tokens, not {vocab_size}; lower vocab_size in the tokenizer and model "
            "configs, or add text to the corpus config"
        )
    return tokenizer


def text_of(row: dict) -> str:
    """A document of the corpus, or a pair of the curriculum."""
    return row["text"] if "text" in row else f"{row['request']}\n{row['program']}"


def texts_of(files: list[Path]) -> Iterator[str]:
    """What a tokenizer is trained on: the texts of the files, in their order; of more than MOST bytes only every second one, or third ..."""
    step = -(-sum(file.stat().st_size for file in files) // MOST)
    rows = chain.from_iterable(read_jsonl(file) for file in files)
    return map(text_of, islice(rows, 0, None, max(step, 1)))


def load_tokenizer(path: Path = TOKENIZER):
    """The trained tokenizer; text that looks like a special token is encoded as the text it is."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def main(config) -> None:
    c = config.tokenizer
    special_tokens = c.special_tokens.model_dump(exclude_none=True)
    texts = texts_of([Path(file) for file in c.training_files])
    assert c.algorithm == "bpe"
    try:
        tokenizer = train(texts, c.vocab_size, special_tokens, c.split_pattern)
    except UserError as error:
        raise UserError(f"{c}: {error}") from error
    write_text(TOKENIZER, tokenizer.to_str(pretty=True))
    write_json(SPECIAL_TOKENS, special_tokens)
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, split as llama.cpp's {split_name(c.split_pattern)}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("tokenizer", main)
