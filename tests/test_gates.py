"""The gates as plain functions, then judging in a real MLflow: figures, champion's text, tags, description, auto promotion."""

import json
from dataclasses import replace

import pytest
from project import GATES, as_older_code, change_config, commit, retrain, write
from tiny import DOCUMENTS

from pipeline.core.config import Config
from pipeline.core.errors import UserError
from pipeline.core.schema import Gates
from pipeline.publish import gates, promotion
from pipeline.publish.gates import VERDICT, Figures, judge, passed
from pipeline.publish.judge import RESTS_ON, bits_per_byte
from pipeline.publish.judge import judge as judge_version
from pipeline.publish.registry import facts, register

NAME = "robo-micropython"
LIMITS = Gates(**GATES)
OFF = Gates(
    max_val_loss=None,
    max_bits_per_byte_rise=None,
    max_quant_loss=None,
    min_syntax_rate=None,
    min_people_rate=None,
    min_api_rate=None,
)
GOOD = Figures(
    4,
    "Q4_K_M",
    val_loss=1.5,
    bits_per_byte=0.8,
    quant_loss=0.5,
    syntax_rate=0.75,
    people_rate=0.6,
    api_rate=0.95,
    contaminated=0,
    parameters=1e6,
    served_bytes=2e6,
)
CHAMPION = replace(GOOD, version=3, bits_per_byte=1.0)


def states(verdicts):
    return {each.gate: each.state for each in verdicts}


@pytest.mark.parametrize(
    "figure, at_the_limit, beyond, gate",
    [
        ("val_loss", 1.9999, 2.0, "val_loss"),
        ("quant_loss", 1.0, 1.01, "quant_loss"),
        ("syntax_rate", 0.5, 0.49, "syntax_rate"),
        ("people_rate", 0.5, 0.499, "people_rate"),
        ("api_rate", 0.9, 0.899, "api_rate"),
    ],
)
def test_each_gate_at_its_limit(figure, at_the_limit, beyond, gate):
    for value, state in ((at_the_limit, "pass"), (beyond, "fail"), (None, "fail")):
        found = states(judge(LIMITS, replace(GOOD, **{figure: value}), None, None))
        assert found == {
            **dict.fromkeys(
                ("val_loss", "bits_per_byte", "quant_loss", "syntax_rate", "people_rate", "api_rate"), "pass"
            ),
            gate: state,
        }
    assert states(judge(OFF, replace(GOOD, **{figure: beyond}), None, None))[gate] == "off"


def test_bits_per_byte_are_compared_on_the_champions_text():
    """Its own figure, on text of its own, says nothing."""
    for there, state in ((1.01, "pass"), (0.9, "pass"), (1.0101, "fail"), (None, "fail")):
        assert states(judge(LIMITS, replace(GOOD, bits_per_byte=9.0), CHAMPION, there))["bits_per_byte"] == state
    assert (
        not passed(judge(LIMITS, GOOD, CHAMPION, 1.2))
        and passed(judge(OFF, GOOD, CHAMPION, 1.2))
        and passed(judge(LIMITS, GOOD, None, None))
    )
    assert (
        str(judge(LIMITS, GOOD, CHAMPION, 1.02)[1])
        == "fail: 1.0200 on the held-out text of version 3, +2.00%, may be +1%"
    )
    assert (
        str(judge(LIMITS, replace(GOOD, quant_loss=gates.percent(-0.0001)), None, None)[2])
        == "pass: Q4_K_M loses 0.00%, may lose 1%"
    )


def test_a_model_that_has_read_the_exam_does_not_pass_it():
    read = replace(GOOD, people_rate=1.0, contaminated=3)
    assert "fail: 3 of the exam's tasks stand in the training text" in map(
        lambda each: str(each).split(", see")[0], judge(LIMITS, read, None, None)
    )
    assert states(judge(OFF, read, None, None))["people_rate"] == "off"


def test_both_versions_stand_beside_each_other():
    rows = gates.side_by_side(judge(LIMITS, GOOD, CHAMPION, 0.9), GOOD, replace(CHAMPION, people_rate=None), 0.9)
    assert (
        "| people's requests answered | 60.0% | - | pass: 60.0% of people's requests answered, must be 50.0% |" in rows
    )
    assert "| names that exist | 95.0% | 95.0% | pass: 95.0% of the names used exist, must be 90.0% |" in rows


def test_what_changed_is_told():
    one = {"dvc.corpus": "a", "dvc.weights": "1", "corpus.sources": "periph 1.2.1 (MIT); microdot 2.7.0 (MIT)"}
    other = {"dvc.corpus": "b", "dvc.weights": "1", "corpus.sources": "periph 1.2.1 (MIT); microdot 2.6.0 (MIT)"}
    told = "\n".join(gates.changed_text(one, other))
    assert (
        "other: training text;" in told
        and "came: microdot 2.7.0 (MIT)" in told
        and "went: microdot 2.6.0 (MIT)" in told
        and "periph" not in told
    )
    rows = gates.changed_parameters(
        {"training.learning_rate": "0.003", "operations.keep": "3", "temperature": "1", "serving.template": "a|\n`b`"},
        {"training.learning_rate": "0.001", "operations.keep": "4", "temperature": "2", "model.d_ff": "9"},
        1000,
    )
    assert rows[2:] == [
        "| model.d_ff | - | `9` |",
        r"| serving.template | `a\|\n'b'` | - |",
        "| training.learning_rate | `0.003` | `0.001` |",
    ]
    assert gates.changed_parameters({"a": "1"}, {"a": "1"}, 1000) == ["- no parameter"]


@pytest.mark.parametrize(
    "tags, params, said",
    [
        ({}, {}, "nothing"),
        ({"dvc.weights": "2"}, {}, "weights alone"),
        ({"dvc.weights": "2", "dvc.corpus": "b"}, {}, "training text"),
        ({"dvc.weights": "2"}, {"training.seed": "8", "operations.keep": "4"}, "seed"),
        ({"dvc.tokenizer": "b"}, {f"model.k{n}": "9" for n in range(6)}, "k0, k1, k2, k3, k4 and 2 more"),
    ],
)
def test_what_changed_in_a_few_words(tags, params, said):
    one, other = (
        {"dvc.weights": "1", "dvc.corpus": "a", "dvc.tokenizer": "a"},
        {"training.seed": "7", "operations.keep": "3"},
    )
    assert gates.changed(one | tags, one, other | params, other) == said


def test_what_tells_models_apart_that_answer_nothing():
    assert "syntax" not in gates.chosen_by(True, GOOD) and gates.chosen_by(True, GOOD)["exam"] == "60%"
    for rate in (0.0, None):
        tags = gates.chosen_by(False, replace(GOOD, people_rate=rate, served_bytes=None))
        assert tags == {VERDICT: "fail", "syntax": "75%", "bpb": "0.8000", "served": "Q4_K_M"}


def test_growth_of_the_corpus_is_told():
    before = {
        "prepare.train.bytes": 100,
        "prepare.train.documents": 4,
        "corpus.sources": 2,
        "prepare.rejected.duplicate": 1,
    }
    before |= {
        "corpus.licenses.MIT": 100,
        "corpus.languages.English": 90,
        "corpus.languages.Czech": 10,
        "evaluate.val.loss": 2,
    }
    now = {
        "prepare.train.bytes": 150,
        "prepare.train.documents": 5,
        "corpus.sources": 3,
        "prepare.rejected.long lines": 3,
    }
    now |= {
        "corpus.licenses.MIT": 100,
        "corpus.licenses.ISC": 50,
        "corpus.languages.English": 150,
        "evaluate.val.loss": 1,
    }
    assert gates.growth(now, before)[2:] == [
        "| training text, bytes | 150 | 100 | +50 (+50.0%) |",
        "| training text, files | 5 | 4 | +1 (+25.0%) |",
        "| sources | 3 | 2 | +1 (+50.0%) |",
        "| files left out | 3 | 1 | +2 (+200.0%) |",
        "| text with comments in English, bytes | 150 | 90 | +60 (+66.7%) |",
        "| text under ISC, bytes | 50 | 0 | +50 |",
        "| text with comments in Czech, bytes | 0 | 10 | -10 (-100.0%) |",
    ]
    assert gates.growth(now, None)[2:4] == ["| training text, bytes | 150 |", "| training text, files | 5 |"]
    # a champion of before these figures were taken says of some of them nothing, which is not that they were none
    older = {"prepare.train.bytes": 100}
    told = gates.growth(now, older)
    assert told[2] == "| training text, bytes | 150 | 100 | +50 (+50.0%) |" and told[4] == "| sources | 3 | - | - |"
    assert not [row for row in told if "ISC" in row]
    many = {f"corpus.licenses.LicenseRef-{n}": 10 + n for n in range(20)}
    largest = gates.growth(now | many, before)[6:]
    assert (
        len(largest) == gates.MOST_GROWN and "English" in largest[0] and "LicenseRef-19, bytes | 29 | 0" in largest[2]
    )


def test_what_changed_is_told_in_the_room_there_is():
    """Another corpus brings hundreds of packages, each with its keys; what else changed stands before them."""
    sources = {"corpus.sources": "; ".join(f"package-{n} 1.0 (MIT)" for n in range(400))}
    assert gates.changed_text(sources, {})[1].endswith("package-7 1.0 (MIT) and 392 more")
    keys, before = ({f"corpus.sources.package-{n}.version": version for n in range(400)} for version in ("1.0", "0.9"))
    rate = {"training.learning_rate": "0.003"}
    assert gates.changed_parameters(keys | rate, {}, 500)[2:] == ["| training.learning_rate | `0.003` | - |"], (
        "which packages came stands above"
    )
    rows = gates.changed_parameters(keys | rate, before, 500)
    assert rows[2] == "| training.learning_rate | `0.003` | - |" and rows[3].startswith(
        "| corpus.sources.package-0.version "
    )
    assert rows[-1] == f"| and {401 - (len(rows) - 3)} more | | |" and 400 < len("\n".join(rows)) <= 500


# --- in MLflow --------------------------------------------------------------------------------------------------------


def version(mlflow, number):
    return mlflow.get_model_version(NAME, str(number))


def trained(project, loss, bits):
    """Another outcome of training, this good."""
    write(
        project / "metrics/evaluate.json",
        {"val": {"loss": loss, "bits_per_byte": bits}, "test": {"loss": loss, "bits_per_byte": bits}},
    )
    retrain(project)


def test_the_verdict_stands_on_the_version(project, uri, mlflow):
    register(Config(project), uri)
    first = judge_version(Config(project), uri)
    assert (
        first.changed
        and not first.good
        and not first.promoted
        and "val_loss: 2.7500 nats per token, must be below 2" in first.said
    )
    size = f"Q4_K_M, {(project / 'models/quantized/Q4_K_M.gguf').stat().st_size / 1e6:.1f} MB"
    assert version(mlflow, 1).tags == {VERDICT: "fail", "exam": "60%", "bpb": "1.2345", "served": size}
    tags = facts(mlflow, version(mlflow, 1))
    assert tags["gate.val_loss"].startswith("fail: 2.75") and tags["gate.syntax_rate"].startswith("pass: 75%")
    described = version(mlflow, 1).description
    assert described.startswith("Fails val_loss: 1.2345 bits per byte (val)") and "no champion yet" in described
    page = f"#/experiments/{mlflow.get_experiment_by_name(NAME).experiment_id}/runs/{version(mlflow, 1).run_id}/artifacts/reports/corpus.md"
    assert (
        f"[What the corpus holds and what was left out]({page})" in described
        and "| training text, bytes | 14 |" in described
    )
    again = judge_version(Config(project), uri)
    assert not again.changed and not again.good and again.said == "version 1 was judged: fail"

    # better, and against a champion on the same held-out text: nothing has to be measured
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    change_config(project, "configs/training/cpu-minutes.yaml", seed=8)
    write(project / "metrics/prepare.json", {"train": {"documents": 2, "bytes": 21}, "rejected": {"too short": 3}})
    trained(project, 1.5, 1.0)
    register(Config(project), uri)
    second = judge_version(Config(project), uri)
    assert second.good and second.said == "version 2 passes every gate, against version 1"
    described = version(mlflow, 2).description
    assert "| loss on held-out packages | 1.5000 | 2.7500 | pass: 1.5000 nats per token, must be below 2 |" in described
    assert "1.0000 on the held-out text of version 1, -19.00%" in described
    assert "| training.seed | `8` | " in described and "other: weights;" in described
    assert (
        "| training text, bytes | 21 | 14 | +7 (+50.0%) |" in described
        and "| files left out | 3 | 3 | +0 (+0.0%) |" in described
    )
    assert "| Q8_0 |" in described  # what it said before is there still
    assert version(mlflow, 2).tags == {
        VERDICT: "pass",
        "exam": "60%",
        "bpb": "1.0000",
        "served": size,
        "changed": "seed",
    }
    assert (
        not judge_version(Config(project), uri).changed and promotion.champion(mlflow, NAME)[1].version == 1
    )  # a person promotes

    # other limits, another verdict; the champion itself keeps the one it has
    limits = Config(project).operations.gates.model_dump()
    change_config(project, "configs/operations/robo-micropython.yaml", gates={**limits, "max_val_loss": 1.4})
    assert judge_version(Config(project), uri).changed and version(mlflow, 2).tags[VERDICT] == "fail"
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    before = version(mlflow, 2).tags
    assert judge_version(Config(project), uri).said == "version 2 is the champion" and version(mlflow, 2).tags == before


def test_other_held_out_text_is_read_by_the_model(project, uri, mlflow):
    """Bits per byte of the built model on the champion's text, not on its own; they are those of the very text it keeps."""
    corpus = project / "data/processed/val_corpus.jsonl"
    for number, documents in ((1, DOCUMENTS[:1]), (2, DOCUMENTS[2:])):
        corpus.write_text(
            "".join(
                json.dumps({"source": "s", "version": "1", "license": "MIT", "text": text}) + "\n" for text in documents
            )
        )
        write(
            project / "metrics/evaluate.json", {"val": {"loss": 1.0, "bits_per_byte": bits_per_byte(project, corpus)}}
        )
        retrain(project) if number == 2 else commit(project)
        register(Config(project), uri)
        if number == 1:
            there = bits_per_byte(project, corpus)
            mlflow.set_registered_model_alias(NAME, "champion", "1")
    judge_version(Config(project), uri)
    # the same weights on the champion's text: just as good there, whatever its own text gives
    assert facts(mlflow, version(mlflow, 2))["gate.bits_per_byte"].startswith(
        f"pass: {there:.4f} on the held-out text of version 1, +0.00%"
    )
    assert f"{bits_per_byte(project, corpus):.4f}" != f"{there:.4f}"


def test_auto_promotes_once(project, uri, mlflow):
    change_config(project, "configs/operations/robo-micropython.yaml", promotion="auto")
    register(Config(project), uri)
    assert not judge_version(Config(project), uri).promoted and promotion.champion(mlflow, NAME)[1] is None  # it fails
    trained(project, 1.5, 1.0)
    register(Config(project), uri)
    assert judge_version(Config(project), uri).promoted and promotion.champion(mlflow, NAME)[1].version == 2
    assert version(mlflow, 2).tags[promotion.WISHED_BY] == "promotion: auto"
    assert not judge_version(Config(project), uri).promoted
    # a person takes it back: the next run leaves it there
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    assert not judge_version(Config(project), uri).promoted and promotion.champion(mlflow, NAME)[1].version == 1


def test_a_judge_killed_half_way_begins_anew(project, uri, mlflow):
    register(Config(project), uri)
    judge_version(Config(project), uri)
    mlflow.delete_tag(version(mlflow, 1).run_id, RESTS_ON)  # what is written last
    mlflow.delete_model_version_tag(NAME, "1", VERDICT)
    assert judge_version(Config(project), uri).changed and version(mlflow, 1).tags[VERDICT] == "fail"


def test_what_older_code_left_is_moved(project, uri, mlflow):
    """A version keeps the tags to choose by and those that a person gave it; all else is on its run, and is no other than before."""
    register(Config(project), uri)
    judge_version(Config(project), uri)
    promotion.record(mlflow, version(mlflow, 1), facts(mlflow, version(mlflow, 1)), "proof")
    before = facts(mlflow, version(mlflow, 1))
    as_older_code(uri, 1)
    mlflow.set_model_version_tag(NAME, "1", "mine", "yes")
    assert len(version(mlflow, 1).tags) > 25 and RESTS_ON in version(mlflow, 1).tags
    assert judge_version(Config(project), uri).said == "version 1 was judged: fail"  # nothing new
    assert version(mlflow, 1).tags.keys() == {VERDICT, "exam", "bpb", "served", promotion.STATUS, "mine"}
    assert facts(mlflow, version(mlflow, 1)) == before | {"mine": "yes"}


def test_moving_begins_anew_and_keeps_what_is_newer(project, uri, mlflow):
    register(Config(project), uri)
    as_older_code(uri, 1)
    mlflow.set_model_version_tag(NAME, "1", promotion.BY, "long ago")
    mlflow.set_tag(version(mlflow, 1).run_id, promotion.BY, "now")
    mlflow.delete_model_version_tag(NAME, "1", "served_quant")  # a process that was killed had come so far
    judge_version(Config(project), uri)
    found = facts(mlflow, version(mlflow, 1))
    assert (
        found[promotion.BY] == "now"
        and found["served_quant"] == "Q4_K_M"
        and promotion.BY not in version(mlflow, 1).tags
    )


def test_not_registered(project, uri):
    with pytest.raises(UserError, match="no version of robo-micropython; `robo run` registers it"):
        judge_version(Config(project), uri)
