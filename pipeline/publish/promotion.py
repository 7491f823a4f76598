"""Makes Ollama serve what MLflow's alias `champion` stands at, and goes back.

The alias is the wish, Ollama's NAME:latest the fact. reconcile() asks for both and makes the fact follow the wish; it may run at any
time and any number of times, and one that was killed anywhere is finished by the next. Nothing is remembered here: what was served
when, by whom and why stands in tags of the versions' runs, its outcome on the version (see registry.py), and what is served is asked of
Ollama.

A version brings its own file and settings, checked by hash, and becomes NAME:vN, where it must answer as llama.cpp does with the same
file. Only then NAME:latest becomes a copy of that name, which is a switch of names. A version that fails is tagged with the reason and
left alone until the alias moves, since it would fail each time; the mark for that stands on the registered model, because there is
one alias. A server that does not answer is no such failure.

The tag `serving.status` = served is written last, so where it is missing beside a NAME:latest that is as wanted, the rest is made up for.
`serving.previous` leads to the version served before, and further back: a version that is returned to keeps the one it has, so
each rollback goes one step further.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError, closest, suggestion
from pipeline.core.paths import STATE
from pipeline.core.schema import QUANTS, File, Serving
from pipeline.publish import registry, serving
from pipeline.publish.registry import CHAMPION, SETTINGS, facts, note
from pipeline.tracking import connected, fetch

SERVED = STATE / "served"  # files of versions, by hash
STATUS, REFUSAL = "serving.status", "serving.refusal"  # on the version; the second where the first is "refused"
AT, BY, WHY, REASON, PREVIOUS = (f"serving.{key}" for key in ("at", "by", "why", "reason", "previous"))  # on its run
HINT = "serving.hint"  # on the registered model: an alias that was perhaps meant to be `champion`
REFUSED = "serving.refused"  # on the registered model: the version, file and Ollama that did not go together
WISHED_BY, WISHED_WHY = (
    "promotion.by",
    "promotion.why",
)  # from `robo promote` to the one who serves; the page leaves none
TAG_CHARACTERS = 4000  # MLflow takes 5000
ALIKE = 0.85  # "champions" and "champoin" are as alike; "champion-old" is not


class Package(File):
    """How a version is to be served, as lineage.handed_out() wrote it."""

    serving: Serving
    license: str
    prompts: list[str]


@dataclass(frozen=True)
class Round:
    """What one look found and did."""

    version: int | None  # where the alias stands
    agrees: bool  # Ollama serves just that; True also where nothing has the alias
    said: str  # in a sentence or two
    happened: str = ""  # "served" or "refused", where that is new


def latest(name: str) -> str:
    return f"{name}:latest"


def versioned(name: str, number: str | int) -> str:
    return f"{name}:v{number}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def label(version) -> str:
    return f"{version.name}/{version.version}"


# --- what a version holds ---------------------------------------------------------------------------------------------


def unpack(version, tags: dict[str, str], folder: Path) -> Package:
    """Raises UserError where the version does not say how it is to be served, or something else lies there."""
    path = fetch(f"models:/{label(version)}/artifacts/{SETTINGS}", tags.get("serving_sha256", ""), folder)
    try:
        return Package.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise UserError(
            f"{label(version)}: {SETTINGS} is not what this program writes: {error}; delete the version and `robo run` registers "
            "it anew"
        ) from None


def served_file(version, tags: dict[str, str], folder: Path) -> Path:
    """The version's GGUF file, checked. Raises UserError where the version names none, or another lies there."""
    quant = tags.get("served_quant")
    if quant not in QUANTS:
        raise UserError(
            f"{label(version)}: served_quant: {quant!r} is no type of GGUF file{suggestion(quant or '', QUANTS)}"
        )
    return fetch(f"models:/{label(version)}/artifacts/{quant}.gguf", tags.get("served_sha256", ""), folder)


# --- one look ---------------------------------------------------------------------------------------------------------


def champion(client, name: str):
    """(the registered model, the version that has the alias); either may be None."""
    model = registry.find_model(client, name)
    number = model.aliases.get(CHAMPION) if model else None
    return model, number and client.get_model_version(name, str(number))


def hint(model) -> str:
    """A sentence on each alias that was perhaps meant to be `champion`."""
    return "; ".join(
        f"version {number} has the alias {alias!r}, which nothing follows; did you mean {CHAMPION!r}?"
        for alias, number in model.aliases.items()
        if alias != CHAMPION and closest(alias, [CHAMPION], ALIKE)
    )


def tell_hint(client, model) -> str:
    """Keeps the hint on the model's page, where the alias was typed, for as long as it holds; returns it as the end of a sentence."""
    said = hint(model)
    if said and model.tags.get(HINT) != said:
        client.set_registered_model_tag(model.name, HINT, said)
    if not said and HINT in model.tags:
        client.delete_registered_model_tag(model.name, HINT)
    return said and f"; {said}"


def reconcile(config: Config, uri: str, host: str | None = None) -> Round:
    """One look, and what it takes to make Ollama serve the version with the alias `champion`.

    Raises UserError, mostly a TemporaryError, where MLflow or Ollama cannot be asked; then nothing has changed.
    """
    name, folder = config.serving.name, config.root / SERVED
    with connected(uri) as client:
        model, version = champion(client, name)
        hinted = tell_hint(client, model) if model else ""
        tags = facts(client, version) if version else {}
        refused = model and model.tags.get(REFUSED)
        mark = version and f"{version.version} {tags.get('served_sha256')} Ollama {running(host)}"
        if refused and refused != mark:  # the alias moved, or the file or Ollama is another
            client.delete_registered_model_tag(name, REFUSED)
        if version is None:
            return Round(None, True, f"no version of {name} has the alias {CHAMPION}; what is served stays{hinted}")
        if refused == mark:
            return Round(int(version.version), False, f"{label(version)} was refused: {tags.get(REASON)}{hinted}")
        try:
            proof = serve(client, version, tags, unpack(version, tags, folder), folder, host)
        except TemporaryError:
            raise
        except UserError as error:
            write(client, version, {AT: now(), REASON: str(error)})
            tag(client, version, {REFUSAL: str(error), STATUS: "refused"})
            client.set_registered_model_tag(name, REFUSED, mark)
            return Round(
                int(version.version),
                False,
                f"{label(version)} is not served, {latest(name)} stays as it was: {error}",
                "refused",
            )
        if proof is None:
            return Round(int(version.version), False, f"the alias {CHAMPION} moved on from {label(version)}")
        happened = proof or tags.get(STATUS) != "served" or WISHED_BY in tags
        said = f"{latest(name)} is {label(version)}"
        if happened:
            said += record(client, version, tags, proof)
        prune(client, name, config.operations.keep, folder, host)
        return Round(int(version.version), True, said + hinted, "served" if happened else "")


def running(host: str | None) -> str:
    """Ollama's version. Raises TemporaryError where none answers."""
    if (version := serving.is_reachable(host)) is None:
        raise TemporaryError(
            f"Ollama does not answer at {serving.address(host)}; start it (ollama serve), or set OLLAMA_HOST to where it runs"
        )
    return version


def serve(client, version, tags: dict[str, str], package: Package, folder: Path, host: str | None) -> str | None:
    """Makes NAME:latest this version; returns how it was proven, "" where it was so already, None where the alias moved meanwhile.

    Raises UserError where the version must not serve, TemporaryError where Ollama went away.
    """
    name = versioned(version.name, version.version)
    with serving.connected(host, Path(name)) as ollama:
        wanted = serving.wanted(package.serving, tags["served_sha256"], package.license)
        if not serving.difference(serving.held(ollama, latest(version.name)), wanted):
            return ""
    gguf = served_file(version, tags, folder)
    done = serving.import_model(package.serving, gguf, name, package.license, host, package.prompts)
    with serving.connected(host, gguf) as ollama:
        proof = done.proof or serving.prove(ollama, name, package.serving, gguf, package.prompts)[1]
        _, still = champion(client, version.name)
        if still is None or still.version != version.version:
            return None
        ollama.copy(name, latest(version.name))
    return proof


def tag(client, version, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.version, key, value[:TAG_CHARACTERS])


def write(client, version, tags: dict[str, str]) -> None:
    """The same on the version's run, where it does not crowd MLflow's table of versions."""
    note(client, version, {key: value[:TAG_CHARACTERS] for key, value in tags.items()})


def with_status(client, name: str, *statuses: str) -> list[tuple[Any, dict[str, str]]]:
    """The versions that have one of these, each with all its tags; the one served last stands first."""
    found = [
        (version, facts(client, version))
        for status in statuses
        for version in client.search_model_versions(f"name = '{name}' and tags.`{STATUS}` = '{status}'")
    ]
    return sorted(found, key=lambda each: each[1].get(AT, ""), reverse=True)


def line_back(number: str, previous: dict[str, str | None]) -> list[str]:
    """The numbers of the versions served before this one, the nearest first."""
    line: list[str] = []
    while (before := previous.get(line[-1] if line else number)) and before not in line:
        line.append(before)
    return line


def record(client, version, tags: dict[str, str], proof: str) -> str:
    """Writes down who wanted this version, when and why, and that it is served; returns the same in words."""
    known = with_status(client, version.name, "served", "superseded", "refused")
    before = [v for v, of in known if of[STATUS] == "served" and v.version != version.version]
    proof = proof or "Ollama held it so already"
    if WISHED_BY not in tags and tags.get(STATUS) == "served":  # it was lost in Ollama, and nobody wished anything
        write(client, version, {AT: now(), REASON: proof})
        return f" again: {proof}"
    by, why = tags.get(WISHED_BY, "somebody in MLflow"), tags.get(WISHED_WHY, "no reason given")
    happened = {AT: now(), BY: by, WHY: why, REASON: proof}
    if before and str(version.version) not in line_back(
        str(before[0].version), {str(v.version): of.get(PREVIOUS) for v, of in known}
    ):
        happened[PREVIOUS] = str(before[0].version)
    write(client, version, happened)
    for old in before:  # only now: who comes before is read from it
        tag(client, old, {STATUS: "superseded"})
    tag(client, version, {STATUS: "served"})
    for key in (WISHED_BY, WISHED_WHY, REFUSAL):
        if key in tags:
            client.delete_model_version_tag(version.name, version.version, key)
    return f" now{''.join(f', no longer {label(old)}' for old in before)}: wanted by {by} ({why}); {proof}"


def prune(client, name: str, keep: int, folder: Path, host: str | None) -> None:
    """Leaves the `keep` versions served last as NAME:vN in Ollama, and their files; NAME:latest is none of these names."""
    with serving.connected(host, folder) as ollama:
        there = {
            m.model for m in ollama.list().models if re.fullmatch(rf"{re.escape(name)}:v\d+({serving.TRIAL})?", m.model)
        }
        if len(there) <= keep and not any(model.endswith(serving.TRIAL) for model in there):
            return
        last = with_status(client, name, "served", "superseded")[:keep]
        for model in there - {versioned(name, version.version) for version, _ in last}:
            serving.discard(ollama, model)
    kept = {tags.get(key) for _, tags in last for key in ("served_sha256", "serving_sha256")}
    for file in folder.iterdir():
        if file.is_file() and file.stem not in kept:
            file.unlink(missing_ok=True)


# --- what a person wants ----------------------------------------------------------------------------------------------


def find_version(client, name: str, which: str):
    """The version called by its number (3, v3) or alias. Raises UserError, with those there are."""
    known = {str(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    model = registry.find_model(client, name)
    number = str((model.aliases if model else {}).get(which, which.removeprefix("v")))
    if number not in known:
        raise UserError(
            f"{which}: no such version of {name}{suggestion(which, [*known, *(model.aliases if model else {})])}"
        )
    return known[number]


def promote(config: Config, uri: str, which: str, by: str, why: str = "") -> tuple[int, str]:
    """Moves the alias `champion` to a version, and forgets that Ollama refused it; returns its number and what was done in a sentence.

    Raises UserError where there is no such version.
    """
    with connected(uri) as client:
        return move_alias(client, find_version(client, config.serving.name, which), by, why)


def move_alias(client, version, by: str, why: str) -> tuple[int, str]:
    tag(client, version, {WISHED_BY: by, WISHED_WHY: why or "no reason given"})
    model, before = champion(client, version.name)
    if REFUSED in model.tags:
        client.delete_registered_model_tag(version.name, REFUSED)
    client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
    left = f", no longer {label(before)}" if before and before.version != version.version else ""
    return int(version.version), f"the alias {CHAMPION} stands at {label(version)}{left}"


def standing(config: Config, uri: str, version: int, since: str) -> Round | None:
    """What a reconciler has come to with a version since a time, read from its tags; None while it has come to nothing."""
    with connected(uri) as client:
        tags = facts(client, client.get_model_version(config.serving.name, str(version)))
    if tags.get(AT, "") < since or tags.get(STATUS) not in ("served", "refused"):
        return None
    return Round(
        version,
        tags[STATUS] == "served",
        f"{config.serving.name}/{version} is {tags[STATUS]}: {tags.get(REASON)}",
        tags[STATUS],
    )


def rollback(config: Config, uri: str, by: str, why: str = "") -> tuple[int, str]:
    """Moves the alias back: to what is served where that is not the champion, else to what was served before it.

    Raises UserError where there is nothing to go back to.
    """
    name = config.serving.name
    with connected(uri) as client:
        _, wished = champion(client, name)
        served = next((version for version, _ in with_status(client, name, "served")), None)
        last = served or wished
        if last is None:
            raise UserError(
                f"no version of {name} is served yet, so there is nothing to go back to; `robo promote VERSION` serves one"
            )
        target = (
            str(last.version)
            if wished is not None and wished.version != last.version
            else facts(client, last).get(PREVIOUS)
        )
        if target is None:
            raise UserError(
                f"no version was served before {label(last)}, so there is nothing to go back to; `robo promote VERSION` serves another"
            )
        said = f"rollback from {label(wished or last)}{why and f': {why}'}"
        return move_alias(client, find_version(client, name, target), by, said)
