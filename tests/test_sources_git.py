"""git sources on real repositories made here, read from the disk and over HTTP: just the pinned files, nothing run, one message on what is wrong."""

import os
import socketserver
import stat
import struct
import subprocess
import threading
import wsgiref.simple_server
import zlib
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, Tree
from dulwich.pack import pack_object_header, write_pack_index_v2
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain
from pydantic import ValidationError
from stages import files_under

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import read_jsonl
from pipeline.core.paths import LEFT_OUT, LICENSES
from pipeline.core.schema import GitSource
from pipeline.data.collect import collect
from pipeline.data.sources import bounds, git

CODE = b"import machine\nprint(machine.freq())\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
SUBMODULE, LINK = 0o160000, 0o120000


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def add_tree(repo, files: dict) -> bytes:
    """Stores {name: content, (mode, hash) or a folder's own dict} as a tree, also what git itself would refuse to make."""
    tree = Tree()
    for name, what in files.items():
        if isinstance(what, bytes):
            blob = Blob.from_string(what)
            repo.object_store.add_object(blob)
            what = (0o100644, blob.id)
        elif isinstance(what, dict):
            what = (stat.S_IFDIR, add_tree(repo, what))
        tree.add(os.fsencode(name), *what)
    repo.object_store.add_object(tree)
    return tree.id


def commit(repo, files: dict, branch=b"refs/heads/main") -> str:
    made = Commit()
    made.tree = add_tree(repo, files)
    made.author = made.committer = b"A <a@b>"
    made.author_time = made.commit_time = 0
    made.author_timezone = made.commit_timezone = 0
    made.message = b"m"
    made.parents = [repo.refs[branch]] if branch in repo.refs else []
    repo.object_store.add_object(made)
    repo.refs[branch] = made.id
    return made.id.decode()


FILES = {
    "LICENSE": b"MIT by A",
    "setup.py": b"s = 1\n",
    "README.md": b"hello",
    "drivers": {
        "led.py": CODE,
        "deep": {"b.py": b"b = 2\n"},
        "vendored": (SUBMODULE, b"1" * 40),
        "big.py": POINTER,
        "LICENSE": b"of drivers",
    },
}


@pytest.fixture
def repo(workplace):
    made = Repo.init_bare(workplace / "repo", mkdir=True)
    link = Blob.from_string(b"/etc/passwd")
    made.object_store.add_object(link)
    FILES["drivers"]["link.py"] = (LINK, link.id)
    return made


@pytest.fixture
def address(repo):
    """Where `repo` is served, by dulwich's own server, which gives out only commits that a branch names or leads to."""

    class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
        daemon_threads = True

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    app = make_wsgi_chain(DictBackend({"/": repo, "/robo.git": repo}))
    with wsgiref.simple_server.make_server("127.0.0.1", 0, app, server_class=Server, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/robo.git"
        server.shutdown()


def source(url, at, subfolder=".", include=("*.py",)):
    return GitSource(
        kind="git",
        name="robo",
        url=str(url),
        commit=at,
        subfolder=subfolder,
        license="MIT",
        split="train",
        include=list(include),
    )


def fails(wanted, *words, kind=UserError):
    """collect ends in one message with these words, and what was collected before is as it was."""
    Path("data/raw/robo").mkdir(parents=True, exist_ok=True)
    Path("data/raw/robo/old.py").write_bytes(b"old = 1\n")
    with pytest.raises(kind) as error:
        collect([wanted])
    assert "sources.0 (robo)" in str(error.value)
    for word in words:
        assert word in str(error.value), error.value
    assert files_under(Path("data")) == {"raw/robo/old.py": b"old = 1\n"} and not list(Path.cwd().rglob("*.unfinished"))


# --- what it is for ---------------------------------------------------------------------------------------------------


def test_the_pinned_commit_is_read_and_not_the_branch(repo, workplace):
    at = commit(repo, FILES)
    commit(repo, {"other.py": CODE})
    rows = collect([source(workplace / "repo", at)])
    assert {p: c for p, c in files_under(Path("data/raw/robo")).items()} == {
        "drivers/deep/b.py": b"b = 2\n",
        "drivers/led.py": CODE,
        "setup.py": b"s = 1\n",
    }
    assert {(row["kind"], row["version"]) for row in rows} == {("git", at)}
    assert [(row["path"], row["reason"]) for row in read_jsonl(LEFT_OUT)] == [
        ("drivers/big.py", git.ELSEWHERE),
        ("drivers/vendored", git.SUBMODULE),
    ]


@pytest.mark.parametrize(
    "subfolder, paths, license",
    [
        ("drivers", ["deep/b.py", "led.py"], "of drivers"),
        ("drivers/deep", ["b.py"], "of drivers"),
        ("other", ["c.py"], "MIT by A"),
    ],
)
def test_a_subfolder_brings_the_nearest_licence_above_it(repo, workplace, subfolder, paths, license):
    at = commit(repo, FILES | {"other": {"c.py": CODE}})
    assert [row["path"] for row in collect([source(workplace / "repo", at, subfolder)])] == paths
    assert [(row["path"], row["text"]) for row in read_jsonl(LICENSES)] == [("LICENSE", license)]


def test_over_http_once_then_from_what_was_kept(repo, address, workplace):
    at = commit(repo, FILES)
    commit(repo, {"other.py": CODE})  # so that no branch names the pinned one
    rows = collect([source(address, at)])
    assert [row["path"] for row in rows] == ["drivers/deep/b.py", "drivers/led.py", "setup.py"]
    (workplace / "repo").rename(workplace / "gone")
    assert collect([source(address, at)]) == rows


def test_a_clone_by_git_itself_with_packs_deltas_and_hooks(repo, workplace):
    long = b"".join(b"line_%d = %d\n" % (n, n) for n in range(500))
    commit(repo, {"a.py": long})
    commit(repo, {"a.py": long + b"more = 1\n"})
    clone, marker = workplace / "clone", workplace / "it-ran"
    subprocess.run(["git", "clone", "-q", str(workplace / "repo"), str(clone)], check=True)
    hook = clone / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    subprocess.run(["git", "-C", str(clone), "config", "filter.run.smudge", f"touch {marker}"], check=True)
    subprocess.run(["git", "-C", str(clone), "repack", "-adq"], check=True)
    (clone / ".gitattributes").write_text("*.py filter=run\n")
    at = repo.refs[b"refs/heads/main"].decode()
    collect([source(clone, at)])
    assert Path("data/raw/robo/a.py").read_bytes() == long + b"more = 1\n" and not marker.exists()


# --- what may be wrong ------------------------------------------------------------------------------------------------


def test_a_commit_that_is_not_there_is_told_with_the_branches(repo, address, workplace):
    head = commit(repo, FILES)
    for where in (workplace / "repo", address):
        fails(source(where, "0" * 40), f"has no commit {'0' * 40}", f"main is at {head}")


def test_a_hash_of_something_else_than_a_commit(repo, workplace):
    commit(repo, FILES)
    fails(source(workplace / "repo", add_tree(repo, FILES).decode()), "is a tree, and a commit is needed")


def test_a_repository_that_is_gone(repo, address, workplace):
    at = commit(repo, FILES)
    fails(source(workplace / "elsewhere", at), "elsewhere: no such folder")
    (workplace / "empty").mkdir()
    fails(source(workplace / "empty", at), "empty: no git repository is there")
    fails(source(address.replace("robo.git", "other.git"), at), "no git repository is there")
    fails(source("http://127.0.0.1:9/robo.git", at), "http://127.0.0.1:9/robo.git", kind=TemporaryError)


def test_a_subfolder_that_is_not_there(repo, workplace):
    fails(source(workplace / "repo", commit(repo, FILES), "driver"), "no folder 'driver'", "did you mean 'drivers'?")
    fails(source(workplace / "repo", commit(repo, FILES), "setup.py"), "no folder 'setup.py'")


def test_nothing_that_is_wanted(repo, workplace):
    fails(source(workplace / "repo", commit(repo, FILES), include=["*.mpy"]), "no file matches include ['*.mpy']")


def test_each_object_damaged_in_turn(repo, workplace):
    """Cut, emptied, no zlib, or another's content: files or one message, never a traceback, and files only as they were."""
    where = str(workplace / "repo")
    at = commit(repo, {"a.py": CODE, "deep": {"b.py": b"b = 2\n"}})
    objects = [path for path in (workplace / "repo/objects").rglob("*") if path.is_file()]
    refused = 0
    for path in objects:
        whole = path.read_bytes()
        path.chmod(0o644)
        for changed in (
            whole[: len(whole) // 2],
            whole[:-1],
            whole[:-6],
            b"",
            b"\x78\x01not zlib",
            objects[0].read_bytes(),
            b"\0" * 99,
        ):
            path.write_bytes(changed)
            try:
                there = dict(git.listing(where, where, at, "."))
                assert list(git.contents(where, where, [there["a.py"], there["deep/b.py"]], 999)) == [CODE, b"b = 2\n"]
            except UserError as error:
                assert "damaged" in str(error) or "has no commit" in str(error), error
                refused += 1
        path.write_bytes(whole)
    assert refused > 20


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_pack(repo, workplace, keep):
    at = commit(repo, {f"{n}.py": os.urandom(200) for n in range(20)})
    subprocess.run(["git", "-C", str(workplace / "repo"), "repack", "-adq"], check=True)
    subprocess.run(["git", "-C", str(workplace / "repo"), "prune-packed"], check=True)
    pack = next((workplace / "repo/objects/pack").glob("*.pack"))
    content = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(content[: int(len(content) * keep)])
    fails(source(workplace / "repo", at), "damaged, cut off or incomplete")


def test_an_object_with_another_hash_than_its_name(repo, workplace):
    at = commit(repo, {"a.py": CODE, "b.py": b"b = 2\n"})
    a, b = (
        workplace / "repo/objects" / name[:2] / name[2:]
        for name in (Blob.from_string(each).id.decode() for each in (CODE, b"b = 2\n"))
    )
    b.chmod(0o644)
    b.write_bytes(a.read_bytes())
    fails(source(workplace / "repo", at), "is damaged: its hash is")


def test_a_bomb_ends_in_a_message(repo, workplace, monkeypatch):
    """A blob of zeros, and a tree that holds the same tree ten times, six deep."""
    monkeypatch.setattr(bounds, "MAX_TOTAL_BYTES", 2**20)
    fails(
        source(workplace / "repo", commit(repo, {f"{n}.py": bytes([n]) * 2**19 for n in range(4)})),
        "unpacks to more than 1 MiB",
    )
    fails(
        source(workplace / "repo", commit(repo, {"a.py": bytes(bounds.MAX_FILE_BYTES + 1)})),
        "a.py has 4194305 bytes; at most 4194304",
    )
    tree = add_tree(repo, {f"{n}.py": CODE for n in range(10)})
    for _ in range(5):
        tree = add_tree(repo, {str(n): (stat.S_IFDIR, tree) for n in range(10)})
    fails(
        source(workplace / "repo", commit(repo, {"deep": (stat.S_IFDIR, tree)})),
        "more than 20000 files; name a subfolder",
    )


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_more_than_memory_holds(repo, workplace, packed):
    """Four gigabytes of zeros in four megabytes: the process that unpacks them is refused the memory."""
    at, name, size = commit(repo, {"a.py": CODE}), Blob.from_string(CODE).id.decode(), 4 * 2**30
    packer = zlib.compressobj(1)
    start = packer.compress(b"" if packed else b"blob %d\0" % size) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # such pieces may stand one after another
    bomb = start + piece * (size // 2**24)
    path = workplace / "repo/objects" / name[:2] / name[2:]
    path.unlink()
    if packed:
        path = workplace / "repo/objects/pack/pack-bomb.pack"
        bomb = (
            b"PACK"
            + struct.pack(">II", 2, 1)
            + bytes(pack_object_header(Blob.type_num, None, size, repo.object_format))
            + bomb
        )
        with open(path.with_suffix(".idx"), "wb") as index:
            write_pack_index_v2(index, [(bytes.fromhex(name), 12, 0)], bytes(20))
        bomb += bytes(20)
    path.write_bytes(bomb)
    fails(source(workplace / "repo", at), "unpacks to more than 2 GiB")


@pytest.mark.parametrize("name", ["..", "con.py", "a\\b.py", "a\n.py", "\udcff.py"], ids=ascii)
def test_odd_names_stop_the_stage(repo, workplace, name):
    files = {name: {"evil.py": CODE}} if name == ".." else {name: CODE}
    fails(source(workplace / "repo", commit(repo, files)), "unsafe file name")


@pytest.mark.parametrize(
    "url, commit, subfolder",
    [
        ("https://me:secret@host/a/b", "0" * 40, "."),
        ("git@host:a/b", "0" * 40, "."),
        ("ssh://host/a", "0" * 40, "."),
        ("-oProxyCommand=x", "0" * 40, "."),
        ("ext::sh -c x", "0" * 40, "."),
        ("https://host/a", "main", "."),
        ("https://host/a", "0" * 39, "."),
        ("https://host/a", "0" * 40, "/etc"),
        ("https://host/a", "0" * 40, "../x"),
        ("https://host/a", "0" * 40, "a/../x"),
    ],
)
def test_what_no_config_may_say(url, commit, subfolder):
    with pytest.raises(ValidationError):
        source(url, commit, subfolder)
    assert source("https://host/a/b.git", "0" * 40, "a/b") and source("../clone", "f" * 64)
