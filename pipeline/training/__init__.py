"""Training: data order, optimizers, the Lightning module, and checkpoints that resume to the bit."""
