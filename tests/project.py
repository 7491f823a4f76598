"""A built project in a folder of its own: real configs, a tiny model with random weights through the real exporter and quantizer,
and a dvc.lock that DVC itself wrote. Only the training is left out."""

import json
import shutil
from pathlib import Path

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parent.parent
QUANTS = ["Q8_0", "Q4_K_M"]
GATES = {
    "max_val_loss": 2.0,
    "max_bits_per_byte_rise": 1.0,
    "max_quant_loss": 1.0,
    "min_syntax_rate": 0.5,
    "min_people_rate": 0.5,
    "min_api_rate": 0.9,
}
STAGES = {
    "collect": ["data/raw"],
    "prepare": ["data/processed/train_corpus.jsonl", "data/processed/val_corpus.jsonl", "metrics/prepare.json"],
    "report": ["reports/corpus.md", "data/processed/croissant.json", "metrics/corpus.json"],
    "curriculum": ["data/curriculum/train.jsonl", "metrics/curriculum.json"],
    "tokenizer": ["data/tokenizer"],
    "train": ["models/trained", "metrics/train.json", "metrics/train.csv"],
    "evaluate": ["metrics/evaluate.json", "reports/samples.md"],
    "export": ["models/gguf", "metrics/export.json"],
    "answer": ["metrics/answer.json"],
    "assess": ["metrics/assess.json", "reports/assess.md", "reports/quality.svg"],
    "exam": ["metrics/exam.json", "reports/exam.md"],
}


def write(path: Path, content: str | dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def change_config(root: Path, file: str, **values) -> None:
    yaml = YAML()
    content = yaml.load(root / file)
    content.update(values)
    yaml.dump(content, root / file)


def make_project(root: Path, tokenizer: Path, checkpoint: Path, gguf: Path, steps: int = 1200) -> Path:
    """The tree as the stages leave it, with `steps` rows in the training curve; returns `root`."""
    from pipeline.export.quantize import contents, run_llama_cpp

    shutil.copytree(REPOSITORY / "configs", root / "configs")
    shutil.copy(REPOSITORY / "params.yaml", root)
    change_config(root, "params.yaml", quants=QUANTS)
    shutil.copy(root / "configs/serving/robo-micropython-256.yaml", root / "configs/serving/robo-micropython.yaml")
    change_config(root, "configs/operations/robo-micropython.yaml", gates=GATES)
    shutil.copytree(tokenizer, root / "data/tokenizer")
    shutil.copytree(checkpoint, root / "models/trained")
    shutil.copytree(gguf, root / "models/gguf")
    (root / "models/quantized").mkdir()
    for quant in QUANTS:
        path = root / f"models/quantized/{quant}.gguf"
        run_llama_cpp(gguf / "model-f16.gguf", path, quant)
        write(
            root / f"metrics/quantize/{quant}.json",
            {**contents(path), "fell_back": {"count": 0, "why": {}}, "completion": "led", "imatrix": None},
        )
    write(root / "data/raw/some/main.py", "import machine\n")
    write(root / "data/raw/licenses.jsonl", "")
    write(
        root / "data/processed/train_corpus.jsonl",
        '{"source": "periph", "version": "1.2.1", "license": "MIT", "text": "import machine"}\n',
    )
    write(
        root / "data/processed/val_corpus.jsonl",
        '{"source": "lbutils-mp", "version": "0.2.4", "license": "MIT", "text": "import time\\n"}\n',
    )
    write(root / "reports/corpus.md", "# The corpus\n")
    write(root / "data/processed/croissant.json", {})
    write(root / "metrics/corpus.json", {"sources": 2, "licenses": {"MIT": 14}})
    write(root / "data/curriculum/train.jsonl", '{"request": "Blink", "program": "", "board": "pico"}\n')
    write(root / "metrics/curriculum.json", {"pairs": 1})
    write(
        root / "metrics/prepare.json",
        {"train": {"documents": 1, "bytes": 14}, "val": {"documents": 1, "bytes": 12}, "rejected": {"too short": 3}},
    )
    write(root / "metrics/train.json", {"steps": steps, "parameters": 1_806_592, "loss": 2.5, "val_loss": 2.75})
    write(
        root / "metrics/train.csv",
        "step,tokens,loss,val_loss\n"
        + "".join(
            f"{step},{step * 4096},{8 / step + 2.5},{2.75 if step % 50 == 0 else ''}\n" for step in range(1, steps + 1)
        ),
    )
    write(
        root / "metrics/evaluate.json",
        {"val": {"loss": 2.75, "bits_per_byte": 1.2345}, "test": {"loss": 2.9, "bits_per_byte": 1.3456}},
    )
    write(root / "metrics/export.json", {"f16": {"mean_kl": 2e-6}, "tokens_equal": True})
    write(
        root / "metrics/assess.json",
        {
            "recommended": "Q4_K_M",
            "types": {quant: {"bits_per_byte": 1.25, "change_percent": 0.5, "compiles": 0.75} for quant in QUANTS},
        },
    )
    write(
        root / "metrics/answer.json",
        {
            "tasks": 240,
            "completions": 64,
            "types": {
                quant: {"passed": {"people": 144}, "parsed": 200, "changed": 0, "compiles": 0.75}
                for quant in ("F16", *QUANTS)
            },
        },
    )
    write(
        root / "metrics/exam.json",
        {
            "served": "Q4_K_M",
            "contaminated": 0,
            "sets": {
                "people": {
                    "tasks": 240,
                    "passed": 144,
                    "rate": 0.6,
                    "low": 0.537,
                    "high": 0.66,
                    "parse_rate": 0.9,
                    "api_rate": 0.95,
                    "names": 900,
                }
            },
        },
    )
    write(root / "reports/exam.md", "# RoboBench\n")
    write(root / "reports/samples.md", "# Completions\n")
    write(root / "reports/assess.md", "# Quantization\n")
    write(root / "reports/quality.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>')
    commit(root)
    return root


def commit(root: Path) -> None:
    """Lets DVC write down in dvc.lock what lies there, as if the stages had just run."""
    from dvc.repo import Repo

    stages = {name: {"cmd": "true", "outs": outs} for name, outs in STAGES.items()}
    stages["quantize"] = {
        "matrix": {"quant": QUANTS},
        "cmd": "true",
        "outs": ["models/quantized/${item.quant}.gguf", "metrics/quantize/${item.quant}.json"],
    }
    write(root / "dvc.yaml", {"stages": stages})
    if not (root / ".dvc").exists():
        Repo.init(str(root), no_scm=True)
    with Repo(str(root)) as repo:
        repo.commit(force=True)


def retrain(project):
    """Another outcome of training, as DVC would note it."""
    with open(project / "models/trained/config.json", "a") as file:
        file.write("\n")
    commit(project)


def register_versions(root: Path, uri: str, count: int) -> None:
    """That many versions of one model, told apart by the temperature that they are served with, 0.1 to 0.N; the last is the candidate."""
    from pipeline.core.config import Config
    from pipeline.publish.registry import register

    for number in range(1, count + 1):
        settings = Config(root).serving.parameters.model_dump()
        change_config(
            root, "configs/serving/robo-micropython.yaml", parameters={**settings, "temperature": number / 10}
        )
        assert register(Config(root), uri).version == number


def served_temperature(client, tag: str = "latest") -> float:
    """Which of them Ollama serves."""
    shown = client.show(f"robo-micropython:{tag}").parameters
    return float(next(line.split()[1] for line in shown.splitlines() if line.startswith("temperature")))


def as_older_code(uri: str, number: int) -> None:
    """Leaves a version as code did that put all tags on the version itself, and on the run no more than stood there."""
    import mlflow

    from pipeline.publish.judge import MOVED
    from pipeline.publish.registry import facts

    client = mlflow.MlflowClient(uri, registry_uri=uri)
    version = client.get_model_version("robo-micropython", str(number))
    for key, value in facts(client, version).items():
        if MOVED.fullmatch(key):
            client.set_model_version_tag(version.name, version.version, key, value)
        if key.startswith(("served_sha256", "gate.", "verdict.", "serving.")) and key not in version.tags:
            client.delete_tag(version.run_id, key)
    for key in ("exam", "syntax", "bpb", "served", "changed", "serving.refusal"):
        if key in version.tags:
            client.delete_model_version_tag(version.name, version.version, key)
