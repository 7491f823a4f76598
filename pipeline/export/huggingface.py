"""The trained model as a folder that `transformers` loads without code of ours: GPT2LMHeadModel, LlamaForCausalLM,
Qwen3ForCausalLM or Lfm2ForCausalLM.

The JSON files are written by hand, with just the keys that say something about our model, so that the folder's bytes depend on
the model alone and not on the version of `transformers` that happened to write them.
"""

import re
import shutil
from pathlib import Path

from pipeline.core.files import atomic, write_json
from pipeline.export.tokenization import ROLES, Vocabulary, load_vocabulary
from pipeline.export.weights import exported

CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "lfm2": "Lfm2ForCausalLM",
}

# GGUF's names, which the model's tensors carry, to those of transformers.
GPT2_NAMES = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
LLAMA_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
LFM2_NAMES = LLAMA_NAMES | {
    "output_norm": "model.embedding_norm",
    "attn_norm": "operator_norm",
    "attn_q_norm": "self_attn.q_layernorm",
    "attn_k_norm": "self_attn.k_layernorm",
    "attn_output": "self_attn.out_proj",
    "shortconv.in_proj": "conv.in_proj",
    "shortconv.conv": "conv.conv",
    "shortconv.out_proj": "conv.out_proj",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_up": "feed_forward.w3",
    "ffn_down": "feed_forward.w2",
}
NAMES = {"gpt2": GPT2_NAMES, "llama": LLAMA_NAMES, "qwen3": LLAMA_NAMES, "lfm2": LFM2_NAMES}


def special_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """The id of each role that transformers knows."""
    return {role: vocabulary.special[role] for role in ROLES} | {"bos": vocabulary.first}


def model_config(c, special: dict[str, int]) -> dict:
    """config.json of a pipeline.model.ModelConfig `c`."""
    from pipeline.model.transformer import NORM_EPS, ROPE_BASE

    common = {
        "architectures": [CLASSES[c.architecture]],
        "model_type": c.architecture,
        "dtype": "float32",
        "vocab_size": c.vocab_size,
        "tie_word_embeddings": c.tie_embeddings,
        "bos_token_id": special["bos"],
        "eos_token_id": special["eos"],
        "pad_token_id": special["pad"],
    }
    if c.is_gpt2:
        return common | {
            "n_positions": c.context_length,
            "n_ctx": c.context_length,
            "n_embd": c.d_model,
            "n_layer": c.n_layers,
            "n_head": c.n_heads,
            "n_inner": c.d_ff,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": NORM_EPS,
            "resid_pdrop": c.resid_dropout,
            "embd_pdrop": c.emb_dropout,
            "attn_pdrop": c.attn_dropout,
        }
    common |= {
        "max_position_embeddings": c.context_length,
        "hidden_size": c.d_model,
        "num_hidden_layers": c.n_layers,
        "num_attention_heads": c.n_heads,
        "num_key_value_heads": c.n_kv_heads,
        "head_dim": c.head_dim,
        "intermediate_size": c.d_ff,
        "rope_theta": ROPE_BASE,
    }
    if c.architecture == "lfm2":
        return common | {
            "norm_eps": NORM_EPS,
            "layer_types": ["conv" if i in c.conv_layers else "full_attention" for i in range(c.n_layers)],
            "conv_L_cache": c.conv_size,
            "conv_bias": False,
            "block_auto_adjust_ff_dim": False,
        }
    return common | {
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPS,
        "attention_bias": False,
        "attention_dropout": c.attn_dropout,
    }


def renamed(name: str, architecture: str) -> str:
    """The transformers name of a GGUF tensor: blk.0.attn_q.weight -> model.layers.0.self_attn.q_proj.weight."""
    names, layers = NAMES[architecture], "transformer.h" if architecture == "gpt2" else "model.layers"
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?([\w.]+)\.(weight|bias)", name)
    assert found, name
    layer, module, kind = found.groups()
    return f"{layers}.{layer}.{names[module]}.{kind}" if layer else f"{names[module]}.{kind}"


def weights(model) -> dict:
    """The state dict that transformers expects; GPT-2's linear layers are stored transposed there, and a tied head is left out."""
    c, out = model.config, {}
    for name, tensor in exported(model).items():
        if c.is_gpt2 and name.startswith("blk.") and tensor.ndim == 2:
            tensor = tensor.T
        if name.endswith("shortconv.conv.weight"):
            tensor = tensor[:, None]  # (width, 1, size), as torch's Conv1d has it
        out[renamed(name, c.architecture)] = tensor.contiguous()
    return out


def to_huggingface(model, tokenizer: Path, out: Path) -> None:
    """Writes the folder `out` for `model` and the tokenizer in the folder `tokenizer`; what stood there before is replaced."""
    from safetensors.torch import save

    vocabulary = load_vocabulary(tokenizer)
    c, special = model.config, special_ids(vocabulary)
    shutil.rmtree(out, ignore_errors=True)
    write_json(out / "config.json", model_config(c, special))
    write_json(out / "generation_config.json", {f"{role}_token_id": special[role] for role in ("bos", "eos", "pad")})
    with atomic(out / "model.safetensors") as unfinished:
        unfinished.write_bytes(save(weights(model), metadata={"format": "pt"}))
    with atomic(out / "tokenizer.json") as unfinished:
        shutil.copyfile(tokenizer / "tokenizer.json", unfinished)
    texts = {f"{role}_token": vocabulary.tokens[special[role]] for role in ROLES}
    # Some versions hand out token_type_ids where they are not told what the model takes. A model that goes on with the end of a prompt wants
    # a batch padded before its beginning.
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": c.context_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "padding_side": "left",
            "clean_up_tokenization_spaces": False,
            **texts,
        },
    )
    write_json(out / "special_tokens_map.json", texts)
