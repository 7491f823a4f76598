"""The corpus for machines: croissant.json beside the text, in the Croissant format 1.0 that data-set searches and loaders read.

mlcroissant makes it and refuses what its specification does not allow; by the same library the text can be read record by record. Two things a
publisher adds, since nobody has published anything yet: the day (datePublished) and the address. A time would also make another file at each run.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core import licenses
from pipeline.core.files import sha256, write_json
from pipeline.core.paths import CROISSANT, REJECTED, SPLITS

LAYOUT = "1.0.0"  # of the fields below; the hash after it says which text
FILES = {
    "train_corpus.jsonl": "Training text",
    "val_corpus.jsonl": "Text that was held out, to validate by",
    "test_corpus.jsonl": "Text that was held out, to test by",
    REJECTED.name: "Files that were left out, each with the reason and without its text",
}
PROVENANCE = {
    "source": "Where the file comes from, as the corpus config names it",
    "kind": "Kind of source: sdist, wheel, git, dataset or folder",
    "version": "Version or commit that the source is pinned at; nothing for a folder of one's own",
    "path": "Path of the file in its source",
    "license": "SPDX expression of what the file stands under",
    "split": "Which split its source belongs to",
}
DOCUMENT = {
    **PROVENANCE,
    "sha256": "Hash of the file as it was collected",
    "bytes": "Size of the file as it was collected",
    "text": "The program, cleaned, with secrets replaced by placeholders",
}
DIALECT = {"dialect": "Dialect of Python for boards, told by what the program imports"}
REASON = {"reason": "Why the file was left out"}


def address(license: str) -> str:
    return license if license.startswith("LicenseRef-") else f"https://spdx.org/licenses/{license}.html"


def metadata(
    folder: Path,
    name: str,
    said: Iterable[str],
    languages: Iterable[str],
    replaced: Mapping[str, int],
    sources: int,
    tagged: bool,
):
    """mlcroissant's description of the corpus in a folder: `said` are the licence expressions of its documents, `languages` the codes of those
    that their comments are written in, `replaced` secrets by kind; `tagged` says that each document carries its dialect."""
    import mlcroissant as mlc

    hashes = {file: sha256(folder / file) for file in FILES}
    content = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    files: list[mlc.FileObject | mlc.FileSet] = [
        mlc.FileObject(
            id=file,
            name=file,
            description=about,
            content_url=file,
            content_size=f"{(folder / file).stat().st_size} B",
            encoding_formats=["application/jsonlines"],
            sha256=hashes[file],
        )
        for file, about in FILES.items()
    ]

    def records(name: str, file: str, fields: Mapping[str, str]):
        return mlc.RecordSet(
            id=name,
            name=name,
            description=FILES[file],
            fields=[
                mlc.Field(
                    id=f"{name}/{column}",
                    name=column,
                    description=about,
                    data_types=[mlc.DataType.INTEGER if column == "bytes" else mlc.DataType.TEXT],
                    source=mlc.Source(file_object=file, extract=mlc.Extract(column=column)),
                )
                for column, about in fields.items()
            ],
        )

    sets = [records(split, f"{split}_corpus.jsonl", DOCUMENT | (DIALECT if tagged else {})) for split in SPLITS]
    if (folder / REJECTED.name).stat().st_size:
        sets.append(records("rejected", REJECTED.name, PROVENANCE | REASON))
    asked: list[str | mlc.CreativeWork] = [
        *sorted({address(key) for expression in said for key in licenses.keys(expression)})
    ]
    return mlc.Metadata(
        name=name,
        description=f"Programs in MicroPython and its relatives from {sources} sources, cleaned and deduplicated, split by source; every document "
        "keeps its authors' licence and says where it comes from.",
        version=f"{LAYOUT}+{content[:12]}",
        license=asked,
        cite_as=f"The corpus {name}, {content[:12]}: programs of {sources} sources, which each document names with version, path and licence",
        in_language=sorted(languages),
        keywords=["MicroPython", "source code", "microcontrollers"],
        data_collection="Read from sources that are pinned by hash, without running a line of them; what was left out stands in "
        f"{REJECTED.name}.",
        personal_sensitive_information=[
            "Replaced by placeholders: "
            + (", ".join(f"{kind} {number}" for kind, number in replaced.items()) or "nothing was found"),
            "Authors' names stay where their licences ask for it.",
        ],
        distribution=files,
        record_sets=sets,
    )


def write(folder: Path, *about) -> None:
    """Writes croissant.json into the folder of the corpus; what it is `about` are the arguments of metadata()."""
    write_json(folder / CROISSANT.name, metadata(folder, *about).to_json())
