"""Model FLOPs utilisation: the share of a device's peak that training really uses. Only for devices whose peak is known."""

from pipeline.model import ModelConfig

# Dense tensor-core peak in TFLOP/s for bfloat16 and float16 with float32 accumulation, from NVIDIA's data sheets and whitepapers,
# by the name that the driver gives. A name that is not here gets no figure, not a guess.
PEAKS = {
    "NVIDIA B200": 2250,
    "NVIDIA H200": 989,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 NVL": 835,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA L40S": 362,
    "NVIDIA L4": 121,
    "Tesla V100-SXM2-16GB": 125,
    "Tesla T4": 65,
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA GeForce RTX 5080": 112.6,
    "NVIDIA GeForce RTX 5070 Ti": 87.9,
    "NVIDIA GeForce RTX 5070": 61.7,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 4080": 97.5,
    "NVIDIA GeForce RTX 3090": 71,
}


def peak(device: str, precision: str) -> float | None:
    """FLOP/s of one device, None where it is not known. float32 runs on other units, whose peak depends on settings."""
    return PEAKS[device] * 1e12 if device in PEAKS and precision != "32-true" else None


def flops_per_token(c: ModelConfig) -> int:
    """Of a forward and a backward pass: 6 for each weight that is multiplied (the head counts, looking up embeddings does not), and
    12 x width x context for each block with attention (Chowdhery et al. 2022, appendix B)."""
    convolutions = len(c.conv_layers)
    attentions = c.n_layers - convolutions
    projections = attentions * (2 * c.d_model + 2 * c.n_kv_heads * c.head_dim) + convolutions * 4 * c.d_model
    feed_forward = c.n_layers * (2 if c.is_gpt2 else 3) * c.d_ff
    matrices = (projections + feed_forward + c.vocab_size) * c.d_model
    return 6 * matrices + 12 * attentions * c.d_model * c.context_length
