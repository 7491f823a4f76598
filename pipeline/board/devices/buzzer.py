"""A passive buzzer, which notes the tone that it sounds: hertz, 0 for silence. An `active` one sounds by itself: it notes 1 and 0."""

from pipeline.board.boards import Pin
from pipeline.board.devices import Device

SILENCE = 50_000  # microseconds without a new wave
HEARD = 0.03  # of a tone that two waves differ by, before they are two tones


class Buzzer(Device):
    pin: Pin
    active: bool = False

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        sounds, rose = 0, -SILENCE

        def sound(hertz: int) -> None:
            nonlocal sounds
            if abs(hertz - sounds) > HEARD * sounds:
                sounds = hertz
                board.note("device", f"buzzer {pin}", hertz)

        def changed(level: int | None) -> None:
            nonlocal rose
            state = board.pwm.state(pin)
            if self.active:
                sound(int(board.pwm.high(pin) > 0))
            elif state is not None:
                sound(state[0] if 0 < state[1] < 1 else 0)
            elif level == 1:  # the program makes the waves itself
                wave, rose = board.now - rose, board.now
                if wave < SILENCE:
                    sound(round(1_000_000 / wave))
                board.after(
                    SILENCE, lambda: sound(0) if board.now - rose >= SILENCE and board.pwm.state(pin) is None else None
                )
            elif board.now - rose >= SILENCE:
                sound(0)

        board.gpio.watch(pin, changed)
