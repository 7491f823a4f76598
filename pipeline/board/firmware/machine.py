"""machine: what it can do stands here, for every board; what a board has of it is cut to size by image.py."""
from _hw import call, listen, settle
from host import call as _ask

_NAMES = {}


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    ALT = 3
    ANALOG = 4
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_FALLING = 4
    IRQ_RISING = 8
    IRQ_LOW_LEVEL = 1
    IRQ_HIGH_LEVEL = 2
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        self._id = call("pin", str(id))
        self._low, self._high = self._id + ",0", self._id + ",1"
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        kind = {-1: "-", None: "-", Pin.IN: "in", Pin.OUT: "out", Pin.OPEN_DRAIN: "od"}.get(mode, "alt")
        pulls = {-1: "-", None: "none", Pin.PULL_UP: "up", Pin.PULL_DOWN: "down"}.get(pull, "none")
        call("pin.init", "%s,%s,%s,%s" % (self._id, kind, pulls, "-" if value is None else "1" if value else "0"))

    def value(self, x=None):
        if x is None:
            level = _ask("read", self._id)
            if level != "0" and level != "1":
                level = settle(level)
            return 1 if level == "1" else 0
        late = _ask("write", self._high if x else self._low)
        if late != "":
            settle(late)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    high = on
    low = off

    def toggle(self):
        call("toggle", self._id)

    def mode(self, mode=None):
        if mode is not None:
            return self.init(mode)
        return {"in": Pin.IN, "out": Pin.OUT, "od": Pin.OPEN_DRAIN}.get(call("pin.mode", self._id), Pin.ALT)

    def pull(self, pull=-1):
        if pull != -1:
            return self.init(-1, pull)
        return {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}.get(call("pin.pull", self._id))

    def drive(self, drive=None):
        return Pin.DRIVE_1 if drive is None else None

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, *, priority=1, wake=None, hard=False):
        edges = ("f" if trigger & Pin.IRQ_FALLING else "") + ("r" if trigger & Pin.IRQ_RISING else "")
        listen("pin" + self._id, handler, self)
        call("pin.irq", self._id + "," + ("" if handler is None else edges))
        return _Irq(self)

    def __repr__(self):
        return "Pin(%s)" % self._id

    def __eq__(self, other):
        return isinstance(other, Pin) and other._id == self._id

    def __hash__(self):
        return hash(self._id)


class _Irq:
    def __init__(self, pin):
        self._pin = pin

    def flags(self):
        return 0

    def trigger(self, *a):
        return 0


def _name(pin):
    """The hardware's name of a pin, given as a Pin, a number or a name."""
    return pin._id if isinstance(pin, Pin) else call("pin", str(pin))


def idle():
    call("tick")
