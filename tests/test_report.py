"""The report on a corpus: what it counts is what prepare left, it shows no secret and nothing that a stranger's file could be called, and machines
read the text by it."""

import json
import socket
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from stages import copy_configs, files_under, run_stage
from test_prepare import DIALS, GOOD, raw_files

from pipeline.core.files import read_json, read_jsonl, sha256, write_json
from pipeline.core.paths import SPLITS
from pipeline.data import croissant, report
from pipeline.data.languages import UNTOLD, language
from pipeline.data.prepare import prepare

PASSWORD = "tulip77-Xq"
MORE = "\n\ndef more_{}(pin):\n    pin.off()\n    pin.toggle()\n"
FILES = {
    "lib/a.py": GOOD.format("a"),
    "lib/de.py": '"""Schaltet die Lampe ein, wenn es dunkel wird, und wieder aus, wenn die Sonne scheint."""\n'
    + GOOD.format("de"),
    "lib/gpl.py": "# Released under the GPLv3.\n" + GOOD.format("gpl"),
    "lib/wifi.py": f"import network\n\nwlan = network.WLAN(network.STA_IF)\nwlan.connect('Villa Anna', '{PASSWORD}')\n",
    "lib/short.py": "x = 1\n",
    "more/b.py": "# SPDX-License-Identifier: ISC\n" + GOOD.format("b") + MORE.format("b"),
    "more/c`|\n<script>alert(1)</script>![](http://x/y).py": GOOD.format("a"),
    "held/d.py": GOOD.format("d"),
    "held/b.py": "# SPDX-License-Identifier: ISC\n" + GOOD.format("b") + MORE.format("b") + "pin = 3\n",
    "last/e.py": GOOD.format("e"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project that has a corpus, made by prepare itself, and the report on it."""
    root = copy_configs(tmp_path_factory.mktemp("report") / "project")
    counts = prepare(DIALS, raw_files(root / "data/raw", FILES), root / "data/processed")
    write_json(root / "metrics/prepare.json", counts)
    done = run_stage(root, "report")
    assert done.returncode == 0, done.stderr
    return root


def cells(text: str, first: str) -> list[str]:
    """The other cells of the row of a Markdown table that begins so."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return row.strip("| ").split(" | ")[1:]


@pytest.mark.parametrize(
    "program, spoken",
    [
        ("# Turns the lamp on as soon as somebody opens the door of the room\nled.on()\n", "English"),
        ('def on():\n    """Schaltet die Lampe ein, sobald jemand die Tür öffnet."""\n', "German"),
        ("# Enciende la lámpara cuando alguien abre la puerta\nled.on()\n", "Spanish"),
        ("# включает лампу, когда кто-то открывает дверь\nled.on()\n", "Russian"),
        ("# 发送文本，阻塞等待回复，然后关闭连接\nsend()\n", "Chinese"),
        (
            "print('Turns the lamp on as soon as somebody opens the door of the room')\n",
            UNTOLD,
        ),  # what the program says to others
        ("# Copyright (c) 2024 Jose D. Montoya and the contributors of this very package\nx = 1\n", UNTOLD),
        ("# on\nled.on()\n", UNTOLD),
        ("x = '#' + y  # Turns the lamp on as soon as somebody opens the door\n", "English"),
    ],
)
def test_the_language_of_comments_is_told(program, spoken):
    assert language(program) == spoken


def test_it_counts_what_prepare_left(built):
    counts, found, text = (
        read_json(built / "metrics/prepare.json"),
        report.holdings(built / "data/processed"),
        (built / "reports/corpus.md").read_text(),
    )
    assert {
        split: dict(files=counts[split]["documents"], bytes=counts[split]["bytes"]) for split in SPLITS
    } == found.splits
    assert {why: count["files"] for why, count in found.reasons.items()} == counts["rejected"]
    assert counts["rejected"].keys() == {"duplicate", "licence", "near duplicate", "shorter than 20 bytes"}
    for part in (found.licenses, found.languages, found.sources):
        assert sum(count["bytes"] for count in part.values()) == found.bytes
    rows = list(read_jsonl(built / "data/processed/train_corpus.jsonl"))
    isc = sum(len(row["text"].encode()) for row in rows if row["license"] == "ISC")
    assert cells(text, "ISC") == ["1", f"{isc:,}", f"{isc / found.bytes:.1%}"] and cells(text, "German")[0] == "1"
    assert cells(text, "lib")[:4] == ["(local)", "train", "MIT", "3"] and cells(text, "lib")[-1] == "2"
    assert cells(text, "more")[:3] == ["1.0", "train", "ISC"] and cells(text, "duplicate")[0] == "1"
    assert "- `lib/gpl.py`: `claimed MIT, found GPL-3.0-only (line 1: " in text
    assert "1 file equal to another and 1 near to one are left out; 2 files stay in their place." in text
    assert cells(text, "`lib/a.py`")[:2] == ["1", "0"] and cells(text, "`more`")[:2] == ["0", "1"]
    assert (
        f"- train: {counts['train']['documents']} files, {counts['train']['bytes']:,} bytes of text from 2 sources"
        in text
    )
    assert "password (1)" in text
    figures = read_json(built / "metrics/corpus.json")
    assert (
        figures["sources"] == 4
        and figures["licenses"]["ISC"] == isc
        and sum(figures["languages"].values()) == found.bytes
    )


def test_nothing_of_a_secret_and_nothing_that_a_name_can_do_stands_in_it(built):
    """A file may be called what it likes."""
    for path, content in files_under(built).items():
        if path.startswith(("reports", "metrics", "data/processed")):
            assert PASSWORD.encode() not in content and b"Villa Anna" not in content, path
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, *(name for name, _ in attributes)))
    text = (built / "reports/corpus.md").read_text()
    parser.feed(MarkdownIt("commonmark").enable("table").render(text))  # which lets HTML pass
    assert {tag for tag, *_ in tags} & {"script", "img", "a", "iframe", "link"} == set() and ("td", "style") in tags
    named = next(line for line in text.splitlines() if "alert(1)" in line)
    assert named == r"- `more/c'|\x0a<script>alert(1)</script>![](http://x/y).py`: `of lib/a.py`"


def test_the_same_text_gives_the_same_files(built):
    before = files_under(built)
    assert run_stage(built, "report").returncode == 0 and files_under(built) == before


def test_machines_read_the_corpus_by_it(built, monkeypatch, caplog):
    """By its own library, without a network."""
    import mlcroissant as mlc

    def no_network(*arguments):
        raise AssertionError("it asks somebody")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    path, folder = built / "data/processed/croissant.json", built / "data/processed"
    said = read_json(path)
    assert said["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (
        said["license"] == [f"https://spdx.org/licenses/{key}.html" for key in ("ISC", "MIT")]
        and said["inLanguage"] == "de"
    )
    assert {each["@id"]: each["sha256"] for each in said["distribution"]} == {
        file: sha256(folder / file) for file in croissant.FILES
    }
    dataset = mlc.Dataset(jsonld=str(path))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and [each for each in issues.warnings if "datePublished" not in each] == []
    for split in SPLITS:
        rows = list(read_jsonl(folder / f"{split}_corpus.jsonl"))
        found = [{key.split("/")[1]: value for key, value in each.items()} for each in dataset.records(split)]
        assert [(each["text"].decode(), each["license"].decode(), each["bytes"]) for each in found] == [
            (row["text"], row["license"], row["bytes"]) for row in rows
        ]
    assert [each["rejected/reason"].decode() for each in dataset.records("rejected")] == [
        row["reason"] for row in read_jsonl(folder / "rejected.jsonl")
    ]


def write_rows(folder, **rows):
    """Text by split, and `rejected`, each row with what all rows have."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*SPLITS, "rejected"):
        all_have = {
            "source": "led",
            "kind": "git",
            "version": "0" * 40,
            "path": "a.py",
            "license": "MIT",
            "split": name,
            "bytes": 9,
            "sha256": "0",
        }
        file = folder / ("rejected.jsonl" if name == "rejected" else f"{name}_corpus.jsonl")
        file.write_text(
            "".join(
                json.dumps(all_have | row) + "\n"
                for row in rows.get(name, [{"text": "led.on()\n"}] if name in SPLITS else [])
            )
        )


def test_dialects_where_documents_carry_them(tmp_path):
    write_rows(
        tmp_path,
        train=[
            {"text": "import machine\n", "dialect": "MicroPython"},
            {"text": "import board\n", "dialect": "CircuitPython"},
        ],
    )
    found = report.holdings(tmp_path)
    text = report.markdown(found, "mine", {})
    assert "## By dialect" in text and cells(text, "CircuitPython") == ["1", "13", f"{13 / found.bytes:.1%}"]
    assert report.figures(found)["dialects"] == {"MicroPython": 15, "CircuitPython": 13}
    assert (
        cells(text, "led")[:2] == ["000000000000", "train"]
        and "- left out: 0 files" in text
        and "- replaced by placeholders: nothing" in text
    )
    said = croissant.metadata(tmp_path, "mine", found.licenses, [], {}, 1, True).to_json()
    columns = [each["source"]["extract"]["column"] for each in said["recordSet"][0]["field"]]
    assert "dialect" in columns and [each["@id"] for each in said["recordSet"]] == list(SPLITS)


@pytest.mark.parametrize(
    "reason, why, stays",
    [
        ("duplicate of led/a.py", "duplicate", "led/a.py"),
        ("near duplicate of led/lib/a b.py: 16 of 23 lines", "near duplicate", "led/lib/a b.py"),
        ("removed: package led", "removed", None),
        ("data, not code", "data, not code", None),
    ],
)
def test_reasons_are_gathered(tmp_path, reason, why, stays):
    write_rows(tmp_path, rejected=[{"source": f"s{n}", "reason": reason} for n in range(5)])
    found = report.holdings(tmp_path)
    assert found.reasons == {why: {"files": 5, "bytes": 45}} and list(found.copies) == ([stays] if stays else [])
    text = report.markdown(found, "mine", {})
    assert f"### {why}\n\n- `s0/a.py`" in text and "- `s2/a.py`" in text and "- and 2 more" in text
    if stays:
        assert cells(text, f"`{stays}`")[-2:] == ["45", "s0, s1, s2 and 2 more"]


def test_the_most_copied_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MOST_COPIED", 2)
    kept = ["b/twice.py", "a/once.py", "c/thrice.py", "b/twice.py", "c/thrice.py", "c/thrice.py"]
    write_rows(tmp_path, rejected=[{"reason": f"duplicate of {path}"} for path in kept])
    text = report.markdown(report.holdings(tmp_path), "mine", {})
    assert "3 files stay in their place. The 2 with the most copies:" in text
    assert text.index("`c/thrice.py`") < text.index("`b/twice.py`") and "a/once.py` |" not in text


def test_what_collect_left_out_is_counted_as_that(tmp_path):
    """Nobody read it, so it has no size and no hash."""
    write_rows(tmp_path)
    row = {
        "source": "mine",
        "kind": "folder",
        "version": None,
        "path": "x",
        "license": "MIT",
        "split": "train",
        "reason": "a link, which is not followed",
    }
    (tmp_path / "rejected.jsonl").write_text(json.dumps(row) + "\n")
    found = report.holdings(tmp_path)
    assert found.reasons == {"left out by collect": {"files": 1, "bytes": 0}}
    assert "- `mine/x`: `a link, which is not followed`" in report.markdown(found, "mine", {})
