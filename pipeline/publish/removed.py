"""Which registered versions still hold what configs/removed.yaml lists, and which of them are served.

A version's run keeps the list of the documents that it was trained on and measured by, with their hashes. Older versions have no such list:
of them the names of their sources alone are known. Whom an author's entry means, and what is a copy, the last run of prepare found out
(rejected.jsonl); a document that had left the corpus before it was asked for is known by its place or hash alone.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.core.config import Config, read_removed
from pipeline.core.errors import UserError, shortened
from pipeline.core.files import read_jsonl
from pipeline.core.paths import REJECTED, REMOVED
from pipeline.core.schema import Removed
from pipeline.data import removal
from pipeline.publish import serving
from pipeline.publish.lineage import DOCUMENTS, SOURCES_TAG
from pipeline.publish.registry import facts
from pipeline.tracking import connected


class Wanted:
    """Tells which entry means a document, also where its text is not at hand."""

    def __init__(self, removed: Removed, rejected: Path):
        self.removed, self.by_place, self.by_hash = removed.model_dump(), defaultdict(set), defaultdict(set)
        rows = list(read_jsonl(rejected)) if rejected.exists() else []
        for row in rows:
            if row["reason"].startswith("removed"):
                its = removal.entries(row["reason"]) or [row["reason"].removeprefix("removed: ")]
                self.by_place[f"{row['source']}/{row['path']}"].update(its)
                self.by_hash[row.get("sha256")].update(its)

    def entries(self, row: dict) -> set[str]:
        place, content = f"{row['source']}/{row['path']}", row["sha256"]
        direct = removal.entries(removal.reason(row, "", {}, {**self.removed, "authors": []}))
        return {*direct, *self.by_place.get(place, ()), *(self.by_hash.get(content, ()) if content else ())}


def of_version(client, version, wanted: Wanted) -> tuple[dict[str, list[str]], bool]:
    """(entry -> the version's documents that it means, whether that is known document by document)."""
    import mlflow

    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            listed = client.download_artifacts(version.run_id, DOCUMENTS, scratch)
        except (mlflow.MlflowException, OSError):
            sources = [each.split()[0] for each in facts(client, version).get(SOURCES_TAG, "").split("; ") if each]
            for key in ("packages", "files"):
                for n, entry in enumerate(wanted.removed[key]):
                    if entry.split("/")[0] in sources:
                        found[f"{key}.{n}"].append(entry)
            return found, False
        for row in read_jsonl(listed):
            for entry in wanted.entries(row):
                found[entry].append(
                    f"{row['source']}/{row['path']}" + (" (held-out text)" if row["split"] == "val" else "")
                )
    return found, True


def names_in_ollama(name: str, host: str | None) -> dict[str, list[str]]:
    """sha256 of a served GGUF file -> the names of this model that Ollama serves it under; empty where none answers."""
    found = defaultdict(list)
    if serving.is_reachable(host) is not None:
        with serving.connected(host, Path(name)) as client:
            for model in client.list().models:
                if (model.model or "").partition(":")[0] == name and (held := serving.held(client, model.model)):
                    found[held["file"]].append(model.model)
    return found


def lines(versions: Iterable, client, wanted: Wanted, served: dict[str, list[str]]) -> Iterator[str]:
    for version in versions:
        its, exactly = of_version(client, version, wanted)
        if its:
            where = [f"alias {alias}" for alias in version.aliases]
            where += [f"served as {name}" for name in served.get(facts(client, version).get("served_sha256", ""), [])]
            yield f"{version.name}/{version.version}" + (f" ({', '.join(where)})" if where else "")
            yield from (
                f"  {entry}: "
                + (
                    shortened(places, 5)
                    if exactly
                    else f"perhaps {places[0]}: it was registered before lists were kept"
                )
                for entry, places in sorted(its.items())
            )


def held(config: Config, tracking_uri: str, host: str | None = None) -> str:
    """What of configs/removed.yaml registered versions still hold, in words. Raises UserError where the list is empty or wrong."""
    removed = read_removed(config.root)
    if not any(removed.model_dump().values()):
        raise UserError(f"{REMOVED}: lists nothing, so there is nothing to look for")
    wanted, name = Wanted(removed, config.root / REJECTED), config.serving.name
    with connected(tracking_uri) as client:
        versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
        versions = [client.get_model_version(name, version.version) for version in versions]  # with their aliases
        found = list(lines(versions, client, wanted, names_in_ollama(name, host)))
    return "\n".join(found) or f"none of the {len(versions)} versions of {name} holds anything that {REMOVED} lists"
