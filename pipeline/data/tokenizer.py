"""Trains the byte-level BPE tokenizer, in the one form that llama.cpp repeats exactly.

No normalizer (llama.cpp has none for this kind), a split pattern that llama.cpp has built in, and all 256 bytes in the
alphabet, so nothing is ever unknown. Special tokens take the first ids and are never made from ordinary text.

BPE makes " Hello" of " H" and "ello", and the same word after a quotation mark of "Hello": a model that shall copy it from a request into a program must
know by heart that these are one. With `spaced_words` no token holds a space and letters but so many frequent words, which are merged last, so
that llama.cpp and Hugging Face find them by the merges alone.
"""

import json
import re
from collections import Counter
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

SPACE = "Ġ"  # in GPT-2's alphabet for bytes
SPACED = re.compile(r" ([A-Za-z]{2,})(?![^\W\d_])")  # whole words of ASCII's letters


def train(texts, vocab_size: int, special_tokens: dict[str, str], split_pattern: str, spaced_words: int = 0):
    """Returns a tokenizers.Tokenizer of exactly vocab_size tokens; the same texts give the same bytes. `spaced_words` of them are frequent words
    with a space, and then no other token has a space before letters; 0 leaves that to BPE.

    Raises UserError when the texts are too few for such a vocabulary.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    # llama.cpp looks whole words up before it merges where the pre-tokenizer is llama-bpe, and only there.
    tokenizer = Tokenizer(models.BPE(ignore_merges=split_name(split_pattern) == "llama-bpe"))
    words = pre_tokenizers.Split(Regex(SPLIT_PATTERNS[split_name(split_pattern) or split_pattern]), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    apart = pre_tokenizers.Split(Regex(r"^ (?=\p{L})"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, *([apart] if spaced_words else []), to_bytes])
    spaced: Counter[str] = Counter()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        counting(texts, spaced) if spaced_words else texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size - spaced_words,
            special_tokens=list(special_tokens.values()),
            show_progress=is_live(),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    if spaced_words:
        tokenizer = with_spaces(tokenizer, spaced, spaced_words)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
    if (got := tokenizer.get_vocab_size()) < vocab_size:
        raise UserError(
            f"vocab_size: the training text gives {got} tokens, not {vocab_size}; lower vocab_size in the tokenizer and model "
            "configs, or add text to the corpus config"
        )
    return tokenizer


def counting(texts, spaced: Counter) -> Iterator[str]:
    """The texts, while their words after a space are counted."""
    for text in texts:
        spaced.update(SPACED.findall(text))
        yield text


def with_spaces(tokenizer, spaced: Counter, most: int):
    """A tokenizers.Tokenizer that merges the most frequent of these words, of those that are one token, with the space before them, after all
    other merges."""
    from tokenizers import Tokenizer

    saved = json.loads(tokenizer.to_str())
    vocabulary, merges = saved["model"]["vocab"], saved["model"]["merges"]
    known = sorted((word for word in spaced if word in vocabulary), key=lambda word: (-spaced[word], word))
    for word in known[:most]:
        vocabulary[SPACE + word] = len(vocabulary)
        merges.append([SPACE, word])
    return Tokenizer.from_str(json.dumps(saved))


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
        tokenizer = train(texts, c.vocab_size, special_tokens, c.split_pattern, c.spaced_words)
    except UserError as error:
        raise UserError(f"{c}: {error}") from error
    write_text(TOKENIZER, tokenizer.to_str(pretty=True))
    write_json(SPECIAL_TOKENS, special_tokens)
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, split as llama.cpp's {split_name(c.split_pattern)}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("tokenizer", main)
