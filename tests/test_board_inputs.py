"""A list of inputs becomes devices, and each mistake in it is told once, with its file and key."""

import re
from typing import get_args

import pytest
from ruamel.yaml import YAML

from pipeline.board import boards, devices, inputs
from pipeline.board.run import run
from pipeline.core.errors import UserError

SENSOR = '''"""A sensor of the test's own."""
from pipeline.board.devices import Device, Pin, Signal, steps


class Sensor(Device):
    pin: Pin
    also: Pin | None = None
    level: Signal = 0

    def pins(self):
        return {"pin": self.pin, "also": self.also}

    def rules(self):
        return [(self.pin != self.also, f"also: {self.also} is pin as well; give another")]

    def attach(self, board):
        for time, value in steps(self.level):
            board.at(time, lambda value=value: board.gpio.drive(board.spec.pin(self.pin), int(value)))
'''


@pytest.fixture
def sensor(tmp_path, monkeypatch):
    """One more file in devices/, which is all that a new device takes."""
    (tmp_path / "sensor_of_a_test.py").write_text(SENSOR)
    (tmp_path / "_helpers.py").write_text("raise AssertionError('no device, so nobody may import it as one')\n")
    monkeypatch.setattr(devices, "__path__", [*devices.__path__, str(tmp_path)])
    inputs.kinds.cache_clear()
    yield "sensor_of_a_test"
    monkeypatch.undo()
    inputs.kinds.cache_clear()


def parse(text, board="pico"):
    return inputs.parse(YAML(typ="safe", pure=True).load(text), board, "inputs.yaml")


def test_a_list_becomes_devices_in_its_order(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text(
        "- button: {pin: 14, pressed: [1.0, 2.5]}\n- button: {pin: LED, pressed: [], for: 1, to: 3V3, bounces: true}\n"
    )
    first, second = inputs.read(path, "pico")
    assert (first.pin, first.pressed, first.hold, first.to) == (14, [1.0, 2.5], 0.2, "ground")
    assert (second.pin, second.pressed, second.hold, second.bounces) == ("LED", [], 1, True)
    assert parse("[]") == []


FAULTS = {
    "- buton: {pin: 14}": "0: there is no device 'buton'; did you mean 'button'?",
    "- 3: {}": r"0: there is no device 3; known: .*button",
    "- button: {pin: 31, pressed: [1]}": "0.button.pin: a pico has no pin 31; it has 0 to 29 and LED",
    "- button: {pin: GP31, pressed: [1]}": "0.button.pin: a pico has no pin GP31; it has 0 to 29 and LED",
    "- button: {pin: -1, pressed: [1]}": "0.button.pin: a pico has no pin -1; it has 0 to 29 and LED",
    "- button: {pin: 1, pressed: [1]}\n- button: {pin: 2}": "1.button.pressed: missing",
    "- button:": "0.button.pin: missing; must be a whole number or a text\ninputs.yaml: 0.button.pressed: missing; must be a list",
    "- button: {pin: 1, pressed: [1], fro: 2}": "0.button.fro: unknown key; did you mean 'for'?",
    "- button: {pin: 1, pressed: [1], hold: 2}": "0.button.hold: unknown key; known: pin, pressed, for, to, bounces",
    "- button: {pin: 1.5, pressed: [1]}": "0.button.pin: input should be a valid integer or a valid string, not 1.5",
    "- button: {pin: true, pressed: [1]}": "0.button.pin: input should be a valid integer or a valid string, not True",
    "- button: {pin: 1, pressed: soon}": "0.button.pressed: input should be a valid list, not 'soon'",
    "- button: {pin: 1, pressed: [1, x]}": "0.button.pressed.1: input should be a valid number, not 'x'",
    "- button: {pin: 1, pressed: [.inf]}": "0.button.pressed.0: input should be a finite number, not inf",
    "- button: {pin: 1, pressed: [2, 1]}": "0.button.pressed: time 1.0 stands after 2.0; times must not go backwards",
    "- button: {pin: 1, pressed: [-1]}": "0.button.pressed: time -1.0 stands before the start, which is 0",
    "- button: {pin: 1, pressed: [1], for: 0}": "0.button.for: input should be greater than 0, not 0",
    "- button: {pin: 1, pressed: [1], to: grond}": "0.button.to: 'grond' is not known; did you mean 'ground'?",
    "- button: {pin: 31, pressed: [1]}\n- buton: {}": "0.button.pin: a pico has no pin 31; it has 0 to 29 and LED\n"
    "inputs.yaml: 1: there is no device 'buton'; did you mean 'button'?",
    "- button": "0: must be one device with its keys, such as button: {pin: 14, pressed: [1.0]}",
    "- {button: {}, led: {}}": "0: must be one device with its keys, such as button: {pin: 14, pressed: [1.0]}",
    "- button: 3": "0.button: must hold keys and values, not 3",
    "- sensor_of_a_test: {pin: 1, level: near}": "0.sensor_of_a_test.level: input should be a valid number or a valid list, not 'near'",
    "- sensor_of_a_test: {pin: 1, level: [[0, 1], [1, x]]}": "0.sensor_of_a_test.level.1.1: input should be a valid number, not 'x'",
    "- sensor_of_a_test: {pin: 1, level: [[0, 1], [1]]}": "0.sensor_of_a_test.level.1: must be [time, value], not [1.0]",
    "- sensor_of_a_test: {pin: 1, level: [[1, 1], [0.5, 0]]}": "0.sensor_of_a_test.level: time 0.5 stands after 1.0; times must not go backwards",
    "- sensor_of_a_test: {pin: 1, also: 40}": "0.sensor_of_a_test.also: a pico has no pin 40; it has 0 to 29 and LED",
    "- sensor_of_a_test: {pin: 1, also: 1}": "0.sensor_of_a_test.also: 1 is pin as well; give another",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_mistake_is_told_with_its_file_and_key(text, sensor):
    with pytest.raises(UserError) as raised:
        parse(text)
    expected = FAULTS[text] if "known: .*" in FAULTS[text] else re.escape(FAULTS[text])
    assert re.fullmatch(f"inputs.yaml: {expected}.*", str(raised.value))


@pytest.mark.parametrize("text", ["button: {pin: 14, pressed: [1]}", "", "3", "button"])
def test_what_is_no_list_is_told_so(text):
    with pytest.raises(UserError, match=r"^inputs.yaml: must be a list of devices, such as - button:"):
        parse(text)


@pytest.mark.parametrize(
    "content, said",
    [
        ("- button: {pin: 1", r"inputs.yaml: line \d, column \d+: not valid YAML"),
        (b"- \xff", "not UTF-8"),
        (None, "inputs.yaml: no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_so(tmp_path, content, said):
    if content is not None:
        (tmp_path / "inputs.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        inputs.read(tmp_path / "inputs.yaml", "pico")


def test_a_board_that_is_not_known_is_told_so():
    with pytest.raises(UserError, match="there is no board 'picoo'; did you mean 'pico'"):
        parse("- button: {pin: 1, pressed: []}", board="picoo")


@pytest.mark.parametrize(
    "pins, said", [([0, 1, 2, 3], "0 to 3"), ([5, 1, 2, 9, 10, 11], "1 to 2, 5, 9 to 11"), ([7], "7")]
)
def test_pins_are_told_in_ranges(pins, said):
    assert inputs.ranges(pins) == said


def test_a_new_file_is_a_new_device(sensor):
    drove = run(
        "from machine import Pin\nimport time\np = Pin(3, Pin.IN)\nwhile True:\n    print(p.value())\n    time.sleep(1)\n",
        inputs=parse(f"- {sensor}: {{pin: 3, level: [[1.5, 1], [3.5, 0]]}}"),
    )
    assert drove.output == ["1", "1", "1", "1", "0"]


@pytest.mark.parametrize("kind", inputs.kinds())
def test_every_device_says_what_it_is_and_which_pins_it_has(kind):
    """A pin that no board has must be told before the run, whatever its key; a field of the type Pin that `pins` leaves out would not be."""
    schema, pins = inputs.kinds()[kind], {}
    assert inputs.about(kind), "the first line of the module says what the device is"
    for name, field in schema.model_fields.items():
        several = [inner for inner in get_args(field.annotation) if {int, str} <= set(get_args(inner))]
        if {int, str} <= set(get_args(field.annotation)) or several:
            pins[name] = [99] if several else 99
    assert list(schema.model_construct(**pins).pins().values()).count(99) >= len(pins)


@pytest.mark.parametrize("board", boards.known())
def test_every_pin_of_a_board_can_have_a_button(board):
    spec = boards.load(board)
    for pin in [*spec.pins, *spec.named]:
        (button,) = parse(f"- button: {{pin: {pin}, pressed: [1]}}", board)
        assert spec.pin(button.pin) is not None
