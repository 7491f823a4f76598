"""os: the interpreter's own over the board's files, without those that make the board."""
from _hw import call as _call, inner
from collections import namedtuple

_own = inner("os")
chdir, getcwd, mkdir, rmdir, mount, umount = _own.chdir, _own.getcwd, _own.mkdir, _own.rmdir, _own.mount, _own.umount
remove, unlink, rename, sep, stat, urandom = _own.remove, _own.unlink, _own.rename, _own.sep, _own.stat, _own.urandom
_OURS = ("dev", "firmware", "lib", "rom")


def ilistdir(*path):
    root = (path[0] if path else getcwd()) in ("/", "")
    return iter([each for each in _own.ilistdir(*path) if not (root and each[0] in _OURS)])


def listdir(*path):
    return [each[0] for each in ilistdir(*path)]


def statvfs(path):
    size, blocks = [int(each) for each in _call("flash").split(",")]
    return (size, size, blocks, blocks - 8, blocks - 8, 0, 0, 0, 0, 255)


def sync():
    pass


def dupterm(stream_object, index=0):
    return None


def dupterm_notify(obj_in):
    pass


def uname():
    return namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))(*_call("uname").split("\n"))
