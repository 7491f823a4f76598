"""The ids that tokenizers gives a text, three times as fast, and proven to be those.

Byte-level BPE encodes each piece of a text by itself, and text repeats its pieces: 20 MB of Python are 4.5 million pieces, of which 110,000
differ. So tokenizers' own model is asked once for each different piece, and its answer is looked up from then on. What is left to prove is
that a text is cut where tokenizers would cut it, by two other engines that read the same pattern: Python's own `re` where a text is
ASCII, which is the fastest, and `regex` elsewhere. Three things are held against tokenizers while encoding:

- every character that occurs, once, in all places that matter to the patterns. Engines know different editions of Unicode: about 2,000
  characters are letters to one and unknown to the other, and a text that holds one of them is left to tokenizers as a whole;
- that the pieces of each text make up the whole of it;
- one text of each batch, as a whole. If its ids differ, UserError is raised: no file is written then.
"""

import json
import re
from pathlib import Path

import numpy as np
import regex
from tokenizers import Regex, Tokenizer, pre_tokenizers

from pipeline.core.errors import UserError
from pipeline.data.tokenizer import load_tokenizer

MOST = 10**6  # pieces that are remembered, about 200 MB
PROBE = "a{0}a 1{0}1 !{0}! {0}{0} a\n{0}\n\n{0}1 '{0}a 'l{0}l"  # a letter, a number, a mark, a blank, a line's end or another sign?
LETTERS, DIGITS = "A-Za-z", "0-9"


def ascii_only(pattern: str) -> str:
    """A split pattern as `re` reads it, for texts that are ASCII: what \\p{L}, \\p{M} and \\p{N} are there, inside of brackets and alone."""
    inside = re.sub(
        r"\[[^]]+]",
        lambda set: set[0].replace(r"\p{L}", LETTERS).replace(r"\p{N}", DIGITS).replace(r"\p{M}", ""),
        pattern,
    )
    return inside.replace(r"\p{L}", f"[{LETTERS}]").replace(r"\p{N}", f"[{DIGITS}]")


class Ids(dict):
    """Piece -> its ids as bytes, by tokenizers' own model, which is asked where a piece is new."""

    def __init__(self, reference: Tokenizer, dtype: np.dtype):
        self.model, self.dtype = Tokenizer(reference.model), dtype
        self.model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def __missing__(self, piece: str) -> bytes:
        if len(self) >= MOST:
            self.clear()
        ids = self[piece] = np.array(self.model.encode(piece).ids, self.dtype).tobytes()
        return ids


class Encoder:
    def __init__(self, tokenizer: Path, dtype: str):
        self.place, self.dtype, self.reference = tokenizer, np.dtype(dtype).newbyteorder("<"), load_tokenizer(tokenizer)
        split, _ = json.loads(self.reference.to_str())["pre_tokenizer"]["pretokenizers"]
        pattern = split["pattern"]["Regex"]
        self.split = pre_tokenizers.Split(Regex(pattern), "isolated")
        pieces = pattern + r"|\s"  # gpt-2's leaves out some blanks, which tokenizers then takes for pieces
        self.ascii, self.any = re.compile(ascii_only(pieces), re.ASCII), regex.compile(pieces)
        self.same, self.other = set(), set()  # characters that tokenizers takes as we do, and those that it does not
        assert all(self.is_same(chr(n), self.ascii) for n in range(128))
        self.ids = Ids(self.reference, self.dtype)

    def is_same(self, character: str, engine) -> bool:
        probe = PROBE.format(character)
        return engine.findall(probe) == [piece for piece, _ in self.split.pre_tokenize_str(probe)]

    def whole(self, text: str) -> bytes:
        """The ids as tokenizers gives them."""
        return np.array(self.reference.encode(text, add_special_tokens=False).ids, self.dtype).tobytes()

    def encode(self, text: str) -> bytes:
        """The ids, little-endian."""
        if text.isascii():
            pieces = self.ascii.findall(text)
        else:
            for character in set(text) - self.same - self.other:
                (self.same if self.is_same(character, self.any) else self.other).add(character)
            if not self.other.isdisjoint(text):
                return self.whole(text)
            pieces = self.any.findall(text)
        assert sum(map(len, pieces)) == len(text)
        return b"".join(map(self.ids.__getitem__, pieces))

    def batch(self, texts: list[str]) -> list[bytes]:
        """The ids of each; raises UserError where those of the first are not what tokenizers gives it."""
        ids = [self.encode(text) for text in texts]
        if texts and ids[0] != self.whole(texts[0]):
            raise UserError(
                f"{self.place}: packing cut a text otherwise than tokenizers does, at {texts[0][:40]!r}; nothing was written. "
                "Are tokenizers and regex the versions of requirements.lock?"
            )
        return ids
