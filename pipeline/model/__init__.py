"""The network, in four forms that llama.cpp runs unchanged: gpt2, llama, qwen3 and lfm2.

Parameters carry the names of GGUF's tensors (token_embd, blk.0.attn_q, ...), so that a checkpoint, the exporter and
llama.cpp speak of the same thing and the GGUF export is a copy.
"""

from pipeline.model.transformer import ModelConfig, Transformer

__all__ = ["ModelConfig", "Transformer"]
