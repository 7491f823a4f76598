"""A simulated board has exactly the names that the real one has, and says so where it does not do something yet."""

import ast
import json

import pytest

from pipeline.board import api, boards, image, rom, sandbox
from pipeline.board.api import Item
from pipeline.board.cut import fit
from pipeline.board.run import run
from pipeline.core.errors import UserError

ALL = ("pico", "pico_w", "esp32")
RADIO = ("pico_w", "esp32")
RP2 = ("pico", "pico_w")


def names(board: str, *paths: str) -> list[bool]:
    return [api.api(board).find(path) is not None for path in paths]


# --- the boards' files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", boards.known())
def test_what_a_board_s_file_says_agrees_with_itself_and_its_stubs(board):
    spec = boards.load(board)
    api.read(board)  # asserts that each name under lacks and keywords is there
    pins = set(spec.pins)
    assert set(spec.input_only) <= pins
    assert all(pin in pins for pin in spec.adc.values() if isinstance(pin, int))
    assert all(spec.pin(name) == pin and spec.pin(pin) == pin for name, pin in spec.named.items())
    for bus in spec.buses.values():
        assert bus.pins and (bus.anywhere or all(pin in pins for part in bus.pins.values() for pin in part))


def test_the_lock_has_the_stubs_of_each_board_and_no_others():
    pinned = [
        line.partition("==")[0] for line in boards.LOCK.read_text().splitlines() if line and not line.startswith("#")
    ]
    assert sorted(pinned) == sorted({boards.load(board).stubs for board in boards.known()})


def test_an_unknown_board_suggests_a_known_one():
    with pytest.raises(UserError, match="did you mean 'pico_w'"):
        boards.load("picow")


def test_missing_stubs_are_told_with_what_installs_them(tmp_path, monkeypatch):
    monkeypatch.setattr(boards, "STUBS", tmp_path)
    with pytest.raises(UserError, match=r"micropython-rp2-rpi-pico-stubs-1.*make setup"):
        api.read("pico")


@pytest.mark.parametrize("board", RP2)
def test_a_pico_s_bus_pins_follow_the_pattern_of_its_chip(board):
    """The RP2040 repeats what a pin can be every four pins, for one bus or the other of a kind."""
    parts = {
        (kind[:-1], part, kind[-1]): pins
        for kind, bus in boards.load(board).buses.items()
        for part, pins in bus.pins.items()
    }
    assert all(len({pin % 4 for pin in pins}) == 1 and len(set(pins)) == len(pins) for pins in parts.values())
    for kind, part, number in parts:
        either = sorted(parts[kind, part, number] + parts[kind, part, str(1 - int(number))])
        assert either == list(range(either[0], either[-1] + 1, 4 if kind != "i2c" else 2))


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "boards_with, name",
    [
        (ALL, "machine.Pin.irq"),
        (ALL, "machine.PWM.duty_u16"),
        (ALL, "machine.time_pulse_us"),
        (ALL, "machine.ADC.read_u16"),
        (ALL, "time.ticks_diff"),
        (ALL, "utime.sleep_ms"),
        (ALL, "umachine.Pin"),
        (ALL, "ujson.dumps"),
        (ALL, "uasyncio.sleep_ms"),
        (ALL, "neopixel.NeoPixel.fill"),
        (ALL, "neopixel.NeoPixel.n"),
        (ALL, "dht.DHT11.measure"),
        (ALL, "ds18x20.DS18X20.convert_temp"),
        (ALL, "micropython.const"),
        (ALL, "sys.print_exception"),
        (ALL, "os.VfsLfs2.mkfs"),
        (ALL, "ssd1306.SSD1306_I2C.text"),
        (RP2, "machine.Pin.high"),
        (RP2, "rp2.StateMachine.active"),
        (RP2, "machine.bootloader"),
        (RP2, "machine.Pin.board.GP15"),
        (RADIO, "network.WLAN.connect"),
        (RADIO, "socket.socket.settimeout"),
        (RADIO, "ussl.wrap_socket"),
        (RADIO, "umqtt.simple.MQTTClient.publish"),
        (RADIO, "umqtt.robust.MQTTClient.subscribe"),
        (RADIO, "urequests.get"),
        (RADIO, "bluetooth.BLE"),
        (RADIO, "ntptime.settime"),
        (("esp32",), "machine.PWM.duty"),
        (("esp32",), "machine.ADC.read"),
        (("esp32",), "machine.ADC.ATTN_11DB"),
        (("esp32",), "machine.TouchPad"),
        (("esp32",), "machine.RTC.memory"),
        (("esp32",), "esp32.NVS"),
        (("esp32",), "machine.DAC"),
        (("esp32",), "machine.DEEPSLEEP_RESET"),
        (("pico_w",), "aioble.advertise"),
        (("pico_w",), "machine.Pin.board.WL_GPIO0"),
        ((), "machine.Servo"),
        ((), "machine.Pin.write"),
        ((), "machine.ADCWiPy"),
        ((), "machine.Pin.mode"),
        ((), "machine.Pin.ANALOG"),
        ((), "machine.Signal.irq"),
        ((), "machine.SPI.CONTROLLER"),
        ((), "time.delay"),
        ((), "time.strftime"),
        ((), "os.getenv"),
        ((), "asyncio.Queue"),
        ((), "json.JSONEncoder"),
        ((), "collections.defaultdict"),
        ((), "uzlib"),
        ((), "typing"),
        ((), "logging"),
        ((), "rp2.asm_pio_rp2040"),
        ((), "machine.Pin.__init__"),
        ((), "machine._PinLike"),
        ((), "sys.exc_info"),
        ((), "re.findall"),
    ],
)
def test_a_board_has_the_names_of_its_firmware(boards_with, name):
    assert [board for board in ALL if api.api(board).find(name)] == list(boards_with)


@pytest.mark.parametrize(
    "board, name, value",
    [
        ("pico", "machine.Pin.OUT", 1),
        ("esp32", "machine.Pin.OUT", 3),
        ("pico", "machine.Pin.PULL_DOWN", 2),
        ("esp32", "machine.Pin.PULL_DOWN", 1),
        ("pico", "machine.Timer.ONE_SHOT", 0),
        ("pico_w", "socket.SOCK_DGRAM", 2),
        ("esp32", "machine.ADC.ATTN_11DB", 3),
        ("pico", "machine.WDT_RESET", 3),
    ],
)
def test_constants_have_the_values_of_the_board(board, name, value):
    assert api.api(board).find(name).value == value


@pytest.mark.parametrize(
    "board, name, gives",
    [
        ("esp32", "machine.ADC.block", "machine.ADCBlock"),
        ("pico", "asyncio.create_task", "asyncio.Task"),
        ("pico", "machine.Pin.board.GP2", "machine.Pin"),
        ("pico", "time.sleep", ""),
    ],
)
def test_a_call_is_known_to_give_one_of_the_board_s_objects(board, name, gives):
    assert api.api(board).find(name).gives == gives


@pytest.mark.parametrize(
    "board, name, yes, no",
    [
        ("pico", "machine.PWM", ["freq", "duty_u16"], ["duty", "frequency"]),
        ("esp32", "machine.PWM", ["freq", "duty"], ["frequency"]),
        ("pico", "machine.I2C", ["sda", "scl", "freq", "id"], ["speed"]),
        ("pico", "machine.Timer.init", ["period", "mode", "callback", "freq"], ["interval"]),
        ("pico_w", "network.WLAN.connect", ["ssid", "key", "bssid"], ["password"]),
    ],
)
def test_the_arguments_that_a_call_can_name(board, name, yes, no):
    known = api.api(board).find(name).keywords
    assert set(yes) <= set(known) and not set(no) & set(known)


def test_a_module_that_exists_without_a_table_says_so():
    assert api.api("pico").find("builtins").members is None
    assert api.api("pico").find("builtins.anything") is None


# --- kept on disk -----------------------------------------------------------------------------------------------------


def test_what_was_made_is_kept_until_its_key_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "CACHE", tmp_path / "new")
    made = []
    for key in ("a", "a", "b", "a"):
        assert api.kept("x", key, lambda key=key: made.append(key) or {"of": key}) == {"of": key}
    assert made == ["a", "b", "a"]
    (tmp_path / "new" / "x.json").write_text("{half")
    assert api.kept("x", "a", lambda: 7) == 7


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(api, "CACHE", tmp_path / "file" / "folder")
    assert api.kept("x", "a", lambda: 1) == 1
    assert image.flash.__wrapped__("pico") == image.flash("pico")


def test_a_table_comes_back_from_disk_as_it_was():
    table = api.read("esp32")
    again = {name: api.unpack(json.loads(json.dumps(api.pack(item)))) for name, item in table.modules.items()}
    assert again == table.modules


# --- cutting ----------------------------------------------------------------------------------------------------------

SOURCE = """
from string import digits, hexdigits
A = 1
B = 2
first, second = 3, 4
def helper(): return B
def gone(): return helper()
def stays(helper=None): return helper or _own
def uses(): return digits
def _own(): pass
class Thing:
    HIGH = 10
    LOW = HIGH + 1
    def __init__(self, mode=HIGH): self.kind = {Thing.LOW: "low", Thing.HIGH: "high"}[mode]
    def mode(self, mode): return mode
    def on(self): return self.mode(Thing.LOW)
    off = on
    def lost(self): pass
class Heir(Thing):
    def on(self): return self.mode(self.LOW) + 1
class Away:
    pass
"""


def cut(tmp_path, **members) -> dict:
    """What running SOURCE defines, after it was cut to what `members` says."""
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    exec(ast.unparse(fit("source", path, Item("module", members), {})), found := {})
    return found


def test_a_module_keeps_what_the_board_has_and_hides_the_rest(tmp_path):
    thing = Item("class", {"HIGH": Item("constant", value=77), "on": Item("function")})
    found = cut(
        tmp_path,
        A=Item("constant", value=5),
        first=Item("constant"),
        stays=Item("function"),
        uses=Item("function"),
        Thing=thing,
        Heir=Item("class", {"on": Item("function")}),
    )
    assert {name for name in found if not name.startswith("_")} == {"A", "first", "stays", "uses", "Thing", "Heir"}
    assert found["A"] == 5 and found["first"] == 3 and found["uses"]() == "0123456789"
    assert found["stays"](8) == 8 and found["stays"]() is found["_own"]
    made = found["Thing"]()
    assert {name for name in dir(made) if not name.startswith("_")} == {"HIGH", "kind", "on"}
    assert made.HIGH == 77 and made.kind == "high" and made.on() == 78  # LOW and mode work on, under other names
    assert found["Heir"]().on() == 79
    assert "_gone_" not in found and "_helper_" not in found and "_Away_" not in found and "_hexdigits_" not in found


def test_a_module_of_the_firmware_s_own_is_cut_by_the_classes_that_others_take(tmp_path):
    path = tmp_path / "_own.py"
    path.write_text(
        "class Bus:\n    FAST = 1\n    def read(self): pass\n    def deinit(self): pass\ndef tool(): pass\n"
    )
    text = ast.unparse(
        fit(
            "_own",
            path,
            Item("module", None),
            {"Bus": Item("class", {"FAST": Item("constant", value=9), "read": Item("function")})},
        )
    )
    exec(text, found := {})
    assert (
        found["Bus"].FAST == 9
        and hasattr(found["Bus"], "read")
        and not hasattr(found["Bus"], "deinit")
        and "tool" in found
    )


# --- the board itself -------------------------------------------------------------------------------------------------


def outcome(program: str, board: str) -> str:
    """What a program printed, or how it failed."""
    done = run(program, board)
    return str(done.errors[0]) if done.errors else " ".join(done.output)


@pytest.mark.parametrize("board", ALL)
def test_the_old_names_of_modules_are_the_same_modules(board):
    modules = ("time", "machine", "asyncio", "json", "sys", "os", "struct", "re", "random")
    program = "".join(f"import {name}, u{name}\nprint({name} is u{name}, {name}.__name__)\n" for name in modules)
    assert outcome(program, board) == " ".join(f"True {name}" for name in modules)


@pytest.mark.parametrize(
    "board, module",
    [
        ("pico", "ssl"),
        ("pico", "socket"),
        ("pico", "network"),
        ("pico", "ussl"),
        ("pico", "bluetooth"),
        ("pico", "mip"),
        ("pico", "requests"),
        ("pico", "umqtt.simple"),
        ("esp32", "rp2"),
        ("esp32", "aioble"),
        ("pico_w", "esp32"),
        *((board, "nonsense") for board in ALL),
        *((board, "argparse") for board in ALL),
        *((board, "typing") for board in ALL),
    ],
)
def test_a_module_that_the_board_has_not_is_not_there(board, module):
    assert outcome(f"import {module}", board) == f"ImportError: no module named '{module.partition('.')[0]}' (line 1)"


@pytest.mark.parametrize(
    "board, expression, said",
    [
        ("pico", "machine.PWM.duty", "AttributeError: type object 'PWM' has no attribute 'duty' (line 2)"),
        (
            "pico",
            "machine.PWM(machine.Pin(0)).duty(3)",
            "AttributeError: 'PWM' object has no attribute 'duty' (line 2)",
        ),
        ("pico", "machine.TouchPad", "AttributeError: module 'machine' has no attribute 'TouchPad' (line 2)"),
        ("pico", "machine.call", "AttributeError: module 'machine' has no attribute 'call' (line 2)"),
        ("pico", "machine.Pin.mode", "AttributeError: type object 'Pin' has no attribute 'mode' (line 2)"),
        ("pico", "machine.Pin.OUT", "1"),
        ("esp32", "machine.Pin.OUT", "3"),
        ("esp32", "machine.Pin.IRQ_FALLING", "2"),
        ("esp32", "callable(machine.PWM.duty)", "True"),
        ("pico", "__import__('os').getenv('x')", "AttributeError: module 'os' has no attribute 'getenv' (line 2)"),
        ("pico", "__import__('sys').platform", "rp2"),
        ("esp32", "__import__('sys').platform", "esp32"),
        ("pico_w", "__import__('sys').implementation._machine", "Raspberry Pi Pico W with RP2040"),
    ],
)
def test_a_program_meets_the_names_of_its_board(board, expression, said):
    assert outcome(f"import machine\nprint({expression})", board) == said


@pytest.mark.parametrize("board", ALL)
@pytest.mark.parametrize(
    "program",
    [
        "import machine\nmachine.I2S(0, sck=machine.Pin(1), mode=machine.I2S.TX)",
        "from machine import I2S\nI2S(0)",
        "from machine import *\nI2S(0)",
    ],
)
def test_what_is_not_simulated_refuses_and_is_noted(board, program):
    done = run(program, board)
    assert [str(error) for error in done.errors] == [
        "NotImplementedError: the simulated board has no machine.I2S yet (line 2)"
    ]
    assert done.lacks == ["machine.I2S"]


def test_modules_that_are_not_simulated_can_be_imported_and_refuse_then():
    done = run("import bluetooth\nprint(bluetooth.FLAG_READ)\nbluetooth.BLE()", "pico_w")
    assert done.output == ["2"] and done.lacks == ["bluetooth.BLE"]


def test_random_numbers_are_the_same_in_each_run():
    first, second = (outcome("import random\nprint(random.random(), random.randint(1, 6))", "pico") for _ in range(2))
    assert first == second and first.startswith("0.")


INSTANCES_ONLY = {"Task.cancel", "Task.done"}  # methods of the interpreter's own that their class does not show
PROBE = """
from _lacking import No
def real(thing, name):
    return hasattr(thing, name) and not isinstance(getattr(thing, name), No)
def wrong(module, names, there):
    for name in names:
        cls, _, method = name.rpartition(".")
        if not cls:
            found = real(module, name)
        elif real(module, cls) and isinstance(getattr(module, cls), type):
            found = real(getattr(module, cls), method)
        else:
            continue
        if found != there:
            print(module.__name__, name)
"""


@pytest.mark.parametrize("board", ALL)
def test_coverage_counts_as_simulated_what_the_board_really_has(board):
    """Asks the board itself for every name but those that instances alone have, and the simple values."""
    rows, program = image.coverage(board), [PROBE]
    assert {"machine", "time", "json", "ssd1306"} <= {module for module, *_ in rows}
    for module, every, there, gone in rows:
        assert sorted(every) == sorted([*there, *gone])
        asked = {
            name for name in every if name.count(".") < 2 and api.api(board).find(f"{module}.{name}").kind == "function"
        } - INSTANCES_ONLY
        program += [
            f"import {module} as m",
            f"wrong(m, {sorted(asked & set(there))}, True)",
            f"wrong(m, {sorted(asked & set(gone))}, False)",
        ]
    done = run("\n".join(program), board)
    assert (done.errors, done.lacks, done.output, done.stopped) == ([], [], [], None)


def test_coverage_tells_what_is_missing():
    missing = {module: gone for module, _, _, gone in image.coverage("pico")}
    assert "I2S" in missing["machine"] and "I2S.TX" in missing["machine"] and "Pin" not in missing["machine"]
    assert (
        not missing["json"] and not missing["ssd1306"]
    )  # a class of the firmware has what it inherits from one of the interpreter's


def test_a_start_costs_little():
    """In the interpreter's instructions, of which a millisecond has some eight million."""
    program = {name: run(text).fuel for name, text in {"nothing": "pass", "all": "import machine, time"}.items()}
    assert program["all"] - program["nothing"] < 6_000_000


# --- the file system --------------------------------------------------------------------------------------------------


def test_the_interpreter_imports_from_a_file_system_in_memory():
    files = {
        "one.mpy": image.compiled("one", "x = 1"),
        "pack/__init__.mpy": image.compiled("pack", "from pack.two import y"),
        "pack/two.mpy": image.compiled("two", "y = 2"),
        "empty": b"",
        "large": bytes(range(256)) * 80,
    }
    data, printed = rom.build(files), []
    code = (
        f"import vfs, sys\nvfs.mount(vfs.VfsRom(open('/x', 'rb').read({len(data)})), '/rom')\nsys.path[:] = ['/rom']\nimport one, pack\n"
        "print(one.x, pack.y, len(open('/rom/empty').read()), open('/rom/large', 'rb').read() == bytes(range(256)) * 80)"
    )
    done = sandbox.run(code, {"x": data}, lambda operation, arguments: "", printed.append, lambda: 0, lambda: 0)
    assert not done.errors and b"".join(printed) == b"1 2 0 True\n"
