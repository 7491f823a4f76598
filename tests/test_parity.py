"""The parity check passes what is the same and bites on what is not."""

import json
import sys
import unicodedata

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CODE, DOCUMENTS, SPECIAL, make_model, make_tokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from pipeline.core.errors import UserError
from pipeline.core.schema import SPLIT_PATTERNS
from pipeline.export import gguf, huggingface, parity
from pipeline.export.llama import LlamaFile
from pipeline.export.tokenization import load_vocabulary
from pipeline.model.transformer import Block

# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaced_words", (0, 12))
@pytest.mark.parametrize("split", SPLIT_PATTERNS)
def test_hostile_texts_are_cut_alike(tmp_path, split, spaced_words):
    vocabulary = load_vocabulary(make_tokenizer(tmp_path, split=split, spaced_words=spaced_words))
    gguf.write_gguf(make_model("llama"), vocabulary, tmp_path / "m.gguf", "f16")
    texts = [*zip("abcd", DOCUMENTS, strict=True), *parity.stress_texts(vocabulary)]
    with LlamaFile(tmp_path / "m.gguf", vocab_only=True) as file:
        parity.Expected(vocabulary.tokenizer, texts).check(file)


def test_the_hostile_texts_hold_what_they_promise(tiny_tokenizer):
    texts = dict(parity.stress_texts(load_vocabulary(tiny_tokenizer)))
    never = {0xC0, 0xC1, *range(0xF5, 0x100)}  # bytes that no UTF-8 text holds
    assert set("".join(texts.values()).encode()) == set(range(256)) - never
    assert max(len(line) for text in texts.values() for line in text.split("\n")) >= 900_000
    assert all(token in texts["special tokens"] for token in SPECIAL.values())
    assert "" in texts.values() and "\r\n" in texts["CRLF"] and "\u200d" in texts["joined emoji"]


def test_special_token_text_in_ordinary_text_is_ordinary_text(tiny_tokenizer, tiny_gguf):
    vocabulary = load_vocabulary(tiny_tokenizer)
    text = "print('<eos>') # <pad><bos>"
    ids = vocabulary.tokenizer.encode(text).ids
    assert not set(ids) & set(vocabulary.special.values())
    with LlamaFile(tiny_gguf / "model-f16.gguf", vocab_only=True) as file:
        assert file.encode(text) == ids
        assert file.decode([vocabulary.special["eos"]]) == b""


def difference(vocabulary, expected_of, path) -> str:
    """What the check says of a file written with `vocabulary`, held against the tokenizer of `expected_of`."""
    gguf.write_gguf(make_model("llama"), vocabulary, path, "f16")
    with LlamaFile(path, name="model.gguf") as file, pytest.raises(UserError) as error:
        parity.Expected(
            expected_of.tokenizer, [("val_corpus.jsonl line 7", "x = 12345\n"), ("val_corpus.jsonl line 8", CODE)]
        ).check(file)
    return str(error.value)


def test_another_split_pattern_is_caught_at_its_first_token(tmp_path):
    ours = load_vocabulary(make_tokenizer(tmp_path / "t", vocab_size=500, split="llama-bpe"))
    # "12345" is "123" "45" for llama-bpe and five digits for qwen2; give the merge that makes it matter.
    one = ours.tokenizer.token_to_id("1")
    saved = json.loads((tmp_path / "t" / "tokenizer.json").read_text())
    saved["model"]["vocab"]["12"] = 500
    saved["model"]["merges"].append(["1", "2"])
    (tmp_path / "t" / "tokenizer.json").write_text(json.dumps(saved))
    ours = load_vocabulary(tmp_path / "t")
    wrong = type(ours)(ours.tokenizer, ours.tokens + [f"x{i}x" for i in range(11)], ours.merges, ours.special, "qwen2")
    message = difference(wrong, ours, tmp_path / "m.gguf")
    assert "model.gguf: val_corpus.jsonl line 7: " in message and "first at byte 4" in message
    assert "gives 500 '12'" in message and f"llama.cpp {one} '1'" in message


def test_a_lost_merge_is_caught(tmp_path, tiny_tokenizer):
    ours = load_vocabulary(tiny_tokenizer)
    wrong = type(ours)(ours.tokenizer, ours.tokens, ours.merges[1:], ours.special, ours.pre)
    assert "val_corpus.jsonl line 8: llama.cpp cuts the text otherwise" in difference(wrong, ours, tmp_path / "m.gguf")


def test_a_text_that_does_not_come_back_is_caught(tiny_tokenizer):
    tokenizer = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    from tokenizers.normalizers import Strip

    tokenizer.normalizer = Strip()
    with pytest.raises(UserError, match=r"val line 3: decode\(encode\(text\)\) is not the text, from character 0"):
        parity.Expected(tokenizer, [("val line 3", "  x = 1")])


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLIT_PATTERNS)
def test_every_character_is_classed_alike(tmp_path, split):
    """Merges of a letter, sign, blank, digit or line end with each byte show what class llama.cpp gives every character.

    Only characters that are newer than llama.cpp's tables (Unicode 16) differ.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {text: i for i, text in enumerate([*SPECIAL.values(), *alphabet])}
    merges = [(left, byte) for left in "a#1ĠĊ" for byte in alphabet]
    for left, byte in merges:
        vocab.setdefault(left + byte, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERNS[split]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL.values()])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens.json").write_text(json.dumps(SPECIAL))
    vocabulary = load_vocabulary(tmp_path)
    gguf.write_gguf(make_model("llama", vocab_size=len(vocabulary.tokens)), vocabulary, tmp_path / "m.gguf", "f16")
    characters = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    assert len(characters) > 140_000
    with LlamaFile(tmp_path / "m.gguf", vocab_only=True) as file:
        texts = [f"a{c} {c}#{c}1{c}\n{c}{c} a" for c in characters]
        ours = [encoding.ids for encoding in vocabulary.tokenizer.encode_batch(texts)]
        assert [text for text, ids in zip(texts, ours, strict=True) if file.encode(text) != ids] == []


# --- numbers: each mistake that an exporter can make, made on purpose -------------------------------------------------


def swap_heads(model):
    """The queries of the first and the last head change places."""
    c = model.config
    with torch.no_grad():
        weight = model.blk[1].attn_qkv.weight if c.is_gpt2 else model.blk[1].attn_q.weight
        first, last = weight[: c.head_dim].clone(), weight[c.d_model - c.head_dim : c.d_model].clone()
        weight[: c.head_dim], weight[c.d_model - c.head_dim : c.d_model] = last, first


def drop_bias(model):
    model.blk[0].ffn_up.bias.data.zero_()


def drop_norm_bias(model):
    model.blk[1].attn_norm.bias.data.zero_()


def shift_positions(model):
    model.position_embd.weight.data = model.position_embd.weight.data.roll(1, 0)


def forget_head_norms(model):
    model.blk[0].attn_q_norm.weight.data.fill_(1.0)


def swap_gate(model):
    block = model.blk[0]
    block.ffn_gate.weight.data, block.ffn_up.weight.data = block.ffn_up.weight.data, block.ffn_gate.weight.data


def untie(model):
    model.output_norm.weight.data.mul_(1.1)


def swap_conv_gates(model):
    weight = model.blk[0].shortconv.in_proj.weight.data
    weight.copy_(weight.roll(len(weight) // 3, 0))


def turn_conv_round(model):
    taps = model.blk[0].shortconv.conv.weight.data
    taps.copy_(taps.flip(1))


WEIGHTS = [
    ("gpt2", swap_heads),
    ("gpt2", drop_bias),
    ("gpt2", drop_norm_bias),
    ("gpt2", shift_positions),
    ("gpt2", untie),
    ("llama", swap_heads),
    ("llama", swap_gate),
    ("qwen3", swap_heads),
    ("qwen3", forget_head_norms),
    ("lfm2", swap_heads),
    ("lfm2", swap_conv_gates),
    ("lfm2", turn_conv_round),
]


def verdict(tmp_path, tokenizer, reference_model, exported_model, kind="f32") -> float:
    """The KL of a file of `exported_model` to `reference_model`, which the check must refuse."""
    vocabulary = load_vocabulary(tokenizer)
    ids = (vocabulary.tokenizer.encode(CODE).ids * 2)[:256]
    reference = parity.log_softmax(parity.torch_logits(reference_model, ids, 256))
    gguf.write_gguf(exported_model, vocabulary, tmp_path / "m.gguf", kind)
    with LlamaFile(tmp_path / "m.gguf") as file:
        logits = parity.llama_logits(file, ids, 256)
    with pytest.raises(UserError, match="this is not the trained model"):
        parity.check_divergence("m.gguf", kind, reference, logits)
    return float(parity.divergence(reference, parity.log_softmax(logits)).mean())


@pytest.mark.parametrize("kind", ["f32", "f16"])
@pytest.mark.parametrize("architecture,mistake", WEIGHTS)
def test_wrong_weights_are_caught(tmp_path, tiny_tokenizer, architecture, mistake, kind):
    wrong = make_model(architecture)
    mistake(wrong)
    assert verdict(tmp_path, tiny_tokenizer, make_model(architecture), wrong, kind) > 1e-3


def test_a_forgotten_rotary_permutation_is_caught(tmp_path, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(gguf, "permute", lambda weight, heads: weight)
    assert verdict(tmp_path, tiny_tokenizer, make_model("llama"), make_model("llama")) > 1e-3


def test_a_permutation_too_many_is_caught(tmp_path, tiny_tokenizer, monkeypatch):
    tensors = gguf.tensors
    monkeypatch.setattr(
        gguf,
        "tensors",
        lambda model: {
            name: gguf.permute(array, 4 if "attn_q." in name else 2)
            if name.endswith(("attn_q.weight", "attn_k.weight"))
            else array
            for name, array in tensors(model).items()
        },
    )
    assert verdict(tmp_path, tiny_tokenizer, make_model("qwen3"), make_model("qwen3")) > 1e-3


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_another_rotary_base_is_caught(tmp_path, tiny_tokenizer, monkeypatch, architecture):
    model = make_model(architecture)
    monkeypatch.setattr("pipeline.model.transformer.ROPE_BASE", 20_000.0)
    assert verdict(tmp_path, tiny_tokenizer, model, make_model(architecture)) > 1e-3


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_another_norm_epsilon_is_caught(tmp_path, tiny_tokenizer, monkeypatch, architecture):
    """A tenfold epsilon is a small thing, but on trained models with small states it is not."""
    model = make_model(architecture)
    monkeypatch.setattr("pipeline.model.transformer.NORM_EPS", 1e-2)
    assert verdict(tmp_path, tiny_tokenizer, model, make_model(architecture)) > 1e-6


@pytest.mark.parametrize(
    "architecture,activation", [("gpt2", F.relu), ("gpt2", F.silu), ("llama", F.gelu), ("qwen3", F.relu)]
)
def test_another_activation_is_caught(tmp_path, tiny_tokenizer, monkeypatch, architecture, activation):
    def feed_forward(self, x):
        return self.ffn_down(
            activation(self.ffn_up(x)) if self.c.is_gpt2 else activation(self.ffn_gate(x)) * self.ffn_up(x)
        )

    model = make_model(architecture)
    monkeypatch.setattr(Block, "feed_forward", feed_forward)
    assert verdict(tmp_path, tiny_tokenizer, model, model) > 1e-3


def test_the_exact_gelu_shows_in_the_hugging_face_folder(tmp_path, tiny_tokenizer, monkeypatch):
    """It hides in the error of ggml's GELU table, which is why that folder's limit is tighter."""
    vocabulary, model = load_vocabulary(tiny_tokenizer), make_model("gpt2")
    ids = vocabulary.tokenizer.encode(CODE).ids[:256]
    huggingface.to_huggingface(model, tiny_tokenizer, tmp_path / "hf")
    logits = parity.huggingface_logits(tmp_path / "hf", ids, 256)
    parity.check_divergence("hf", "huggingface", parity.log_softmax(parity.torch_logits(model, ids, 256)), logits)
    monkeypatch.setattr(Block, "feed_forward", lambda self, x: self.ffn_down(F.gelu(self.ffn_up(x))))
    with pytest.raises(UserError, match="not the trained model"):
        parity.check_divergence("hf", "huggingface", parity.log_softmax(parity.torch_logits(model, ids, 256)), logits)


# --- the measure itself -----------------------------------------------------------------------------------------------


def test_divergence_is_torchs():
    one, two = (
        torch.randn(7, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    ours = parity.divergence(parity.log_softmax(one.numpy()), parity.log_softmax(two.numpy()))
    theirs = F.kl_div(two.log_softmax(-1), one.log_softmax(-1), log_target=True, reduction="none").sum(-1).numpy()
    assert np.allclose(ours, theirs, atol=1e-12)


def test_not_a_number_is_refused():
    logits = np.zeros((3, 5), np.float32)
    broken = logits.copy()
    broken[1, 2] = np.nan
    with pytest.raises(UserError, match="first at token 1"):
        parity.check_divergence("m.gguf", "f32", parity.log_softmax(logits), broken)


def test_joined_puts_eos_between_documents():
    assert parity.joined([[5, 6], [7]], 1, 10) == [5, 6, 1, 7, 1]
    assert parity.joined([[5, 6], [7]], 1, 4) == [5, 6, 1, 7]
