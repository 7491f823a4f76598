"""What a person sees of the flow on a terminal of any width, in a pipe and in a log; and what its children are given."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from chain import REPOSITORY, call, environment
from terminal import in_terminal, screen

from flows.processes import UMASK, Child, start

WIDTHS = [40, 60, 80, 200]
BAR = """
import time
from pipeline.core.progress import LogBar, bar
with {bar} as shown:
    for step in range(1, 31):
        shown.set_postfix_str(f"loss 3.456, 12,345 tokens/s, {{step * 1000:,}} tokens, MFU 30%", refresh=False)
        shown.update(50)
        time.sleep(0.02)
"""
LIVE = BAR.format(bar='bar(1500, "train", " steps")')
FIGURES = ["loss 3.456", "12,345 tokens/s", "30,000 tokens", "MFU 30%"]
STAGE = f"""
import os, sys
from pathlib import Path
{LIVE}
Path("made").write_text("made")
"""
REPRODUCE = """
import logging
from flows import console, graph
console.started("make", "made not there yet")
print("\\n" + graph.reproduce("make", logging.getLogger()))
"""
TABLES = """
from flows.console import show_tables
show_tables([("The title of a table, which is longer than the table itself is", ["", "bits per weight", "because"],
              [["quantize@Q4_K_M (recommended)", "7.54", "metrics/evaluate.json, quantize.imatrix and 3 more changed"],
               ["assess", "16.25", "[bold] is no markup here"]])])
"""


@pytest.fixture(scope="module")
def small_graph(tmp_path_factory):
    """A folder in which DVC makes one file, with a bar."""
    root = tmp_path_factory.mktemp("graph")
    (root / "make.py").write_text(STAGE)
    (root / "dvc.yaml").write_text("stages:\n  make:\n    cmd: exec python make.py\n    outs: [made]\n")
    call(root, "dvc", "init", "-q", "--no-scm")
    return root


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_bar_stays_one_line_and_shows_whole_figures(tmp_path, columns):
    said = in_terminal([sys.executable, "-c", LIVE], columns, tmp_path, environment(REPOSITORY))
    (line,) = filter(None, screen(said, columns))
    assert len(line) < columns and "1.50k/1.50k" in line
    shown = [figure for figure in FIGURES if figure in line]
    assert shown == FIGURES[: len(shown)] and len(shown) == {40: 0, 60: 0, 80: 1, 200: 4}[columns]
    assert columns == 40 or line.endswith("steps/s" + "".join(f", {figure}" for figure in shown) + "]")


def test_a_log_has_whole_lines_with_every_figure(tmp_path):
    program = BAR.format(bar='LogBar(total=1500, desc="train", unit=" steps", unit_scale=True, mininterval=0.1)')
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(REPOSITORY),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\r" not in done.stderr and 3 <= len(done.stderr.splitlines()) <= 8
    assert all(
        re.fullmatch(r"train: .* loss 3.456, 12,345 tokens/s, \d+,000 tokens, MFU 30%\]", line)
        for line in done.stderr.splitlines()
    )


@pytest.mark.slow  # Prefect and DVC take their time
@pytest.mark.parametrize("columns", [60, 200])
def test_a_stages_bar_in_the_flow_is_as_wide_as_the_flows_terminal(small_graph, columns):
    (small_graph / "made").unlink(missing_ok=True)
    quiet = {**environment(REPOSITORY), "DO_NOT_TRACK": "1"}  # else Prefect may tell of its telemetry in between, once
    said = in_terminal([sys.executable, "-c", REPRODUCE], columns, small_graph, quiet)
    assert "1.50k/1.50k" in said and "Executed" in screen(said, columns)
    assert [line[:10] for line in screen(said, columns) if set("█/|") & set(line)] == ["    train:"], (
        "one line, and nothing of it on another"
    )
    assert ("MFU" in said) == (columns == 200)


@pytest.mark.parametrize("columns", [30, *WIDTHS])
def test_tables_break_between_words_at_any_width(columns, tmp_path):
    said = in_terminal([sys.executable, "-c", TABLES], columns, tmp_path, environment(REPOSITORY))
    lines = screen(said, columns)
    assert max(map(len, lines)) <= columns
    for word in (
        "title",
        "weight",
        "quantize@Q4_K_M",
        "(recommended)",
        "7.54",
        "16.25",
        "metrics/evaluate.json,",
        "changed",
        "[bold]",
    ):
        assert any(re.search(rf"(^|\s){re.escape(word)}($|[\s:])", line) for line in lines), word


# --- what children are given ------------------------------------------------------------------------------------------


@pytest.fixture
def open_umask():
    """As DVC and MLflow set it for a moment, in whichever thread."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_child_has_the_umask_that_the_flow_began_with(tmp_path, open_umask):
    child = Child(
        "child", [sys.executable, "-c", "import os, sys; print(os.umask(0))"], dict(os.environ), tmp_path / "log"
    )
    start(child)
    child.process.wait(30)
    child.pump.join(30)
    assert child.log.read_text() == f"{UMASK}\n" and UMASK != 0


@pytest.mark.slow
def test_what_a_stage_writes_is_not_for_the_world_to_change(small_graph, open_umask, monkeypatch):
    from flows.graph import reproduce

    monkeypatch.chdir(small_graph)
    for key, value in environment(REPOSITORY).items():
        monkeypatch.setenv(key, value)
    Path("made").unlink(missing_ok=True)
    Path("dvc.lock").unlink(missing_ok=True)
    reproduce("make", logging.getLogger())
    written = [Path("made"), Path("dvc.lock"), *Path(".dvc/cache").rglob("*")]
    assert len(written) > 4 and not [path for path in written if path.stat().st_mode & 0o002]
