"""Measuring: what the trained model is worth, and what each GGUF file keeps of it."""
