"""select: what streams are ready. Ours say it by `_events`, those that a program makes itself by `ioctl`."""
from _hw import call
from time import ticks_add, ticks_diff, ticks_ms

POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16


def _events(stream, wanted):
    """What of `wanted` has happened to a stream, and POLLERR and POLLHUP where they have."""
    if hasattr(stream, "_events"):
        return stream._events(wanted)
    if hasattr(stream, "ioctl"):
        return stream.ioctl(3, wanted)
    if hasattr(stream, "any"):
        return wanted if stream.any() else wanted & POLLOUT
    return wanted & POLLOUT         # the keyboard, at which nobody sits


def _pause(streams, wait):
    """Lets `wait` ms pass, below 0 for ever, or less where something happens. A stream that the program made itself may go by whatever it
    likes, so it is asked every few ms."""
    if any(hasattr(stream, "ioctl") and not hasattr(stream, "_events") for stream in streams):
        wait = 5 if wait < 0 else min(wait, 5)
    call("wait", "" if wait < 0 else str(wait * 1000))


def _wait(streams, find, timeout):
    """What `find()` finds, once it finds something or `timeout` ms are over; None and less than 0 are for ever."""
    forever = timeout is None or timeout < 0
    until = None if forever else ticks_add(ticks_ms(), int(timeout))
    while True:
        found = find()
        left = -1 if forever else ticks_diff(until, ticks_ms())
        if found or (not forever and left <= 0):
            return found
        _pause(streams, left)


class poll:
    def __init__(self):
        self._streams = {}

    def register(self, obj, eventmask=POLLIN | POLLOUT):
        if not (hasattr(obj, "_events") or hasattr(obj, "ioctl") or hasattr(obj, "read")):
            raise OSError(22)
        known = id(obj) in self._streams
        self._streams[id(obj)] = [obj, eventmask]
        return not known

    def unregister(self, obj):
        self._streams.pop(id(obj), None)

    def modify(self, obj, eventmask):
        if id(obj) not in self._streams:
            raise OSError(2)
        self._streams[id(obj)][1] = eventmask

    def _find(self):
        found = []
        for obj, mask in self._streams.values():
            events = _events(obj, mask)
            if events:
                found.append((obj, events))
        return found

    def poll(self, timeout=-1):
        return _wait([each[0] for each in self._streams.values()], self._find, timeout)

    def ipoll(self, timeout=-1, flags=0):
        found = self.poll(timeout)
        if flags & 1:
            for obj, _ in found:
                self.modify(obj, 0)
        return iter(found)


def select(rlist, wlist, xlist, timeout=-1):
    def find():
        ready = [s for s in rlist if _events(s, POLLIN)], [s for s in wlist if _events(s, POLLOUT)], [s for s in xlist if _events(s, 0)]
        return ready if ready[0] or ready[1] or ready[2] else None
    streams = list(rlist) + list(wlist) + list(xlist)
    return _wait(streams, find, None if timeout is None or timeout < 0 else timeout * 1000) or ([], [], [])
