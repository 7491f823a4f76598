"""`robo corpus` on real packages, repositories, folders and data files made here: what it writes, what it says, and what it leaves as it was."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from package_index import CODE, member, targz, zipped
from stages import copy_configs, files_under

from flows.cli import make_parser
from pipeline.core.config import load, parse_corpus
from pipeline.core.errors import UserError
from pipeline.data import propose

CONFIG = Path("configs/corpora/micropython-permissive.yaml")
LOCK = CONFIG.with_suffix(".lock")
MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in the Software "
    "without restriction.\n"
)
METADATA = "Metadata-Version: 2.1\nName: led\nLicense: {}\n"
LED = b"from machine import Pin\n\nled = Pin(25, Pin.OUT)\nled.value(1)\nprint('the led of the board is on')\n"
MOTOR = LED.replace(b"led", b"motor") + b"motor.off()\n"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    root = copy_configs(tmp_path / "project")
    monkeypatch.chdir(root)
    shutil.copytree(Path(__file__).parent.parent / "corpora", "corpora")
    return root


def robo(*words) -> None:
    arguments = make_parser().parse_args(["corpus", *map(str, words)])
    arguments.function(arguments)


def added() -> dict:
    return parse_corpus(CONFIG)[0].sources[-1].model_dump(exclude_defaults=True)


def line() -> str:
    """The last of the config."""
    return CONFIG.read_text().splitlines()[-1]


def sdist(name="led", version="1.0", license="MIT", **files) -> bytes:
    files = {"PKG-INFO": METADATA.format(license).encode(), f"{name}.py": LED, "setup.py": CODE} | files
    return targz(*(member(f"{name}-{version}/{path}", content) for path, content in files.items()))


def fails(words, *said):
    """The command ends in one message, and configs and own text are as they were."""
    before = {folder: files_under(Path(folder)) for folder in ("configs", "corpora")}
    with pytest.raises(UserError) as error:
        robo(*words)
    for word in said:
        assert word in str(error.value), error.value
    assert {folder: files_under(Path(folder)) for folder in before} == before


def repository(folder: Path, **files: bytes) -> str:
    """A commit of these files, made by git; returns it."""
    folder.mkdir(exist_ok=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "m"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


# --- add --------------------------------------------------------------------------------------------------------------


def test_a_package_is_pinned_at_its_newest_version_and_said(index, capsys):
    index.add("led", sdist(version="0.9"), "0.9")
    digest = index.add("led", sdist(version="0.10"), "0.10")
    index.add("led", sdist(version="1.0rc1"), "1.0rc1")
    before, pins = CONFIG.read_text(), LOCK.read_text()
    robo("add", "led")
    assert added() == {
        "kind": "sdist",
        "name": "led",
        "version": "0.10",
        "sha256": digest,
        "license": "MIT",
        "split": "train",
        "include": ["*.py"],
        "exclude": propose.SUPPORT,
    }
    assert CONFIG.read_text() == before + "  - led\n", "what people wrote stays, and a name says it all"
    pin = f'led: {{version: "0.10", sha256: "{digest}"}}'
    assert sorted(LOCK.read_text().splitlines()) == sorted([*pins.splitlines(), pin])
    said = capsys.readouterr().out
    assert (
        "led: MIT, split train" in said
        and f"1 file of {len(LED)} bytes" in said
        and "1 MicroPython" in said
        and "none is built yet" in said
    )
    load()
    CONFIG.write_text(before)
    robo("add", "led==0.9")
    assert added()["version"] == "0.9", "another than the newest, where it is asked for"
    fails(["add", "Led"], "led is in configs/corpora/micropython-permissive.yaml already", "`robo corpus update led`")


def test_a_package_of_a_wheel_alone(index):
    index.add("led", zipped(("led.py", LED)), ending="-cp311-cp311-linux_x86_64.whl")
    digest = index.add(
        "led",
        zipped(("led.py", LED), ("led-1.0.dist-info/METADATA", METADATA.format("BSD-3-Clause").encode())),
        ending="-py3-none-any.whl",
    )
    fails(["add", "led", "--name", "lamp"], "--name: a package goes by the name that the index knows it by: led")
    robo("add", "led", "--split", "val")
    assert (added()["kind"], added()["sha256"], added()["license"], added()["split"]) == (
        "wheel",
        digest,
        "BSD-3-Clause",
        "val",
    )
    assert line() == "  - {kind: wheel, name: led, license: BSD-3-Clause, split: val}"


def test_a_repository_at_its_head_from_a_subfolder(tmp_path):
    at = repository(tmp_path / "robot", **{"LICENSE": MIT.encode(), "drivers/motor.py": MOTOR, "web/a.py": CODE})
    robo("add", tmp_path / "robot", "--subfolder", "drivers", "--include", "*.py", "*.md", "--exclude", "old/*")
    assert added() == {
        "kind": "git",
        "name": "robot-drivers",
        "url": str(tmp_path / "robot"),
        "commit": at,
        "subfolder": "drivers",
        "license": "MIT",
        "split": "train",
        "include": ["*.py", "*.md"],
        "exclude": ["old/*"],
    }
    assert (
        line()
        == f'  - {{kind: git, name: robot-drivers, url: "{tmp_path / "robot"}", subfolder: drivers, include: ["*.py", "*.md"], exclude: ["old/*"]}}'
    )


def test_a_folder_and_a_data_file_are_copied_to_where_dvc_watches(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/led.py").write_bytes(LED)
    robo("add", tmp_path / "scripts", "--license", "Apache-2.0", "--split", "auto", "--dry-run")
    assert not Path("corpora/scripts").exists() and added()["name"] != "scripts"
    robo("add", tmp_path / "scripts", "--license", "Apache-2.0", "--split", "auto")
    assert added() == {
        "kind": "folder",
        "name": "scripts",
        "path": "corpora/scripts",
        "license": "Apache-2.0",
        "split": "auto",
        "include": ["*.py"],
    }
    assert files_under(Path("corpora/scripts")) == {"led.py": LED}

    pq.write_table(pa.table({"content": [MOTOR.decode()], "license": ["mit"], "stars": [3]}), tmp_path / "rows.parquet")
    robo("add", tmp_path / "rows.parquet", "--license", "MIT")
    assert added() == {
        "kind": "dataset",
        "name": "rows",
        "path": "corpora/rows.parquet",
        "columns": {"text": "content", "license": "license"},
        "license": "MIT",
        "split": "train",
        "include": ["*"],
    }
    load()


def test_what_the_corpus_holds_already_is_said(index, capsys):
    Path("data/processed").mkdir(parents=True)
    for split in ("train", "val", "test"):
        Path(f"data/processed/{split}_corpus.jsonl").write_text(
            json.dumps(
                {
                    "source": "lamps",
                    "path": f"{split}.py",
                    "license": "MIT",
                    "text": LED.decode() if split == "val" else "motor.off()\n",
                }
            )
            + "\n"
        )
    index.add(
        "led",
        sdist(
            **{"more.py": LED + b"print('and nothing else is')\n", "other.py": CODE * 2 + b"mail = 'jane.doe@gmx.de'\n"}
        ),
    )
    robo("add", "--dry-run", "led")
    said = capsys.readouterr().out
    assert (
        "2 of them it holds already: led.py (duplicate of lamps/val.py), more.py (near duplicate of lamps: 4 of 5 lines)"
        in said
    )
    assert "replaced by placeholders: 1 " in said and "jane" not in said
    assert "would be written" in said and added()["name"] != "led"


def test_what_cannot_be_added(index, tmp_path):
    fails(["add", "nobody"], "nobody: the package index knows no such package")
    fails(["add", tmp_path / "gone"], "gone: no such file or folder")
    (tmp_path / "notes.txt").write_text("x")
    fails(["add", tmp_path / "notes.txt"], "notes.txt: is no data file")
    index.add("gpl", sdist("gpl", license="GPLv3"))
    fails(
        ["add", "gpl"],
        "gpl: is under GPL-3.0-only, of the category Copyleft, and params.yaml: prepare.licenses lets pass only",
    )
    index.add("silent", sdist("silent", **{"PKG-INFO": b"Name: silent\n"}))
    fails(["add", "silent"], "silent: says nothing of its licence; read it, and name it by --license")
    fails(
        ["add", "silent", "--license", "Mitt"], "--license: 'Mitt' is no SPDX licence identifier; did you mean 'MIT'?"
    )
    index.add("two", sdist("two", license="Apache-2.0", LICENSE=MIT.encode()))
    fails(["add", "two"], "its metadata say Apache-2.0, and its LICENSE says MIT", "--license")
    index.add("broken", sdist("broken", **{"broken.py": b"for x in:\n" * 9}))
    fails(["add", "broken"], "broken: none of its 1 files is usable")
    fails(["add", "broken", "--include", "*.mpy"], "no file matches include ['*.mpy']")
    fails(["add", "led", "--subfolder", "x"], "--subfolder: led is no git repository")
    fails(["add", "corpora/robo-examples", "--name", "a b"], "name: must be a name of letters")
    pq.write_table(pa.table({"words": ["x"]}), tmp_path / "rows.parquet")
    fails(["add", tmp_path / "rows.parquet"], "none of its columns is called content", "there are: words")
    (tmp_path / "empty").mkdir()
    fails(["add", tmp_path / "empty", "--license", "MIT"], "no file matches include")
    (tmp_path / "bare").mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path / "bare")], check=True)
    fails(["add", tmp_path / "bare"], "an empty repository, without a commit")
    assert not os.path.lexists("data")


def test_a_config_that_is_no_list_of_lines_is_left_to_its_author(index):
    index.add("led", sdist())
    one = {"license": "MIT", "include": ["*"]}
    CONFIG.write_text(
        json.dumps({"sources": [one | {"split": split, "name": split} for split in ("train", "val", "test")]}) + "\n"
    )
    fails(["add", "led"], "cannot be changed by itself", "Write it there yourself")


# --- update -----------------------------------------------------------------------------------------------------------


def test_update_moves_pins_where_they_stand_and_says_what_changes(index, tmp_path, capsys):
    old = index.add("led", sdist())
    robo("add", "led")
    at = repository(tmp_path / "robot", **{"LICENSE": MIT.encode(), "motor.py": MOTOR})
    robo("add", tmp_path / "robot")
    with open(CONFIG, "a") as config:
        config.write("  # the end\n")
    text, pins = CONFIG.read_text(), LOCK.read_text()
    digest = index.add("led", sdist(version="1.1", **{"led.py": LED + b"led.off()\n", "new.py": MOTOR}), "1.1")
    head = repository(tmp_path / "robot", **{"servo.py": CODE * 3})
    capsys.readouterr()
    robo("update", "led", "robot", "--dry-run")
    assert LOCK.read_text() == pins
    robo("update", "led", "robot")
    said = capsys.readouterr().out
    assert (
        "led: 1.0 -> 1.1: 1 file new, 0 gone, 1 changed" in said
        and f"robot: {at} -> {head}: 1 file new, 0 gone, 0 changed" in said
    )
    assert CONFIG.read_text() == text, "what a person decides is not touched"
    assert LOCK.read_text() == pins.replace(at, head).replace(old, digest).replace(
        'led: {version: "1.0"', 'led: {version: "1.1"'
    )
    robo("update", "led", "robot")
    assert "0 of 2 sources have something newer" in capsys.readouterr().out
    index.add("led", sdist(version="2.0", license="GPLv3"), "2.0")
    fails(["update", "led"], "these stay as they are", "led: says GPL-3.0-only now, and its licence here is MIT")
    fails(["update", "ledd"], "has no source 'ledd'; did you mean 'led'?")
    robo("update", "led==1.0", f"robot=={at}")
    assert LOCK.read_text() == pins, "back to where they were"
    fails(["update", "led==0.1"], "led 0.1: the package index has no source distribution with a sha256; did you mean")
    fails(["update", "robot==main"], "robot: commit: must be the whole hash of a commit")


def test_update_gets_past_a_release_that_its_author_took_back(index, capsys):
    index.add("led", sdist())
    robo("add", "led")
    index.files["led"].clear()
    shutil.rmtree(".state")
    digest = index.add("led", sdist(version="1.1"), "1.1")
    robo("update", "led")
    assert "led: 1.0 -> 1.1: 1 file; what it was cannot be had any more" in capsys.readouterr().out
    assert f'led: {{version: "1.1", sha256: "{digest}"}}' in LOCK.read_text()


# --- lock -------------------------------------------------------------------------------------------------------------


def test_lock_pins_what_a_person_wrote_and_moves_nothing_else(index, tmp_path, capsys):
    digest = index.add("led", sdist(version="0.9"), "0.9")
    at = repository(tmp_path / "robot", **{"LICENSE": MIT.encode(), "motor.py": MOTOR})
    text, pins = CONFIG.read_text(), LOCK.read_text()
    CONFIG.write_text(text + f"  - led\n  - {{kind: git, name: robot, url: {tmp_path / 'robot'}}}\n")
    with pytest.raises(
        UserError, match=r"micropython-permissive.lock: led.version, robot.commit: missing; `robo corpus lock` pins"
    ):
        load()
    robo("lock", "--dry-run")
    assert LOCK.read_text() == pins and "nothing was written" in capsys.readouterr().out
    robo("lock")
    assert f"led: 0.9\nrobot: {at}\n" in capsys.readouterr().out
    load()
    mine = [f'led: {{version: "0.9", sha256: "{digest}"}}', f'robot: {{commit: "{at}"}}']
    assert sorted(LOCK.read_text().splitlines()) == sorted([*pins.splitlines(), *mine])
    assert index.asked == ["/simple/led/"] * 2, "what has a pin is not asked for"

    index.add("led", sdist(version="1.0"), "1.0")
    CONFIG.write_text(text)
    robo("lock")
    assert "no source of configs/corpora/micropython-permissive.yaml any more: led, robot" in capsys.readouterr().out
    assert LOCK.read_text() == pins
    robo("lock")
    assert capsys.readouterr().out == "" and LOCK.read_text() == pins


def test_lock_names_what_it_cannot_pin_and_pins_the_rest(index):
    digest = index.add("led", sdist())
    index.add("lamp", zipped(("lamp.py", LED)), ending="-py3-none-any.whl")
    with open(CONFIG, "a") as config:
        config.write("  - lamp\n  - led\n  - nobody\n")
    with pytest.raises(UserError) as error:
        robo("lock")
    assert str(error.value).splitlines() == [
        "these have no pin yet:",
        "  lamp: the package index has no source distribution with a sha256, but there is `kind: wheel`",
        "  nobody: the package index knows no such package",
    ]
    assert f'led: {{version: "1.0", sha256: "{digest}"}}' in LOCK.read_text()


def test_lock_pins_the_version_that_is_asked_for(index, tmp_path, capsys):
    for version in ("0.9", "1.0"):
        index.add("led", sdist(version=version), version)
    with open(CONFIG, "a") as config:
        config.write("  - led\n  - {kind: git, name: robot, url: ../robot}\n")
    fails(["lock", "robot==main"], "robot: commit: must be the whole hash of a commit")
    fails(["lock", "lad"], "has no source 'lad'; did you mean 'led'?")
    robo("lock", "led==0.9", f"robot=={'5' * 40}")
    assert capsys.readouterr().out.endswith(f"led: 0.9\nrobot: {'5' * 40}\n")
    assert added()["commit"] == "5" * 40 and load()


def test_a_corpus_of_ones_own_text_has_an_empty_lock():
    CONFIG.write_text(
        "sources:\n  - {kind: folder, name: mine, path: corpora/robo-examples, license: MIT, split: auto, include: ['*.py']}\n"
    )
    LOCK.unlink()
    with pytest.raises(UserError, match=r"micropython-permissive.lock: no such file; `robo corpus lock`"):
        load()
    robo("lock")
    assert LOCK.read_text().splitlines()[1:] == ["{}"]
    assert load().corpus.sources[0].pin == {}


# --- audit ------------------------------------------------------------------------------------------------------------


def test_audit_counts_what_was_built(capsys):
    fails(["audit"], "data/processed/train_corpus.jsonl: no such file", "dvc repro prepare")
    Path("data/processed").mkdir(parents=True)
    rows = {
        "train": ("led", LED, "MicroPython"),
        "val": ("lamp", b"import board\n", "CircuitPython"),
        "test": ("lamp", b"import board\n" * 2, "CircuitPython"),
        "rejected": ("led", b"", None),
    }
    for name, (source, text, dialect) in rows.items():
        path = Path("data/processed", f"{name}_corpus.jsonl" if name != "rejected" else "rejected.jsonl")
        row = {"source": source, "version": "1.0", "path": "a.py", "license": "MIT", "sha256": "0", "bytes": 7}
        row |= {"reason": "not UTF-8"} if name == "rejected" else {"text": text.decode(), "dialect": dialect}
        path.write_text(json.dumps(row) + "\n")
    robo("audit")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    size = len(LED) + 3 * len(b"import board\n")
    assert f"led train 1 {len(LED)} {len(LED) / size:.1%} 1" in lines and f"MIT 3 {size} 100.0%" in lines
    assert f"CircuitPython 2 39 {39 / size:.1%}" in lines and "not UTF-8 1 7 led/a.py" in lines
    assert not any(line.startswith("Duplicates") for line in lines)
    assert any(line.startswith("sources that give nothing: ") for line in lines)
