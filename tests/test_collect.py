"""collect against a real package index on this machine and against archives that mean harm: nothing outside, nothing half, one message."""

import gzip
import hashlib
import io
import json
import os
import random
import re
import socket
import struct
import tarfile
import threading
import time
import unicodedata
import zipfile
from pathlib import Path

import pytest
from chain import call, make_chain
from package_index import CODE, JSON, Answer, member, targz, zipped
from stages import REPOSITORY, copy_configs, files_under, run_stage

from flows.cli import make_parser
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import read_jsonl
from pipeline.core.paths import LEFT_OUT, LICENSES
from pipeline.core.schema import FolderSource, PackageSource
from pipeline.data.collect import collect
from pipeline.data.sources import archive, bounds
from pipeline.data.sources import folder as folders
from pipeline.data.sources.bounds import matches, safe_path


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty project inside tmp_path, so that what climbs out of it is seen."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def taken(content: bytes, include=("*.py",), exclude=()) -> dict[str, bytes]:
    """What is handed out of a source distribution of these bytes."""
    Path("archive").write_bytes(content)
    return dict(archive.files(Path("archive"), lambda path: matches(path, list(include), list(exclude)), top=True))


def sdist(digest, name="robo", version="1.0", include=("*.py",), exclude=(), split="train", kind="sdist"):
    return PackageSource(
        kind=kind,
        name=name,
        version=version,
        sha256=digest,
        license="MIT",
        split=split,
        include=list(include),
        exclude=list(exclude),
    )


def folder(path="corpora/mine", name="mine", include=("*.py",), split="val"):
    return FolderSource(kind="folder", name=name, path=path, license="Apache-2.0", split=split, include=list(include))


GOOD = targz(
    member("robo-1.0", b"", tarfile.DIRTYPE),
    member("robo-1.0/src/blink.py"),
    member("robo-1.0/setup.py", b"x = 1\n"),
    member("robo-1.0/README.md", b"# hello\n"),
    member("robo-1.0/src/b.py", b"b = 2\n"),
)


def fails(sources, *words, kind=UserError):
    """collect ends in one message with these words, leaves no output and what was there before as it was."""
    before = files_under(Path.cwd().parent)
    with pytest.raises(kind) as error:
        collect(sources)
    for word in words:
        assert word in str(error.value), error.value
    after = files_under(Path.cwd().parent)
    assert {p: c for p, c in after.items() if ".state/" not in p} == {
        p: c for p, c in before.items() if ".state/" not in p
    }
    assert not list(Path.cwd().rglob("*.unfinished")) and not list(Path("data").glob(".*"))
    return str(error.value)


# --- what it is for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("html", [True, False])
def test_fetches_once_and_writes_what_was_asked_with_its_provenance(index, html):
    index.html = html
    digest = index.add("robo", GOOD)
    index.add("robo", targz(member("robo-2.0/src/new.py")), version="2.0")
    index.add("robo", zipped(("a.py", CODE)), ending="-py3-none-any.whl")
    (Path("corpora/mine/deep")).mkdir(parents=True)
    Path("corpora/mine/a.py").write_bytes(CODE)
    Path("corpora/mine/deep/b.py").write_bytes(b"\xff\xfe\r\n")
    Path("corpora/mine/c.txt").write_bytes(b"no")
    sources = [sdist(digest, exclude=["setup.py"]), folder()]
    rows = collect(sources)

    assert {p: c for p, c in files_under(Path("data/raw")).items() if not p.endswith(".jsonl")} == {
        "robo/src/blink.py": CODE,
        "robo/src/b.py": b"b = 2\n",
        "mine/a.py": CODE,
        "mine/deep/b.py": b"\xff\xfe\r\n",
    }
    assert [json.loads(line) for line in Path("data/raw/provenance.jsonl").read_text().splitlines()] == rows
    assert rows == sorted(rows, key=lambda row: (row["source"], row["path"]))
    for row in rows:
        content = Path("data/raw", row["source"], row["path"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest() and row["bytes"] == len(content)
    assert [
        {key: value for key, value in row.items() if key not in ("sha256", "bytes")} for row in (rows[0], rows[2])
    ] == [
        {
            "source": "mine",
            "kind": "folder",
            "version": None,
            "path": "a.py",
            "license": "Apache-2.0",
            "declared": None,
            "split": "val",
        },
        {
            "source": "robo",
            "kind": "sdist",
            "version": "1.0",
            "path": "src/b.py",
            "license": "MIT",
            "declared": None,
            "split": "train",
        },
    ]
    assert index.asked == ["/simple/robo/", "/files/robo/robo-1.0.tar.gz"]

    first = files_under(Path("data/raw"))
    index.shutdown()
    index.server_close()
    collect(list(reversed(sources)))
    assert files_under(Path("data/raw")) == first, "the same from the cache, without a network, in whatever order"
    assert len(index.asked) == 2


def test_several_are_fetched_at_once_each_file_once(index, monkeypatch):
    names = ["led", "motor", "servo"]
    together, answer = threading.Barrier(len(names)), Answer.do_GET

    def answer_together(self):
        if self.path.startswith("/files/"):
            together.wait(timeout=30)
        answer(self)

    monkeypatch.setattr(Answer, "do_GET", answer_together)
    digests = {
        name: index.add(name, targz(member(f"{name}-1.0/a.py"), member(f"{name}-1.0/{name}.py", name.encode())))
        for name in names
    }
    rows = collect(
        [
            sdist(digests[name], name, include=[file], split=split)
            for name in names
            for file, split in ((f"{name}.py", "train"), ("a.py", "val"))
        ]
    )
    assert [(row["source"], row["path"], row["split"]) for row in rows] == [
        (name, file, split) for name in names for file, split in (("a.py", "val"), (f"{name}.py", "train"))
    ]
    assert len(index.asked) == 6


def test_a_zip_gives_the_same_as_a_tar(index):
    content = zipped(("robo-1.0/", b""), ("robo-1.0/src/blink.py", CODE), ("robo-1.0/README.md", b"# hello\n"))
    collect([sdist(index.add("robo", content, ending=".zip"))])
    assert Path("data/raw/robo/src/blink.py").read_bytes() == CODE
    assert len(list(Path("data/raw/robo").rglob("*.*"))) == 1


def test_a_wheel_is_read_like_a_source_distribution(index):
    wheel = zipped(
        ("robo/__init__.py", CODE),
        ("blink.py", b"b = 1\n"),
        ("robo-1.0.dist-info/METADATA", b"Name: robo\n"),
        ("robo-1.0.dist-info/licenses/LICENSE", b"MIT"),
    )
    for ending in ("-cp311-cp311-linux_x86_64.whl", "-py3-none-any.whl"):
        digest = index.add("robo", wheel if "none" in ending else zipped(("other.py", CODE)), ending=ending)
    rows = collect([sdist(digest, kind="wheel")])
    assert [(row["path"], row["kind"], row["version"]) for row in rows] == [
        ("blink.py", "wheel", "1.0"),
        ("robo/__init__.py", "wheel", "1.0"),
    ]
    assert [(row["path"], row["text"]) for row in read_jsonl(LICENSES)] == [
        ("robo-1.0.dist-info/licenses/LICENSE", "MIT")
    ]


def test_a_wheel_may_be_as_harmful_as_an_archive(index, before):
    fails(
        [sdist(index.add("robo", zipped(("../evil.py", CODE)), ending="-py3-none-any.whl"), kind="wheel")],
        "unsafe file name",
    )


def test_licence_texts_are_kept_and_are_no_training_text(index):
    members = {
        "LICENSE": b"MIT\r\nsaid by A\r\n",
        "COPYING.md": b"GPL",
        "LICENSES/CC0-1.0.txt": b"CC0 \xff",
        "src/LICENSE": b"of a part",
        "REUSE.toml": b"of REUSE",
        "src/b.py.license": b"beside",
        "license.py": CODE,
        "licensed.txt": b"no",
        "PKG-INFO": b"Name: robo\nLicense: Apache 2.0\nClassifier: License :: OSI Approved :: MIT License\n\nA story.\n",
    }
    digest = index.add("robo", targz(*(member(f"robo-1.0/{name}", content) for name, content in members.items())))
    Path("corpora/mine").mkdir(parents=True)
    Path("corpora/mine/a.py").write_bytes(b"a = 1\n")
    Path("corpora/mine/Licence.txt").write_text("of the folder")
    rows = collect([sdist(digest), folder()])
    assert [row["path"] for row in rows] == ["a.py", "license.py"]
    kept = [json.loads(line) for line in Path("data/raw/licenses.jsonl").read_text().splitlines()]
    assert [(row["source"], row["path"], row["text"]) for row in kept] == [
        ("mine", "Licence.txt", "of the folder"),
        ("robo", "COPYING.md", "GPL"),
        ("robo", "LICENSE", "MIT\nsaid by A"),
        ("robo", "LICENSES/CC0-1.0.txt", "CC0 \ufffd"),
        ("robo", "REUSE.toml", "of REUSE"),
        ("robo", "src/LICENSE", "of a part"),
        ("robo", "src/b.py.license", "beside"),
    ]
    assert [row["declared"] for row in rows] == [None, "Apache-2.0"], "what the package's metadata say"
    assert kept[1]["version"] == "1.0" and kept[1]["license"] == "MIT"


def test_a_tar_that_ends_in_a_zip_is_a_tar():
    inner = zipped(("other/evil.py", b"evil = 1\n"), method=zipfile.ZIP_STORED)
    content = gzip.compress(targz_raw(member("robo-1.0/a.py"), member("robo-1.0/test.zip", inner)), compresslevel=0)
    assert zipfile.is_zipfile(io.BytesIO(content)), "else this proves nothing"
    assert taken(content) == {"a.py": CODE}


def targz_raw(*members) -> bytes:
    return gzip.decompress(targz(*members))


def test_what_lay_there_before_goes_when_all_is_well(index):
    Path("data/raw/old").mkdir(parents=True)
    Path("data/raw/old/x.py").write_text("old")
    Path("data/.raw.unfinished/robo").mkdir(parents=True)
    Path("data/.raw.unfinished/robo/left-by-a-kill.py").write_text("half")
    collect([sdist(index.add("robo", GOOD))])
    assert set(files_under(Path("data"))) == {
        "raw/robo/src/blink.py",
        "raw/robo/src/b.py",
        "raw/robo/setup.py",
        "raw/provenance.jsonl",
        "raw/licenses.jsonl",
    }


def test_setup_py_is_never_run(index, workplace):
    marker = workplace / "it-ran"
    evil = f"open({str(marker)!r}, 'w').write('ran')\n".encode()
    digest = index.add(
        "robo", targz(*(member(f"robo-1.0/{name}.py", evil) for name in ("setup", "conftest", "sitecustomize")))
    )
    collect([sdist(digest)])
    assert Path("data/raw/robo/setup.py").read_bytes() == evil
    assert not marker.exists()


# --- what the index may do wrong --------------------------------------------------------------------------------------


@pytest.fixture
def before():
    """An output of an earlier run."""
    Path("data/raw/robo").mkdir(parents=True)
    Path("data/raw/robo/old.py").write_bytes(b"old = 1\n")


def test_another_hash_than_the_pinned_one_is_named(index, before):
    offered = index.add("robo", GOOD)
    message = fails([folder_of_one(), sdist("0" * 64)], "sources.1 (robo)", "sha256 differs", "0" * 64, offered)
    assert index.asked == ["/simple/robo/"], f"fetched though {message}"


def folder_of_one():
    Path("corpora/mine").mkdir(parents=True, exist_ok=True)
    Path("corpora/mine/a.py").write_bytes(CODE)
    return folder()


def test_an_index_that_lies_about_a_file_is_caught(index, before):
    pinned = hashlib.sha256(GOOD).hexdigest()
    served = index.add("robo", targz(member("robo-1.0/evil.py")), offered=pinned)
    fails(
        [sdist(pinned)], "sha256 differs", pinned, hashlib.sha256(index.files["robo"]["robo-1.0.tar.gz"][0]).hexdigest()
    )
    assert served != pinned and not files_under(Path(".state"))


def test_a_damaged_download_in_the_cache_is_fetched_again(index):
    digest = index.add("robo", GOOD)
    bounds.DOWNLOADS.mkdir(parents=True)
    (bounds.DOWNLOADS / digest).write_bytes(GOOD[:50])
    collect([sdist(digest)])
    assert (bounds.DOWNLOADS / digest).read_bytes() == GOOD


def test_no_such_version(index, before):
    fails(
        [sdist(index.add("robo", GOOD), version="1.1")],
        "sources.0 (robo)",
        "robo 1.1",
        "no source distribution of this version",
        "(`robo corpus update robo` moves the pin); did you mean '1.0'?",
    )


def test_no_such_project(index, before):
    fails([sdist("0" * 64, name="robbo")], "sources.0 (robbo)", "knows no such package")


def test_only_a_wheel(index, before):
    index.add("robo", GOOD, ending="-py3-none-any.whl")
    fails([sdist("0" * 64)], "no source distribution of this version, but there is `kind: wheel`")


@pytest.mark.parametrize(
    "kind, body",
    [
        (JSON, b'{"files": 3}'),
        (JSON, b"[]"),
        (JSON, b"<html>"),
        ("application/pdf", b"%PDF"),
        ("text/html", b"\xff\x00<a href="),
    ],
)
def test_something_that_is_no_index(index, before, kind, body):
    index.add("robo", GOOD)
    index.pages["robo"] = (kind, body)
    fails([sdist("0" * 64)], "sources.0 (robo)", "index")


def test_an_index_that_is_ill_may_get_well(index, before):
    index.status = 503
    fails([sdist(index.add("robo", GOOD))], "sources.0 (robo)", "cannot be reached (status 503)", kind=TemporaryError)


def test_no_network_is_said_at_once(index, before, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    started = time.monotonic()
    fails([sdist("0" * 64)], "robo 1.0", "cannot be reached", "Check the network", kind=TemporaryError)
    assert time.monotonic() - started < 5


def test_a_connection_that_breaks_off_leaves_nothing(index, before, monkeypatch):
    digest = index.add("robo", GOOD)
    send = Answer.send_header
    monkeypatch.setattr(
        Answer,
        "send_header",
        lambda self, key, value: send(
            self, key, "99999999" if key == "Content-Length" and "/files/" in self.path else value
        ),
    )
    fails([sdist(digest)], "cannot be reached", kind=TemporaryError)
    assert not files_under(Path(".state"))


# --- archives that mean harm ------------------------------------------------------------------------------------------


def pax_size(name: str, size: int) -> bytes:
    """A tar.gz whose extended header claims a size for its member."""
    return targz(member(name, CODE, pax_headers={"size": str(size)}))


def repaired(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def header(name: str, kind: bytes, size: int) -> bytes:
    """One block of a tar that claims what it likes."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.create_gnu_header(info.get_info(), "utf-8", "surrogateescape")


def lying_zip(real: bytes, claimed: int) -> bytes:
    """A zip whose directory and header claim `claimed` bytes for a member that unpacks to `real`."""
    content = bytearray(zipped(("robo-1.0/a.py", real)))
    for start, at in ((content.index(b"PK\x03\x04"), 22), (content.index(b"PK\x01\x02"), 24)):
        content[start + at : start + at + 4] = struct.pack("<I", claimed)
    return bytes(content)


def flagged_zip(flag: int = 0, method: int | None = None) -> bytes:
    content = bytearray(zipped(("robo-1.0/a.py", CODE)))
    for start, at in ((content.index(b"PK\x03\x04"), 6), (content.index(b"PK\x01\x02"), 8)):
        content[start + at] |= flag
        if method is not None:
            content[start + at + 2] = method
    return bytes(content)


BAD_NAMES = [
    "../evil.py",
    "robo-1.0/../../evil.py",
    "/etc/evil.py",
    "//etc/evil.py",
    "robo-1.0/../evil.py",
    "C:\\evil.py",
    "c:/evil.py",
    "robo-1.0\\evil.py",
    "robo-1.0/a\n.py",
    "robo-1.0/a\x07.py",
    "robo-1.0/a\x85.py",
    "robo-1.0/\u202eyp.exe.py",
    "robo-1.0/con.py",
    "robo-1.0/LPT1.py",
    "robo-1.0/aux",
    "robo-1.0/dir./a.py",
    "robo-1.0/dir /a.py",
    "robo-1.0/" + "a" * 300 + ".py",
    "robo-1.0/" + "a/" * 120 + "b.py",
    "robo-1.0/ä" + "ö" * 120 + ".py",
    "robo-1.0/a?.py",
    "robo-1.0/a*.py",
    "robo-1.0/nul",
    "robo-1.0/\udcff.py",
    "robo-1.0/x\u2028.py",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_odd_names_stop_the_stage(name):
    with pytest.raises(UserError, match="unsafe file name"):
        taken(targz(member(name)))
    if "\udcff" not in name and "\\" not in name:  # zipfile turns those into other names itself
        with pytest.raises(UserError, match="unsafe file name"):
            taken(zipped((name, CODE)))


@pytest.mark.parametrize(
    "name",
    [
        "robo-1.0/ä.py",
        "robo-1.0/with blank.py",
        "robo-1.0/a+b,c@d~e#f%g&h=i!(j)[k]{l}';.py",
        "robo-1.0/.hidden.py",
        "robo-1.0/console.py",
        "robo-1.0/...a/b.py",
    ],
)
def test_other_names_are_taken(name):
    assert list(taken(targz(member(name)))) == [name.removeprefix("robo-1.0/")]


def test_safe_paths_stay_below():
    for name in ("a/b.py", "./a/b.py", "a//b.py", "a/./b.py"):
        assert str(safe_path(name)) == "a/b.py"
    for name in ("", ".", "/", "..", "a/.."):
        with pytest.raises(UserError):
            safe_path(name)


def test_links_devices_and_the_like_are_passed_over(workplace):
    (workplace / "secret.py").write_text("secret = 1\n")
    odd = [
        member(f"robo-1.0/{n}.py", None, kind, link)
        for n, (kind, link) in enumerate(
            [
                (tarfile.SYMTYPE, "/etc/passwd"),
                (tarfile.SYMTYPE, "../../secret.py"),
                (tarfile.LNKTYPE, "/etc/passwd"),
                (tarfile.LNKTYPE, "robo-1.0/good.py"),
                (tarfile.CHRTYPE, ""),
                (tarfile.BLKTYPE, ""),
                (tarfile.FIFOTYPE, ""),
                (tarfile.DIRTYPE, ""),
            ]
        )
    ]
    # a link takes the place of a folder, and what follows would be written through it
    through = [member("robo-1.0/way", None, tarfile.SYMTYPE, str(workplace)), member("robo-1.0/way/through.py")]
    assert taken(targz(*odd, member("robo-1.0/good.py"), *through)) == {"good.py": CODE, "way/through.py": CODE}
    link = zipfile.ZipInfo("robo-1.0/link.py")
    link.external_attr = 0o120777 << 16
    assert taken(zipped((link, b"/etc/passwd"), ("robo-1.0/good.py", CODE))) == {"good.py": CODE}


def test_links_do_not_lead_outside(index, workplace):
    digest = index.add(
        "robo", targz(member("robo-1.0/way", None, tarfile.SYMTYPE, str(workplace)), member("robo-1.0/way/through.py"))
    )
    collect([sdist(digest)])
    assert not (workplace / "through.py").exists() and Path("data/raw/robo/way/through.py").read_bytes() == CODE


def test_sparse_files_are_passed_over():
    """Sparse files claim terabytes in a few bytes."""
    sparse = member(
        "robo-1.0/sparse.py",
        CODE,
        pax_headers={
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": "robo-1.0/sparse.py",
            "GNU.sparse.map": "0,1",
            "GNU.sparse.size": str(2**30),
        },
    )
    try:
        assert taken(targz(sparse, member("robo-1.0/good.py"))) == {"good.py": CODE}
    except UserError as error:
        assert "claims 1073741824 bytes" in str(error)


def test_a_tar_bomb_is_stopped_before_it_fills_anything(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_TOTAL_BYTES", 2**20)
    zeros = bytes(2**21)
    with pytest.raises(UserError, match=r"claims 2097152 bytes|more than 1 MiB"):
        taken(targz(member("robo-1.0/a.bin", zeros), member("robo-1.0/a.py")))
    with pytest.raises(UserError, match="more than 1 MiB"):
        taken(targz(*(member(f"robo-1.0/{n}.bin", bytes(2**19)) for n in range(4)), member("robo-1.0/a.py")))
    with pytest.raises(UserError, match="more than 1 MiB"):
        taken(zipped(*((f"robo-1.0/{n}.bin", bytes(2**19)) for n in range(4))))


def test_one_huge_file_is_refused_unread():
    huge = bytes(bounds.MAX_FILE_BYTES + 1)
    for content in (targz(member("robo-1.0/a.py", huge)), zipped(("robo-1.0/a.py", huge))):
        with pytest.raises(UserError, match=r"a.py has 4194305 bytes; at most 4194304"):
            taken(content)
        assert taken(content, include=["*.md"]) == {}


def peak_of(action) -> int:
    import tracemalloc

    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_zip_that_lies_about_a_size_unpacks_no_more_than_it_said():
    bomb = lying_zip(bytes(64 * 2**20), 100)

    def attempt():
        with pytest.raises(UserError, match="not a readable archive"):
            taken(bomb)

    assert peak_of(attempt) < 8 * 2**20
    with pytest.raises(UserError, match="not a readable archive"):
        taken(lying_zip(CODE, 3000))


@pytest.mark.parametrize("size", [10**18, 2**40, -1024, -1])
def test_a_tar_that_lies_about_a_size_ends_soon(size):
    """Python's tarfile goes on reading past the end for as many bytes as the header claims: for years."""
    started = time.monotonic()
    with pytest.raises(UserError):
        taken(pax_size("robo-1.0/a.md", size))
    with pytest.raises(UserError):
        taken(pax_size("robo-1.0/a.py", size))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "kind",
    [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.SYMTYPE, b"Z"],
)
def test_a_huge_header_is_not_kept_in_memory(kind):
    content = gzip.compress(
        header("x", kind, 64 * 2**20) + bytes(64 * 2**20) + targz_raw(member("robo-1.0/a.py")), compresslevel=1
    )

    def attempt():
        with pytest.raises(UserError, match="header of"):
            taken(content)

    assert peak_of(attempt) < 16 * 2**20


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_too_many_members_of_any_kind(monkeypatch, kind):
    monkeypatch.setattr(bounds, "MAX_FILES", 50)
    with pytest.raises(UserError, match="more than 50 files"):
        taken(targz(*(member(f"robo-1.0/{n}", b"" if kind == tarfile.REGTYPE else None, kind, "x") for n in range(51))))
    with pytest.raises(UserError, match="more than 50 files"):
        taken(zipped(*((f"robo-1.0/{n}/", b"") for n in range(51))))
    assert taken(targz(*(member(f"robo-1.0/{n}.py", b"") for n in range(50))))


@pytest.mark.parametrize(
    "members",
    [
        ["robo-1.0/A.py", "robo-1.0/a.py"],
        ["robo-1.0/a.py", "robo-1.0/a.py"],
        ["robo-1.0/Dir/a.py", "robo-1.0/dir/A.py"],
        ["robo-1.0/a.py", "other/a.py"],
        ["robo-1.0/a.py", "robo-1.0/a.py/b.py"],
        ["robo-1.0/a.py/b.py", "robo-1.0/a.py"],
        ["robo-1.0/é.py", "robo-1.0/" + unicodedata.normalize("NFD", "é") + ".py"],
        ["robo-1.0/a.py", "robo-1.0//./a.py"],
    ],
    ids=ascii,
)
def test_names_that_collide_somewhere(index, before, members):
    fails([sdist(index.add("robo", targz(*map(member, members))))], "sources.0 (robo)", "stands twice")


def test_no_source_writes_over_the_provenance(index, before):
    digest = index.add("provenance-jsonl", GOOD)
    fails([sdist(digest, name="provenance.jsonl")], "stands twice")


DAMAGED = {
    "cut in half": GOOD[: len(GOOD) // 2],
    "cut at the end": GOOD[:-8],
    "empty": b"",
    "text": b"<html>not found</html>",
    "gzip of text": gzip.compress(b"hello" * 500),
    "tar unpacked": targz_raw(member("robo-1.0/a.py")),
    "gzip of nothing": gzip.compress(b""),
    "PK": b"PK\x03\x04 and then nothing",
    "tar cut between members": gzip.compress(targz_raw(member("robo-1.0/a.py"), member("robo-1.0/b.py"))[:1024]),
    "tar cut in a header": gzip.compress(targz_raw(member("robo-1.0/a.py"), member("robo-1.0/b.py"))[:1300]),
    "tar cut in a member": gzip.compress(targz_raw(member("robo-1.0/a.py", CODE * 100))[:1500]),
    "damaged header": gzip.compress(
        targz_raw(member("robo-1.0/a.py"), member("robo-1.0/b.py")).replace(b"robo-1.0/b.py", b"robo-1.0/c.py")
    ),
    "damaged gzip": GOOD[:40] + bytes(40) + GOOD[80:],
    "encrypted": flagged_zip(flag=1),
    "method": flagged_zip(method=97),
    "bzip2": zipped(("robo-1.0/a.py", CODE), method=zipfile.ZIP_BZIP2),
    "xz": zipped(("robo-1.0/a.py", CODE), method=zipfile.ZIP_LZMA),
    "damaged zip": zipped(("robo-1.0/a.py", CODE * 100)).replace(b"PK\x01\x02", b"PK\x01\x03"),
    "endless headers": gzip.compress((header("x", tarfile.XHDTYPE, 11) + b"11 path=ab\n".ljust(512, b"\0")) * 3000),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_archive_gives_one_message_and_no_file(index, before, case):
    fails([sdist(index.add("robo", DAMAGED[case]))], "sources.0 (robo)")


def test_random_damage_never_ends_in_a_traceback():
    """Bits flipped behind the pinned hash's back; each attempt either gives files or a UserError."""
    chance = random.Random(33)
    tar = targz_raw(
        member("robo-1.0", None, tarfile.DIRTYPE),
        member("robo-1.0/a.py"),
        member("robo-1.0/" + "long" * 40 + "/b.py"),
        member("robo-1.0/l", None, tarfile.SYMTYPE, "a.py"),
        member("robo-1.0/é.py", pax_headers={"comment": "x" * 50}),
    )
    flat = zipped(("robo-1.0/a.py", CODE), ("robo-1.0/é.py", CODE * 20), ("robo-1.0/d/", b""))
    refused = 0
    started = time.monotonic()
    for n in range(600):
        content = bytearray(tar if n % 2 else flat)
        for _ in range(chance.choice([1, 1, 2, 8])):
            content[chance.randrange(len(content))] = chance.choice(
                [0, 0x20, 0x2F, 0x30, 0x37, 0x80, 0xFF, chance.randrange(256)]
            )
        if n % 2:  # half of the tars get checksums that are right, so that the damage goes deeper
            if n % 4 == 1:
                for at in range(0, len(content) - 512, 512):
                    if content[at + 257 : at + 262] == b"ustar":
                        content[at : at + 512] = repaired(bytearray(content[at : at + 512]))
            content = gzip.compress(bytes(content), compresslevel=1)
        try:
            taken(bytes(content), include=["*"])
        except UserError:
            refused += 1
    assert 100 < refused < 600 and time.monotonic() - started < 20


# --- folders ----------------------------------------------------------------------------------------------------------


def test_links_in_a_folder_are_not_followed(workplace):
    (workplace / "outside").mkdir()
    (workplace / "outside/secret.py").write_text("secret = 1\n")
    folder_of_one()
    os.symlink(workplace / "outside", "corpora/mine/way")
    os.symlink(workplace / "outside/secret.py", "corpora/mine/secret.py")
    os.mkfifo("corpora/mine/pipe.py")
    assert [row["path"] for row in collect([folder()])] == ["a.py"]


def test_a_folder_that_is_a_link_is_refused(workplace):
    (workplace / "outside").mkdir()
    (workplace / "outside/secret.py").write_text("secret = 1\n")
    Path("corpora").mkdir()
    os.symlink(workplace / "outside", "corpora/mine")
    fails([folder()], "sources.0 (mine)", "corpora/mine is a link")


def test_a_folder_that_is_not_there(before):
    fails([folder()], "sources.0 (mine)", "corpora/mine: no such folder")


def test_a_folder_that_is_not_in_a_queued_runs_copy_says_why(workplace, monkeypatch):
    copy = workplace / "project/.dvc/tmp/exps/tmp123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(
        UserError, match=r"corpora/mine: no such folder in the copy .* git add corpora/mine, and queue it again"
    ):
        collect([folder()])


def test_a_folder_without_a_wanted_file(before):
    folder_of_one()
    fails([folder(include=["*.mpy"])], "sources.0 (mine)", "no file matches include ['*.mpy']")


def lead_nowhere(path):
    path.symlink_to("nowhere")


def lead_to_itself(path):
    path.symlink_to(path.name)


def lead_to_a_folder(path):
    (path.parent.parent / "other").mkdir()
    path.symlink_to("../other")


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def code(path):
    path.write_bytes(CODE)


# How a file of one's own comes to be, its name, and why it is left out; None: it is passed over without a word
ODD = [
    (lead_nowhere, "gone.py", "a link, and links are not followed"),
    (lead_to_itself, "loop.py", "a link"),
    (lead_to_a_folder, "lib", "a link"),
    (os.mkfifo, "pipe.py", "neither a file nor a folder: remove it"),
    (listen, "socket.py", "neither a file nor a folder"),
    (
        lambda path: path.write_bytes(bytes(5 * 2**20)),
        "long.py",
        "has 5242880 bytes; at most 4194304 are taken: split it, or name it in exclude",
    ),
    (code, "aux.py", "unsafe file name 'aux.py', which not every system can hold: rename it"),
    (code, "what?.py", "unsafe file name"),
    (code, " lead.py", "unsafe file name"),
    (code, "x\n.py", "unsafe file name"),
    (code, os.fsdecode(b"\xff.py"), "unsafe file name"),
    (code, "a.PY", None),
    (code, "A.py", "a.py stands twice"),
    (lead_nowhere, "LICENSE", "a link"),
    (lead_nowhere, ".#a.py", None),
    (code, "#a.py#", None),
    (code, ".a.py.swp", None),
    (code, "a.py~", None),
    (code, "._a.py", None),
    (lead_nowhere, "notes.txt", None),
]


@pytest.mark.parametrize("make, name, why", ODD, ids=[ascii(name) for _, name, _ in ODD])
def test_an_odd_file_in_a_folder_costs_that_file_alone(make, name, why):
    folder_of_one()
    make(Path("corpora/mine", name))
    rows, left_out = collect([folder()]), list(read_jsonl(LEFT_OUT)) if LEFT_OUT.exists() else []
    assert len(rows) == 1 and rows[0]["path"] in ("a.py", "A.py")
    assert [row["reason"][: len(why)] for row in left_out] == [why] if why else left_out == []
    for row in left_out:
        assert row["path"] in (name.replace("\udcff", "\\xff"), "a.py") and (row["source"], row["split"]) == (
            "mine",
            "val",
        )


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(
    "name, why", [("shut.py", "cannot be read: chmod +r"), ("shut", "a folder that cannot be read: chmod +rx")]
)
def test_what_may_not_be_read_is_left_out(name, why):
    folder_of_one()
    path = Path("corpora/mine", name)
    path.mkdir() if path.suffix == "" else path.write_bytes(CODE)
    path.chmod(0)
    assert [row["path"] for row in collect([folder()])] == ["a.py"]
    assert [(row["path"], row["reason"]) for row in read_jsonl(LEFT_OUT)] == [(name, why)]
    path.chmod(0o700)


def test_a_folder_of_odd_files_alone(before):
    Path("corpora/mine").mkdir(parents=True)
    code(Path("corpora/mine/aux.py"))
    fails([folder()], "sources.0 (mine)", "no file matches include ['*.py']", "aux.py: unsafe file name", "rename it")


def test_two_sources_with_the_same_files(before):
    for name in ("mine", "copy"):
        Path("corpora", name).mkdir(parents=True)
        code(Path("corpora", name, f"{name}.py"))
    both = [folder(), folder("corpora/copy", "copy")]
    fails(both, "sources: mine and copy hold the same files; leave all but one out")
    Path("corpora/copy/more.py").write_text("more = 1\n")
    assert len(collect(both)) == 3


def test_dvc_passes_over_what_collect_passes_over():
    """What an editor left there would else be a change, or, as a link to nowhere, the end of every command of DVC."""
    ignored = [line.removeprefix("\\") for line in (REPOSITORY / ".dvcignore").read_text().splitlines()]
    assert set(folders.LEAVINGS) <= set(ignored)


def test_a_folder_with_too_much(before, monkeypatch):
    folder_of_one()
    code(Path("corpora/mine/b.py"))
    monkeypatch.setattr(bounds, "MAX_FILES", 1)
    fails([folder()], "more than 1 files")


# --- the stage as DVC runs it -----------------------------------------------------------------------------------------


def test_the_stage_names_file_and_key_and_says_whether_to_try_again(workplace):
    root = copy_configs(workplace / "whole")
    done = run_stage(root, "collect", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert done.returncode == 75 and "Traceback" not in done.stderr
    assert re.search(
        r"error: configs/corpora/micropython-permissive.yaml: sources.0 \((\S+)\): \1 \S+: the package index cannot be reached",
        done.stderr,
    )
    assert set(os.listdir(root)) <= {"params.yaml", "dvc.yaml", "configs", "data", ".state"} and not files_under(
        root / "data"
    )


@pytest.mark.slow
def test_a_moved_pin_runs_collect_alone_and_is_named(index, workplace, monkeypatch):
    from flows.changes import pending
    from flows.dvc_repo import Repo

    index.add("led", GOOD, "1.0")
    root, lock = make_chain(workplace / "chain"), "configs/corpora/small.lock"
    with open(root / "configs/corpora/small.yaml", "a") as config:
        config.write('- {name: led, license: MIT, split: train, include: ["*.py"]}\n')
    monkeypatch.chdir(root)

    def corpus(*words):
        arguments = make_parser().parse_args(["corpus", *words])
        arguments.function(arguments)

    corpus("lock")
    call(root, "dvc", "repro", "collect", PIP_INDEX_URL=index.url)
    with Repo(".") as repo:
        before = repo.status()
    index.add("led", targz(member("led-1.1/led.py")), "1.1")
    corpus("update")
    with Repo(".") as repo:
        after = repo.status()
    assert "collect" not in before and after.pop("collect") == [{"changed deps": {lock: {"led": "modified"}}}]
    assert after == before and pending()["collect"] == "led changed"
