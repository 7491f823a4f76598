"""From packages and folders to packed tokens: one module for each of the stages collect, prepare, tokenizer and pack."""
