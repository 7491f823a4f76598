"""DVC's Repo, which passes over what it could not read.

DVC hashes every file under the folders that a stage depends on, and a person's folder holds more than files: a link to nowhere, a socket, a
file that only its owner may read, a name that is no text. Each ends every command of DVC, even with nothing changed, and a pipe lets it wait
for ever. Such things are no input of any stage (collect leaves them out too, and says so), so DVC is not shown them. DVC has no setting for
that but patterns of names; .dvcignore holds those of what editors leave, for a `dvc` that a person types.
"""

import os
import stat

from dvc.ignore import DvcIgnoreFilter
from dvc.repo import Repo

__all__ = ["Repo"]


def is_readable(path: str) -> bool:
    try:
        path.encode()
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.R_OK)
    except (OSError, UnicodeEncodeError):
        return False


def without_unreadable(ask):
    def asked(self, root, dirs, files, ignore_subrepos=True):
        dirs, files = ask(self, root, dirs, files, ignore_subrepos)
        return dirs, [name for name in files if is_readable(os.path.join(root, name))]

    return asked


DvcIgnoreFilter.__call__ = without_unreadable(DvcIgnoreFilter.__call__)
