"""From sources to packed tokens: one module for each of the stages collect, prepare, tokenizer and pack; sources/ has one for each kind of source,
and propose is what `robo corpus` does."""
