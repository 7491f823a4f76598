"""Wi-Fi and names. The access points in reach are devices; without one nothing connects, as in a place without Wi-Fi.

Logged: ("net", "connected" | "lost", ssid) of the station, ("net", "access point", ssid) where the board opens one of its own.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatch

from pipeline.board.board import Board, Refused

JOIN = 1_500_000  # microseconds: to join an access point, or to find that it cannot be done
RETRY = 1_000_000  # after which an ESP32 tries again by itself
SCAN = 2_000_000
START = 100_000  # of an interface
ROUND_TRIP = 20_000
EPERM = 1  # numbers of OSError, as boards have them
UNKNOWN_HOST = {"rp2": -2, "esp32": -202}
NOWHERE = ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")
AT_HOME = ("192.168.1.42", "255.255.255.0", "192.168.1.1", "192.168.1.1")
OWN = ("192.168.4.1", "255.255.255.0", "192.168.4.1", "192.168.4.1")
NUMERIC = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


@dataclass(eq=False)
class AccessPoint:
    """One that the board can see while it is `there`; with password "" it is open."""

    ssid: str
    password: str
    there: bool = False


@dataclass
class Interface:
    address: tuple[str, ...]  # its own, mask, gateway, name server
    settings: dict[str, str]
    active: bool = False


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        rp2 = board.spec.port == "rp2"
        radio = {
            "security": "0",
            "hidden": "0",
            "txpower": "20",
            "pm": "10555714",
            "reconnects": "-1",
            "password": "",
            "max_clients": "4",
            "protocol": "7",
            "antenna": "0",
            "bandwidth": "1",
        }
        self.station = Interface(NOWHERE, {"mac": "28cdc10a1b2c", "ssid": "", "channel": "6", **radio})
        self.own = Interface(
            OWN, {"mac": "28cdc10a1b2d", "ssid": "PICO0A1B2C" if rp2 else "ESP_0A1B2C", "channel": "3", **radio}
        )
        self.names = {"hostname": "PicoW" if rp2 else "mpy-esp32", "country": "XX"}
        self.points: list[AccessPoint] = []
        self.hosts: dict[str, str] = {}  # name or pattern -> address
        self.status = "idle"  # of the station: "connected", or why it is not
        self.joined: AccessPoint | None = None
        self.attempt = 0
        self.operations = {
            "net.active": self._active,
            "net.join": self._join,
            "net.leave": self._leave,
            "net.status": self._status,
            "net.address": self._address,
            "net.scan": self._scan,
            "net.config": self._config,
            "net.name": self._name,
            "net.resolve": self.resolve,
        }

    # --- for devices --------------------------------------------------------------------------------------------------

    def address(self, host: str) -> str:
        """The address of a device's host, which may be a name, a pattern such as *.pool.ntp.org, or an address already."""
        if NUMERIC.fullmatch(host):
            return host
        return self.hosts.setdefault(host.lower(), f"203.0.113.{len(self.hosts) + 10}")

    def online(self) -> bool:
        """Whether the station has joined."""
        return self.status == "connected"

    def appear(self, point: AccessPoint) -> None:
        point.there = True
        if point not in self.points:
            self.points.append(point)

    def vanish(self, point: AccessPoint) -> None:
        """The access point goes away, and with it each connection over it."""
        point.there = False
        if self.joined is point:
            settings = self.station.settings
            self._part("idle")
            self.board.note("net", "lost", point.ssid)
            if self.board.spec.port == "esp32":
                self._try(settings["ssid"], settings["password"])

    # --- Wi-Fi --------------------------------------------------------------------------------------------------------

    def _interface(self, name: str) -> Interface:
        return {"sta": self.station, "ap": self.own}[name]

    def _active(self, arguments: str) -> str:
        name, _, on = arguments.partition(",")
        interface = self._interface(name)
        self.board.poll()
        if on and interface.active != (on == "1"):
            interface.active = on == "1"
            self.board.sleep(START)
            if interface is self.station:
                self._part("idle")
            elif interface.active:
                self.board.note("net", "access point", interface.settings["ssid"])
        return "1" if interface.active else "0"

    def _join(self, arguments: str) -> None:
        ssid, password = (bytes.fromhex(part).decode("utf-8", "replace") for part in arguments.split(","))
        self.board.poll()
        if not self.station.active:
            raise Refused("OSError", "Wifi Not Started" if self.board.spec.port == "esp32" else EPERM)
        wanted = {"ssid": ssid, "password": password}
        if (
            self.status != "connecting" or not wanted.items() <= self.station.settings.items()
        ):  # else it is at it already
            self._part("connecting")
            self.station.settings |= wanted
            self._try(ssid, password)

    def _try(self, ssid: str, password: str) -> None:
        self.status = "connecting"
        self.attempt += 1
        attempt = self.attempt
        self.board.after(JOIN, lambda: attempt == self.attempt and self._tried(ssid, password))

    def _tried(self, ssid: str, password: str) -> None:
        point = next((each for each in self.points if each.ssid == ssid and each.there), None)
        if point is None or point.password not in ("", password):
            self.status = "wrong password" if point else "no access point"
            if self.board.spec.port == "esp32":
                attempt = self.attempt
                self.board.after(RETRY, lambda: attempt == self.attempt and self._try(ssid, password))
        else:
            self.status, self.joined = "connected", point
            if self.station.address == NOWHERE:
                self.station.address = AT_HOME
            self.board.note("net", "connected", ssid)
        self.board.changed()

    def _part(self, status: str) -> None:
        """Ends what there is of a connection to an access point."""
        self.attempt += 1
        self.status, self.joined = status, None
        if self.station.address == AT_HOME:
            self.station.address = NOWHERE
        self.board.sockets.break_all()

    def _leave(self, _: str) -> None:
        self.board.poll()
        self._part("idle")

    def _status(self, _: str) -> str:
        self.board.poll()
        return self.status

    def _address(self, arguments: str) -> str:
        name, *given = arguments.split(",")
        interface = self._interface(name)
        self.board.poll()
        if given:
            interface.address = tuple(given)
        return ",".join(interface.address)

    def _scan(self, _: str) -> str:
        if not self.station.active:
            raise Refused("OSError", "STA must be active" if self.board.spec.port == "esp32" else EPERM)
        self.board.advance(self.board.now + SCAN)
        locked = 3 if self.board.spec.port == "esp32" else 5  # their numbers for WPA2
        return ",".join(
            f"{point.ssid.encode().hex()}:{locked if point.password else 0}" for point in self.points if point.there
        )

    def _config(self, arguments: str) -> str:
        name, key, *value = arguments.split(",", 2)
        settings = self._interface(name).settings
        key = {"essid": "ssid", "key": "password", "authmode": "security"}.get(key, key)
        self.board.poll()
        if key not in settings or (key == "password" and not value):
            raise Refused("ValueError", "unknown config param")
        if value:
            settings[key] = value[0]
        return settings[key]

    def _name(self, arguments: str) -> str:
        key, *value = arguments.split(",", 1)
        self.board.poll()
        if key in self.names and value:
            self.names[key] = value[0]
        return self.names[key]

    def resolve(self, host: str) -> str:
        """The address of a host, by a name server that knows the devices alone."""
        if NUMERIC.fullmatch(host):
            return host
        self.board.sleep(ROUND_TRIP)
        address = next((address for name, address in self.hosts.items() if fnmatch(host.lower(), name)), None)
        if address is None or not self.online():
            raise Refused("OSError", UNKNOWN_HOST[self.board.spec.port])
        return address
