"""Which numbers to train in. On a CPU that is a question of hardware, and violently so.

With bfloat16 units (AMX, AVX512-BF16) bfloat16 matmuls run three to five times as fast as float32; without them they run 60
to 100 times slower. So `auto` looks at what the processor says of itself, which is the same in every run.
"""

import platform
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import UserError


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (its flags, as Linux shows them; False where they cannot be read)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return platform.machine() == "arm64"  # Apple's
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & set(flags))


def choose(precision: str, force: bool = False) -> tuple[Any, str]:
    """Resolves a training config's `precision` to Lightning's name and says why.

    Raises UserError where a CPU would crawl, unless `force`.
    """
    if torch.cuda.is_available():
        if precision != "auto":
            return precision, "as configured"
        return (
            ("bf16-mixed", "this GPU has bfloat16")
            if torch.cuda.is_bf16_supported()
            else ("16-mixed", "this GPU has no bfloat16")
        )
    fast = cpu_has_bfloat16()
    if precision == "auto":
        return ("bf16-mixed", "this CPU has bfloat16 units") if fast else ("32-true", "this CPU has no bfloat16 units")
    if precision == "16-mixed":
        raise UserError("precision: 16-mixed needs a GPU; on a CPU use auto")
    if precision == "bf16-mixed" and not fast:
        if not force:
            raise UserError(
                "precision: bf16-mixed: this CPU has no bfloat16 units, so training would run about 60 times slower than in float32; "
                "use auto or 32-true (force_precision: true takes it all the same)"
            )
        return precision, "forced, about 60 times slower than float32 on this CPU"
    return precision, "as configured"
