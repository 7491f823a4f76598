"""In which language people speak to each other in a program: that of its comments and docstrings.

py3langid tells it by the frequencies of short runs of letters, the same everywhere and without a network. Few words do not tell, so what is
no sentence is left out: words with signs in them are code, and a licence's line says nothing of who wrote the others. The languages are those
that programs are commented in; with all 140 that it knows, a short comment is now and then taken for Pidgin or Aragonese.
"""

import re
from functools import cache

NAMES = {
    "ar": "Arabic",
    "cs": "Czech",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "he": "Hebrew",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
UNTOLD = "too few words to tell"
ENOUGH = 40  # bytes of words
READ = 1_000  # characters of words; more say the same
HEAD = 20_000  # characters of a file in which they are looked for

SAID = re.compile(r"""(?s)\#([^\n]*)|("{3}|'{3})((?:\\.|(?!\2).)*)\2|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""")
ABOUT_RIGHTS = re.compile(r"(?im)^.*(?:copyright|spdx-|licen[cs]e|\(c\)).*$")
STOPS = re.compile("[、。，：；！？（）「」]")  # between words where no blanks are
WORD = re.compile(r"""(?<!\S)["'(]*([^\W\d_]+(?:['’-][^\W\d_]+)*)[.,:;!?)"']*(?!\S)""")


@cache
def identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE)
    found.set_languages(list(NAMES))
    return found


def words(program: str) -> str:
    """What its comments and docstrings say in words, without what is about rights."""
    said = "\n".join(part[1] or part[3] or "" for part in SAID.finditer(program[:HEAD]))
    return " ".join(WORD.findall(STOPS.sub(" ", ABOUT_RIGHTS.sub("", said))))[:READ]


def language(program: str) -> str:
    """Of NAMES, or UNTOLD."""
    said = words(program)
    return NAMES[identifier().classify(said)[0]] if len(said.encode()) >= ENOUGH else UNTOLD
