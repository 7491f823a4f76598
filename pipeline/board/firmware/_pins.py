"""What goes with a pin of machine: its interrupt, and a signal that may be the other way round."""
from _board import PORT
from _hw import call as _call


class _Irq:
    def __init__(self, pin):
        self._pin, self._handler, self._trigger = pin, None, 0

    def __call__(self):
        self._handler(self._pin)

    def flags(self):
        return {"f": self._pin.IRQ_FALLING, "r": self._pin.IRQ_RISING}.get(_call("pin.flags", self._pin._id), 0)

    def trigger(self, new=None):
        pin, before = self._pin, self._trigger
        if new is not None:
            self._trigger = new
            if self._handler is None or (PORT != "rp2" and new > 3):      # levels, which only wake an ESP32
                new = 0
            _call("pin.irq", "%s,%s%s" % (pin._id, "f" if new & pin.IRQ_FALLING else "", "r" if new & pin.IRQ_RISING else ""))
        return before


class Signal:
    def __init__(self, pin, *args, invert=False, value=None, **kwargs):
        if not hasattr(pin, "value"):
            from machine import Pin
            if value is not None:
                kwargs["value"] = bool(value) != bool(invert)
            pin = Pin(pin, *args, **kwargs)
        elif args or kwargs or value is not None:
            raise TypeError
        self._pin, self._invert = pin, bool(invert)

    def value(self, x=None):
        if x is None:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(x) != self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)
