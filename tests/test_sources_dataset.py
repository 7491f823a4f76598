"""dataset sources: real Parquet, JSON lines and Arrow files, read through `datasets`; rows that cannot be taken, and data that means harm."""

import http.server
import json
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from stages import files_under

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import read_jsonl
from pipeline.core.paths import LEFT_OUT
from pipeline.core.schema import Corpus, DatasetSource, FolderSource
from pipeline.data import propose
from pipeline.data.collect import collect
from pipeline.data.sources import bounds, dataset
from pipeline.data.sources.confined import confined

ROWS = [
    {"code": "import machine\n", "licence": "MIT", "file": "blink.py", "stars": 3},
    {"code": "gpl = 1\n", "licence": "GPL-3.0-only", "file": "gpl.py", "stars": 1},
    {"code": "either = 1\n", "licence": "MIT OR GPL-2.0-only", "file": "either.py", "stars": 0},
    {"code": "", "licence": "MIT", "file": "empty.py", "stars": 0},
    {"code": "nobody = 1\n", "licence": "", "file": "nobody.py", "stars": 0},
    {"code": "é = 'ü'\n", "licence": "Apache-2.0", "file": "../evil.py", "stars": 0},
    {"code": None, "licence": None, "file": None, "stars": None},
]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpora").mkdir()


def parquet(rows, path):
    pq.write_table(pa.Table.from_pylist(rows), path)


def jsonl(rows, path):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def arrow(rows, path, open_writer=pa.ipc.new_file):
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as sink, open_writer(sink, table.schema) as writer:
        writer.write_table(table)


WRITERS = [
    (parquet, "parquet"),
    (jsonl, "jsonl"),
    (arrow, "arrow"),
    (lambda rows, path: arrow(rows, path, pa.ipc.new_stream), "arrow"),
]


def source(path="corpora/rows.parquet", columns=("code",), **more):
    columns = dict(zip(("text", "license", "path"), columns, strict=False))
    return DatasetSource(
        **{
            "kind": "dataset",
            "name": "rows",
            "path": path,
            "columns": columns,
            "license": "MIT",
            "split": "train",
            "include": ["*"],
        }
        | more
    )


def fails(wanted, *words, kind=UserError):
    shutil.rmtree("data", ignore_errors=True)
    Path("data/raw/rows").mkdir(parents=True)
    Path("data/raw/rows/old.py").write_bytes(b"old = 1\n")
    with pytest.raises(kind) as error:
        collect([wanted])
    for word in ("sources.0 (rows)", *words):
        assert word in str(error.value), error.value
    assert files_under(Path("data")) == {"raw/rows/old.py": b"old = 1\n"}


@pytest.mark.parametrize("write, ending", WRITERS, ids=["parquet", "jsonl", "arrow file", "arrow stream"])
def test_each_row_is_a_file_under_its_own_licence(write, ending):
    write(ROWS, f"corpora/rows.{ending}")
    rows = collect([source(f"corpora/rows.{ending}", ("code", "licence", "file"))])
    assert [(row["path"], row["license"]) for row in rows] == [
        ("0000000/blink.py", "MIT"),
        ("0000001/gpl.py", "GPL-3.0-only"),
        ("0000002/either.py", "GPL-2.0-only OR MIT"),
    ]
    assert Path("data/raw/rows/0000000/blink.py").read_text() == "import machine\n"
    assert [(row["path"], row["reason"]) for row in read_jsonl(LEFT_OUT)] == [
        ("0000/0000003.py", "no text"),
        ("0000/0000005.py", "unsafe file name '../evil.py'"),
        ("0000/0000006.py", "no text"),
        ("0000004/nobody.py", "licence: the row names none"),
    ]


def test_without_columns_for_them_rows_have_numbers_and_the_sources_licence():
    Path("corpora/parts").mkdir()
    for part in range(2):
        parquet(
            [
                {"code": f"n = {part * 3 + n}\n", "tags": ["mit", "bsd-3-clause"], "words": "the MIT one"}
                for n in range(3)
            ],
            f"corpora/parts/{part}.parquet",
        )
    rows = collect([source("corpora/parts")])
    assert [(row["path"], row["license"]) for row in rows] == [(f"0000/000000{n}.py", "MIT") for n in range(6)]
    assert Path("data/raw/rows/0000/0000004.py").read_text() == "n = 4\n"
    assert {row["license"] for row in collect([source("corpora/parts", ("code", "tags"))])} == {"BSD-3-Clause AND MIT"}
    fails(
        source("corpora/parts", ("code", "words")),
        "no file matches",
        "licence: 'the MIT one' is no SPDX licence expression",
    )


def test_columns_that_are_not_there_and_damage_in_each_format():
    with confined("the rows") as do:
        for write, ending in WRITERS[:3]:
            path = Path(f"corpora/rows.{ending}")
            name, arguments, _ = (write(ROWS * 50, path), dataset.local(path))[1]
            assert list(do(dataset.rows, name, arguments, ["code", "stars"]))[:2] == [
                ("import machine\n", 3),
                ("gpl = 1\n", 1),
            ]
            with pytest.raises(UserError, match=r"the rows: has no column 'cod'; did you mean 'code'\?"):
                list(do(dataset.rows, name, arguments, ["stars", "cod"]))
            whole = path.read_bytes()
            for changed in (whole[: len(whole) // 2 - 5], b"\x00\xff not data" * 20):
                path.write_bytes(changed)
                with pytest.raises(UserError, match="the rows: cannot be read, or is damaged"):
                    list(do(dataset.rows, name, arguments, ["code"]))


def test_a_column_of_something_else():
    parquet(ROWS, "corpora/rows.parquet")
    fails(source(columns=["stars"]), "row 0: column 'stars' holds int, and text is needed")


def test_what_is_not_there_or_no_data():
    fails(source(), "corpora/rows.parquet: no such file or folder")
    Path("corpora/rows.csv").write_text("a,b\n")
    fails(source("corpora/rows.csv"), "no data file", ".parquet, .jsonl, .arrow")
    Path("corpora/mixed").mkdir()
    fails(source("corpora/mixed"), "no data file")
    parquet(ROWS, "corpora/mixed/a.parquet")
    jsonl(ROWS, "corpora/mixed/b.jsonl")
    fails(source("corpora/mixed"), "holds several formats")
    Path("corpora/link").symlink_to("mixed")
    fails(source("corpora/link"), "is a link")
    parquet(ROWS[3:4], "corpora/rows.parquet")
    fails(source(), "no file matches include", "no text")


def test_a_bomb_ends_in_a_message(monkeypatch):
    """A megabyte that Parquet's dictionary holds once and 4,000 rows refer to."""
    monkeypatch.setattr(bounds, "MAX_TOTAL_BYTES", 8 * 2**20)
    monkeypatch.setattr(dataset, "MAX_RATIO", 1)
    pq.write_table(
        pa.table({"code": pa.DictionaryArray.from_arrays([0] * 4000, ["x" * 2**20])}),
        "corpora/rows.parquet",
        compression="zstd",
    )
    assert Path("corpora/rows.parquet").stat().st_size < 2**21
    fails(source(), "rows.parquet: unpacks to more than 8 MiB")
    monkeypatch.setattr(dataset, "MAX_ROWS", 5)
    parquet(ROWS, "corpora/rows.parquet")
    fails(source(), "more than 5 rows")


@pytest.mark.slow
def test_more_than_memory_holds():
    """Sixty rows, which are decoded at once, of 64 MB each."""
    pq.write_table(
        pa.table({"code": pa.DictionaryArray.from_arrays([0] * 60, ["x" * 2**26])}),
        "corpora/rows.parquet",
        compression="zstd",
    )
    fails(source(), "rows.parquet: unpacks to more than 2 GiB of memory")


def test_the_hub_without_a_network(monkeypatch):
    monkeypatch.setenv(
        "HF_HUB_OFFLINE", "1"
    )  # a server that does not answer gives the same after half a minute of trying
    fails(
        source(None, hub="somebody/code", revision="0" * 40),
        "somebody/code: the hub cannot be reached",
        kind=TemporaryError,
    )


class Hub(http.server.BaseHTTPRequestHandler):
    """The one page of the hub that a pin is asked of."""

    def do_GET(self):
        known = self.path.startswith("/api/datasets/somebody/code")
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(json.dumps({"id": "somebody/code", "sha": "5" * 40} if known else {}).encode())

    def log_message(self, *_):
        pass


def test_the_newest_revision_of_the_hub(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert propose.newest(source(None, hub="somebody/code")) == {"revision": "5" * 40}
    for gone in ("somebody/gone", "a/b--c"):
        with pytest.raises(UserError, match=f"{gone}: the hub has no such data set"):
            propose.newest(source(None, hub=gone))
    server.shutdown()
    server.server_close()
    with pytest.raises(TemporaryError, match="somebody/code: the hub cannot be reached"):
        propose.newest(source(None, hub="somebody/code"))
    assert propose.newest(source()) == {}, "DVC watches what lies here"


def test_what_no_config_may_say():
    for wrong in (
        {"path": None, "hub": "code"},
        {"path": "rows.parquet"},
        {"path": None, "hub": "a/b", "revision": "main"},
        {"columns": {}},
        {"columns": {"text": "code", "licence": "x"}},
    ):
        with pytest.raises(ValidationError):
            source(**wrong) if "columns" not in wrong else DatasetSource(**(source().model_dump() | wrong))
    hub = {"hub": "a/b"}
    held = FolderSource(kind="folder", name="mine", path="corpora/mine", license="MIT", split="auto", include=["*.py"])
    for more in ({}, hub, {"path": None, **hub}, {"path": None}):
        faults = [fault for good, fault in Corpus(sources=[source(**more), held]).rules() if not good]
        assert bool(faults) == (more not in ({}, {"path": None, **hub})), more
