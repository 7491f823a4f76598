"""What the pages name is there: links, files and folders, configs, `robo`'s commands and options, make's targets, variables, options of scripts.

Read from the text, one rule for each kind, so that a page cannot go on naming what was renamed. Code is what stands between backticks or
indented by four blanks, without its comments."""

import argparse
import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import REPOSITORY

from flows.cli import COMMANDS, make_parser
from pipeline.core.config import FOLDERS, read_yaml
from pipeline.core.timings import TIMINGS

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")),
]
# What a page has its reader make or name, and so is not here.
READERS = {
    "checkpoints/base",
    "corpora/mine",
    "corpora/mine/.",
    "configs/corpora/mine.yaml",
    "mine.yaml",
    "tasks/mine",
    "main.py",
    "helper.py",
    "button.yaml",
    "wanted.yaml",
    "out.svg",
}
BLANK = re.compile(r"(?<![a-z])(NAME|HOST|CHECKOUT|MODEL|FILE|FOLDER)\b")  # in a command, for the reader to fill in
SERVED = "robo-micropython"  # a model's name, with a version, a tag or nothing
ENDINGS = ("py", "yaml", "yml", "md", "lock", "toml", "json", "jsonl", "csv", "svg", "bin", "txt")


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {file for file in listed.split("\0") if file}


def built() -> set[str]:
    """What the stages leave, as dvc.yaml says, and the timings, which it does not say."""
    outs = {timing for name in TIMINGS for timing in (f"metrics/{name}.json", f"reports/{name}.md")}
    for stage in read_yaml(REPOSITORY / "dvc.yaml")["stages"].values():
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            outs.add(re.sub(r"\$\{.*?\}", "TYPE", out if isinstance(out, str) else next(iter(out))))
    return outs


TRACKED, BUILT = tracked(), built()
BUILT_FOLDERS = {out for out in BUILT if not Path(out).suffix}
KNOWN = TRACKED | BUILT | {str(folder) for file in TRACKED | BUILT for folder in Path(file).parents}
SOURCES = "\n".join(
    (REPOSITORY / file).read_text() for file in sorted(TRACKED) if re.match(r"(flows|pipeline|scripts)/.*\.py$", file)
)


def code(text: str) -> Iterator[str]:
    """Each piece of code of a page, line by line."""
    blocks = re.findall(r"^```.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in [line for block in blocks for line in block.splitlines()] + re.findall(
        r"^ {4}(?! *[-*] )(.*)$", rest, re.MULTILINE
    ):
        yield re.sub(r"(^|\s)#.*", "", line)
        yield from re.findall(r"`([^`]+)`", line)
    yield from re.findall(r"(?<!`)`([^`\n]+)`", re.sub(r"^ {4}.*$", "", rest, flags=re.MULTILINE))


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: str, text: str) -> Iterator[str]:
    for target in re.findall(r"\]\((?!\w+://)([^)]+)\)", text):
        file, _, place = target.partition("#")
        path = os.path.normpath(Path(page).parent / file) if file else page
        if path not in KNOWN:
            yield f"link to {target}"
        elif place and place not in map(
            anchor, re.findall(r"^#+ (.*)$", (REPOSITORY / path).read_text(), re.MULTILINE)
        ):
            yield f"link to {target}: no such heading"


def is_there(path: str) -> bool:
    """A path from the project's folder, or the end of one, with * for anything; of .state/, which is never in git, the code must hold the name."""
    if path == ".state" or path.startswith(".state/"):
        return f'"{Path(path).name}"' in SOURCES
    if path.startswith(".venv/"):
        return Path(sys.prefix, *Path(path).parts[1:]).exists()
    wanted = re.compile(f"(.*/)?{re.escape(path).replace(chr(92) + '*', '[^/]*')}")
    return (
        path in READERS
        or any(wanted.fullmatch(known) for known in KNOWN)
        or any(path.startswith(f"{folder}/") for folder in BUILT_FOLDERS)
    )


def paths(page: str, text: str) -> Iterator[str]:
    """Words that are joined by slashes or have an ending of files; not those that begin at the system's root or are a blank to fill in."""
    for piece in code(text):
        for word in re.split(r"""[\s"'(){}\[\]=,;]|:(?!//)""", re.sub(r"'s/.*?/'", "", piece)):
            looks_like_one = re.fullmatch(rf"[\w.*@-]+/[\w.*@/-]*|[\w*-]+\.({'|'.join(ENDINGS)})", word)
            excused = "..." in word or BLANK.search(word) or word.startswith(f"{SERVED}/")
            if looks_like_one and not excused and not is_there(word.rstrip("/")):
                yield f"file {word}"


def configs(page: str, text: str) -> Iterator[str]:
    """What looks like a name of configs/, anywhere in the text; and what a page says that params.yaml should choose."""
    stems = {
        section: {file.stem for file in (REPOSITORY / "configs" / folder).glob("*.yaml")}
        for section, (folder, _) in FOLDERS.items()
    }
    everything = set().union(*stems.values()) | {Path(file).name for file in KNOWN}
    for name in re.findall(r"(?<![\w/.-])(?:robo-(?:nano|tiny|small|medium|code)|micropython|cpu)-[\w-]*\w", text):
        if name not in everything:
            yield f"config {name}"
    for piece in code(text):
        for section, name in re.findall(rf"^({'|'.join(FOLDERS)}): ([\w-]+)$", piece):
            if name not in stems[section]:
                yield f"config {section}: {name}"


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Of a command's commands, by their names; empty where it has none."""
    return next((dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


def commands(page: str, text: str) -> Iterator[str]:
    for piece in code(text):
        for words in re.findall(r"(?:^ *|[;&|$] |/bin/)robo ([a-z]+\b[^;&|`]*)", piece):
            parser, name = make_parser(), "robo"
            for word in words.split():
                if not (deeper := parsers(parser)):
                    break
                name = f"{name} {word}"
                if word not in deeper:
                    yield name
                    break
                parser = deeper[word]
            else:
                continue
            for option in re.findall(r"(?<!\S)--[\w-]+", words):
                if option not in parser._option_string_actions:
                    yield f"{name} {option}"


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def targets(page: str, text: str) -> Iterator[str]:
    asked = [name for piece in code(text) for name in re.findall(r"(?:^|[\s;&])make ([a-z][\w-]*)", piece)]
    yield from (f"make {name}" for name in asked if name not in make_targets())


def scripts(page: str, text: str) -> Iterator[str]:
    """`python FILE --option` and `python -m MODULE --option`: it is there, and each option stands in its text."""
    for piece in code(text):
        for module, file, rest in re.findall(
            r"(?:^|[\s/;&])(?:python|torchrun .*?) (?:-m ([a-z]+\.[\w.]+)|([\w/]+\.py))([^;&|`]*)", piece
        ):
            path = f"{module.replace('.', '/')}.py" if module else file
            if path not in TRACKED:
                yield f"python {module or file}"
                continue
            options = re.findall(r"(?<!\S)--[\w-]+", rest)
            yield from (
                f"python {path} {option}" for option in options if option not in (REPOSITORY / path).read_text()
            )


def variables(page: str, text: str) -> Iterator[str]:
    yield from (name for name in re.findall(r"\bROBO_[A-Z_]+\b", text) if not re.search(rf"{name}\b", SOURCES))


def named_tests(page: str, text: str) -> Iterator[str]:
    there = "\n".join(file.read_text() for file in (REPOSITORY / "tests").glob("*.py"))
    yield from (
        name
        for piece in code(text)
        for name in re.findall(r"\btest_\w+\b(?!\.py)", piece)
        if f"def {name}(" not in there
    )


RULES = [links, paths, configs, commands, targets, scripts, variables, named_tests]


@pytest.mark.parametrize("page", PAGES)
def test_all_that_a_page_names_is_there(page):
    text = (REPOSITORY / page).read_text()
    assert [fault for rule in RULES for fault in rule(page, text)] == []


def test_every_stage_and_command_and_target_has_its_place():
    pages = {page: (REPOSITORY / page).read_text() for page in PAGES}
    everything = "\n".join(pages.values())
    assert [
        stage
        for stage in read_yaml(REPOSITORY / "dvc.yaml")["stages"]
        if f"\n| {stage} | " not in pages["docs/chain.md"]
    ] == []
    assert [name for name in COMMANDS if f"robo {name}" not in everything] == []
    assert [name for name in make_targets() if f"make {name}" not in everything] == []


def imports(file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((REPOSITORY / file).read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [
                f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                for alias in node.names
            ]
            yield from (name for name in names if re.match(r"(flows|pipeline)\.", name))


def test_the_house_stands_as_the_picture_shows():
    picture = re.search(r"^```\n(.*?)^```$", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)[
        1
    ].splitlines()
    floor = {
        place.removesuffix(".py"): number
        for number, line in enumerate(picture)
        for place in re.findall(r"flows(?=/)|pipeline/[\w.]+", line)
    }

    def part(path: str) -> str:
        return "flows" if path.startswith("flows") else "/".join(path.removesuffix(".py").split("/")[:2])

    modules = [
        file for file in sorted(TRACKED) if re.match(r"(flows|pipeline)/(?!board/firmware/)(?!__init__).*\.py$", file)
    ]
    assert {part(file) for file in modules} == set(floor)
    assert [
        f"{file} imports {name}"
        for file in modules
        for name in imports(file)
        if (to := part(name.replace(".", "/"))) != part(file) and floor[to] <= floor[part(file)]
    ] == []


@pytest.mark.parametrize(
    "rule, right, wrong",
    [
        (links, "[a](desk.md) [b](../README.md#what-happens) [c](https://example.org/x.md)", "[a](nowhere.md)"),
        (links, "[a](server.md)", "[a](server.md#no-such-heading)"),
        (
            paths,
            "`flows/cli.py`, `configs/data/`, `models/gguf`, `data/processed/*.bin`, `models/quantized/TYPE.gguf`",
            "`flows/cly.py`",
        ),
        (paths, "`metrics/speed.json`, `.state/logs`", "`metrics/sped.json`"),
        (paths, "    robo board corpora/robo-examples/blink.py", "    robo board corpora/robo-examples/blank.py"),
        (paths, "`params.yaml`, `tasks/`, tokens/s", "`param.yaml`"),
        (paths, "`deploy/systemd/`", "`task/`"),
        (paths, "`.state/mlflow-auth.db`", "`.state/mlflow-oauth.db`"),
        (paths, "`core/config.py`", "`cora/config.py`"),
        (configs, "robo-nano-qwen3, `training: finetune`, robo-micropython:candidate", "robo-nano-qwen4"),
        (configs, "`corpus: micropython-circuitpython`", "`training: finetuned`"),
        (commands, "`robo plan --no-measure`; `.venv/bin/robo board x.py --on esp32`", "`robo play`"),
        (
            commands,
            "    robo promote 7 --why 'half the loss'    # --because",
            "    robo promote 7 --because 'half the loss'",
        ),
        (targets, "`make test-slow`, make it short", "`make test-fast`"),
        (scripts, "    python benchmarks/chaos.py --rounds 50", "    python benchmarks/chaos.py --turns 50"),
        (scripts, "`python -m pipeline.curriculum.show NAME`", "`python -m pipeline.curriculum.shew NAME`"),
        (named_tests, "`test_each_gate_at_its_limit` in `tests/test_gates.py`", "`test_each_gait_at_its_limit`"),
        (variables, "ROBO_HOST, ROBO_PREFECT_PORT", "ROBO_HOAST"),
    ],
)
def test_what_is_not_there_is_told(rule, right, wrong):
    assert list(rule("docs/page.md", right)) == [] and len(list(rule("docs/page.md", wrong))) == 1
