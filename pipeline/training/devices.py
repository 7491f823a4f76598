"""How many devices there are to train on: GPUs, or the cores of a machine without one, each with a process of its own."""

import os

import torch

from pipeline.core.errors import UserError


def check(devices: int) -> None:
    """Raises UserError where this machine has fewer. Without that, as many processes start, and end in each other's native stack traces."""
    gpus = torch.cuda.device_count()
    there = gpus or os.cpu_count() or 1
    if devices > there:
        raise UserError(
            f"devices: {devices}, but this machine has {there} {'GPU' if gpus else 'CPU core'}{'s' if there > 1 else ''}"
            f"{'' if gpus else '; devices: 1 uses them all'}"
        )
