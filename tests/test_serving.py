"""Importing into a real Ollama: idempotent, all or nothing, one message for each thing that can go wrong."""

import subprocess
import time
from dataclasses import replace

import pytest
from project import REPOSITORY
from real import find_ollama, free_port, start_ollama
from tiny import SPECIAL, make_model, make_tokenizer

from pipeline.core.config import parse
from pipeline.core.errors import UserError
from pipeline.core.prompt import as_served
from pipeline.core.schema import Serving
from pipeline.publish.serving import TRIAL, address, import_model, is_reachable, modelfile, parting

LICENSE = (
    'From:\n- a 1.0: MIT\n\n---- a (LICENSE)\n\nMIT License\n\nCopyright "somebody" \u00a9 \\o/ %s\n\n   1. Indented\n\n\n'
    + "text\n" * 3000
)
NAME = "robo-micropython-test"
PROMPT = "from machine import Pin\nimport time\n\nled = Pin("


@pytest.fixture(scope="module")
def serving():
    return parse(REPOSITORY / "configs/serving/robo-micropython-256.yaml", Serving)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory, tiny_gguf):
    """What the quantize stage hands over."""
    from pipeline.export.quantize import run_llama_cpp

    path = tmp_path_factory.mktemp("quantized") / "Q4_K_M.gguf"
    run_llama_cpp(tiny_gguf / "model-f16.gguf", path, "Q4_K_M")
    return path


@pytest.fixture
def client(ollama):
    """A client of a server that holds none of our models."""
    import ollama as package

    client = package.Client(ollama)
    yield client
    for model in client.list().models:
        if model.model.startswith(NAME):
            client.delete(model.model)


def ours(client):
    return sorted(model.model for model in client.list().models if model.model.startswith(NAME))


def with_parameters(serving, **values):
    return serving.model_copy(update={"parameters": serving.parameters.model_copy(update=values)})


def test_import_once(serving, quantized, client, ollama):
    first = import_model(serving, quantized, NAME, LICENSE, ollama)
    assert (
        first.changed
        and first.answer.strip()
        and first.reason == "new in Ollama"
        and ours(client) == [f"{NAME}:latest"]
    )
    shown = client.show(NAME)
    assert shown.modelinfo["tokenizer.ggml.bos_token_id"] == 1  # what stands before a text in training: <eos>
    assert shown.template == serving.template and LICENSE in shown.license and first.digest in shown.license
    parameters = dict(line.split(maxsplit=1) for line in shown.parameters.splitlines())
    assert parameters == {
        "temperature": "0.2",
        "top_p": "0.9",
        "top_k": "40",
        "repeat_penalty": "1",
        "num_predict": "128",
        "num_ctx": "256",
        "stop": '"<eos>"',
    }
    again = import_model(serving, quantized, NAME, LICENSE, ollama)
    assert not again.changed and again.digest == first.digest
    assert client.show(NAME).modified_at == shown.modified_at

    client.delete(NAME)  # a person did; the next run puts it back
    assert import_model(serving, quantized, NAME, LICENSE, ollama).changed


@pytest.mark.parametrize(
    "key, value",
    [
        ("temperature", 0.5),
        ("temperature", 0.0),
        ("top_k", 1),
        ("num_ctx", 128),
        ("repeat_penalty", 1.3),
        ("stop", ["<eos>", "\n\n\n", 'a "quoted" \\ é']),
        ("num_predict", 4096),
    ],
)
def test_one_changed_parameter(serving, quantized, client, ollama, key, value):
    import_model(serving, quantized, NAME, LICENSE, ollama)
    changed = with_parameters(serving, **{key: value})
    second = import_model(changed, quantized, NAME, LICENSE, ollama)
    assert second.changed and second.reason.startswith(f"{key} ")
    assert not import_model(changed, quantized, NAME, LICENSE, ollama).changed


def test_other_file_template_or_license(serving, quantized, tiny_gguf, client, ollama):
    import_model(serving, quantized, NAME, LICENSE, ollama)
    assert import_model(serving, tiny_gguf / "model-f16.gguf", NAME, LICENSE, ollama).reason == "file"
    assert not import_model(
        serving, tiny_gguf / "model-f16.gguf", NAME, LICENSE, ollama
    ).changed  # written by another hand than llama.cpp's
    assert import_model(serving, tiny_gguf / "model-f16.gguf", NAME, "other", ollama).reason == "license"
    other = serving.model_copy(update={"template": "# code\n{{ .Prompt }}"})
    assert import_model(other, tiny_gguf / "model-f16.gguf", NAME, "other", ollama).reason == "template"
    assert not import_model(other, tiny_gguf / "model-f16.gguf", NAME, "other", ollama).changed


def test_ollama_answers_as_llama_cpp(serving, quantized, client, ollama):
    """The greedy continuation of a prompt through Ollama's template is that of the very file."""
    from pipeline.export.llama import LlamaFile

    import_model(serving, quantized, NAME, "", ollama)
    with LlamaFile(quantized) as file:
        tokens = file.generate(file.encode(as_served(serving.template, serving.smoke_prompt)), 24)
        expected = file.decode(tokens).decode("utf-8", "replace")
    answer = client.generate(
        NAME, serving.smoke_prompt, options={"temperature": 0, "repeat_penalty": 1.0, "num_predict": 24}
    ).response
    assert answer == expected


def test_the_name_is_switched_only_when_ollama_answers_as_llama_cpp(serving, quantized, client, ollama, monkeypatch):
    """The proof says how much was compared; an answer of another file is refused, and the name stands as it stood."""
    from pipeline.export import llama

    prompts = ["import time\n", "class Motor:\n    def __init__(self, "]
    done = import_model(serving, quantized, NAME, LICENSE, ollama, prompts)
    assert done.proof == "greedy answers to 3 prompts (72 tokens) are llama.cpp's"
    before = client.show(NAME).modelfile
    generate = llama.LlamaFile.generate
    monkeypatch.setattr(
        llama.LlamaFile, "generate", lambda self, ids, n: [*generate(self, ids, n)[:5], 70, *generate(self, ids, n)[6:]]
    )
    with pytest.raises(
        UserError, match=r"Q4_K_M.gguf: Ollama goes on otherwise than llama.cpp .*nothing was published"
    ):
        import_model(with_parameters(serving, top_k=7), quantized, NAME, LICENSE, ollama, prompts)
    assert client.show(NAME).modelfile == before and ours(client) == [f"{NAME}:latest"]


def test_ollama_can_insert_where_the_tokenizer_has_tokens_for_it(serving, client, ollama, tmp_path, tiny_tokenizer):
    """The suffix reaches the model through tokens of its own: an answer with it is llama.cpp's after prefix and suffix in that form."""
    from pipeline.core.schema import SpecialTokens
    from pipeline.export.gguf import write_gguf
    from pipeline.export.llama import LlamaFile
    from pipeline.export.tokenization import load_vocabulary
    from pipeline.publish.lineage import settled

    fim = {"fim_prefix": "<fim_prefix>", "fim_suffix": "<fim_suffix>", "fim_middle": "<fim_middle>"}
    vocabulary = load_vocabulary(make_tokenizer(tmp_path / "tokenizer", special={**SPECIAL, **fim}))
    path = tmp_path / "fim.gguf"
    write_gguf(make_model(d_model=256), vocabulary, path, "f16")
    plain = serving.model_copy(update={"template": "{{ .Prompt }}", "smoke_prompt": "from machine import Pin"})
    filling = settled(plain, SpecialTokens(**SPECIAL, **fim), None)
    import_model(filling, path, NAME, LICENSE, ollama)
    assert "insert" in client.show(NAME).capabilities
    said = client.generate(
        NAME,
        "import time\n",
        suffix="\nled.off()",
        options={"temperature": 0, "repeat_penalty": 1.0, "num_predict": 12},
    ).response
    with LlamaFile(path, as_served=True) as file:
        special = vocabulary.special
        ids = [
            special["fim_prefix"],
            *file.encode("import time\n"),
            special["fim_suffix"],
            *file.encode("\nled.off()"),
            special["fim_middle"],
        ]
        assert said == file.decode(file.generate(ids, 12)).decode("utf-8", "replace")


def test_where_two_answers_part(quantized):
    """The gap is that of the logits where the other text leaves the greedy one."""
    from pipeline.export.llama import LlamaFile

    with LlamaFile(quantized, as_served=True) as file:
        ids = file.encode(PROMPT)
        new = file.generate(ids, 8)
        text = file.decode(new).decode()
        assert parting(file, ids, new, text) is None
        logits = file.logits(ids + new[:3])[-1].copy()
        second = next(int(t) for t in logits.argsort()[::-1][1:] if file.piece(int(t)).isalpha())
        other = file.decode([*new[:3], second]).decode()
        assert parting(file, ids, new, other) == pytest.approx(logits[new[3]] - logits[second], abs=1e-3)
        assert parting(file, ids, new, text[:4]) > 1  # ended where llama.cpp goes on


def test_silent_model_never_takes_the_name(serving, quantized, client, ollama, tmp_path, tiny_tokenizer):
    import torch

    from pipeline.export.gguf import write_gguf
    from pipeline.export.tokenization import load_vocabulary

    import_model(serving, quantized, NAME, LICENSE, ollama)
    before = client.show(NAME)
    vocabulary = load_vocabulary(tiny_tokenizer)
    silent = make_model(d_model=256, tie_embeddings=False)
    with torch.no_grad():  # <eos> first, whatever is asked
        silent.output_norm.weight.zero_()
        silent.output_norm.bias.fill_(1.0)
        silent.output.weight.zero_()
        silent.output.weight[vocabulary.special["eos"]] = 1.0
    write_gguf(silent, vocabulary, tmp_path / "silent.gguf", "f16")
    with pytest.raises(UserError, match=r"silent.gguf: answers nothing .*smoke_prompt.*left as it was"):
        import_model(serving, tmp_path / "silent.gguf", NAME, LICENSE, ollama)
    after = client.show(NAME)
    assert (after.modelfile, after.modified_at) == (before.modelfile, before.modified_at) and ours(client) == [
        f"{NAME}:latest"
    ]


def damaged(kind, path, tiny_gguf, tiny_tokenizer):
    from pipeline.export.gguf import write_gguf
    from pipeline.export.tokenization import load_vocabulary

    whole = (tiny_gguf / "model-f16.gguf").read_bytes()
    if kind == "unknown tokenizer":
        write_gguf(
            make_model(d_model=256), replace(load_vocabulary(tiny_tokenizer), pre="not-invented-yet"), path, "f16"
        )
    else:
        path.write_bytes(
            {
                "truncated": whole[: len(whole) // 2],
                "header only": whole[:1000],
                "foreign": b"\x89PNG\r\n" * 100,
                "empty": b"",
            }[kind]
        )


@pytest.mark.parametrize(
    "kind, said",
    [
        ("truncated", "refuses"),
        ("header only", "refuses"),
        ("foreign", "refuses"),
        ("empty", "refuses"),
        ("unknown tokenizer", "does not know the tokenizer.*newer Ollama.*not-invented-yet"),
    ],
)
def test_refused(serving, quantized, client, ollama, tmp_path, tiny_gguf, tiny_tokenizer, kind, said):
    import_model(serving, quantized, NAME, LICENSE, ollama)
    before = client.show(NAME).modelfile
    path = tmp_path / "bad.gguf"
    damaged(kind, path, tiny_gguf, tiny_tokenizer)
    with pytest.raises(UserError, match=f"(?s)Ollama .*{said}.*Nothing was published") as raised:
        import_model(serving, path, NAME, LICENSE, ollama)
    assert str(path) in str(raised.value)
    assert client.show(NAME).modelfile == before and ours(client) == [f"{NAME}:latest"]


def test_killed_import_leaves_no_trace(serving, quantized, client, ollama):
    """What a killed import left under its trial name goes with the next call, even one that has nothing to do."""
    import_model(serving, quantized, NAME, LICENSE, ollama)
    client.copy(NAME, f"{NAME}:latest{TRIAL}")
    assert not import_model(serving, quantized, NAME, LICENSE, ollama).changed
    assert ours(client) == [f"{NAME}:latest"]


def test_unreachable(serving, quantized):
    began = time.monotonic()
    for host in (f"127.0.0.1:{free_port()}", "no-such-host.invalid"):
        assert is_reachable(host) is None
        with pytest.raises(UserError, match=r"does not answer at http://.*ollama serve.*OLLAMA_HOST"):
            import_model(serving, quantized, NAME, LICENSE, host)
    assert time.monotonic() - began < 20


def test_ollama_host(ollama, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", ollama)
    assert address() == f"http://{ollama}" and is_reachable()
    monkeypatch.delenv("OLLAMA_HOST")
    assert address() == "http://127.0.0.1:11434"


def test_modelfile_says_the_same(serving, quantized, client, ollama, tmp_path):
    """`ollama create -f Modelfile` makes what import_model makes, but for the line that tells the file."""
    program = find_ollama()
    if program is None:
        pytest.skip("OLLAMA_HOST names a server, but there is no `ollama` command here")
    odd = with_parameters(serving, stop=["<eos>", "\n\n\n", 'x = "'])
    (tmp_path / quantized.name).symlink_to(quantized)
    (tmp_path / "Modelfile").write_text(modelfile(odd, quantized.name, LICENSE))
    subprocess.run(
        [program, "create", NAME, "-f", "Modelfile"],
        cwd=tmp_path,
        env={"OLLAMA_HOST": ollama, "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    assert import_model(odd, quantized, NAME, LICENSE, ollama).reason == "file"


@pytest.mark.slow
def test_disk_full(serving, tiny_gguf, tmp_path):
    program = find_ollama()
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        program is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("needs an Ollama server of its own, and the right to mount a small disk")
    try:
        host = f"127.0.0.1:{free_port()}"
        with (
            start_ollama(program, host, disk),
            pytest.raises(UserError, match="disk is full; free some space where OLLAMA_MODELS lies"),
        ):
            import_model(serving, tiny_gguf / "model-f16.gguf", NAME, LICENSE, host)
    finally:
        subprocess.run(["umount", disk], check=True)
