"""Copies of files, held-out text in taught files, and what is to be removed: what counts as one, and what does not."""

import json
import random

import numpy as np
import pytest
from stages import copy_configs, run_stage
from test_prepare import BASE, DIALS, raw_files

from pipeline.core.config import read_removed
from pipeline.core.errors import UserError
from pipeline.core.files import read_jsonl
from pipeline.core.shingles import hashed, runs
from pipeline.data import contamination, copies, removal
from pipeline.data.prepare import prepare
from pipeline.data.secrets import replaced


def driver(name: str, first: int = 0, methods: int = 12) -> str:
    """A driver that shares nothing with one of another name but its shape."""
    return f"import machine\n\n\nclass {name.title()}:\n" + "".join(
        f"    def {name}_{n}(self, value_{name}):\n        self.{name}_bus.writeto_mem({n + first}, {name}_register_{n}, value_{name})\n\n"
        for n in range(first, first + methods)
    )


def measure(one: str, other: str) -> float:
    return copies.alike(copies.measured(one), copies.measured(other))


HEADER = "# Copyright (c) 2020 Anna\n" + "# Permission is hereby granted, free of charge, to any person\n" * 20
LCD = driver("lcd")


@pytest.mark.parametrize(
    "other, is_copy",
    [
        (HEADER + LCD, True),  # a header more or less
        (LCD.replace("\n\n", "\n    # the next one\n\n"), True),
        (LCD.replace("(", "(\n            ").replace(", ", ",\n            "), True),  # another formatting
        (LCD.replace("    ", "\t"), True),
        (LCD + driver("own", methods=1), True),  # a version with a method more
        (LCD.replace("machine", "umachine").replace("Lcd", "Display"), True),
        (LCD.replace("lcd", "oled"), False),  # the same shape with other names is another driver
        (HEADER + driver("dac"), False),
        (LCD + driver("own"), False),  # half of it
        (HEADER, False),
        ("# " + LCD.replace("\n", "\n# "), False),
    ],
)
def test_what_is_a_copy(other, is_copy):
    assert (measure(HEADER + LCD, other) >= DIALS["max_alike"]) == is_copy


def test_quotation_marks_and_texts():
    """A text is one token, whatever stands in it, and signs in it begin no comment."""
    one = "".join(f"print('number {n} # {n}', value_{n})\n" for n in range(30))
    assert measure(one, one.replace("'", '"')) == 1.0
    assert measure(one, one.replace("#", "no.")) < 0.1, "each line has another text"
    assert measure('x = """\n' + LCD, LCD) == 1.0, "by its lines"
    assert len(copies.measured('x = """\n' + LCD)[1]) == 0, "in three quotation marks it is one token"


def variants(count: int) -> list[str]:
    """That many texts of a few families, some alike and some half alike, as a corpus has them."""
    draw, texts = random.Random(7), []
    for family in range(count // 8):
        lines = [f"family_{family}_line_{n} = call_{n % 7}({family}, {n})" for n in range(60)]
        for _ in range(8):
            changed = list(lines)
            for place in draw.sample(range(60), draw.choice((0, 1, 2, 3, 5, 9, 20, 40))):
                changed[place] = f"own_{draw.random()} = {place}"
            texts.append("\n".join(changed))
    return texts


def test_both_ways_find_what_comparing_all_finds():
    texts, least = variants(160), DIALS["max_alike"]
    order = random.Random(3).sample(range(len(texts)), len(texts))
    sets, wanted, stay = [copies.measured(text) for text in texts], {}, []
    for n in order:
        near = [other for other in stay if copies.alike(sets[n], sets[other]) >= least]
        if near:
            wanted[n] = near[0]
        else:
            stay.append(n)
    assert 20 < len(wanted) < 120
    signatures = np.array([copies.bands(text)["bands"] for text in texts])
    for found in (copies.copies(texts, order, set(), least), copies.copies(texts, order, set(), least, signatures)):
        assert {n: copy.of for n, copy in found.items()} == wanted


def test_a_family_of_forty_is_compared_with_the_one_that_stays(monkeypatch):
    calls, alike = [], copies.alike
    monkeypatch.setattr(copies, "alike", lambda one, other: calls.append(1) or alike(one, other))
    texts = [f"{LCD}    x = {n}\n" for n in range(40)]
    assert set(copies.copies(texts, range(40), set(), 0.85)) == set(range(1, 40)) and len(calls) == 39


def test_what_is_known_is_no_copy_itself():
    assert copies.copies([LCD, LCD, LCD], [0, 1, 2], {0, 1}, 0.85) == {2: copies.Copy(0, 1.0)}


def prepared(tmp_path, files, dials=DIALS, licences=(), **more) -> dict[str, str]:
    """SOURCE/PATH -> reason, of what is rejected."""
    raw = raw_files(tmp_path / "raw", BASE | files)
    (raw / "licenses.jsonl").write_text(
        "".join(json.dumps({"source": source, "path": path, "text": text}) + "\n" for source, path, text in licences)
    )
    prepare(dials, raw, tmp_path / "out", **more)
    return {f"{row['source']}/{row['path']}": row["reason"] for row in read_jsonl(tmp_path / "out/rejected.jsonl")}


def test_of_copies_the_best_stays(tmp_path):
    """Whoever is taught, then by licence, then the longer one, and else by name."""
    longer = LCD + driver("own", methods=2)
    dials = {**DIALS, "licenses": ["Permissive", "Public Domain", "Copyleft"]}
    files = {
        "held/lcd.py": longer,
        "more/lcd.py": LCD,
        "lib/lcd.py": longer,
        "lib/gpl.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + driver("pump", methods=14),
        "more/pump.py": driver("pump"),
        "lib/same.py": driver("fan") + "    # a word more\n",
        "more/same.py": driver("fan"),
    }
    expected = {
        "held/lcd.py": "near duplicate of lib/lcd.py: 100% of both",
        "more/lcd.py": "near duplicate of lib/lcd.py: 86% of both",
        "lib/gpl.py": "near duplicate of more/pump.py: 86% of both",
        "more/same.py": "near duplicate of lib/same.py: 100% of both",
    }
    files["held/lcd.py"] += "# held out\n"
    assert prepared(tmp_path, files, dials) == expected
    assert prepared(tmp_path, files, {**dials, "exact_bytes": 0}) == expected, "by MinHash"
    assert set(prepared(tmp_path, files, {**dials, "max_alike": 0.95})) == {"held/lcd.py", "more/same.py"}


def test_a_copy_of_somebodys_gpl_file_is_found(tmp_path):
    gpl = "# SPDX-License-Identifier: GPL-3.0-only\n" + driver("pump")
    found = prepared(tmp_path, {"lib/gpl.py": gpl, "more/pump.py": driver("pump") + "    # mine\n", "more/lcd.py": LCD})
    assert found == {
        "lib/gpl.py": "licence: claimed MIT, found GPL-3.0-only (line 1: '# SPDX-License-Identifier: GPL-3.0-only')",
        "more/pump.py": "licence: a copy of lib/gpl.py, which stays out: claimed MIT, found GPL-3.0-only (line 1: "
        "'# SPDX-License-Identifier: GPL-3.0-only')",
    }


# --- what is held out -------------------------------------------------------------------------------------------------

REQUEST = "I would like the blue lamp at pin fifteen to go on for half a second, then off, over and over again please."
TASKS = [contamination.Asked("people", "lamp", REQUEST, LCD)]
WORDS = [f"word{n}" for n in range(400)]


def prose(first: int, last: int) -> str:
    return "".join(f"# {' '.join(WORDS[n : min(n + 8, last)])}\n" for n in range(first, last, 8))


LICENCE = " ".join(WORDS[300:400])


@pytest.mark.parametrize(
    "taught, found",
    [
        (prose(0, 49), False),
        (prose(0, 50), True),  # a passage of 50 words
        ("x = 1\n" + prose(10, 40) + "y = 2\n" + prose(100, 140), True),  # or in pieces: 18 and 28 runs
        (prose(0, 40).replace("word20", "other"), False),
        (prose(300, 400), False),  # a licence
        (prose(200, 300), False),  # what stands in eleven files
        ("# I would like the motor to go on", False),
        (f"# {REQUEST}", True),
        (f"# {REQUEST.replace('blue', 'red').replace('please', '')}", True),
        (LCD, True),
        (driver("lcd", methods=4), False),
    ],
)
def test_what_is_taught_must_not_hold_what_is_held_out(taught, found):
    texts = [prose(0, 400), *(f"x{n} = 1\n" + prose(200, 300) for n in range(11)), taught]
    rows = [{"source": "lib", "path": f"{n}.py", "split": "train" if n else "val"} for n in range(len(texts))]
    said = contamination.said(texts, rows, dict.fromkeys(range(len(texts)), ""), TASKS, [LICENCE])
    assert set(said) == ({len(texts) - 1} if found else set())


def test_half_of_a_short_held_out_text_is_enough(tmp_path):
    short = prose(0, 30)
    found = prepared(
        tmp_path,
        {"held/short.py": "import machine\n" + short, "lib/long.py": driver("lcd") + prose(3, 27)},
        exam=tmp_path,
    )
    assert found == {"lib/long.py": "holds held-out text: 12 of 20 runs of 13 words of held/short.py"}


def test_the_exam_is_read_and_named(tmp_path):
    folder = tmp_path / "exam/people"
    folder.mkdir(parents=True)
    (folder / "lamp.yaml").write_text(json.dumps([{"id": "lamp", "request": REQUEST, "solution": LCD, "check": []}]))
    found = prepared(tmp_path, {"lib/leak.py": f"# {REQUEST}\nimport machine\n"}, exam=tmp_path / "exam")
    assert found == {"lib/leak.py": "holds the exam: 100% of the request of people/lamp"}
    (folder / "lamp.yaml").write_text("- {id: lamp}\n")
    with pytest.raises(
        UserError, match=r"lamp.yaml: is no list of tasks, each with id, request and solution; `robo exam`"
    ):
        contamination.asked(tmp_path / "exam")


def test_runs_are_the_same_everywhere():
    """In every process and by every version of Python and numpy."""
    assert runs(hashed(["a", "b", "c", "a", "b", "c"]), 3).tolist() == [
        6102288304939301556,
        13736147689020274742,
        16822501301376773147,
    ]
    assert len(runs(hashed("ab"), 3)) == 0


# --- what is to be removed --------------------------------------------------------------------------------------------

NOTHING = {"packages": [], "authors": [], "files": [], "hashes": []}
REASON = "removed: {} of configs/removed.yaml"


def test_what_is_removed(tmp_path):
    files = {
        "more/a.py": LCD,
        "lib/file.py": driver("pump"),
        "lib/mine.py": "# by  Anna\tBeispiel (c)\n" + driver("fan"),
        "lib/mail.py": "# anna@beispiel-und-co.de\n" + driver("dac"),
        "lib/anna.py": "# by Hanna Beispielmann\n" + driver("adc"),
        "lib/theirs/b.py": driver("motor"),
        "held/fan.py": driver("fan") + "    x = 1\n",
        "held/pump.py": driver("pump") + driver("more") + "    x = 1\n",
        "last/lcd.py": driver("lcd") + "    x = 1\n",
    }
    removed = {
        "packages": ["more"],
        "authors": ["anna beispiel", "anna@beispiel-und-co.de"],
        "files": ["lib/file.py"],
        "hashes": [],
    }
    found = prepared(
        tmp_path, files, licences=[("lib", "theirs/LICENSE", "MIT\nCopyright (c) Anna Beispiel")], removed=removed
    )
    assert found == {
        "more/a.py": REASON.format("packages.0"),
        "lib/file.py": REASON.format("files.0"),
        "lib/mine.py": REASON.format("authors.0"),
        "lib/mail.py": REASON.format("authors.1"),
        "lib/theirs/b.py": REASON.format("authors.0"),
        "held/fan.py": "removed: a copy of lib/mine.py",
    }, "copies of a package or of a file are others'"
    assert "eispiel" not in (tmp_path / "out/rejected.jsonl").read_text().replace("Beispielmann", "")


def test_a_hash_means_the_content(tmp_path):
    """raw_files() gives all files the hash 0."""
    raw = raw_files(tmp_path / "raw", BASE | {"more/b.py": LCD + "    x = 1\n", "lib/b.py": LCD})
    rows = list(read_jsonl(raw / "provenance.jsonl"))
    (raw / "provenance.jsonl").write_text(
        "".join(json.dumps(row | {"sha256": "a" * 64 if row["source"] == "more" else "0"}) + "\n" for row in rows)
    )
    prepare(DIALS, raw, tmp_path / "out", {**NOTHING, "hashes": ["a" * 64], "files": ["more/b.py"]})
    assert [row["reason"] for row in read_jsonl(tmp_path / "out/rejected.jsonl")] == [
        "removed: a copy of more/b.py",
        REASON.format("files.0, hashes.0"),
    ]


@pytest.mark.parametrize(
    "content, said",
    [
        ({"package": []}, ["package: unknown key; did you mean 'packages'?", "packages: missing; must be a list"]),
        ({"hashes": ["abc"]}, ["hashes.0: must be 64 hexadecimal digits in lower case, not 'abc'"]),
        ({"authors": ["Anna"]}, ["authors.0: must be a name of at least two words", "not 'Anna'"]),
        ({"files": ["wifi.py"]}, ["files.0: must be a file as SOURCE/PATH", "not 'wifi.py'"]),
        ({"packages": "upyutils"}, ["packages: input should be a valid list"]),
        ({"packages": ["a", "a"]}, ["packages: a: stands there twice"]),
    ],
)
def test_a_wrong_list_is_told(tmp_path, content, said):
    root = copy_configs(tmp_path)
    whole = {key: value for key, value in NOTHING.items() if not (key == "packages" and "package" in content)}
    (root / "configs/removed.yaml").write_text(json.dumps(whole | content))
    with pytest.raises(UserError) as error:
        read_removed(root)
    assert all(f"configs/removed.yaml: {each}" in str(error.value) or each in str(error.value) for each in said)
    assert "configs/removed.yaml: " in str(error.value)


def test_entries_that_mean_nothing_are_told(tmp_path):
    root = copy_configs(tmp_path)
    (root / "configs/removed.yaml").write_text(
        json.dumps({**NOTHING, "packages": ["libb", "more"], "authors": ["Anna B"]})
    )
    line = "    # {0}: a line more, so that it is long enough, {0}\n"
    raw_files(root / "data/raw", {name: text + line.format(name) for name, text in (BASE | {"more/x.py": LCD}).items()})
    done = run_stage(root, "prepare")
    assert done.returncode == 0, done.stderr
    assert (
        "configs/removed.yaml: nothing that was collected is meant by packages.0 (libb), authors.0 (Anna B)"
        in done.stdout
    )


def test_secrets_do_not_hide_an_author():
    """E-mail addresses are replaced in what is taught, so they are sought before that."""
    text = "# anna@beispiel-und-co.de\n"
    assert removal.names(text, "Anna@beispiel-und-co.de") and not removal.names(
        replaced(text)[0], "anna@beispiel-und-co.de"
    )
