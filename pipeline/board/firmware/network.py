"""network: Wi-Fi. What it is connected to is the hardware's business."""
from _hw import call

STA_IF = 0
AP_IF = 1
STAT_IDLE = 0
STAT_CONNECTING = 1
STAT_WRONG_PASSWORD = -3
STAT_NO_AP_FOUND = -2
STAT_CONNECT_FAIL = -1
STAT_GOT_IP = 3
STAT_ASSOC_FAIL = 203
STAT_BEACON_TIMEOUT = 200
STAT_HANDSHAKE_TIMEOUT = 204
AUTH_OPEN = 0
AUTH_WEP = 1
AUTH_WPA_PSK = 2
AUTH_WPA2_PSK = 3
AUTH_WPA_WPA2_PSK = 4
AUTH_WPA3_PSK = 6
AUTH_WPA2_WPA3_PSK = 7
MODE_11B = 1
MODE_11G = 2
MODE_11N = 4
MODE_LR = 8
_NUMBERS = ("channel", "security", "authmode", "txpower", "pm", "reconnects", "max_clients", "protocol", "antenna", "bandwidth")


def _text(value):
    return (value.encode() if isinstance(value, str) else bytes(value or b"")).hex()


def hostname(name=None):
    return _named("hostname", name)


def country(code=None):
    if code is not None and len(code) != 2:
        raise ValueError("country must be 2 characters")
    return _named("country", code)


def _named(key, value):
    if value is None:
        return call("net.name", key)
    call("net.name", key + "," + value)


def ipconfig(*args, **kwargs):
    if args:
        return WLAN(STA_IF).ifconfig()[3] if args[0] == "dns" else 4
    if "dns" in kwargs:
        own, mask, gateway, _ = WLAN(STA_IF).ifconfig()
        WLAN(STA_IF).ifconfig((own, mask, gateway, kwargs["dns"]))


class WLAN:
    IF_STA = 0
    IF_AP = 1
    PM_NONE = 16
    PM_PERFORMANCE = 10555714
    PM_POWERSAVE = 17
    SEC_OPEN = 0
    SEC_WEP = 1
    SEC_WPA = 2
    SEC_WPA2 = 3
    SEC_WPA_WPA2 = 4194310
    SEC_WPA3 = 16777220
    SEC_WPA2_WPA3 = 20971524
    PROTOCOL_DEFAULT = 7
    PROTOCOL_LR = 8

    def __init__(self, interface_id=STA_IF):
        if interface_id not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        self._own = interface_id == AP_IF
        self._name = "ap" if self._own else "sta"

    def active(self, is_active=None):
        on = call("net.active", self._name if is_active is None else self._name + (",1" if is_active else ",0"))
        return on == "1" if is_active is None else None

    def deinit(self):
        self.active(False)

    def connect(self, ssid=None, key=None, *, bssid=None):
        call("net.join", _text(ssid) + "," + _text(key))

    def disconnect(self):
        call("net.leave")

    def isconnected(self):
        return not self._own and call("net.status") == "connected"

    def status(self, param=None):
        if param == "rssi":
            return -52
        if param == "stations":
            return []
        if self._own:
            return STAT_GOT_IP if self.active() else STAT_IDLE
        status = call("net.status")
        return {"connected": STAT_GOT_IP, "connecting": STAT_CONNECTING, "wrong password": STAT_WRONG_PASSWORD,
                "no access point": STAT_NO_AP_FOUND}.get(status, STAT_IDLE)

    def scan(self):
        found = []
        for number, point in enumerate(filter(None, call("net.scan").split(","))):
            ssid, security = point.split(":")
            found.append((bytes.fromhex(ssid), bytes((0x3C, 0x84, 0x6A, 0x10, 0x20, number)), 6, -52 - 7 * number, int(security), 0))
        return found

    def config(self, *args, **kwargs):
        if args:
            value = call("net.name", "hostname") if args[0] in ("hostname", "dhcp_hostname") else call("net.config", self._name + "," + args[0])
            if args[0] == "mac":
                return bytes.fromhex(value)
            if args[0] == "hidden":
                return value not in ("0", "False")
            return int(value) if args[0] in _NUMBERS else value
        for key, value in kwargs.items():
            if key in ("hostname", "dhcp_hostname"):
                hostname(value)
            else:
                call("net.config", "%s,%s,%s" % (self._name, key, value.hex() if key == "mac" else value))

    def ifconfig(self, config=None):
        if config is None:
            return tuple(call("net.address", self._name).split(","))
        if config != "dhcp":
            call("net.address", self._name + "," + ",".join(config))

    def ipconfig(self, *args, **kwargs):
        own, mask, gateway, dns = self.ifconfig()
        if args:
            return {"addr4": (own, mask), "gw4": gateway, "dhcp4": True, "has_dhcp4": own != "0.0.0.0", "addr6": []}[args[0]]
        given = kwargs.get("addr4", own)
        if isinstance(given, tuple):
            given, mask = given
        self.ifconfig((given.split("/")[0], mask, kwargs.get("gw4", gateway), dns))
