"""The trained tensors as every other program expects them: float32, a tied head once, and GPT-2 with all its biases."""


def exported(model) -> dict:
    """Name in GGUF -> float32 tensor.

    llama.cpp's and transformers' GPT-2 ask for a bias on each linear layer and norm; for a model trained without, zeros say the same.
    """
    import torch

    c = model.config
    named = {
        name: tensor.detach().float()
        for name, tensor in model.state_dict().items()
        if not (c.tie_embeddings and name == "output.weight")
    }
    if c.is_gpt2 and not c.bias:
        for name, tensor in list(named.items()):
            if name.startswith(("blk.", "output_norm.")):
                named[name.removesuffix("weight") + "bias"] = torch.zeros(len(tensor))
    return named
