"""Files of one commit of a git repository, read by dulwich object by object.

Nothing is checked out, so neither hooks nor filters (Git LFS) nor links come to act; no credential helper and no configuration of git's is
asked. What belongs to other repositories (submodules) or lies elsewhere (LFS) is left out, and said so. A repository on this machine is read
where it lies; of one behind an address only the pinned commit is fetched, where the server allows that, and kept by its hash.

What decodes objects runs in a process of its own (confined.py), and each must have the hash that it is asked for by.
"""

import contextlib
import hashlib
import shutil
import stat
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path, PurePosixPath

from pipeline.core.errors import TemporaryError, UserError, closest, shortened
from pipeline.data import licences
from pipeline.data.sources import bounds
from pipeline.data.sources.bounds import ANSWER_SECONDS, DOWNLOADS, safe_path
from pipeline.data.sources.confined import confined, too_much

POINTER = b"version https://git-lfs.github.com/spec/"
SUBMODULE = "a submodule, which is a repository of its own: add it as a source, if its licence allows"
ELSEWHERE = "a pointer to Git LFS, whose files lie elsewhere"


# --- in a process of its own ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def explained(where: str) -> Generator[None]:
    """What dulwich raises, as one message about the repository `where`."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import (
        ApplyDeltaError,
        ChecksumMismatch,
        FileFormatException,
        GitProtocolError,
        HangupException,
        NotGitRepository,
        WrongObjectException,
    )
    from urllib3.exceptions import HTTPError

    try:
        yield
    except UserError:
        raise
    except NotGitRepository:
        raise UserError(f"{where}: no git repository is there (any more)") from None
    except HTTPUnauthorized:
        raise UserError(
            f"{where}: asks for a password, or is not there; clone what is not public, and name that folder as url"
        ) from None
    except MemoryError:
        raise too_much(where) from None
    except (HangupException, HTTPError) as error:
        raise TemporaryError(f"{where}: cannot be reached, or broke off ({type(error).__name__}). Run again") from None
    except GitProtocolError as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        kind = (
            TemporaryError
            if any(word in said for word in ("Connection", "Max retries", "timed out", "unexpected http resp 5"))
            else UserError
        )
        raise kind(f"{where}: cannot be read ({said[:200]})") from None
    except (
        ApplyDeltaError,
        ChecksumMismatch,
        FileFormatException,
        WrongObjectException,
        zlib.error,
        struct.error,
        LookupError,
        AssertionError,
        ValueError,
        EOFError,
        OSError,
    ) as error:
        if "exceeds maximum size" in str(error):  # dulwich's own bound for an object that stands alone
            raise too_much(where) from None
        raise UserError(
            f"{where}: damaged, cut off or incomplete ({type(error).__name__}: {str(error)[:100]})"
        ) from None


def bring(url: str, commit: str, into: str) -> Iterator:
    """Fetches `commit` of the repository at `url` into a bare one: alone, or where the server gives only what it names, with all branches."""
    from dulwich.client import get_transport_and_path
    from dulwich.config import ConfigDict
    from dulwich.errors import GitProtocolError
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

    wanted, config = ObjectID(commit.encode()), ConfigDict()
    config.set((b"http",), b"timeout", str(ANSWER_SECONDS[1]).encode())
    with explained(url), Repo.init_bare(into, mkdir=True) as repo:
        client, path = get_transport_and_path(url, config=config, quiet=True)
        refs = client.get_refs(path.encode()).refs
        try:
            client.fetch(path, repo, determine_wants=lambda refs, depth=None: [wanted], depth=1)
        except (GitProtocolError, LookupError):
            client.fetch(path, repo, determine_wants=lambda refs, depth=None: sorted(set(refs.values())))
        if wanted not in repo.object_store:
            raise UserError(f"{url}: has no commit {commit} (any more); {heads(refs)}")
    yield from ()


def tip(where: str) -> Iterator[str]:
    """The commit that a repository's HEAD is at."""
    from dulwich.client import get_transport_and_path
    from dulwich.repo import Repo

    with explained(where):
        if remote(where):
            client, path = get_transport_and_path(where, quiet=True)
            at = client.get_refs(path.encode()).refs.get(b"HEAD")
        else:
            with Repo(str(Path(where).expanduser())) as repo:
                at = repo.get_refs().get(b"HEAD")
        if at is None:
            raise UserError(f"{where}: an empty repository, without a commit")
        yield at.decode()


def heads(refs: dict) -> str:
    named = [
        f"{name.decode(errors='replace').removeprefix('refs/heads/')} is at {at.decode()}"
        for name, at in sorted(refs.items())
        if at and name.startswith(b"refs/heads/")
    ]
    return f"its branches: {shortened(named)}" if named else "it has no branches"


def raw(repo, name: bytes, kind: bytes) -> bytes:
    """An object's content, proven by its hash to be the one that was asked for."""
    from dulwich.objects import object_class

    number, content = repo.object_store.get_raw(name)
    known = object_class(number)
    found = known.type_name if known else b"thing of no kind that git knows"
    hashed = (
        hashlib.new("sha1" if len(name) == 40 else "sha256", b"%s %d\0" % (found, len(content)) + content)
        .hexdigest()
        .encode()
    )
    if hashed != name:
        raise UserError(f"{repo.path}: object {name.decode()} is damaged: its hash is {hashed.decode()}")
    if found != kind:
        raise UserError(f"{repo.path}: {name.decode()} is a {found.decode()}, and a {kind.decode()} is needed")
    return content


def entries(repo, tree: bytes) -> dict[str, tuple[int, bytes]]:
    from dulwich.objects import parse_tree

    found = parse_tree(raw(repo, tree, b"tree"), len(tree) // 2)
    return {entry[0].decode("utf-8", "surrogateescape"): (entry[1], entry[2]) for entry in found}


def listing(where: str, folder: str, commit: str, subfolder: str) -> Iterator[tuple[str, bytes | None]]:
    """(path, hash) of each file under `subfolder`, with the licence texts of the folders above it; of submodules (path, None)."""
    from dulwich.objects import Commit, ObjectID
    from dulwich.repo import Repo

    with explained(where), Repo(folder) as repo:
        if ObjectID(commit.encode()) not in repo.object_store:
            raise UserError(f"{where}: has no commit {commit}; {heads(repo.get_refs())}")
        tree = Commit.from_string(raw(repo, commit.encode(), b"commit")).tree
        for part in PurePosixPath(subfolder).parts:
            there = entries(repo, tree)
            yield from (
                (name, at) for name, (mode, at) in there.items() if stat.S_ISREG(mode) and licences.TEXT.fullmatch(name)
            )
            folders = sorted(name for name, (mode, _) in there.items() if stat.S_ISDIR(mode))
            if part not in folders:
                close = closest(part, folders)
                raise UserError(
                    f"{where}: commit {commit} has no folder {subfolder!r}"
                    + (
                        f"; did you mean {close!r}?"
                        if close
                        else f"; folders there: {shortened(folders, 10) or 'none'}"
                    )
                )
            tree = there[part][1]
        count, trees = 0, [("", tree)]
        while trees:
            above, tree = trees.pop()
            for name, (mode, at) in entries(repo, tree).items():
                count += 1
                if count > bounds.MAX_FILES:
                    raise UserError(f"{where}: more than {bounds.MAX_FILES} files; name a subfolder")
                if stat.S_ISDIR(mode):
                    trees.append((f"{above}{name}/", at))
                elif stat.S_ISREG(mode):
                    yield above + name, at
                elif stat.S_IFMT(mode) == 0o160000:
                    yield above + name, None


def contents(where: str, folder: str, names: list[bytes], most: int) -> Iterator[bytes | int]:
    """What each object holds; of one with more than `most` bytes, how many."""
    from dulwich.repo import Repo

    with explained(where), Repo(folder) as repo:
        for name in names:
            content = raw(repo, name, b"blob")
            yield content if len(content) <= most else len(content)


# --- here -------------------------------------------------------------------------------------------------------------


def newest(url: str) -> str:
    with confined(url) as do:
        return next(do(tip))


def remote(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def fetch(source) -> Path:
    """The folder of a repository that holds the commit of a GitSource."""
    if not remote(source.url):
        if not (folder := Path(source.url).expanduser()).is_dir():
            raise UserError(f"{source.url}: no such folder, so no repository there (any more)")
        return folder
    kept = DOWNLOADS / f"git-{source.commit}"
    if not kept.exists():
        unfinished = DOWNLOADS / f".git-{source.commit}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        try:
            with confined(source.url) as do:
                list(do(bring, source.commit, str(unfinished)))
            unfinished.rename(kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return kept


def files(
    source, repository: Path, wanted: Callable[[str], bool], left_out: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the subfolder, content) of the files whose path is `wanted`. Links are passed over.

    Submodules and pointers to Git LFS go to `left_out`. Raises UserError for a repository that is damaged, too large or holds unsafe names.
    """
    with confined(source.url) as do:
        # of texts with one name the nearest counts, which comes last
        there = sorted(dict(do(listing, str(repository), source.commit, source.subfolder)).items())
        left_out |= {path: SUBMODULE for path, name in there if name is None}
        asked, total = [(path, name) for path, name in there if name is not None and wanted(path)], 0
        found = do(contents, str(repository), [name for _, name in asked], bounds.MAX_FILE_BYTES)
        for (path, _), content in zip(asked, found, strict=True):
            if isinstance(content, int):
                raise UserError(f"{path} has {content} bytes; at most {bounds.MAX_FILE_BYTES} are taken")
            total += len(content)
            if total > bounds.MAX_TOTAL_BYTES:
                raise UserError(f"unpacks to more than {bounds.MAX_TOTAL_BYTES // 2**20} MiB")
            if content.startswith(POINTER):
                left_out[path] = ELSEWHERE
            else:
                yield str(safe_path(path)), content
