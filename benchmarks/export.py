"""What export, parity and the quantized files cost in time, on the model that stands in this folder. Prints one table for each.

    python benchmarks/export.py                            the parity check's share of the stage; export and all types of the tiny
                                                           profile; tokens/s of each type
    python benchmarks/export.py --llama-cpp CHECKOUT       also the float16 export beside llama.cpp's own converter

llama.cpp's converter refuses every tokenizer that it was not told of, ours too, so it is told of ours here, in memory; and it is started
as its users start it. Both begin with a fresh process and end with the written file, in turns, and the best of three counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import Watch, watched
from tables import table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

TURNS = 3
OURS = """
import sys
from pathlib import Path
from pipeline.export.gguf import write_gguf
from pipeline.export.tokenization import load_vocabulary
from pipeline.model.checkpoint import load_model
tokenizer = Path("data/tokenizer")
write_gguf(load_model(tokenizer / "tokenizer.json", Path("models/trained")), load_vocabulary(tokenizer), Path(sys.argv[1]), "f16")
"""
THEIRS = """
import runpy, sys
checkout, pre, out = sys.argv[1:]
sys.path[:0] = [checkout, checkout + "/gguf-py"]
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
sys.argv = ["convert_hf_to_gguf.py", "models/huggingface", "--outtype", "f16", "--outfile", out]
runpy.run_path(checkout + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def seconds(program: str, *arguments: str) -> float:
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return time.perf_counter() - begun


def conversion(checkout: Path, watch: Watch) -> None:
    from pipeline.core.paths import TOKENIZER_FOLDER
    from pipeline.export.quantize import contents
    from pipeline.export.tokenization import load_vocabulary

    pre, taken, bytes_ = load_vocabulary(ROOT / TOKENIZER_FOLDER).pre, {"here": [], "llama.cpp": []}, {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            taken["here"].append(seconds(OURS, f"{folder}/here.gguf"))
            taken["llama.cpp"].append(seconds(THEIRS, str(checkout.resolve()), pre, f"{folder}/llama.cpp.gguf"))
        bytes_ = {name: contents(Path(folder, f"{name}.gguf"))["bytes"] for name in taken}
    best = {name: min(times) for name, times in taken.items()}
    table(
        ["float16 export by", "seconds", "of all turns", "ratio", "bytes"],
        [
            [
                name,
                f"{best[name]:.2f}",
                f"{min(taken[name]):.2f} to {max(taken[name]):.2f}",
                watch.ratio(best[name] / best["here"]),
                f"{bytes_[name]:,}",
            ]
            for name in taken
        ],
    )


def parity_share() -> None:
    """The whole stage into a scratch folder, with a clock around the proof."""
    from pipeline.core.config import read_yaml
    from pipeline.core.files import read_json
    from pipeline.core.paths import METRICS, TOKENIZER_FOLDER, TRAINED, TRAINING, VALIDATION
    from pipeline.export import gguf, parity

    prove, spent = parity.prove, []

    def timed(*arguments):
        begun = time.perf_counter()
        figures = prove(*arguments)
        spent.append(time.perf_counter() - begun)
        return figures

    parity.prove = timed
    outtypes = read_yaml(ROOT / "params.yaml")["export"]["outtypes"]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        gguf.export(
            outtypes,
            ROOT / TRAINED,
            ROOT / TOKENIZER_FOLDER,
            ROOT / VALIDATION,
            ROOT / TRAINING,
            "benchmark",
            read_json(ROOT / METRICS / "evaluate.json"),
            Path(folder, "gguf"),
            Path(folder, "huggingface"),
        )
        whole = time.perf_counter() - begun
    rows = [("writing the files", whole - spent[0]), ("proving them", spent[0]), ("the whole stage", whole)]
    table(["export", "seconds", "share"], [[name, f"{took:.1f}", f"{took / whole:.0%}"] for name, took in rows])


def every_file(profile: str = "robo-tiny-25m") -> None:
    """Export and all types of a larger profile, with random weights: what time takes, the contents do not matter to."""
    import torch

    from pipeline.core.config import read_yaml
    from pipeline.core.files import read_json, sha256
    from pipeline.core.paths import METRICS, TOKENIZER, TOKENIZER_FOLDER, TRAINING, VALIDATION
    from pipeline.export import gguf
    from pipeline.export.importance import read_importance
    from pipeline.export.quantize import quantize
    from pipeline.model import ModelConfig, Transformer
    from pipeline.model.checkpoint import save_model

    params, rows = read_yaml(ROOT / "params.yaml"), []
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = Transformer(ModelConfig.from_dict(read_yaml(ROOT / f"configs/models/{profile}.yaml")))
        save_model(model, sha256(ROOT / TOKENIZER), folder / "trained")
        begun = last = time.perf_counter()
        gguf.export(
            params["export"]["outtypes"],
            folder / "trained",
            ROOT / TOKENIZER_FOLDER,
            ROOT / VALIDATION,
            ROOT / TRAINING,
            "benchmark",
            read_json(ROOT / METRICS / "evaluate.json"),
            folder / "gguf",
            folder / "huggingface",
        )
        matrix = read_importance(folder / "gguf/imatrix.gguf")
        for name in ("export", *params["quants"]):
            if name != "export":
                quantize(
                    name,
                    folder / "gguf/model-f16.gguf",
                    folder / "quantized",
                    ROOT / TOKENIZER_FOLDER,
                    ROOT / VALIDATION,
                    matrix,
                )
            now = time.perf_counter()
            rows.append([name, f"{now - last:.1f}"])
            last = now
    table([profile, "seconds"], [*rows, ["all", f"{last - begun:.1f}"]])


def generation() -> None:
    from pipeline.core.paths import QUANTIZED
    from pipeline.evaluation.speed import THREADS, measure

    rows = []
    for path in sorted((ROOT / QUANTIZED).glob("*.gguf"), key=lambda path: -path.stat().st_size):
        found = measure(path)
        rows.append(
            [
                path.stem,
                f"{path.stat().st_size:,}",
                *(f"{found[what][str(n)]:,}" for what in ("prompt", "generation") for n in THREADS),
            ]
        )
    table(
        [
            "type",
            "bytes",
            *(f"{what} tokens/s, {n} thread{'s' * (n > 1)}" for what in ("prompt", "new") for n in THREADS),
        ],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-cpp", type=Path, help="a checkout of llama.cpp")
    arguments = parser.parse_args()
    if not (ROOT / "models/quantized").exists():
        sys.exit("error: nothing is built here; run `dvc repro` first")
    if arguments.llama_cpp and not (arguments.llama_cpp / "convert_hf_to_gguf.py").exists():
        sys.exit(f"error: {arguments.llama_cpp}: no convert_hf_to_gguf.py there; give a checkout of llama.cpp")
    with watched() as watch:
        if arguments.llama_cpp:
            conversion(arguments.llama_cpp, watch)
        parity_share()
        every_file()
        generation()


if __name__ == "__main__":
    main()
