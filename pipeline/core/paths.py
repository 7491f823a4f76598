"""Where every stage's files stand, relative to the project's root; dvc.yaml names the same. One module, so that a stage which reads
another's files does not depend on that stage's code."""

from pathlib import Path

SPLITS = ("train", "val", "test")

RAW = Path("data/raw")
LICENSES = RAW / "licenses.jsonl"  # the licence texts that the sources ship
LEFT_OUT = RAW / "left_out.jsonl"  # files of one's own folders that could not be taken, where there are any
PROCESSED = Path("data/processed")
REJECTED = PROCESSED / "rejected.jsonl"  # every file that is no training text, with the reason
TRAINING = PROCESSED / "train_corpus.jsonl"
VALIDATION = PROCESSED / "val_corpus.jsonl"
CROISSANT = PROCESSED / "croissant.json"  # what the corpus holds, for machines
PAIRS = PROCESSED / "tasks.bin"  # requests and programs as token ids
PAIRS_INDEX = PROCESSED / "tasks.idx"  # where each begins
SIDECAR = PROCESSED / "pack.json"  # counts, dtype and tokenizer of the packed bins
CURRICULUM = Path("data/curriculum")
TAUGHT = CURRICULUM / "train.jsonl"  # requests with the programs that fulfil them
TOKENIZER_FOLDER = Path("data/tokenizer")
TOKENIZER = TOKENIZER_FOLDER / "tokenizer.json"
SPECIAL_TOKENS = TOKENIZER_FOLDER / "special_tokens.json"  # which text plays which part: {"eos": "<eos>", ...}

CHECKPOINTS = Path("checkpoints")  # trained models that a person put there to start from
EXAM = Path("exam")  # RoboBench: a folder for each set of tasks
ANSWERS = Path("data/exam/answers.jsonl")  # what each file answered, and what became of it
TRAINED = Path("models/trained")
GGUF = Path("models/gguf")
IMPORTANCE = GGUF / "imatrix.gguf"
HUGGINGFACE = Path("models/huggingface")
QUANTIZED = Path("models/quantized")
RELEASE = Path("models/release")

METRICS = Path("metrics")
REPORTS = Path("reports")
CORPUS_REPORT = REPORTS / "corpus.md"  # what the corpus holds; MLflow shows it as a page

STATE = Path(".state")  # what is neither input nor output: downloads, checkpoints, databases, logs
