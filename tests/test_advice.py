"""What a width costs is said before a run, and agrees with what llama.cpp really writes; so is what is unusual, and what cannot be trained here."""

import pytest
from chain import REPOSITORY
from tiny import make_model

from pipeline.advice import FRIENDLY, advice, bytes_lost, check_machine, least_memory
from pipeline.core.config import Config, parse, rules
from pipeline.core.errors import UserError
from pipeline.core.schema import Model, SpecialTokens
from pipeline.export.gguf import write_gguf
from pipeline.export.quantize import contents, quantize
from pipeline.export.tokenization import load_vocabulary
from pipeline.model import ModelConfig, Transformer
from pipeline.publish import lineage


@pytest.fixture
def config():
    return Config(REPOSITORY)


def test_the_advice_names_key_bytes_and_a_profile(config):
    config.model = parse(REPOSITORY / "configs/models/robo-nano-5m.yaml", Model)
    config.params = config.params.model_copy(update={"model": "robo-nano-5m", "quants": ["Q8_0", "Q4_K_M"]})
    (said,) = advice(config)
    assert "d_model: rows of 384 are no multiple of 256" in said
    assert f"Q4_K_M costs about {bytes_lost(config.model, 'Q4_K_M'):,} bytes more" in said and "robo-nano-256" in said
    config.model = parse(REPOSITORY / "configs/models/robo-nano-256.yaml", Model)
    assert advice(config) == [] and bytes_lost(config.model, "Q4_K_M") == 0


@pytest.mark.parametrize("reference, friendly", FRIENDLY.items())
def test_friendly_profiles_have_the_same_budget(reference, friendly):
    def parameters(name):
        model = parse(REPOSITORY / f"configs/models/{name}.yaml", Model)
        return Transformer(ModelConfig.from_dict(model.model_dump())).count_parameters()

    assert parameters(friendly) == pytest.approx(parameters(reference), rel=0.05)


@pytest.mark.parametrize("quant", ["Q4_K_S", "Q3_K_S"])
def test_the_bytes_lost_are_about_what_is_lost(tmp_path, tiny_tokenizer, tiny_validation, quant):
    """Against the bits that llama.cpp's mix wants, tensor by tensor, from its own log."""
    write_gguf(make_model("gpt2", d_model=384), load_vocabulary(tiny_tokenizer), tmp_path / "m.gguf", "f16")
    figures = quantize(quant, tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation)
    model = Model(
        architecture="gpt2",
        vocab_size=512,
        context_length=256,
        d_model=384,
        n_layers=2,
        n_heads=4,
        d_ff=1536,
        tie_embeddings=True,
        dropout=0.0,
    )
    assert figures["fell_back"]["bytes"] == pytest.approx(
        bytes_lost(model, quant), rel=0.25
    )  # which matrices get a bit more is the mix's secret
    assert contents(tmp_path / f"{quant}.gguf")["bytes"] > figures["fell_back"]["bytes"]


def test_fim_tokens_are_all_or_none_and_give_a_template(config):
    special = config.tokenizer.special_tokens
    assert lineage.insertion("{{ .Prompt }}", special) == "{{ .Prompt }}"
    full = special.model_copy(update={"fim_prefix": "<p>", "fim_suffix": "<s>", "fim_middle": "<m>"})
    template = lineage.insertion("{{ .Prompt }}", full)
    assert template == "{{ if .Suffix }}<p>{{ .Prompt }}<s>{{ .Suffix }}<m>{{ else }}{{ .Prompt }}{{ end }}"
    assert lineage.insertion(template, full) == template
    config.tokenizer = config.tokenizer.model_copy(
        update={"special_tokens": SpecialTokens(pad="a", eos="<eos>", bos="c", unk="d", fim_prefix="e")}
    )
    assert any("give all three or none" in fault for fault in rules(config))


def test_biases_where_there_are_none(config):
    config.model = config.model.model_copy(update={"architecture": "llama", "n_kv_heads": 2, "bias": True})
    assert any("bias: llama has no biases" in fault for fault in rules(config))


def test_auto_passes_the_check(config):
    config.serving = config.serving.model_copy(update={"quant": "auto"})
    assert rules(config) == []
    config.serving = config.serving.model_copy(update={"quant": "Q6_K"})
    assert any("Q6_K is not among params.yaml: quants" in fault for fault in rules(config))


def test_auto_is_the_recommended_type(project):
    from project import change_config, write

    change_config(project, "configs/serving/robo-micropython.yaml", quant="auto")
    config = Config(project)
    write(project / "metrics/assess.json", {"recommended": "Q8_0"})
    assert lineage.served_gguf(config).name == "Q8_0.gguf" and lineage.serving(config).quant == "Q8_0"
    one = lineage.content_hash(config)
    write(project / "metrics/assess.json", {"recommended": "Q4_K_M"})
    assert lineage.content_hash(config) != one
    (project / "metrics/assess.json").unlink()
    with pytest.raises(UserError, match=r"auto means nothing yet.*dvc repro"):
        lineage.served_gguf(config)


# --- what is unusual --------------------------------------------------------------------------------------------------

UNUSUAL = {  # (section, keys, what is said)
    "a high rate": ("training", dict(learning_rate=0.1), "learning_rate: 0.1 is high at d_model 128"),
    "a high rate of muon": ("training", dict(muon_learning_rate=0.06), "muon_learning_rate: 0.06 is high"),
    "no momentum": ("training", dict(betas=[0.0, 0.95]), "betas: [0.0, 0.95]; [0.9, 0.95] is usual"),
    "betas the wrong way round": ("training", dict(betas=[0.95, 0.9]), "betas: [0.95, 0.9]"),
    "warm-up": ("training", dict(warmup_ratio=0.9), "warmup_ratio: 0.9"),
    "no time but for compiling": (
        "training",
        dict(max_time="00:00:30"),
        'max_time: "00:00:30" is less than compiling takes',
    ),
    "stride": (
        "data",
        dict(stride=1),
        "stride: 1 reads each token 512 times in an epoch; block_size 512 reads it once",
    ),
    "dropout": ("model", dict(dropout=0.9), "dropout: 0.9"),
    "an answer longer than what the model sees": (
        "serving",
        dict(parameters=dict(num_predict=4096)),
        "num_predict: 4096 is more than num_ctx 512",
    ),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_unusual_is_a_note_and_no_error(config, case):
    section, values, words = UNUSUAL[case]
    model = getattr(config, section)
    changed = {
        key: getattr(model, key).model_copy(update=value) if isinstance(value, dict) else value
        for key, value in values.items()
    }
    setattr(config, section, model.model_copy(update=changed))
    (said,) = advice(config)
    assert rules(config) == [] and said.startswith(f"{config.paths[section]}: ") and words in said


def test_what_was_left_out_of_a_model_is_said(config):
    config.model = Model(**config.model.model_dump(exclude={"tie_embeddings"}))
    assert advice(config) == [
        f"{config.paths['model']}: tie_embeddings: left out, so it is true, as the reference's profiles mean it"
    ]


# --- what this machine cannot do --------------------------------------------------------------------------------------

IMPOSSIBLE = {
    "devices": (
        "training",
        dict(devices=4096),
        r"configs/training/cpu-minutes.yaml: devices: 4096, but this machine has \d+ ",
    ),
    "width": (
        "model",
        dict(d_model=10**6),
        r"configs/models/robo-.*.yaml and .* training takes [\d,]+ GB at least, and this machine has",
    ),
    "batch": ("data", dict(batch_size=10**9), r"training takes [\d,]+ GB at least.*batch_size"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_this_machine_cannot_train_is_said_before(config, case):
    check_machine(config)
    section, values, words = IMPOSSIBLE[case]
    setattr(config, section, getattr(config, section).model_copy(update=values))
    with pytest.raises(UserError, match=words):
        check_machine(config)


def test_the_least_memory_is_below_what_training_takes(config):
    from pipeline.plan import training_memory

    config.model = parse(REPOSITORY / "configs/models/robo-nano-lfm2.yaml", Model)
    taken = training_memory(config, "32-true", config.data.batch_size)
    assert 0.2 * taken < least_memory(config) < taken
