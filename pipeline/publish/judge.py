"""Judges a registered version before a person sees it: figures from MLflow, the gates' verdicts back as description and tags.

The version gets the few tags that a person chooses by, which MLflow's table shows; each gate's words go to its run.

All figures come from the versions' own runs, where they were written when each was built. One may have to be measured: the candidate's
bits per byte on the champion's held-out text, which the champion's run keeps. Where both were measured on the same text, by its
hash, there is nothing to measure; else the built model reads the champion's text here, just as the evaluate stage read its own.

What a verdict rests on (gates, champion, figures) stands on the run as one hash, written last. Where that has not changed there is
nothing to do, and a judge that was killed begins anew.
"""

import hashlib
import json
import math
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import NotDone, UserError
from pipeline.core.files import read_json
from pipeline.core.paths import CORPUS_REPORT, SPECIAL_TOKENS, TOKENIZER, TRAINED, VALIDATION
from pipeline.publish import gates, lineage, promotion, registry
from pipeline.publish.gates import VERDICT, Figures, percent
from pipeline.publish.registry import CHAMPION, HELD_OUT, facts, note
from pipeline.tracking import connected, fetch

RESTS_ON = "verdict.rests_on"
MOVED = re.compile(
    r"content_hash|run_id|git_(commit|dirty)|dvc\..*|corpus\.sources|served_(quant|sha256)|serving_sha256|held_out_sha256|"
    r"quant\..*|gate\..*|verdict\.rests_on|serving\.(at|by|why|reason|previous)"
)  # by lighten()
DESCRIPTION = "mlflow.note.content"  # MLflow's tag for a run's description
MAX_DESCRIPTION = 5000  # characters of a version's, in MLflow's database; PostgreSQL refuses more


@dataclass(frozen=True)
class Judged:
    version: int
    good: bool
    changed: bool  # False: it was judged so before
    promoted: bool  # by itself, just now
    said: str  # in one line
    report: str  # Markdown, empty where nothing changed


def figures(number: int, tags: dict[str, str], metrics: dict[str, float]) -> Figures:
    quant = tags.get("served_quant", "")

    def of(name: str) -> float | None:  # MLflow keeps NaN, which is no figure
        value = metrics.get(name)
        return None if value is None or not math.isfinite(value) else value

    loss = of(f"assess.types.{quant}.change_percent")
    return Figures(
        number,
        quant,
        of("evaluate.val.loss"),
        of("evaluate.val.bits_per_byte"),
        loss if loss is None else percent(loss),
        of(f"assess.types.{quant}.compiles"),
        of("exam.sets.people.rate"),
        of("exam.sets.people.api_rate"),
        of("exam.contaminated"),
        of("train.parameters"),
        of(f"quantize.{quant}.bytes"),
    )


def bits_per_byte(root: Path, corpus: Path) -> float:
    """Of the model built under `root` on a corpus file, as the evaluate stage measures it.

    Raises UserError where the model is not there or damaged.
    """
    import numpy as np

    from pipeline.data.pack import pack
    from pipeline.data.tokenizer import load_tokenizer
    from pipeline.evaluation.evaluate import nats
    from pipeline.model.checkpoint import load_model

    tokenizer = load_tokenizer(root / TOKENIZER)
    eos = tokenizer.token_to_id(read_json(root / SPECIAL_TOKENS)["eos"])
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, "held-out.bin")
        counts = pack(corpus, packed, root / TOKENIZER, eos, "uint32")
        tokens = np.fromfile(packed, dtype="<u4")
    return round(
        nats(load_model(root / TOKENIZER, root / TRAINED), tokens, eos, "champion's text")
        / math.log(2)
        / counts["bytes"],
        6,
    )


def on_champions_text(
    config: Config, tags: dict[str, str], champions: dict[str, str], run_id: str, own: Figures
) -> float | None:
    """The candidate's bits per byte on the held-out text that the champion's run keeps; None where it keeps none.

    Raises UserError where it has to be measured and the model is not there.
    """
    text = champions.get("held_out_sha256")
    if text is None:
        return None
    if text == tags.get("held_out_sha256"):
        return own.bits_per_byte
    with tempfile.TemporaryDirectory() as scratch:
        corpus = fetch(f"runs:/{run_id}/{HELD_OUT}/{VALIDATION.name}", text, Path(scratch))
        return bits_per_byte(config.root, corpus)


def artifact(client, run_id: str, path: Path) -> str:
    """Where MLflow's pages show a file of a run: a link that leads there from another of them."""
    return f"#/experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}/artifacts/{path.as_posix()}"


def heavy(client, name: str) -> list:
    """The versions that still carry what older code put on them."""
    return client.search_model_versions(f"name = '{name}' and tags.content_hash LIKE '%'")


def lighten(client, name: str) -> None:
    """Moves what older code put on the versions to their runs, and leaves the tags that a person chooses by. A version's content hash goes
    last, and by it one is known that is still to be done."""
    for version in heavy(client, name):
        run, tags = client.get_run(version.run_id).data, facts(client, version)
        if VERDICT in tags:
            promotion.tag(
                client,
                version,
                gates.chosen_by(tags[VERDICT] == "pass", figures(int(version.version), tags, run.metrics)),
            )
        if tags.get(promotion.STATUS) == "refused":
            promotion.tag(client, version, {promotion.REFUSAL: tags[promotion.REASON]})
        moved = {key: value for key, value in version.tags.items() if MOVED.fullmatch(key)}
        note(
            client,
            version,
            {key: value for key, value in moved.items() if key not in run.tags or key == lineage.SOURCES_TAG},
        )
        for key in sorted(moved, key="content_hash".__eq__):
            client.delete_model_version_tag(name, version.version, key)


def judge(config: Config, uri: str, ask: bool = False) -> Judged:
    """Judges the version of what is built here against the champion; with promotion: auto, a good one becomes it.

    Raises UserError where it is not registered, MLflow cannot be asked, or something has to be measured and cannot; with `ask` NotDone
    in place of doing anything.
    """
    name = config.serving.name
    with connected(uri) as client:
        if ask and heavy(client, name):
            raise NotDone
        lighten(client, name)
        _, champion = promotion.champion(client, name)
        if (found := registry.find_version(client, name, lineage.content_hash(config))) is None:
            raise UserError(f"what is built here is no version of {name}; `robo run` registers it")
        number, version = int(found.version), client.get_model_version(name, found.version)
        tags = facts(client, version)
        serves = champion is not None and champion.version == version.version
        if serves and RESTS_ON in tags:  # against the champion before it, which stays said
            return Judged(number, tags[VERDICT] == "pass", False, False, f"version {number} is the {CHAMPION}", "")
        champion = None if serves else champion
        champions = {} if champion is None else facts(client, champion)
        run, other = (
            client.get_run(version.run_id).data,
            None if champion is None else client.get_run(champion.run_id).data,
        )
        own = figures(number, tags, run.metrics)
        theirs = None if champion is None or other is None else figures(int(champion.version), champions, other.metrics)
        basis = [
            config.operations.gates.model_dump(),
            asdict(own),
            theirs and asdict(theirs),
            champions.get("content_hash"),
        ]
        rests_on = hashlib.sha256(json.dumps(basis).encode()).hexdigest()
        if changed := tags.get(RESTS_ON) != rests_on:
            if ask:
                raise NotDone
            there = None if champion is None else on_champions_text(config, tags, champions, champion.run_id, own)
            verdicts = gates.judge(config.operations.gates, own, theirs, there)
            good, failed = (
                gates.passed(verdicts),
                [f"{each.gate}: {each.why}" for each in verdicts if each.state == "fail"],
            )
            first, _, figures_measured = run.tags.get(DESCRIPTION, "").partition("\n")
            # MLflow's table of versions shows the first words only.
            stated = "Passes" if good else f"Fails {', '.join(each.gate for each in verdicts if each.state == 'fail')}"
            page = artifact(client, version.run_id, CORPUS_REPORT)
            link = (
                f"[What the corpus holds and what was left out]({page})\n\n" if "corpus.sources" in run.metrics else ""
            )
            above, below = f"{stated}: {first}\n\n{link}", f"\n\n---\n## Figures\n{figures_measured}"
            report = "\n".join(["## Gates", "", *gates.side_by_side(verdicts, own, theirs, there)])
            report += "\n".join(["\n\n---", "## Corpus", "", *gates.growth(run.metrics, other and other.metrics)])
            if champion is not None and other is not None:
                report += "\n".join(
                    [
                        "\n\n---",
                        f"## What changed since version {champion.version}",
                        "",
                        *gates.changed_text(tags, champions),
                        "",
                        "",
                    ]
                )
                room = MAX_DESCRIPTION - len(above + report + below)
                report += "\n".join(gates.changed_parameters(run.params, other.params, room))
            client.update_model_version(name, version.version, above + report + below)
            promotion.tag(client, version, gates.chosen_by(good, own))
            if other is not None:
                promotion.tag(client, version, {"changed": gates.changed(tags, champions, run.params, other.params)})
            note(client, version, {f"gate.{each.gate}": str(each) for each in verdicts} | {RESTS_ON: rests_on})
            against = f"against version {champion.version}" if champion else "without a champion to compare with"
            said = f"version {number} {'passes every gate' if good else 'fails'}, {against}" + "".join(
                f"; {each}" for each in failed
            )
        else:
            good, report, said = tags[VERDICT] == "pass", "", f"version {number} was judged: {tags[VERDICT]}"
        # Once for each version: one that was served, or wanted, and is the champion no more was taken back by somebody.
        promoted = (
            good
            and not serves
            and config.operations.promotion == "auto"
            and not {promotion.STATUS, promotion.WISHED_BY} & {*tags}
        )
        if promoted:
            if ask:
                raise NotDone
            said += f"; {promotion.move_alias(client, version, 'promotion: auto', 'every gate passed')[1]}"
        return Judged(number, good, changed, promoted, said, report)
