"""The tokenizer: the same text gives the same bytes, any text comes back as it was, and special tokens are never made from text."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stages import copy_configs, files_under, run_stage, stage_environment, write_pairs
from tiny import CODE, DOCUMENTS, SPECIAL

from pipeline.core.errors import UserError
from pipeline.core.schema import SPLIT_PATTERNS, of_text
from pipeline.data.tokenizer import load_tokenizer, texts_of, train

VOCAB = 500


SPACED = 12  # frequent words with their space


@pytest.fixture(scope="module", params=[(split, spaced) for split in SPLIT_PATTERNS for spaced in (0, SPACED)], ids=str)
def tokenizer(request, tmp_path_factory):
    """One of each split pattern, saved and loaded as the stages do it."""
    split, spaced = request.param
    path = tmp_path_factory.mktemp(split) / "tokenizer.json"
    path.write_text(train(DOCUMENTS, VOCAB, SPECIAL, split, spaced).to_str(), encoding="utf-8")
    return load_tokenizer(path)


def hostile() -> list[str]:
    chance = random.Random(7)
    scripts = [
        (0x20, 0x7F),
        (0xA0, 0x250),
        (0x300, 0x370),
        (0x590, 0x600),
        (0x900, 0x980),
        (0xB80, 0xC00),
        (0x4E00, 0x4F00),
        (0x1F300, 0x1F650),
        (0x10000, 0x10400),
        (0xE000, 0xE100),
    ]
    mixed = ["".join(chr(chance.randrange(*chance.choice(scripts))) for _ in range(60)) for _ in range(60)]
    return [
        *map(chr, range(256)),
        *mixed,
        *SPECIAL.values(),
        "",
        " ",
        "\n",
        "\r",
        "\r\n\r\n \t",
        " " * 500,
        "\n" * 300,
        "a" * 3000,
        "_" * 1000,
        "9" * 1000,
        "\x00\x01\x7f\ufeff\ufffd",
        "e\u0301 e\u0301\u0302",
        "Ġ Ċ ĉ",
        "don't WE'LL 'S 're",
        "\u200b\u200d\u2028\u2029\u3000",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "x=1\n\n\n    y\t\t= 2  \n",
        "தமிழ் हिन्दी বাংলা",
        CODE,
        "".join(SPECIAL.values()) * 5,
        "<eos",
        "eos>",
        "< eos >",
        " <eos> ",
    ]


def test_every_text_comes_back(tokenizer):
    for text in hostile():
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text, ascii(text)
        assert not ids or min(ids) >= len(SPECIAL), f"{text!a} gave a special token"


def test_special_tokens_come_first_and_every_byte_has_a_token(tokenizer):
    assert [tokenizer.id_to_token(n) for n in range(4)] == list(SPECIAL.values())
    assert tokenizer.get_vocab_size() == VOCAB == len(tokenizer.get_vocab())
    assert sorted(tokenizer.get_vocab().values()) == list(range(VOCAB))
    used = {n for text in map(chr, range(256)) for n in tokenizer.encode(text, add_special_tokens=False).ids}
    assert len(used) >= 130, "bytes that UTF-8 uses for the first 256 characters"


@pytest.mark.parametrize("split", SPLIT_PATTERNS)
def test_a_word_after_a_space_is_the_word_after_a_quote(split):
    spaced = train(DOCUMENTS, VOCAB, SPECIAL, split, SPACED)
    with_space = [token for token in spaced.get_vocab() if token[0] == "Ġ" and re.fullmatch("[A-Za-z]+", token[1:])]
    assert len(with_space) == SPACED and spaced.get_vocab_size() == VOCAB
    for word in with_space:
        assert spaced.encode(f"a {word[1:]}.").tokens.count(word) == 1
    for word in ("Hello", "Liftoff", "wlan", "PING"):
        alone, after = spaced.encode(word).tokens, spaced.encode(f"a {word}").tokens
        assert after == [*spaced.encode("a").tokens, "Ġ", *alone], split
        assert " ".join(alone) in " ".join(spaced.encode(f'("{word}")').tokens)
    plain = train(DOCUMENTS, VOCAB, SPECIAL, split)
    assert any(
        token[0] == "Ġ" and re.fullmatch("[A-Za-z]+", token[1:]) and token not in with_space
        for token in plain.get_vocab()
    )


def test_training_on_the_text_of_special_tokens_makes_them_no_word():
    tokenizer = train(["<eos> <pad> <eos><eos>\n" * 50, *DOCUMENTS], VOCAB, SPECIAL, "qwen2")
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode("a <eos> b<eos><pad>", add_special_tokens=False).ids
    assert min(ids) >= 4 and tokenizer.decode(ids) == "a <eos> b<eos><pad>"


@pytest.mark.parametrize("split", SPLIT_PATTERNS)
@pytest.mark.parametrize("word", ["end", "e", "|", "<|", "def", " end", "<eos", " ", "\n", "a b", "<eos> ", "\t<eos>"])
def test_a_special_token_that_text_may_hold_is_told_from_one_that_it_may_not(word, split):
    assert of_text(word, split) == (word != "<eos" or split != "gpt-2")  # there it is two pieces
    assert not of_text("<eos>", split) and not of_text("<|fim_prefix|>", split)


def test_the_same_text_gives_the_same_bytes(tmp_path):
    """Also in other processes, where Python's and Rust's hashes are seeded anew and threads meet in another order."""
    files = [path.read_text(encoding="utf-8") for path in sorted(Path(json.__file__).parent.parent.glob("[a-b]*.py"))]
    (tmp_path / "texts.json").write_text(json.dumps([files, SPECIAL]))
    program = (
        "import json, sys; from pipeline.data.tokenizer import train; texts, special = json.load(open(sys.argv[1])); "
        "sys.stdout.write(train(texts, 1500, special, 'qwen35', 50).to_str(pretty=True))"
    )
    environment = stage_environment(TOKENIZERS_PARALLELISM="true")
    here = train(files, 1500, SPECIAL, "qwen35", 50).to_str(pretty=True)
    assert here == train(iter(files), 1500, SPECIAL, "qwen35", 50).to_str(pretty=True)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "texts.json")],
            capture_output=True,
            text=True,
            check=True,
            env=environment | {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed},
        )
        assert done.stdout == here


@pytest.mark.parametrize("texts", [[], [""], ["a\n"], [CODE[:200]]])
def test_too_little_text_is_said(texts):
    with pytest.raises(
        UserError, match=r"vocab_size: the training text gives \d+ tokens, not 8192; lower vocab_size .* or add text"
    ):
        train(texts, 8192, SPECIAL, "qwen2")


def test_the_stage_names_its_config_when_text_is_too_little(tmp_path):
    root = copy_configs(tmp_path)
    (root / "data/processed").mkdir(parents=True)
    (root / "data/processed/train_corpus.jsonl").write_text(json.dumps({"text": CODE}) + "\n")
    write_pairs(root / "data/curriculum/train.jsonl", [])
    before = files_under(root)
    done = run_stage(root, "tokenizer")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: configs/tokenizers/robo-code-8k.yaml: vocab_size: the training text gives" in done.stderr
    assert files_under(root) == before


@pytest.mark.parametrize("most, step", [(4000, 1), (3000, 1), (2999, 2), (1500, 2), (1499, 3), (1, 3000)])
def test_of_much_text_an_even_share_is_trained_on(tmp_path, monkeypatch, most, step):
    rows = [{"text": f"{n:02}"} for n in range(60)] + [{"request": f"{n:02}", "program": "x"} for n in range(60, 75)]
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file, part in zip(files, (rows[:60], rows[60:]), strict=True):
        file.write_text("".join(json.dumps(row).ljust(39) + "\n" for row in part))
    monkeypatch.setattr("pipeline.data.tokenizer.MOST", most)  # of 75 lines of 40 bytes
    texts = [*(f"{n:02}" for n in range(60)), *(f"{n}\nx" for n in range(60, 75))]
    assert list(texts_of(files)) == texts[::step]
