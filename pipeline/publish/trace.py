"""The way back from a model that somebody runs to the packages it was trained on.

A GGUF file carries the hashes of the text, the tokenizer and the weights it came from (export/origin.py); the run of a registered version
carries the same hashes as tags, and beside them the git commit, which only the version's own copy of the file says too. So a file
leads to its version by the hash of its weights, a name in Ollama to its file by the line that the import writes under its licence,
and a version to all.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import UserError, suggestion
from pipeline.core.files import sha256
from pipeline.export.origin import HASHES, PREFIX
from pipeline.publish.lineage import SOURCES_TAG
from pipeline.publish.registry import facts, versions_with
from pipeline.tracking import connected

FIGURES = re.compile(rf"^{re.escape(PREFIX)}(\w+)\.bits_per_byte$")


@dataclass
class Origin:
    """What is known of a model; lines of (heading, text), in the order of the way back."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)  # corpus, tokenizer, weights: DVC's hash and path
    sources: str = ""  # "name version (licence); ..."

    def take(self, said: dict) -> None:
        """Adds what a GGUF file's metadata say."""
        names = {"general.name": "name", "general.version": "version", "general.license": "licences"}
        self.lines += [(heading, str(said[key])) for key, heading in names.items() if key in said]
        self.lines += [
            (heading, str(said[key]))
            for key, heading in ((f"{PREFIX}git_commit", "git commit"), (f"{PREFIX}mlflow_run", "MLflow run"))
            if key in said
        ]
        self.lines += [
            (f"bits per byte ({match[1]})", f"{said[key]:.4f}") for key in sorted(said) if (match := FIGURES.match(key))
        ]
        self.hashes |= {key: said[f"{PREFIX}dvc.{key}"] for key in HASHES if f"{PREFIX}dvc.{key}" in said}
        self.sources = said.get(f"{PREFIX}corpus.sources", self.sources)


def of_file(path: Path) -> Origin:
    """Raises UserError for what is no GGUF file, or one that was not made here."""
    import gguf

    from pipeline.export.llama import check_magic

    check_magic(path)
    try:
        said = {
            name: item.contents()
            for name, item in gguf.GGUFReader(path).fields.items()
            if name.startswith(("general.", PREFIX))
        }
    except Exception as error:  # the reader stumbles over a damaged file in many ways
        raise UserError(
            f"{path}: a damaged GGUF file ({type(error).__name__}: {error}); bring it back: dvc checkout"
        ) from error
    if f"{PREFIX}dvc.weights" not in said:
        raise UserError(
            f"{path}: says nothing of where it comes from; it was made by another program, or before files did "
            "(`dvc repro` makes it anew)"
        )
    found = Origin([("GGUF file", f"{path}, sha256 {sha256(path)}")])
    found.take(said)
    return found


def of_ollama(name: str, host: str | None = None) -> Origin | None:
    """None where no Ollama answers or it holds no such name."""
    from pipeline.publish import serving

    if serving.is_reachable(host) is None:
        return None
    with serving.connected(host, Path(name)) as client:
        if (facts := serving.held(client, name)) is None:
            return None
        found = Origin(
            [
                ("Ollama model", f"{name} at {serving.address(host)}"),
                ("imported GGUF file", f"sha256 {facts['file'] or 'unknown'}"),
            ]
        )
        found.take(client.show(name).modelinfo or {})
        return found


def of_version(client, name: str, version: str) -> Origin | None:
    """None where MLflow holds no such version (a number) or alias."""
    import mlflow

    try:
        by_number = version.isdigit()
        held = (
            client.get_model_version(name, version) if by_number else client.get_model_version_by_alias(name, version)
        )
    except mlflow.MlflowException:
        return None
    found = Origin()
    describe(client, held, found)
    return found


def describe(client, version, found: Origin) -> None:
    """Adds what a registered version says."""
    tags = facts(client, version)
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    found.lines.append(("MLflow version", f"{version.name}/{version.version}{aliases}, run {version.run_id}"))
    if commit := tags.get("git_commit"):
        found.lines.append(
            (
                "git commit",
                commit + (" with changes that were not committed" if tags.get("git_dirty") == "true" else ""),
            )
        )
    found.lines += (
        [(f"served file ({tags['served_quant']})", f"sha256 {tags['served_sha256']}")]
        if "served_sha256" in tags
        else []
    )
    found.hashes = {key: tags[f"dvc.{key}"] for key in HASHES if f"dvc.{key}" in tags} | found.hashes
    found.sources = found.sources or tags.get(SOURCES_TAG, "")


def trace(model: str, config: Config, tracking_uri: str, host: str | None = None) -> str:
    """The way back from `model`: a GGUF file, a name in Ollama, or a registered version (NAME/3, NAME@candidate, 3 or candidate).

    Raises UserError where there is no such model.
    """
    from pipeline.publish import serving

    found = of_file(Path(model)) if Path(model).is_file() or model.endswith(".gguf") else None
    with connected(tracking_uri) as client:
        known = client.search_model_versions(f"name = '{config.serving.name}'")
        if found is None:
            name, _, version = re.sub("^models:/", "", model).replace("@", "/").rpartition("/")
            if re.fullmatch(r"[\w.-]+", version):  # MLflow allows no other letters in an alias
                found = of_version(client, name or config.serving.name, version)
            found = found or of_ollama(model, host)
            if found is None:
                there = [f"{v.name}/{v.version}" for v in known] + [f"{config.serving.name}:candidate"]
                silent = serving.is_reachable(host) is None
                raise UserError(
                    f"{model}: no GGUF file, {f'no answer from Ollama at {serving.address(host)}' if silent else 'no model in Ollama'} and no "
                    f"registered version of that name{suggestion(model, [name for name in there if name != model])}"
                )
        if not any(heading == "MLflow version" for heading, _ in found.lines) and (
            weights := found.hashes.get("weights")
        ):
            same = versions_with(client, config.serving.name, "dvc.weights", weights)
            for version in same:
                describe(client, client.get_model_version(version.name, version.version), found)
            if not same:
                found.lines.append(("MLflow version", "none with these weights; `robo run` registers what is built"))
    lines = [*found.lines, *((f"DVC {key}", text) for key, text in found.hashes.items())]
    lines += [("trained on" if n == 0 else "", source) for n, source in enumerate(found.sources.split("; ")) if source]
    width = max(len(heading) for heading, _ in lines)
    return "\n".join(f"{heading:<{width}}  {text}" for heading, text in lines)
