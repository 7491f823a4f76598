"""The export stage: the trained model as GGUF files and as a Hugging Face folder, proven before they take their names.

llama.cpp's own converter refuses a tokenizer that it does not know, so the files are written through the `gguf` package. The
model's tensors carry GGUF's names already, but for lfm2's last norm; two things are left to do. llama.cpp's `llama` rotates neighbours in
pairs where we rotate half against half, so the rows of Q and K are permuted; and what is a vector stays float32 in every file.

All is written under an unfinished name, compared with PyTorch (parity.py), and renamed only when nothing differs.
"""

import shutil
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType

from pipeline.core.errors import UserError
from pipeline.core.files import atomic, read_json, write_json
from pipeline.core.paths import GGUF, HUGGINGFACE, IMPORTANCE, METRICS, TOKENIZER_FOLDER, TRAINED, TRAINING, VALIDATION
from pipeline.export.tokenization import Vocabulary, load_vocabulary
from pipeline.export.weights import exported

FILE_TYPES = {"f32": LlamaFileType.ALL_F32, "f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0}


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows (heads * head_dim, width) from half-against-half rotary order to llama.cpp's pairs of neighbours."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def tensors(model) -> dict[str, np.ndarray]:
    """GGUF's tensors in float32; a tied head is left out, which llama.cpp takes to mean tied."""
    c = model.config
    named = {}
    for name, tensor in exported(model).items():
        array = tensor.numpy()
        if c.architecture == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
            array = permute(array, c.n_heads if "attn_q" in name else c.n_kv_heads)
        if c.architecture == "lfm2" and name == "output_norm.weight":
            name = "token_embd_norm.weight"  # llama.cpp's name for it there, after Liquid's
        named[name] = array
    return named


def stored(name: str, array: np.ndarray, outtype: str) -> tuple[np.ndarray, GGMLQuantizationType]:
    """The tensor as a file of this type holds it: vectors, positions and the taps of convolutions, which enter no matrix product, stay
    float32."""
    if outtype == "f32" or array.ndim == 1 or name == "position_embd.weight" or name.endswith("shortconv.conv.weight"):
        return np.ascontiguousarray(array, np.float32), GGMLQuantizationType.F32
    if outtype == "q8_0" and array.shape[1] % gguf.GGML_QUANT_SIZES[GGMLQuantizationType.Q8_0][0] == 0:
        return gguf.quants.quantize(np.ascontiguousarray(array), GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0
    return array.astype(np.float16), GGMLQuantizationType.F16


def write_gguf(
    model, vocabulary: Vocabulary, path: Path, outtype: str, about: dict[str, str | float] | None = None
) -> None:
    """Writes `model` (pipeline.model.Transformer) as one GGUF file; the same model gives the same bytes.

    `about` is what origin.py has to say of it, by GGUF key.
    """
    c = model.config
    assert len(vocabulary.tokens) == c.vocab_size
    with atomic(path) as unfinished:
        writer = GGUFWriter(unfinished, c.architecture)
        writer.add_type(gguf.GGUFType.MODEL)
        for key, value in (about or {}).items():
            if isinstance(value, str):
                writer.add_string(key, value)
            else:
                writer.add_float32(key, value)
        writer.add_size_label(f"{model.count_parameters() / 1e6:.1f}M")
        writer.add_file_type(FILE_TYPES[outtype])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_shape(writer, c)
        add_vocabulary(writer, vocabulary)
        for tensor_name, array in tensors(model).items():
            data, kind = stored(tensor_name, array, outtype)
            writer.add_tensor(tensor_name, data, raw_dtype=kind)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def add_shape(writer: GGUFWriter, c) -> None:
    from pipeline.model.transformer import NORM_EPS, ROPE_BASE

    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.context_length)
    writer.add_embedding_length(c.d_model)
    writer.add_block_count(c.n_layers)
    writer.add_feed_forward_length(c.d_ff)
    writer.add_head_count(c.n_heads)
    if c.architecture == "lfm2":  # a block without heads for keys is one with a convolution
        writer.add_head_count_kv([0 if i in c.conv_layers else c.n_kv_heads for i in range(c.n_layers)])
        writer.add_shortconv_l_cache(c.conv_size)
    else:
        writer.add_head_count_kv(c.n_kv_heads)
    if c.is_gpt2:
        writer.add_layer_norm_eps(NORM_EPS)
    else:
        writer.add_layer_norm_rms_eps(NORM_EPS)
        writer.add_key_length(c.head_dim)
        writer.add_value_length(c.head_dim)
        writer.add_rope_dimension_count(c.head_dim)
        writer.add_rope_freq_base(ROPE_BASE)


def add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    special = set(vocabulary.special.values())
    writer.add_tokenizer_model("gpt2")  # llama.cpp's word for byte-level BPE
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(
        [TokenType.CONTROL if i in special else TokenType.NORMAL for i in range(len(vocabulary.tokens))]
    )
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.first)
    writer.add_eos_token_id(vocabulary.special["eos"])
    writer.add_unk_token_id(vocabulary.special["unk"])
    writer.add_pad_token_id(vocabulary.special["pad"])
    for role, key in (("fim_prefix", "fim_pre"), ("fim_suffix", "fim_suf"), ("fim_middle", "fim_mid")):
        if role in vocabulary.special:
            writer.add_uint32(f"tokenizer.ggml.{key}_token_id", vocabulary.special[role])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


# --- the stage --------------------------------------------------------------------------------------------------------


def export(
    outtypes: list[str],
    trained: Path,
    tokenizer: Path,
    validation: Path,
    corpus: Path,
    name: str,
    evaluated: dict,
    out: Path = GGUF,
    huggingface: Path = HUGGINGFACE,
) -> dict:
    """Writes out/model-TYPE.gguf for each type, out/imatrix.gguf and the folder `huggingface`, all or nothing; returns parity.prove's figures.

    `corpus` is the training text, `name` the model's and `evaluated` its figures on held-out text, by split; see origin.py.

    Raises UserError where the checkpoint or the tokenizer is missing or unfit, or where an exported file is not the same model.
    """
    from pipeline.export.huggingface import to_huggingface
    from pipeline.export.importance import TOKENS, importance, spread_texts, write_importance
    from pipeline.export.origin import origin
    from pipeline.export.parity import joined, prove
    from pipeline.model.checkpoint import load_model

    model, vocabulary = load_model(tokenizer / "tokenizer.json", trained), load_vocabulary(tokenizer)
    c = model.config
    if c.is_gpt2 and c.d_ff != 4 * c.d_model:
        raise UserError(
            f"{trained / 'config.json'}: d_ff: {c.d_ff}; llama.cpp's gpt2 needs 4 x d_model = {4 * c.d_model}; "
            "train with another model config"
        )
    about = origin(name, trained, tokenizer, corpus, evaluated)
    unfinished = {folder: folder.with_name(f".{folder.name}.unfinished") for folder in (out, huggingface)}
    try:
        files = {outtype: unfinished[out] / f"model-{outtype}.gguf" for outtype in outtypes}
        for outtype, path in files.items():
            write_gguf(model, vocabulary, path, outtype, about)
        to_huggingface(model, tokenizer, unfinished[huggingface])
        figures = prove(model, vocabulary, files, unfinished[huggingface], validation)
        assert vocabulary.tokenizer, "a trained model has one"
        texts = vocabulary.tokenizer.encode_batch(spread_texts(corpus), add_special_tokens=False)
        ids = joined([text.ids for text in texts], vocabulary.special["eos"], TOKENS)
        write_importance(importance(model, ids), unfinished[out] / IMPORTANCE.name, len(ids))
        for folder, made in unfinished.items():
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    finally:
        for made in unfinished.values():
            shutil.rmtree(made, ignore_errors=True)
    return {
        **figures,
        "parameters": model.count_parameters(),
        "bytes": {o: (out / f"model-{o}.gguf").stat().st_size for o in outtypes},
    }


def main(config) -> None:
    from pipeline.export.parity import LIMITS

    figures = export(
        list(config.params.export.outtypes),
        TRAINED,
        TOKENIZER_FOLDER,
        VALIDATION,
        TRAINING,
        config.serving.name,
        read_json(METRICS / "evaluate.json"),
    )
    write_json(METRICS / "export.json", figures)
    parity = figures["parity"]
    print(
        f"export: {figures['parameters']:,} parameters; the same {parity['tokens_compared']:,} tokens over {parity['documents']} "
        f"validation documents and {parity['stress_texts']} hostile texts"
    )
    for key, value in figures.items():
        if key.startswith("kl_"):
            limit = LIMITS.get(key.removeprefix("kl_"))
            print(
                f"export: mean KL of PyTorch to {key.removeprefix('kl_')}: {value:g} nats"
                + (f" (limit {limit:g})" if limit else "")
            )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("export", main)
