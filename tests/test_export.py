"""GGUF files and Hugging Face folders hold the very model, in every form and at every width that the configs allow."""

import shutil

import gguf
import numpy as np
import pytest
import torch
from tiny import CODE, DOCUMENTS, SPECIAL, make_checkpoint, make_model, make_tokenizer

from pipeline.core.errors import UserError
from pipeline.core.files import read_json, write_text
from pipeline.data.pack import pack
from pipeline.evaluation.evaluate import nats
from pipeline.export import huggingface, parity
from pipeline.export.gguf import export, write_gguf
from pipeline.export.llama import LlamaFile
from pipeline.export.tokenization import load_vocabulary
from pipeline.model.checkpoint import load_model, save_model
from pipeline.model.transformer import ModelConfig

FORMS = [
    (architecture, tied, heads, kv_heads)
    for tied in (True, False)
    for architecture, heads, kv_heads in (
        ("gpt2", 4, None),
        ("llama", 4, 2),
        ("llama", 4, 4),
        ("llama", 4, 1),
        ("qwen3", 4, 2),
        ("lfm2", 4, 2),
    )
]
NAME, FIGURES = "robo", {"val": {"loss": 2.75, "bits_per_byte": 1.25}, "test": {"loss": 3, "bits_per_byte": 1.5}}
WIDTHS = [128, 256, *(pytest.param(width, marks=pytest.mark.slow) for width in (384, 512, 640))]


def ids_of(vocabulary) -> list[int]:
    return (vocabulary.tokenizer.encode(CODE).ids * 2)[:256]


def tensors(path) -> dict:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("architecture,tied,heads,kv_heads", FORMS)
def test_every_form_is_the_same_model_everywhere(tmp_path, tiny_tokenizer, architecture, tied, heads, kv_heads, width):
    vocabulary = load_vocabulary(tiny_tokenizer)
    times = width // 128  # heads stay 32 wide
    model = make_model(
        architecture,
        d_model=width,
        n_heads=heads * times,
        n_kv_heads=kv_heads and kv_heads * times,
        tie_embeddings=tied,
    )
    ids = ids_of(vocabulary)
    logits = parity.torch_logits(model, ids, 256)
    assert 1.3 < logits.std() < 1.9
    reference = parity.log_softmax(logits)

    huggingface.to_huggingface(model, tiny_tokenizer, tmp_path / "hf")
    theirs = parity.huggingface_logits(tmp_path / "hf", ids, 256)
    assert np.abs(theirs - logits).max() < 1e-4
    assert parity.check_divergence("hf", "huggingface", reference, theirs) < 1e-9

    for outtype in ("f32", "f16", "q8_0"):
        write_gguf(model, vocabulary, tmp_path / f"{outtype}.gguf", outtype)
        with LlamaFile(tmp_path / f"{outtype}.gguf") as file:
            theirs = parity.llama_logits(file, ids, 256)
            kl = parity.check_divergence(outtype, outtype, reference, theirs)
            if outtype == "f32":  # ggml looks GELU up in a float16 table
                assert np.abs(theirs - logits).max() < (2e-2 if architecture == "gpt2" else 1e-4)
                assert file.generate(ids[:20], 20) == model.generate(ids[:20], 20, eos=vocabulary.special["eos"])
    assert kl < 1e-2  # q8_0 has no limit; it is only near


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_gpt2_without_biases(tmp_path, tiny_tokenizer, tied, width):
    """It has none of its own; where others ask for them they are zero, and the model is the same."""
    vocabulary, model = (
        load_vocabulary(tiny_tokenizer),
        make_model("gpt2", d_model=width, n_heads=width // 32, bias=False, tie_embeddings=tied),
    )
    assert not [name for name in model.state_dict() if name.endswith("bias")]
    save_model(model, "x", tmp_path / "trained")
    assert not ModelConfig(**read_json(tmp_path / "trained/config.json")["model"]).bias
    ids = ids_of(vocabulary)
    reference = parity.log_softmax(parity.torch_logits(model, ids, 256))
    huggingface.to_huggingface(model, tiny_tokenizer, tmp_path / "hf")
    parity.check_divergence("hf", "huggingface", reference, parity.huggingface_logits(tmp_path / "hf", ids, 256))
    for outtype in ("f32", "f16"):
        write_gguf(model, vocabulary, tmp_path / f"{outtype}.gguf", outtype)
        biases = [t for name, t in tensors(tmp_path / f"{outtype}.gguf").items() if name.endswith("bias")]
        assert len(biases) == 13 and not any(t.data.any() for t in biases)
        with LlamaFile(tmp_path / f"{outtype}.gguf") as file:
            parity.check_divergence(outtype, outtype, reference, parity.llama_logits(file, ids, 256))


def test_fim_tokens_have_their_keys(tmp_path, tiny_validation):
    special = {**SPECIAL, "fim_prefix": "<fim_prefix>", "fim_suffix": "<fim_suffix>", "fim_middle": "<fim_middle>"}
    folder = make_tokenizer(tmp_path / "tokenizer", special=special)
    export(
        ["f32", "f16"],
        make_checkpoint(tmp_path / "trained", folder),
        folder,
        tiny_validation,
        tiny_validation,
        NAME,
        FIGURES,
        tmp_path / "gguf",
        tmp_path / "hf",
    )
    said = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "gguf/model-f16.gguf").fields.items()}
    assert [said[f"tokenizer.ggml.fim_{part}_token_id"] for part in ("pre", "suf", "mid")] == [4, 5, 6]
    assert said["tokenizer.ggml.token_type"][:8] == [3] * 7 + [1]


def test_the_same_model_gives_the_same_bytes(tmp_path, tiny_tokenizer):
    vocabulary = load_vocabulary(tiny_tokenizer)
    for outtype in ("f32", "f16", "q8_0"):
        first, second = (tmp_path / f"{n}.gguf" for n in "ab")
        write_gguf(make_model("llama"), vocabulary, first, outtype)
        write_gguf(make_model("llama"), vocabulary, second, outtype)
        assert first.read_bytes() == second.read_bytes()
    for name in ("a", "b"):
        huggingface.to_huggingface(make_model("llama"), tiny_tokenizer, tmp_path / name)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()
    }


def test_metadata_says_what_the_model_is(tmp_path, tiny_tokenizer):
    write_gguf(make_model("llama", n_kv_heads=2), load_vocabulary(tiny_tokenizer), tmp_path / "m.gguf", "f16")
    said = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "m.gguf").fields.items()}
    expected = {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.context_length": 256,
        "llama.embedding_length": 128,
        "llama.block_count": 2,
        "llama.feed_forward_length": 256,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.dimension_count": 32,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": 512,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: said[key] for key in expected} == expected
    assert said["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]  # CONTROL, then NORMAL
    assert said["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_vectors_and_positions_stay_float32_and_a_tied_head_is_written_once(tiny_tokenizer, tmp_path, tied):
    write_gguf(make_model("gpt2", tie_embeddings=tied), load_vocabulary(tiny_tokenizer), tmp_path / "m.gguf", "f16")
    for name, tensor in (held := tensors(tmp_path / "m.gguf")).items():
        wide = len(tensor.shape) == 2 and name != "position_embd.weight"
        assert tensor.tensor_type.name == ("F16" if wide else "F32"), name
    assert ("output.weight" in held) is not tied


@pytest.mark.parametrize("split", ["gpt-2", "llama-bpe", "qwen2", "qwen35"])
def test_auto_tokenizer_cuts_text_as_we_do(tmp_path, split):
    import transformers

    folder = make_tokenizer(tmp_path / "tokenizer", split=split)
    vocabulary = load_vocabulary(folder)
    assert vocabulary.pre == split
    huggingface.to_huggingface(make_model("llama"), folder, tmp_path / "hf")
    encode = parity.huggingface_tokenizer(tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in [*DOCUMENTS, "", " ", "it's . , ! n't", "<eos> is <pad> text"]:
        assert encode(text) == vocabulary.tokenizer.encode(text).ids
        assert tokenizer.decode(encode(text)) == text
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id) == (
        0,
        1,
        1,
        3,
    )


# --- as clients use it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3"])
def test_transformers_goes_on_with_each_prompt_alone_or_in_a_batch(tmp_path, tiny_tokenizer, architecture):
    """As our model does, by generate() and by pipeline(), from the folder and from what transformers makes of it."""
    import transformers

    model, ours = make_model(architecture), load_vocabulary(tiny_tokenizer).tokenizer
    huggingface.to_huggingface(model, tiny_tokenizer, tmp_path / "ours")
    prompts = [
        "from machine import Pin\n",
        "led",
        "    def stop(self):\n        self.set_speed(0)\n\n\ndef read_sensor(pin",
    ]
    expected = [model.generate(ours.encode(prompt).ids, 12, eos=1) for prompt in prompts]
    for folder in ("ours", "theirs"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / folder)
        network = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / folder)
        for texts in (*([prompt] for prompt in prompts), prompts):
            inputs = tokenizer(texts, return_tensors="pt", padding=True)
            assert sorted(inputs) == ["attention_mask", "input_ids"]
            written = network.generate(**inputs, max_new_tokens=12, do_sample=False)[
                :, inputs["input_ids"].shape[1] :
            ].tolist()
            written = [[token for token in ids if token not in (0, 1)] for ids in written]  # what fills up after an end
            assert written == [expected[prompts.index(text)] for text in texts]
        write = transformers.pipeline("text-generation", model=str(tmp_path / folder))
        answers = write(prompts, batch_size=3, max_new_tokens=12, do_sample=False, return_full_text=False)
        assert [answer["generated_text"] for (answer,) in answers] == [ours.decode(ids) for ids in expected]
        tokenizer.save_pretrained(tmp_path / "theirs")
        network.save_pretrained(tmp_path / "theirs")


def test_a_client_that_begins_with_bos_measures_our_figure(tmp_path, tiny_tokenizer, tiny_validation):
    """What is called bos stands before each document of the packed text, and evaluate scores a document's first token after it."""
    import llama_cpp
    import transformers

    vocabulary, model = load_vocabulary(tiny_tokenizer), make_model("llama")
    pack(tiny_validation, tmp_path / "val.bin", tiny_tokenizer / "tokenizer.json", vocabulary.special["eos"], "uint16")
    packed, first = np.fromfile(tmp_path / "val.bin", "<u2"), vocabulary.tokenizer.encode(DOCUMENTS[0]).ids
    second = vocabulary.tokenizer.encode(DOCUMENTS[1]).ids[:200]
    before, stands = packed[len(first)], packed[len(first) + 1 :][: len(second)]
    assert stands.tolist() == second and vocabulary.special["bos"] not in packed
    figure = nats(model, stands, before, "val")

    def measured(logits) -> float:  # of the document after the client's own first token
        return -parity.log_softmax(logits)[range(len(second)), second].sum()

    huggingface.to_huggingface(model, tiny_tokenizer, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    config, generation = (read_json(tmp_path / f"hf/{name}.json") for name in ("config", "generation_config"))
    assert tokenizer.bos_token_id == config["bos_token_id"] == generation["bos_token_id"] == before
    assert measured(
        parity.huggingface_logits(tmp_path / "hf", [tokenizer.bos_token_id, *second[:-1]], 256)
    ) == pytest.approx(figure, rel=1e-5)
    write_gguf(model, vocabulary, tmp_path / "m.gguf", "f32")
    with LlamaFile(tmp_path / "m.gguf") as file:
        bos = llama_cpp.llama_vocab_bos(file.vocab)
        assert bos == before and file.encode("led", as_prompt=True) == file.encode(
            "led"
        )  # which it does not add by itself
        assert measured(file.logits([bos, *second[:-1]])) == pytest.approx(figure, rel=1e-5)


# --- the stage --------------------------------------------------------------------------------------------------------


def test_export_writes_everything_and_says_how_close_it_is(tmp_path, tiny_checkpoint, tiny_tokenizer, tiny_validation):
    figures = export(
        ["f32", "f16", "q8_0"],
        tiny_checkpoint,
        tiny_tokenizer,
        tiny_validation,
        tiny_validation,
        NAME,
        FIGURES,
        tmp_path / "gguf",
        tmp_path / "huggingface",
    )
    assert sorted(p.name for p in (tmp_path / "gguf").iterdir()) == [
        "imatrix.gguf",
        "model-f16.gguf",
        "model-f32.gguf",
        "model-q8_0.gguf",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gguf", "huggingface"]
    assert figures["parity"]["documents"] == len(DOCUMENTS) and figures["parity"]["tokens_compared"] > 100_000
    assert figures["kl_huggingface"] < 1e-9 and figures["kl_f32"] < 1e-6 and figures["kl_f16"] < 1e-4
    assert figures["bytes"]["f16"] == (tmp_path / "gguf" / "model-f16.gguf").stat().st_size
    assert figures["parameters"] == load_model(tiny_tokenizer / "tokenizer.json", tiny_checkpoint).count_parameters()


def test_files_say_where_they_come_from(tmp_path, tiny_checkpoint, tiny_tokenizer, tiny_validation):
    """In the GGUF file and in what llama.cpp quantizes from it; the hashes are DVC's own."""
    from dvc.repo import Repo
    from ruamel.yaml import YAML

    from pipeline.export.quantize import run_llama_cpp

    for name in ("one", "two"):
        export(
            ["f32", "f16"],
            tiny_checkpoint,
            tiny_tokenizer,
            tiny_validation,
            tiny_validation,
            NAME,
            FIGURES,
            tmp_path / name / "gguf",
            tmp_path / name / "huggingface",
        )
    files = [
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    run_llama_cpp(tmp_path / "one/gguf/model-f16.gguf", tmp_path / "q.gguf", "Q4_K_M")
    said = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "q.gguf").fields.items()}
    assert (said["general.name"], said["general.license"]) == (NAME, "Apache-2.0 AND MIT")
    assert said["robo.val.bits_per_byte"] == 1.25 and said["robo.test.bits_per_byte"] == 1.5
    assert sorted(said["robo.corpus.sources"].split("; ")) == ["package-0 1.0 (MIT)", "package-1 1.0 (Apache-2.0)"]

    places = {"trained": tiny_checkpoint, "tokenizer": tiny_tokenizer, "corpus.jsonl": tiny_validation}
    (tmp_path / "dvc").mkdir()
    for name, path in places.items():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / "dvc" / name)
    write_text(tmp_path / "dvc/dvc.yaml", "stages: {s: {cmd: 'true', outs: [trained, tokenizer, corpus.jsonl]}}")
    Repo.init(str(tmp_path / "dvc"), no_scm=True)
    with Repo(str(tmp_path / "dvc")) as repo:
        repo.commit(force=True)
    locked = {
        out["path"]: out["md5"] for out in YAML(typ="safe").load(tmp_path / "dvc/dvc.lock")["stages"]["s"]["outs"]
    }
    assert {key: said[f"robo.dvc.{key}"].split()[0] for key in ("weights", "tokenizer", "corpus")} == {
        "weights": locked["trained"],
        "tokenizer": locked["tokenizer"],
        "corpus": locked["corpus.jsonl"],
    }
    assert said["general.version"] == locked["trained"][:12]


def refused(tmp_path, checkpoint, tokenizer, validation) -> str:
    """The message of an export that must fail and leave nothing."""
    out, corpus = tmp_path / "out", tmp_path / "train_corpus.jsonl"
    write_text(corpus, '{"source": "one", "version": null, "license": "MIT", "text": "import machine"}\n')
    with pytest.raises(UserError) as error:
        export(
            ["f32", "f16"], checkpoint, tokenizer, validation, corpus, NAME, FIGURES, out / "gguf", out / "huggingface"
        )
    assert not out.exists() or not list(out.iterdir())
    return str(error.value)


def test_a_checkpoint_without_its_tokenizer(tmp_path, tiny_checkpoint, tiny_validation):
    assert "cannot be used without its tokenizer" in refused(
        tmp_path, tiny_checkpoint, tmp_path / "none", tiny_validation
    )


def test_a_checkpoint_of_another_tokenizer(tmp_path, tiny_checkpoint, tiny_validation):
    other = make_tokenizer(tmp_path / "other", vocab_size=500)
    assert "comes from another config" in refused(tmp_path, tiny_checkpoint, other, tiny_validation)


def test_a_split_pattern_that_llama_cpp_does_not_have(tmp_path, tiny_validation):
    folder = make_tokenizer(tmp_path / "tokenizer")
    saved = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(saved.replace(r"\\p{N}|", r"\\p{N}{1,2}|"))
    checkpoint = make_checkpoint(tmp_path / "trained", folder)
    message = refused(tmp_path, checkpoint, folder, tiny_validation)
    assert "llama.cpp has no split pattern" in message and "gpt-2, llama-bpe, qwen2, qwen35" in message


def test_a_diverged_training(tmp_path, tiny_checkpoint, tiny_tokenizer, tiny_validation):
    model = load_model(tiny_tokenizer / "tokenizer.json", tiny_checkpoint)
    with torch.no_grad():
        model.blk[0].ffn_up.weight[0, 0] = float("nan")
    save_model(model, read_json(tiny_checkpoint / "config.json")["tokenizer_sha256"], tmp_path / "trained")
    assert "training diverged" in refused(tmp_path, tmp_path / "trained", tiny_tokenizer, tiny_validation)


def test_no_validation_text(tmp_path, tiny_checkpoint, tiny_tokenizer):
    assert "no such file" in refused(tmp_path, tiny_checkpoint, tiny_tokenizer, tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    assert "split: val" in refused(tmp_path, tiny_checkpoint, tiny_tokenizer, tmp_path / "empty.jsonl")
