"""Which columns of each matrix matter: the mean square of what flows into them, over some training text.

A low-bit type cannot hold every weight well. An importance matrix tells llama.cpp's quantizer where an error would be multiplied
by a large input, so that it rounds there more carefully. llama.cpp's own tool gathers it in C++ while a model runs; here the
trained model is at hand in PyTorch, in float32, and a hook on each linear layer sees the same inputs, so nothing else has to be built
or run. The file is in llama.cpp's format for it, so that its quantizer takes it too. A tied head is met as the head that it is; that
the same rows are looked up as embeddings, which has no columns that matter more, is not counted.
"""

from pathlib import Path

import numpy as np

from pipeline.core.files import atomic, read_jsonl

TOKENS = 8192  # of training text, spread evenly over the documents
SUMS, COUNTS = ".in_sum2", ".counts"


def spread_texts(corpus: Path, characters: int = 8 * TOKENS) -> list[str]:
    """Enough training documents, evenly spread over the corpus, which stands sorted by source."""
    texts = [row["text"] for row in read_jsonl(corpus)]
    return texts[:: max(1, sum(map(len, texts)) // characters)]


def importance(model, ids: list[int]) -> dict[str, np.ndarray]:
    """GGUF tensor name -> mean squared input of each column, float32 (columns,), over windows of the model's context."""
    import torch

    sums: dict[str, np.ndarray] = {}

    def watch(name):
        def hook(_, inputs):
            # In NumPy, in one thread: on a busy machine PyTorch's threads wait for each other longer than these small sums take.
            sums[name] = sums.get(name, 0) + np.square(inputs[0].flatten(0, -2).numpy()).sum(0, dtype=np.float64)

        return hook

    tied = model.config.tie_embeddings
    hooks = [
        module.register_forward_pre_hook(watch("token_embd.weight" if tied and name == "output" else f"{name}.weight"))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        with torch.inference_mode():
            for start in range(0, len(ids), model.config.context_length):
                model(torch.tensor([ids[start : start + model.config.context_length]]))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / len(ids)).astype(np.float32) for name, total in sorted(sums.items())}


def write_importance(matrix: dict[str, np.ndarray], path: Path, tokens: int) -> None:
    from gguf import GGUFWriter

    with atomic(path) as unfinished:
        writer = GGUFWriter(unfinished, "imatrix")
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", ["training text"])
        writer.add_uint32("imatrix.chunk_count", 1)
        writer.add_uint32("imatrix.chunk_size", tokens)
        for name, mean in matrix.items():
            writer.add_tensor(name + SUMS, mean[None])
            writer.add_tensor(name + COUNTS, np.ones((1, 1), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def read_importance(path: Path) -> dict[str, np.ndarray]:
    from gguf import GGUFReader

    return {
        tensor.name.removesuffix(SUMS): np.array(tensor.data, np.float32).ravel()
        for tensor in GGUFReader(path).tensors
        if tensor.name.endswith(SUMS)
    }
