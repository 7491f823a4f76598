"""What a GGUF file says of itself: name, version, licences, the hashes that lead back to the text, and how good it is.

Only what follows from the stage's own inputs stands in the files that DVC keeps. The git commit and the MLflow run do not: the same
weights must give the same bytes whatever was committed since, or each commit would rebuild every file, and the run does not exist yet
when the file is made. The copy that a registered version holds, and that is served once it is promoted, says them too: stamp().
`robo trace` (pipeline/publish/trace.py) goes from a file without them to its version by the hashes.

The hashes are DVC's own, as they stand in dvc.lock and in a remote, computed again from the files, since dvc.lock is no input of
a stage: it is written after it.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from contextlib import redirect_stderr
from pathlib import Path

from pipeline.core import licenses
from pipeline.core.files import read_jsonl

PREFIX = "robo."
HASHES = ("corpus", "tokenizer", "weights")  # robo.dvc.corpus and so on


def file_md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def dvc_md5(path: Path) -> str:
    """The hash that DVC gives a file or a folder."""
    if path.is_file():
        return file_md5(path)
    files = [
        {"md5": file_md5(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file()
    ]
    listing = json.dumps(sorted(files, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(listing.encode()).hexdigest() + ".dir"


def corpus_sources(corpus: Path) -> list[dict]:
    """The sources of a cleaned corpus, largest first: source, version, license (of all its documents together), documents, bytes (of text)
    and share of all bytes."""
    documents, sizes, about, said = Counter(), Counter(), {}, defaultdict(set)
    for row in read_jsonl(corpus):
        name = row["source"]
        documents[name] += 1
        sizes[name] += len(row["text"].encode())
        about[name] = {"version": row["version"]}
        said[name].add(row["license"])
    total = sizes.total()
    return [
        {
            "source": name,
            **about[name],
            "license": licenses.joined(said[name]),
            "documents": documents[name],
            "bytes": size,
            "share": size / total,
        }
        for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    ]


def stamp(source: Path, target: Path, said: dict[str, str]) -> None:
    """Writes a copy of a GGUF file that says more of itself: robo.KEY for each of `said`. The tensors stay the same bytes."""
    import gguf
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

    reader = gguf.GGUFReader(source)
    architecture = reader.get_field(gguf.Keys.General.ARCHITECTURE)
    assert architecture, "every GGUF file has one"
    writer = gguf.GGUFWriter(target, architecture.contents())
    new = {f"{PREFIX}{key}": MetadataDetails(gguf.GGUFValueType.STRING, value) for key, value in said.items()}
    with redirect_stderr(io.StringIO()):  # its progress bar
        copy_with_new_metadata(reader, writer, new, [])


def source_line(source: dict) -> str:
    return f"{source['source']} {source['version'] or '(local)'} ({source['license']})"


def origin(name: str, trained: Path, tokenizer: Path, corpus: Path, figures: dict) -> dict[str, str | float]:
    """GGUF key -> value. `figures` are those of metrics/evaluate.json, by split."""
    sources, weights = corpus_sources(corpus), dvc_md5(trained)
    hashes = {
        "corpus": (dvc_md5(corpus), corpus),
        "tokenizer": (dvc_md5(tokenizer), tokenizer),
        "weights": (weights, trained),
    }
    return {
        "general.name": name,
        "general.version": weights[:12],
        "general.license": licenses.joined(source["license"] for source in sources),
        **{f"{PREFIX}dvc.{key}": f"{md5} {path.as_posix()}" for key, (md5, path) in hashes.items()},
        f"{PREFIX}corpus.sources": "; ".join(map(source_line, sources)),
        **{f"{PREFIX}{split}.bits_per_byte": float(of_split["bits_per_byte"]) for split, of_split in figures.items()},
    }
